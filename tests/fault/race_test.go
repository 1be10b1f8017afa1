package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestSameID: twenty make one container. One wins, and the others say so.
func TestSameID(t *testing.T) {
	l := newLab(t)
	for range 5 {
		var wg sync.WaitGroup
		results := make(chan result, 20)
		for range 20 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				results <- l.rt("create", "--bundle", l.bundle, l.id)
			}()
		}
		wg.Wait()
		close(results)
		won := 0
		for r := range results {
			switch {
			case r.code == 0:
				won++
			case r.code != 1 || r.stderr != "rt: container with given ID already exists\n":
				t.Errorf("%s", r)
			}
		}
		if won != 1 {
			t.Errorf("%d have made it", won)
		}
		if err := l.sound(nil); err != nil {
			t.Error(err)
		}
	}
}

// unlocked says whether no rt is at work on the container.
func (l *lab) unlocked() bool {
	d, err := os.Open(filepath.Join(l.root, l.id))
	if err != nil {
		return false
	}
	defer d.Close()
	return syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// TestAnotherMeanwhile: while a foreground rt is slow, its container is deleted and another one gets the id, and the cgroup.
// That one is left in peace.
func TestAnotherMeanwhile(t *testing.T) {
	l := newLab(t)
	cmd, out, errs := l.command("run", "--bundle", l.bundle, l.id)
	ended := make(chan result, 1)
	go func() { ended <- l.finish(cmd, nil, out, errs) }()
	l.must(l.eventually("the container", func() bool { status, _ := l.state(); return status == "running" }))
	l.must(l.eventually("the lock", l.unlocked)) // it runs before rt lets go of that, and delete would wait for it
	l.must(cmd.Process.Signal(syscall.SIGSTOP))
	l.must(l.eventually("the stop of rt", func() bool { return stateOf(cmd.Process.Pid) == "T" }))
	init := l.init()
	l.must(syscall.Kill(init, syscall.SIGKILL))
	l.must(l.eventually("the end of the container", func() bool { return dead(init) }))
	l.ok("delete", l.id)
	l.create()
	l.must(cmd.Process.Signal(syscall.SIGCONT))
	if r := <-ended; r.code != 137 {
		t.Errorf("%s", r)
	}
	if status, err := l.state(); err != nil || status != "created" {
		t.Errorf("the other container is %q, %v", status, err)
	}
	if err := l.sound(nil); err != nil {
		t.Error(err)
	}
}

// An op is something that is done to a container, with what it may say when others do something else at the same time.
type op struct {
	name  string
	args  func(l *lab) []string
	fails string // a regular expression of the errors that it may end with
}

const (
	absent  = "container does not exist"
	ended   = "container not running"
	startIt = `cannot start (a container that has stopped|an already running container|a container in the paused state)`
	// The container was killed under the hands of who was at work.
	died = `the container's process died|container's process: (EOF|connection refused|no such file or directory)|container init`
)

func ops() []op {
	return []op{
		{"create", bundle("create"), "container with given ID already exists|" + died},
		{"start", id("start"), absent + "|" + startIt + "|" + died},
		{"run", bundle("run", "--detach"), "container with given ID already exists|" + died},
		{"exec", func(l *lab) []string { return []string{"exec", l.id, "/bin/true"} },
			absent + "|cannot exec in a (stopped|paused) container|" + died + "|exec failed"},
		{"kill", func(l *lab) []string { return []string{"kill", l.id, "KILL"} }, absent + "|" + ended},
		{"delete", id("delete"), absent + "|cannot delete container .* that is not stopped: (running|paused)"},
		{"force", id("delete", "--force"), "^$"},
		{"pause", id("pause"), absent + "|" + ended + "|somebody else has thawed it"},
		{"resume", id("resume"), absent + "|container not paused"},
		{"update", id("update", "--pids-limit", "77"), absent + "|" + ended},
		{"state", id("state"), absent},
		{"list", func(*lab) []string { return []string{"list"} }, "^$"},
	}
}

func anyOp(random *rand.Rand) op { return ops()[random.IntN(len(ops()))] }

// someOps are four for each of n who work at the same time.
func someOps(random *rand.Rand, n int) [][]op {
	plans := make([][]op, n)
	for i := range plans {
		for range 4 {
			plans[i] = append(plans[i], anyOp(random))
		}
	}
	return plans
}

// upTo are the numbers from 0 below n.
func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// rounds is how many interleavings are tried.
func rounds(quick, all int) int {
	if n, err := strconv.Atoi(os.Getenv("RT_FAULT_ROUNDS")); err == nil {
		return n
	}
	if full() {
		return all
	}
	return quick
}

// TestInterleaved: three at a time do four things each to one container, by chance. Each of them succeeds or says something that
// it may say, nobody hangs, and in the end the container is sound.
func TestInterleaved(t *testing.T) {
	n := rounds(40, 10_000)
	t.Logf("seed %d, %d rounds", seed, n)
	workers(t, upTo(n), &verb{}, func(l *lab, round int) error {
		random := rand.New(rand.NewPCG(seed, uint64(round)))
		if err := l.interleave(someOps(random, 3)); err != nil {
			return fmt.Errorf("seed %d, round %d: %w", seed, round, err)
		}
		return nil
	})
}

func (l *lab) interleave(plans [][]op) error {
	var wg sync.WaitGroup
	errs := make([]error, len(plans))
	for i, plan := range plans {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for _, o := range plan {
				r := l.rt(o.args(l)...)
				if o.name == "exec" && r.code == 137 && r.stderr == "" {
					continue // the process was killed with the container
				}
				if r.code != 0 && !regexp.MustCompile(o.fails).MatchString(r.stderr) || strings.Contains(r.stderr, "DATA RACE") {
					errs[i] = errors.Join(errs[i], fmt.Errorf("%s", r))
				}
			}
		}()
	}
	// A process that was to be run in the container when somebody paused it waits until it is resumed.
	done := make(chan bool)
	go func() { wg.Wait(); close(done) }()
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		case <-time.After(slow(2 * time.Second)):
			l.rt("resume", l.id)
		}
	}
	err := errors.Join(errs...)
	if err == nil {
		err = l.sound(nil)
	}
	if err != nil {
		var names []string
		for _, plan := range plans {
			for _, o := range plan {
				names = append(names, o.name)
			}
			names = append(names, "|")
		}
		err = fmt.Errorf("%v: %w\nIn the end: %v", names, err, l.traces())
	}
	return err
}

// next is the oracle for who is alone: the status after an operation, and whether it succeeds.
func next(status, op string) (after string, ok bool) {
	switch op {
	case "create", "run":
		if status != "" {
			return status, false
		}
		return map[string]string{"create": "created", "run": "running"}[op], true
	case "state":
		return status, status != ""
	case "list":
		return status, true
	case "force":
		return "", true
	case "start":
		if status == "created" {
			return "running", true
		}
	case "exec":
		return status, status == "running" || status == "created"
	case "kill":
		if status == "created" || status == "running" || status == "paused" {
			return "stopped", true
		}
	case "delete":
		if status == "created" || status == "stopped" {
			return "", true
		}
	case "pause":
		if status == "running" || status == "created" {
			return "paused", true
		}
	case "resume":
		if status == "paused" {
			return "thawed", true // what it was before
		}
	case "update":
		return status, status == "created" || status == "running" || status == "paused"
	}
	return status, false
}

// TestSequences: one after the other, by chance, and each time the result and the status are known before.
func TestSequences(t *testing.T) {
	n := rounds(20, 1000)
	t.Logf("seed %d, %d sequences", seed, n)
	workers(t, upTo(n), &verb{}, func(l *lab, round int) error {
		random := rand.New(rand.NewPCG(seed, 1<<32+uint64(round)))
		status, before := "", ""
		var done []string
		for range 12 {
			o := anyOp(random)
			done = append(done, o.name)
			after, ok := next(status, o.name)
			if after == "thawed" {
				after = before
			} else if after == "paused" && status != "paused" {
				before = status
			}
			status = after
			r := l.rt(o.args(l)...)
			if (r.code == 0) != ok {
				return fmt.Errorf("seed %d, round %d: %v: success is %v: %s", seed, round, done, r.code == 0, r)
			}
			now, err := l.state()
			if o.name == "kill" && ok && now != status { // kill waits for the end no longer than a moment
				_ = l.eventually("the end of a killed container", func() bool { now, err = l.state(); return now == status })
			}
			if err != nil || now != status {
				return fmt.Errorf("seed %d, round %d: %v: status %q, want %q: %v", seed, round, done, now, status, err)
			}
		}
		return l.sound(nil)
	})
}

// TestRaceDetector: some interleavings with an rt that the race detector watches. It wants the GNU C library, and a stub
// that is built with it, too.
func TestRaceDetector(t *testing.T) {
	if !full() {
		t.Skip("a build of its own: make test-fault")
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Fatalf("%v (package gcc)", err)
	}
	rt := filepath.Join(machine.work, "rt-race")
	build := exec.Command("go", "build", "-race", "-tags", os.Getenv("RT_TAGS"), "-o", rt, ".")
	build.Dir = "../.."
	build.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "CGO_CFLAGS=") }), "CC="+gcc, "CGO_ENABLED=1")
	log, err := os.CreateTemp(machine.work, "build-")
	if err != nil {
		t.Fatal(err)
	}
	build.Stdout, build.Stderr = log, log
	if err = orphans.Start(build); err == nil {
		err = orphans.Wait(build)
	}
	if said := text(t, log); err != nil {
		t.Fatalf("build with -race: %v\n%s", err, said)
	}
	was := machine.rt
	machine.rt = rt
	defer func() { machine.rt = was }()
	n := rounds(0, 300)
	t.Logf("seed %d, %d rounds", seed, n)
	workers(t, upTo(n), &verb{edits: nil}, func(l *lab, round int) error {
		random := rand.New(rand.NewPCG(seed, 1<<33+uint64(round)))
		return l.interleave(someOps(random, 2))
	})
}
