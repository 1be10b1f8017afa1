package cgroups

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The tests of this file make real cgroups, named rt-test-*, and need root.

func liveHost(t testing.TB) *Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	h, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// onlyV1 and onlyV2 are this host as if it had the one side only.
func onlyV1(t testing.TB) *Host {
	h := liveHost(t)
	if len(h.V1) == 0 {
		t.Skip("no v1 hierarchy on this host")
	}
	return &Host{Mode: V1, Root: h.Root, V1: h.V1}
}

func onlyV2(t testing.TB) *Host {
	h := liveHost(t)
	if h.Unified == "" {
		t.Skip("no v2 hierarchy on this host")
	}
	return &Host{Mode: V2, Root: h.Unified, Unified: h.Unified}
}

// each runs a test on the host as it is and on its two sides.
func each(t *testing.T, f func(t *testing.T, h *Host)) {
	for name, host := range map[string]func(testing.TB) *Host{"host": liveHost, "v1": onlyV1, "v2": onlyV2} {
		t.Run(name, func(t *testing.T) { f(t, host(t)) })
	}
}

// cgroupFor names a cgroup for the test, and removes it with all processes in the end. v2 subtree_control
// of the root is put back.
func cgroupFor(t testing.TB, h *Host) *Cgroup {
	t.Helper()
	name := fmt.Sprintf("/rt-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	c, err := New(h, name, "unused")
	if err != nil {
		t.Fatal(err)
	}
	var before []string
	if h.Unified != "" {
		if before, err = readFields(h.Unified + "/cgroup.subtree_control"); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := c.Kill(unix.SIGKILL); err != nil {
			t.Errorf("clean up: %v", err)
		}
		if err := c.Destroy(); err != nil {
			t.Errorf("clean up: %v", err)
		}
		if h.Unified == "" {
			return
		}
		after, _ := readFields(h.Unified + "/cgroup.subtree_control")
		for _, name := range after {
			if !slices.Contains(before, name) {
				if err := writeFile(h.Unified+"/cgroup.subtree_control", "-"+name); err != nil {
					t.Errorf("clean up: %v", err)
				}
			}
		}
	})
	return c
}

// ownProcs are the processes in the cgroup itself, not below it.
func ownProcs(c *Cgroup) ([]int, error) { return c.procs(false, func(*member) bool { return true }) }

func create(t testing.TB, c *Cgroup, config string) {
	t.Helper()
	if _, err := c.Create(parse(t, config)); err != nil {
		t.Fatal(err)
	}
}

// sh runs a shell script in the cgroup: the shell joins as the stub would, says so, and goes on. It
// returns when the script has written its first line, or, with an empty script, sleeps.
func sh(t testing.TB, c *Cgroup, script string) *exec.Cmd {
	t.Helper()
	if script == "" {
		script = "echo ready; exec sleep 300"
	}
	join := ""
	for _, file := range c.TaskFiles() {
		join += "echo 0 >" + file + "\n"
	}
	cmd := exec.Command("/bin/sh", "-euc", join+script)
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	if dir := c.BornDir(); dir != "" {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("script said %q: %v\n%s", line, err, read(t, stderr.Name()))
	}
	return cmd
}

// died waits for a process to end and gives its signal.
func died(t testing.TB, cmd *exec.Cmd) syscall.Signal {
	t.Helper()
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		t.Fatal("the process does not die")
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus).Signal()
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := readFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCreateJoinDestroy(t *testing.T) {
	each(t, func(t *testing.T, h *Host) {
		c := cgroupFor(t, h)
		if c.Exists() {
			t.Fatal("exists before")
		}
		if _, err := c.Create(nil); err != nil {
			t.Fatal(err)
		}
		for _, dir := range c.Dirs() {
			if _, err := os.Stat(dir); err != nil {
				t.Error(err)
			}
		}
		cmd := sh(t, c, "")
		for what, f := range map[string]func() ([]int, error){"Procs": c.Procs, "own": func() ([]int, error) { return ownProcs(c) }} {
			if pids, err := f(); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
				t.Errorf("%s: %v %v, want %d", what, pids, err, cmd.Process.Pid)
			}
		}
		name := filepath.Base(c.Dirs()[0])
		self := read(t, fmt.Sprintf("/proc/%d/cgroup", cmd.Process.Pid))
		if got, want := strings.Count(self, ":/"+name), len(c.Dirs()); got != want {
			t.Errorf("joined %d of %d:\n%s", got, want, self)
		}
		if err := c.destroy(10 * time.Millisecond); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "1 process(es) left") {
			t.Errorf("destroy with a process in it: %v", err)
		}
		if err := c.Kill(unix.SIGKILL); err != nil {
			t.Error(err)
		}
		if sig := died(t, cmd); sig != syscall.SIGKILL {
			t.Errorf("died of %v", sig)
		}
		if err := c.Destroy(); err != nil {
			t.Error(err)
		}
		if c.Exists() {
			t.Error("exists after")
		}
		if err := errors.Join(c.Destroy(), c.Kill(unix.SIGKILL), c.Thaw()); err != nil {
			t.Errorf("a second time: %v", err)
		}
		if frozen, err := c.Frozen(); frozen || err != nil {
			t.Errorf("frozen %v %v when gone", frozen, err)
		}
	})
}

func TestCreateRefusesCgroupInUse(t *testing.T) {
	each(t, func(t *testing.T, h *Host) {
		c := cgroupFor(t, h)
		create(t, c, `{}`)
		create(t, c, `{}`) // left over and empty: taken
		cmd := sh(t, c, "")
		if _, err := c.Create(nil); err == nil || err.Error() != "container's cgroup is not empty: 1 process(es) found" {
			t.Errorf("not empty: %v", err)
		}
		if err := c.Kill(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		died(t, cmd)
		if err := c.Freeze(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Create(nil); err == nil || err.Error() != "container's cgroup unexpectedly frozen" {
			t.Errorf("frozen: %v", err)
		}
		if !c.Exists() {
			t.Error("a refused Create removed the cgroup of another")
		}
		if err := c.Thaw(); err != nil {
			t.Error(err)
		}
	})
}

// What is there after a kill -9 at any instant: some of the directories, an unfilled cpuset.
func TestCreateOverLeftovers(t *testing.T) {
	h := onlyV1(t)
	c := cgroupFor(t, h)
	dirs := c.Dirs()
	for n := range dirs {
		for _, dir := range dirs[:n+1] {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		create(t, c, `{}`)
		cmd := sh(t, c, "") // could not join an empty cpuset
		if err := c.Kill(unix.SIGKILL); err != nil {
			t.Error(err)
		}
		died(t, cmd)
		if err := c.Destroy(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCreateTakesBackWhatItMade(t *testing.T) {
	each(t, func(t *testing.T, h *Host) {
		top := cgroupFor(t, h)
		deep := map[string]string{}
		for name, dir := range top.Paths() {
			deep[name] = dir + "/a/b"
		}
		c := Load(h, deep)
		if _, err := c.Create(parse(t, `{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}`)); err == nil {
			t.Fatal("a page size that no kernel has is accepted")
		}
		if top.Exists() {
			t.Error("directories are left")
		}
		create(t, top, `{}`)
		if _, err := c.Create(parse(t, `{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}`)); err == nil {
			t.Fatal("a page size that no kernel has is accepted")
		}
		for _, dir := range top.Dirs() {
			if !exists(dir) || exists(dir+"/a") {
				t.Errorf("%s: exists %v, below it %v", dir, exists(dir), exists(dir+"/a"))
			}
		}
	})
}

func TestCpusetInheritance(t *testing.T) {
	h := onlyV1(t)
	top := cgroupFor(t, h)
	deep := maps.Clone(top.Paths())
	for name := range deep {
		deep[name] += "/a/b"
	}
	// The first level is there, but empty, as another program may have left it.
	if err := os.Mkdir(top.dirOf("cpuset"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := Load(h, deep)
	create(t, c, `{"cpu":{"cpus":"0"}}`)
	all := read(t, h.V1["cpuset"]+"/cpuset.cpus")
	readBack(t, c, map[string]string{"cpuset/cpuset.cpus": "0", "cpuset/cpuset.mems": read(t, h.V1["cpuset"]+"/cpuset.mems")})
	readBack(t, top, map[string]string{"cpuset/cpuset.cpus": all, "cpuset/a/cpuset.cpus": all})
	sh(t, c, "")
	if err := c.Kill(unix.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestNested(t *testing.T) {
	each(t, func(t *testing.T, h *Host) {
		c := cgroupFor(t, h)
		create(t, c, `{}`)
		below := map[string]string{}
		for name, dir := range c.Paths() {
			below[name] = dir + "/x/y"
		}
		inner := Load(h, below)
		create(t, inner, `{}`)
		cmd := sh(t, inner, "")
		if pids, err := c.Procs(); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
			t.Errorf("Procs %v %v", pids, err)
		}
		if pids, err := ownProcs(c); err != nil || len(pids) != 0 {
			t.Errorf("own processes %v %v", pids, err)
		}
		if _, err := c.Create(nil); err == nil || !strings.Contains(err.Error(), "is not empty: 1 process(es)") {
			t.Errorf("a process below: %v", err)
		}
		sub, err := Sub(h, c, []string{"x/y"})
		if err != nil || !maps.Equal(sub.Paths(), below) {
			t.Errorf("Sub: %v %v", sub, err)
		}
		if err := errors.Join(c.Freeze(), c.Kill(unix.SIGKILL)); err != nil {
			t.Error(err)
		}
		died(t, cmd)
		if err := c.Destroy(); err != nil {
			t.Error(err)
		}
		if c.Exists() || inner.Exists() {
			t.Error("left")
		}
	})
}

func BenchmarkCreateDestroy(b *testing.B) {
	h := liveHost(b)
	c := cgroupFor(b, h)
	for b.Loop() {
		if _, err := c.Create(nil); err != nil {
			b.Fatal(err)
		}
		if err := c.Destroy(); err != nil {
			b.Fatal(err)
		}
	}
}

func parse(t testing.TB, text string) *specs.LinuxResources {
	t.Helper()
	var r specs.LinuxResources
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}
