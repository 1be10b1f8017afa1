package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A verb is one of rt's, at a container in the state that it is for.
type verb struct {
	name    string
	edits   []func(*specs.Spec)
	prepare []string // "create", "start", "pause"
	args    func(l *lab) []string
	attach  bool // the container's process, which waits or runs, is traced for inStub
	after   func(l *lab) error
}

func id(words ...string) func(*lab) []string {
	return func(l *lab) []string { return append(slices.Clone(words), l.id) }
}

func bundle(words ...string) func(*lab) []string {
	return func(l *lab) []string { return append(slices.Clone(words), "--bundle", l.bundle, l.id) }
}

func brief(s *specs.Spec) { s.Process.Args = []string{"/bin/true"} }

func verbs() []verb {
	return []verb{
		{name: "create", args: bundle("create")},
		{name: "create rich", args: bundle("create"), edits: []func(*specs.Spec){rich}},
		{name: "create staged", args: bundle("create"), edits: []func(*specs.Spec){rich, withoutHooks}},
		{name: "start", prepare: []string{"create"}, args: id("start"), attach: true},
		{name: "start rich", prepare: []string{"create"}, args: id("start"), attach: true, edits: []func(*specs.Spec){rich}},
		{name: "run", args: bundle("run"), edits: []func(*specs.Spec){brief}},
		{name: "run detached", args: bundle("run", "--detach"), edits: []func(*specs.Spec){rich}},
		{name: "exec", prepare: []string{"create", "start"}, after: usable,
			args: func(l *lab) []string { return []string{"exec", l.id, "/bin/true"} }},
		{name: "pause", prepare: []string{"create", "start"}, args: id("pause"), after: pausable},
		{name: "resume", prepare: []string{"create", "start", "pause"}, args: id("resume"), after: pausable},
		{name: "update", prepare: []string{"create", "start"}, after: limitsWhole,
			args: id("update", "--memory", strconv.Itoa(memoryLimit*2), "--pids-limit", strconv.Itoa(pidsLimit*2), "--cpu-share", "512")},
		{name: "kill", prepare: []string{"create", "start"}, args: func(l *lab) []string { return []string{"kill", l.id, "KILL"} }},
		{name: "delete", prepare: []string{"create"}, args: id("delete")},
		{name: "delete --force", prepare: []string{"create", "start"}, args: id("delete", "--force"), edits: []func(*specs.Spec){rich}},
	}
}

func (l *lab) bring(to []string) {
	l.t.Helper()
	for _, step := range to {
		if step == "create" {
			l.create()
		} else {
			l.ok(step, l.id)
		}
	}
}

func (l *lab) init() int {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(l.root, l.id, "state.json"))
	l.must(err)
	_, rest, _ := strings.Cut(string(data), `"pid":`)
	n, err := strconv.Atoi(strings.TrimSpace(rest[:strings.IndexAny(rest, ",}")]))
	l.must(err)
	return n
}

// usable: an exec that failed or was killed has done the container no harm, and nothing of it is left there.
func usable(l *lab) error {
	if r := l.rt("exec", l.id, "/bin/true"); r.code != 0 {
		return fmt.Errorf("exec afterwards: %s", r)
	}
	return l.eventually("init alone in the container", func() bool { return len(l.processes()) == 1 })
}

// pausable: whatever became of it, the container can be brought to run.
func pausable(l *lab) error {
	status, err := l.state()
	if err != nil {
		return err
	}
	if status == "paused" {
		if r := l.rt("resume", l.id); r.code != 0 {
			return fmt.Errorf("%s", r)
		}
	}
	return usable(l)
}

// limitsWhole: all of an update or nothing, once anybody has looked after it.
func limitsWhole(l *lab) error {
	for _, args := range [][]string{{"pause", l.id}, {"resume", l.id}} {
		if r := l.rt(args...); r.code != 0 {
			return fmt.Errorf("%s", r)
		}
	}
	memory, pids := l.limit("memory.limit_in_bytes", "memory.max"), l.limit("pids.max", "pids.max")
	for factor := 1; factor <= 2; factor++ {
		if memory == strconv.Itoa(memoryLimit*factor) && pids == strconv.Itoa(pidsLimit*factor) {
			return nil
		}
	}
	return fmt.Errorf("half of an update: memory limit %s, pids limit %s", memory, pids)
}

func (l *lab) limit(v1, v2 string) string {
	for _, dir := range cgroupMounts() {
		for _, f := range []string{v1, v2} {
			if data, err := os.ReadFile(filepath.Join(dir, l.id, f)); err == nil {
				return strings.TrimSpace(string(data))
			}
		}
	}
	return ""
}

// sound: whatever has happened, list and state work, delete --force succeeds, nothing is left, and the id can be used again.
func (l *lab) sound(after func(*lab) error) error {
	if r := l.rt("list"); r.code != 0 {
		return fmt.Errorf("%s", r)
	}
	status, err := l.state()
	if err != nil {
		return err
	}
	if after != nil && status != "" {
		if err := after(l); err != nil {
			return err
		}
	}
	if r := l.rt("delete", "--force", l.id); r.code != 0 || r.stderr != "" {
		return fmt.Errorf("%s", r)
	}
	if left := l.left(); len(left) > 0 {
		return fmt.Errorf("left after delete --force: %v", left)
	}
	for _, args := range [][]string{{"create", "--bundle", l.bundle, l.id}, {"delete", l.id}} {
		if r := l.rt(args...); r.code != 0 {
			return fmt.Errorf("the same id again: %s", r)
		}
	}
	if left := l.left(); len(left) > 0 {
		return fmt.Errorf("left in the end: %v", left)
	}
	return nil
}

func (l *lab) eventually(what string, cond func() bool) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); pausing() {
		if cond() {
			return nil
		}
	}
	return fmt.Errorf("waited in vain for: %s; there are %v", what, l.processes())
}

// calls counts the system calls of a verb.
func (v *verb) calls(t testing.TB, who string) int {
	t.Helper()
	l := newLab(t, v.edits...)
	l.bring(v.prepare)
	r := l.inject(v.job(l, who), v.args(l)...)
	if r.code != 0 {
		t.Fatalf("without any fault: %s", r)
	}
	return r.Calls
}

func (v *verb) job(l *lab, who string) job {
	j := job{Who: who}
	if v.attach && who == inStub {
		j.Attach = l.init()
	}
	return j
}
