package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"rt/internal/log"
	"rt/internal/text"
	"rt/libcontainer"
	"rt/libcontainer/bundle"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/doctor"
	"rt/libcontainer/plan"
	"rt/libcontainer/usage"
)

// A fake records what the commands ask for and answers with its fields.
type fake struct {
	calls   []any // verb, then its arguments
	runtime libcontainer.Runtime
	err     error
	status  int
	state   libcontainer.ContainerState
	list    []libcontainer.ContainerState
	pids    []int
	events  []usage.Event
	stdin   string

	looks     int
	usages    func(look int) []usage.Container
	processes []usage.Process

	problems, host []bundle.Problem
	findings       []doctor.Finding

	psArgs   []string
	psOutput string
	collects bool // garbage collection was turned on again
}

func (f *fake) call(verbAndArgs ...any) error {
	f.calls = append(f.calls, verbAndArgs...)
	return f.err
}

func (f *fake) Create(id string, o libcontainer.CreateOptions) error { return f.call("create", id, o) }
func (f *fake) Run(id string, o libcontainer.RunOptions) (int, error) {
	return f.status, f.call("run", id, o)
}
func (f *fake) Start(id string) error { return f.call("start", id) }
func (f *fake) Exec(id string, o libcontainer.ExecOptions) (int, error) {
	return f.status, f.call("exec", id, o)
}
func (f *fake) Kill(id string, sig unix.Signal, all bool) error {
	return f.call("kill", id, sig, all)
}
func (f *fake) Checkpoint(id string, o checkpoint.DumpOptions) error {
	return f.call("checkpoint", id, o)
}
func (f *fake) Restore(id string, o libcontainer.RestoreOptions) (int, error) {
	return f.status, f.call("restore", id, o)
}
func (f *fake) Checkpoints() bool { return f.runtime.Criu != "" }

func (f *fake) Delete(id string, force bool) error { return f.call("delete", id, force) }
func (f *fake) State(id string) (*libcontainer.ContainerState, error) {
	return &f.state, f.call("state", id)
}
func (f *fake) List() ([]libcontainer.ContainerState, error) { return f.list, f.call("list") }
func (f *fake) Processes(id string) ([]int, error)           { return f.pids, f.call("processes", id) }
func (f *fake) Pause(id string) error                        { return f.call("pause", id) }
func (f *fake) Resume(id string) error                       { return f.call("resume", id) }

func (f *fake) Update(id string, r *specs.LinuxResources, rdt *specs.LinuxIntelRdt) error {
	if rdt != nil {
		return f.call("update", id, *r, *rdt)
	}
	return f.call("update", id, *r)
}
func (f *fake) AddMounts(id string, list []byte) error {
	return f.call("add mounts", id, string(list))
}
func (f *fake) RemoveMounts(id string, list []byte) error {
	return f.call("remove mounts", id, string(list))
}
func (f *fake) Events(id string, o usage.EventsOptions, emit func(*usage.Event) error) error {
	for i := range f.events {
		if err := emit(&f.events[i]); err != nil {
			return err
		}
	}
	return f.call("events", id, o)
}

func (f *fake) Usages(ids []string) func() ([]usage.Container, error) {
	return func() (all []usage.Container, err error) {
		f.looks++
		return f.usages(f.looks), f.call("usages", ids)
	}
}
func (f *fake) Doctor(o doctor.Options) ([]doctor.Finding, error) {
	return f.findings, f.call("doctor", fmt.Sprintf("%+v", o))
}
func (f *fake) Plan(o libcontainer.CreateOptions) (*plan.Plan, error) {
	return &plan.Plan{}, f.call("plan", o)
}
func (f *fake) PlanExec(dir, process string) (*plan.Plan, error) {
	return &plan.Plan{}, f.call("plan exec", dir, process)
}
func (f *fake) Top(id string, tell func(*usage.Process) error) error {
	for i := range f.processes {
		if err := tell(&f.processes[i]); err != nil {
			return err
		}
	}
	return f.call("top", id)
}

// A result is what one command line did.
type result struct {
	code           int
	stdout, stderr string
}

// rt runs a command line against f.
func rt(f *fake, args ...string) result {
	var stdout, stderr bytes.Buffer
	p := &program{
		stdin:  strings.NewReader(f.stdin),
		stdout: &stdout,
		stderr: &stderr,
		log:    log.New(&stderr, func() time.Time { return time.Unix(1700000000, 0) }),
		open: func(r *libcontainer.Runtime) libcontainer.Verbs {
			f.runtime = *r
			return f
		},
		check: func(dir string) ([]bundle.Problem, []bundle.Problem, error) {
			return f.problems, f.host, f.call("check", dir)
		},
		ps: func(args []string, row func(string) error) error {
			f.psArgs = args
			for text := range strings.Lines(f.psOutput) {
				if err := row(text); err != nil {
					return err
				}
			}
			return nil
		},
		keepCollecting: func() { f.collects = true },
	}
	code := p.run(append([]string{"rt"}, args...))
	return result{code, stdout.String(), stderr.String()}
}

// A line is a command line and the call it must become.
type line struct {
	args string // separated by single spaces
	want []any
}

func testLines(t *testing.T, lines []line) {
	t.Helper()
	for _, l := range lines {
		t.Run(l.args, func(t *testing.T) {
			f := &fake{}
			r := rt(f, strings.Split(l.args, " ")...)
			if r.code != 0 || r.stderr != "" {
				t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
			}
			if !reflect.DeepEqual(f.calls, l.want) {
				t.Errorf("calls\n got %+v\nwant %+v", f.calls, l.want)
			}
		})
	}
}

func TestSimpleVerbs(t *testing.T) {
	testLines(t, []line{
		{"start c", []any{"start", "c"}},
		{"start help", []any{"start", "help"}},
		{"start h", []any{"start", "h"}},
		{"start -- -c", []any{"start", "-c"}},
		{"pause c", []any{"pause", "c"}},
		{"resume c", []any{"resume", "c"}},
		{"state c", []any{"state", "c"}},
		{"delete c", []any{"delete", "c", false}},
		{"delete -f c", []any{"delete", "c", true}},
		{"delete --force c", []any{"delete", "c", true}},
		{"delete -force c", []any{"delete", "c", true}},
		{"kill c", []any{"kill", "c", unix.SIGTERM, false}},
		{"kill c 9", []any{"kill", "c", unix.SIGKILL, false}},
		{"kill --all c KILL", []any{"kill", "c", unix.SIGKILL, true}},
		{"kill -a c 15", []any{"kill", "c", unix.SIGTERM, true}},
		{"--log-level error --debug=false --criu x --rootless=true kill c 0", []any{"kill", "c", unix.Signal(0), false}},
	})
}

func TestStateLayout(t *testing.T) {
	f := &fake{state: libcontainer.ContainerState{
		OCIVersion: "1.3.0", ID: "c", Pid: 42, Status: "running", Bundle: "/b", Rootfs: "/b/rootfs",
		Created:     time.Date(2026, 11, 23, 8, 49, 33, 123456789, time.UTC),
		Annotations: map[string]string{"k": "v"}, OwnerUID: 7,
	}}
	r := rt(f, "state", "c")
	want := `{
  "ociVersion": "1.3.0",
  "id": "c",
  "pid": 42,
  "status": "running",
  "bundle": "/b",
  "rootfs": "/b/rootfs",
  "created": "2026-11-23T08:49:33.123456789Z",
  "annotations": {
    "k": "v"
  },
  "owner": ""
}`
	if r.stdout != want || r.code != 0 {
		t.Errorf("code %d\n got %s\nwant %s", r.code, r.stdout, want)
	}
}

func TestVersion(t *testing.T) {
	for _, flag := range []string{"--version", "-v", "-version"} {
		r := rt(&fake{}, flag)
		lines := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
		if r.code != 0 || len(lines) != 5 {
			t.Fatalf("%s: code %d, output %q", flag, r.code, r.stdout)
		}
		for i, prefix := range []string{"rt version ", "commit: ", "spec: 1.", "go: go1.", "build: stock"} {
			if !strings.HasPrefix(lines[i], prefix) {
				t.Errorf("%s: line %d is %q, want prefix %q", flag, i, lines[i], prefix)
			}
		}
	}
}

func TestPlan(t *testing.T) {
	testLines(t, []line{
		{"plan b", []any{"plan", libcontainer.CreateOptions{Bundle: "b"}}},
		{"plan --no-pivot --no-new-keyring b", []any{"plan", libcontainer.CreateOptions{Bundle: "b", NoPivot: true, NoNewKeyring: true}}},
		{"plan --exec p.json b", []any{"plan exec", "b", "p.json"}},
	})
	if r := rt(&fake{}, "plan", "b"); r.stdout != text.Printable((&plan.Plan{}).Text()) {
		t.Errorf("text: %q", r.stdout)
	}
	if r := rt(&fake{}, "plan", "--format", "json", "b"); !json.Valid([]byte(r.stdout)) {
		t.Errorf("json: %q", r.stdout)
	}
	f := &fake{}
	if r := rt(f, "plan", "--format", "yaml", "b"); r.code != 1 || r.stderr != "rt: invalid format option\n" || f.calls != nil {
		t.Errorf("yaml: %+v %v", r, f.calls)
	}
	if r := rt(&fake{err: errors.New("broken")}, "plan", "b"); r.code != 1 || r.stdout != "" || r.stderr != "rt: broken\n" {
		t.Errorf("error: %+v", r)
	}
}

// panics is a verb with a bug.
type panics struct{ fake }

func (p *panics) Start(string) error { panic("one\ntwo") }

// A panic is one line of error and exit status 1; where it was is for --debug.
func TestPanicIsOneLine(t *testing.T) {
	for _, debug := range []bool{false, true} {
		var stderr bytes.Buffer
		p := &program{stdout: io.Discard, stderr: &stderr, log: log.New(&stderr, time.Now),
			open: func(*libcontainer.Runtime) libcontainer.Verbs { return &panics{} }}
		args := []string{"rt", "start", "c"}
		if debug {
			args = []string{"rt", "--debug", "start", "c"}
		}
		if code := p.run(args); code != 1 {
			t.Errorf("exit status %d, want 1", code)
		}
		text := stderr.String()
		if n := strings.Count(text, "rt: a bug in rt: one two\n"); n != 1 || !debug && strings.Count(text, "\n") != 2 {
			t.Errorf("debug %v: %q", debug, text)
		}
		if traced := strings.Contains(text, "panics).Start"); traced != debug {
			t.Errorf("debug %v: the trace is there: %v\n%s", debug, traced, text)
		}
	}
}
