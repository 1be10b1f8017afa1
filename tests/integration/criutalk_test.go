package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A CRIU that ends, hangs or says anything at each point of a conversation, and an rt that is killed there.

// The points of a restore, and those of a dump.
var (
	restorePoints = []string{"version", "request", "pre-restore", "setup-namespaces", "post-setup-namespaces", "post-restore", "pre-resume", "post-resume", "answer"}
	dumpPoints    = []string{"version", "request", "pre-dump", "network-lock", "post-dump", "answer"}
)

// at stops the fake at a point. As CRIU does, it takes what it has restored along if it outlives rt, until rt has let that resume.
func (f *fake) at(point string) {
	if f.scenario.At != point {
		return
	}
	parent := os.Getppid()
	_ = os.WriteFile(filepath.Join(f.dir, "reached"), nil, 0o644)
	if !f.scenario.Hang {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	for os.Getppid() == parent {
		time.Sleep(5 * time.Millisecond)
	}
	if before := slices.Index(restorePoints, point) < slices.Index(restorePoints, "pre-resume"); before {
		f.kill()
	}
	os.Exit(1)
}

// babble answers whatever is asked with messages that the seed chooses, until rt has gone.
func (f *fake) babble(kind int, opts proto) error {
	random := rand.New(rand.NewPCG(f.scenario.Fuzz, uint64(kind)))
	if kind == 2 {
		if err := f.spawn(opts); err != nil {
			return err
		}
	}
	names := append(slices.Concat(restorePoints, dumpPoints), "orphan-pts-master", "status-ready", "", strings.Repeat("x", 5000))
	number := func() uint64 {
		return []uint64{0, 1, 2, 6, 10, uint64(f.child), uint64(os.Getpid()), uint64(os.Getppid()), 1 << 31, 1<<64 - 1, random.Uint64()}[random.IntN(11)]
	}
	for range 40 {
		var m proto
		switch random.IntN(8) {
		case 0: // what was asked for, as it should be
			m = proto{}.number(1, uint64(kind)).number(2, 1).bytes(4, proto{}.number(1, uint64(f.child))).
				bytes(10, proto{}.number(1, 4).number(2, 2).number(4, 1)).bytes(8, proto{}.number(1, 1).number(2, 1))
		case 1:
			m = proto{}.number(1, number()).number(2, number()).bytes(4, proto{}.number(1, number())).number(7, number())
		case 2: // all of these bytes mean something else
			m = make(proto, random.IntN(200))
			for i := range m {
				m[i] = byte(random.Uint32())
			}
		case 3:
			m = proto{}.number(1, 6).number(2, 1).bytes(5, proto(strings.Repeat("\xff", random.IntN(30))))
		default:
			m = proto{}.number(1, 6).number(2, 1).bytes(5, proto{}.bytes(1, []byte(names[random.IntN(len(names))])).number(2, number()))
		}
		if random.IntN(10) == 0 {
			m = m[:random.IntN(len(m)+1)]
		}
		var rights []byte
		if n := random.IntN(12); n < 3 {
			rights = unix.UnixRights(slices.Repeat([]int{f.fd}, n+1)...)
		}
		if len(m) == 0 { // an empty one is the end
			m = proto{0}
		}
		if err := unix.Sendmsg(f.fd, m, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err != nil && err != unix.EAGAIN {
			break
		}
		buf := make([]byte, 1<<16)
		fds := []unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 20); err == nil && n > 0 {
			if n, err := unix.Read(f.fd, buf); n == 0 || err != nil {
				break
			}
		}
	}
	return nil
}

// stops has the fake stop at a point, and gives what rt made of it. With then it hangs, then is called when it does, and the result is
// that of rt.
func (c *container) stops(at string, args []string, then func(*running)) result {
	c.t.Helper()
	program := c.fakeCriu(scenario{At: at, Hang: then != nil, Scripts: map[bool][]string{true: {"pre-dump", "network-lock", "post-dump"}}[args[0] == "checkpoint"]})
	r := c.begin(viaCriu(program, call{args: args}))
	if then != nil {
		eventually(c.t, "the fake is at "+at, func() bool { return exists(filepath.Join(c.dir, "fake/reached")) })
		then(r)
	}
	return r.wait()
}

func (c *container) nothingLeft(after string) {
	c.t.Helper()
	if left := c.leftovers(false); len(left) > 0 {
		c.t.Fatalf("left after %s: %v", after, left)
	}
}

// killed kills rt alone, not what it has started.
func killed(r *running) { _ = syscall.Kill(r.cmd.Process.Pid, syscall.SIGKILL) }

func TestRestoreStopsAtEachPoint(t *testing.T) {
	t.Parallel()
	rtOnly(t, "checkpoint, restore: CRIU that ends")
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t).restorable()
	before := mountsOfHost(t)
	restore := c.with("restore", "-d", "--image-path", c.images())
	for _, point := range restorePoints {
		if r := c.stops(point, restore, nil); r.code == 0 {
			t.Errorf("CRIU was killed at %s: %s", point, r)
		} else {
			r.oneError()
		}
		c.nothingLeft("CRIU was killed at " + point)

		if r := c.stops(point, restore, func(*running) { c.delete("--force").ok() }); r.code == 0 {
			t.Errorf("CRIU hangs at %s, and the container was deleted: %s", point, r)
		}
		c.nothingLeft("CRIU hung at " + point)

		c.stops(point, restore, func(r *running) {
			killed(r)
			eventually(t, "the end of rt", func() bool { return r.hasEnded() })
			// CRIU does not ask any more when it has sent pre-resume, and does not notice before that rt has gone since post-restore.
			if point != "pre-resume" && !exists(filepath.Join(c.root, c.id, "state.json")) {
				c.noneRuns(point)
			}
			c.delete("--force").ok()
		})
		c.nothingLeft("rt was killed at " + point)
	}
	if after := mountsOfHost(t); after != before {
		t.Errorf("mounts of the host:\n%s\nbefore:\n%s", after, before)
	}
}

// noneRuns: of a container without a state, each process is on its way out or frozen.
func (c *container) noneRuns(point string) {
	c.t.Helper()
	running := func() (pids []string) {
		found, _ := filepath.Glob("/sys/fs/cgroup/freezer/*" + c.id + "/cgroup.procs")
		v2, _ := filepath.Glob("/sys/fs/cgroup/*" + c.id + "/cgroup.procs")
		for _, file := range append(found, v2...) {
			procs, _ := os.ReadFile(file)
			state, _ := os.ReadFile(filepath.Dir(file) + "/freezer.state")
			events, _ := os.ReadFile(filepath.Dir(file) + "/cgroup.events")
			if strings.HasPrefix(string(state), "FROZEN") || strings.Contains(string(events), "frozen 1") {
				continue
			}
			pids = append(pids, strings.Fields(string(procs))...)
		}
		return pids
	}
	eventually(c.t, "no process runs without a state; rt was killed at "+point, func() bool { return len(running()) == 0 })
}

func TestCheckpointStopsAtEachPoint(t *testing.T) {
	t.Parallel()
	rtOnly(t, "checkpoint, restore: CRIU that ends")
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t).up()
	for _, point := range dumpPoints {
		for _, kind := range []string{"", "--pre-dump"} {
			checkpoint := slices.DeleteFunc([]string{"checkpoint", "--image-path", c.images(), kind, c.id}, func(s string) bool { return s == "" })
			if r := c.stops(point, checkpoint, nil); r.code == 0 {
				t.Errorf("CRIU was killed at %s: %s", point, r)
			} else {
				r.oneError()
			}
			c.awaitStatus("running")
			c.exec("true").ok()

			c.stops(point, checkpoint, killed)
			c.awaitStatus("running")
			c.exec("true").ok()
		}
	}
	for _, point := range dumpPoints {
		checkpoint := []string{"checkpoint", "--image-path", c.images(), c.id}
		if r := c.stops(point, checkpoint, func(*running) { c.delete("--force").ok() }); r.code == 0 {
			t.Errorf("CRIU hangs at %s, and the container was deleted: %s", point, r)
		}
		c.nothingLeft("CRIU hung at " + point)
		c.up()
	}
}

// TestCriuSaysAnything: whatever CRIU answers, rt ends, says one thing or nothing, and leaves nothing but, of a dump, the container.
func TestCriuSaysAnything(t *testing.T) {
	t.Parallel()
	rtOnly(t, "checkpoint, restore: CRIU that ends")
	needRoot(t, "CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE")
	c := newContainer(t).restorable()
	look := func(seed uint64, r result) {
		t.Helper()
		if r.code != 0 && r.code != 1 || strings.Contains(r.stderr, "panic") || strings.Contains(r.stderr, "goroutine") || strings.Contains(r.stderr, "bug") {
			t.Errorf("seed %d: %s", seed, r)
		}
	}
	for seed := uint64(1); seed <= 75; seed++ {
		r := c.restore(scenario{Fuzz: seed}, "-d")
		look(seed, r)
		if r.code == 0 {
			c.delete("--force").ok()
		}
		c.nothingLeft(fmt.Sprintf("seed %d: %s", seed, r))
	}
	c.up()
	for seed := uint64(1); seed <= 75; seed++ {
		r := c.criu(scenario{Fuzz: seed}, "checkpoint", "--leave-running", "--image-path", c.images())
		look(seed, r)
		if status := c.status(); status != "running" {
			t.Errorf("seed %d: the container is %s: %s", seed, status, r)
		}
	}
}
