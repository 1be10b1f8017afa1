// Package gorunc drives rt by github.com/containerd/go-runc, the client of containerd. It is a module of its own, so that
// rt's does not carry the client's dependencies.
package gorunc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/go-runc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const id = "rt-it-gorunc"

type box struct {
	*testing.T
	rt     *runc.Runc
	ctx    context.Context
	dir    string
	bundle string
}

// newBox makes a bundle; binary is $RT, ./rt of the project by default.
func newBox(t *testing.T, args ...string) *box {
	t.Helper()
	binary := os.Getenv("RT")
	if binary == "" {
		binary = "../../rt"
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rt-it-gorunc-")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	b := &box{T: t, ctx: ctx, dir: dir, bundle: filepath.Join(dir, "b"), rt: &runc.Runc{
		Command: binary, Root: filepath.Join(dir, "r"), Log: filepath.Join(dir, "log.json"), LogFormat: runc.JSON, PdeathSignal: syscall.SIGKILL,
	}}
	t.Cleanup(func() {
		b.ok(b.rt.Delete(context.Background(), id, &runc.DeleteOpts{Force: true}))
		cancel()
		b.ok(os.RemoveAll(dir))
	})
	b.ok(os.MkdirAll(filepath.Join(b.bundle, "rootfs/bin"), 0o755))
	b.ok(os.Mkdir(filepath.Join(b.bundle, "rootfs/tmp"), 0o755)) // CRIU pivots into it where the root is read-only
	busybox, err := exec.LookPath("busybox")
	b.ok(err)
	data, err := os.ReadFile(busybox)
	b.ok(err)
	b.ok(os.WriteFile(filepath.Join(b.bundle, "rootfs/bin/busybox"), data, 0o755))
	for _, name := range []string{"sh", "sleep", "echo", "cat", "true", "tty"} {
		b.ok(os.Symlink("busybox", filepath.Join(b.bundle, "rootfs/bin", name)))
	}
	spec := exec.Command(binary, "spec", "--bundle", b.bundle)
	out, err := spec.CombinedOutput()
	if err != nil {
		t.Fatalf("spec: %v: %s", err, out)
	}
	b.edit(func(s *specs.Spec) {
		s.Process.Terminal = false
		s.Process.Args = args
		s.Linux.CgroupsPath = "/rt-test-gorunc"
		s.Linux.Resources.Pids = nil
	})
	return b
}

func (b *box) edit(change func(*specs.Spec)) {
	b.Helper()
	path := filepath.Join(b.bundle, "config.json")
	data, err := os.ReadFile(path)
	b.ok(err)
	var s specs.Spec
	b.ok(json.Unmarshal(data, &s))
	change(&s)
	data, err = json.Marshal(s)
	b.ok(err)
	b.ok(os.WriteFile(path, data, 0o644))
}

func (b *box) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *box) status(want string) *runc.Container {
	b.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		c, err := b.rt.State(b.ctx, id)
		b.ok(err)
		if c.Status == want {
			return c
		}
		if time.Now().After(deadline) {
			b.Fatalf("status %s, wanted %s", c.Status, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// isRunc says whether the runtime under test is runc.
func (b *box) isRunc() bool {
	b.Helper()
	f, err := b.rt.Features(b.ctx)
	b.ok(err)
	_, ok := f.Annotations["org.opencontainers.runc.version"]
	return ok
}

func (b *box) up(opts runc.CreateOpts) {
	b.Helper()
	b.ok(b.rt.Create(b.ctx, id, b.bundle, &opts))
	b.ok(b.rt.Start(b.ctx, id))
}

func process(args ...string) specs.Process {
	return specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}}
}

func nullIO(t *testing.T) runc.IO {
	t.Helper()
	io, err := runc.NewNullIO()
	if err != nil {
		t.Fatal(err)
	}
	return io
}

// TestLifecycle: create, start, state, list, ps, top, pause, resume, kill, delete.
func TestLifecycle(t *testing.T) {
	b := newBox(t, "sleep", "1000")
	pidFile := filepath.Join(b.dir, "pid")
	b.ok(b.rt.Create(b.ctx, id, b.bundle, &runc.CreateOpts{IO: nullIO(t), PidFile: pidFile, NoNewKeyring: true}))
	pid, err := runc.ReadPidFile(pidFile)
	b.ok(err)
	if c := b.status("created"); c.Pid != pid || c.Bundle != b.bundle || c.ID != id || c.Rootfs != b.bundle+"/rootfs" || c.Created.IsZero() {
		t.Errorf("state: %+v", c)
	}
	b.ok(b.rt.Start(b.ctx, id))
	b.status("running")
	list, err := b.rt.List(b.ctx)
	b.ok(err)
	if len(list) != 1 || list[0].ID != id || list[0].Status != "running" || list[0].Pid != pid {
		t.Errorf("list: %+v", list)
	}
	pids, err := b.rt.Ps(b.ctx, id)
	b.ok(err)
	if len(pids) != 1 || pids[0] != pid {
		t.Errorf("ps: %v", pids)
	}
	top, err := b.rt.Top(b.ctx, id, "-opid,args")
	b.ok(err)
	if len(top.Processes) != 1 || len(top.Headers) != 2 || top.Processes[0][1] != "sleep 1000" {
		t.Errorf("top: %+v", top)
	}
	b.ok(b.rt.Pause(b.ctx, id))
	b.status("paused")
	b.ok(b.rt.Resume(b.ctx, id))
	b.status("running")
	b.ok(b.rt.Kill(b.ctx, id, int(syscall.SIGKILL), &runc.KillOpts{}))
	b.status("stopped")
	if err := b.rt.Kill(b.ctx, id, int(syscall.SIGKILL), nil); err == nil || !strings.Contains(err.Error(), "not running") {
		t.Errorf("kill of a stopped container: %v", err)
	}
	b.ok(b.rt.Kill(b.ctx, id, int(syscall.SIGKILL), &runc.KillOpts{All: true}))
	b.ok(b.rt.Delete(b.ctx, id, nil))
	if _, err := b.rt.State(b.ctx, id); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("state of a deleted container: %v", err)
	}
	if list, err = b.rt.List(b.ctx); err != nil || len(list) != 0 {
		t.Errorf("list: %v, %v", list, err)
	}
}

func TestRun(t *testing.T) {
	b := newBox(t, "sh", "-c", "echo out; echo err >&2; exit 7")
	io, err := runc.NewPipeIO(0, 0)
	b.ok(err)
	started := make(chan int, 1)
	status, err := b.rt.Run(b.ctx, id, b.bundle, &runc.CreateOpts{IO: io, Started: started})
	if status != 7 || err == nil {
		t.Errorf("run: %d, %v", status, err)
	}
	if pid := <-started; pid <= 0 {
		t.Errorf("started %d", pid)
	}
	text := make([]byte, 64)
	if n, err := io.Stdout().Read(text); err != nil || string(text[:n]) != "out\n" {
		t.Errorf("output %q, %v", text[:n], err)
	}
	io.Close()
	b.edit(func(s *specs.Spec) { s.Process.Args = []string{"sleep", "1000"} })
	if status, err := b.rt.Run(b.ctx, id, b.bundle, &runc.CreateOpts{IO: nullIO(t), Detach: true}); status != 0 || err != nil {
		t.Errorf("run --detach: %d, %v", status, err)
	}
	b.status("running")
}

func TestExec(t *testing.T) {
	b := newBox(t, "sleep", "1000")
	b.up(runc.CreateOpts{IO: nullIO(t)})
	err := b.rt.Exec(b.ctx, id, process("sh", "-c", "exit 5"), &runc.ExecOpts{IO: nullIO(t)})
	var exit *exec.ExitError
	var status *runc.ExitError
	if !(errors.As(err, &exit) && exit.ExitCode() == 5) && !(errors.As(err, &status) && status.Status == 5) {
		t.Errorf("exec: %v", err)
	}
	pidFile := filepath.Join(b.dir, "exec.pid")
	b.ok(b.rt.Exec(b.ctx, id, process("sleep", "900"), &runc.ExecOpts{IO: nullIO(t), Detach: true, PidFile: pidFile}))
	pid, err := runc.ReadPidFile(pidFile)
	b.ok(err)
	pids, err := b.rt.Ps(b.ctx, id)
	b.ok(err)
	if len(pids) != 2 || pids[0] != pid && pids[1] != pid {
		t.Errorf("ps: %v, the new process is %d", pids, pid)
	}
	log := filepath.Join(b.dir, "exec.log")
	if err := b.rt.Exec(b.ctx, id, process("/none"), &runc.ExecOpts{IO: nullIO(t), LogFile: log, Detach: true}); err == nil {
		t.Error("exec of nothing succeeded")
	}
	if data, err := os.ReadFile(log); err != nil || !bytes.Contains(data, []byte(`"level":"error"`)) || !bytes.Contains(data, []byte("no such file")) {
		t.Errorf("the log of exec: %q, %v", data, err)
	}
}

func TestConsole(t *testing.T) {
	b := newBox(t, "sh", "-c", "tty; echo again; sleep 1000")
	b.edit(func(s *specs.Spec) { s.Process.Terminal = true })
	socket, err := runc.NewTempConsoleSocket()
	b.ok(err)
	defer socket.Close()
	b.ok(b.rt.Create(b.ctx, id, b.bundle, &runc.CreateOpts{ConsoleSocket: socket}))
	console, err := socket.ReceiveMaster()
	b.ok(err)
	defer console.Close()
	b.ok(b.rt.Start(b.ctx, id))
	var text []byte
	for buf := make([]byte, 256); !bytes.Contains(text, []byte("again")); {
		n, err := console.Read(buf)
		b.ok(err)
		text = append(text, buf[:n]...)
	}
	if !bytes.HasPrefix(text, []byte("/dev/pts/0")) {
		t.Errorf("terminal: %q", text)
	}
}

// stats asks again when the client has closed the pipe that it reads from: it waits for the program, which closes it, at
// the same time, and a program that is quick, or a busy machine, lets the waiting win.
func (b *box) stats() *runc.Stats {
	b.Helper()
	for range 20 {
		stats, err := b.rt.Stats(b.ctx, id)
		if errors.Is(err, os.ErrClosed) {
			continue
		}
		b.ok(err)
		return stats
	}
	b.Fatal("stats: 20 times a closed pipe")
	return nil
}

func TestStatsAndEvents(t *testing.T) {
	b := newBox(t, "sleep", "1000")
	b.up(runc.CreateOpts{IO: nullIO(t)})
	stats := b.stats()
	if stats.Pids.Current != 1 || stats.Memory.Usage.Usage == 0 {
		t.Errorf("stats: %+v", stats)
	}
	events, err := b.rt.Events(b.ctx, id, time.Second)
	b.ok(err)
	if e := <-events; e.Err != nil || e.Type != "stats" || e.ID != id || e.Stats == nil || e.Stats.Pids.Current != 1 {
		t.Errorf("event: %+v", e)
	}
	b.ok(b.rt.Kill(b.ctx, id, int(syscall.SIGKILL), nil))
	if b.isRunc() { // its events end with the cgroup, rt's with the container
		b.status("stopped")
		b.ok(b.rt.Delete(b.ctx, id, nil))
	}
	for e := range events { // the client may also come to read from a pipe that it has closed itself
		if e.Err != nil {
			break
		}
	}
}

func TestUpdate(t *testing.T) {
	b := newBox(t, "sleep", "1000")
	b.up(runc.CreateOpts{IO: nullIO(t)})
	b.ok(b.rt.Update(b.ctx, id, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: 21}}))
	stats := b.stats()
	if stats.Pids.Limit != 21 {
		t.Errorf("pids limit %d", stats.Pids.Limit)
	}
}

func TestVersionAndFeatures(t *testing.T) {
	b := newBox(t, "true")
	v, err := b.rt.Version(b.ctx)
	b.ok(err)
	if v.Runc != "" && v.Spec == "" { // the client reads the output of programs called runc only
		t.Errorf("version: %+v", v)
	}
	f, err := b.rt.Features(b.ctx)
	b.ok(err)
	if f.OCIVersionMin != "1.0.0" || len(f.Hooks) != 6 || len(f.Linux.Namespaces) != 8 {
		t.Errorf("features: %+v", f)
	}
}

// TestErrors: what containerd makes of a failed create.
func TestErrors(t *testing.T) {
	b := newBox(t, "/no/such/program")
	err := b.rt.Create(b.ctx, id, b.bundle, &runc.CreateOpts{IO: nullIO(t)})
	if err == nil {
		t.Fatal("create succeeded")
	}
	data, readErr := os.ReadFile(b.rt.Log)
	b.ok(readErr)
	var last struct{ Level, Msg, Time string }
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	b.ok(json.Unmarshal(lines[len(lines)-1], &last))
	if last.Level != "error" || !strings.Contains(last.Msg, "no such file or directory") || last.Time == "" {
		t.Errorf("log: %+v", last)
	}
	// What no build can do has to be an error, too.
	if err := b.rt.Checkpoint(b.ctx, "none", &runc.CheckpointOpts{ImagePath: b.dir}); err == nil {
		t.Error("checkpoint of nothing succeeded")
	}
	if _, err := b.rt.Restore(b.ctx, "none", b.bundle, &runc.RestoreOpts{}); err == nil {
		t.Error("restore of nothing succeeded")
	}
}

// TestCheckpoint: checkpoint, also one that leaves the container running, and restore, by the CRIU that RT_CRIU names or scripts/criu gets.
func TestCheckpoint(t *testing.T) {
	program := os.Getenv("RT_CRIU")
	if program == "" {
		out, err := exec.Command("../../scripts/criu").Output()
		if err != nil {
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				err = fmt.Errorf("%w: %s", err, failed.Stderr)
			}
			t.Skipf("scripts/criu: %v", err)
		}
		program = strings.TrimSpace(string(out))
	}
	if out, err := exec.Command(program, "check").CombinedOutput(); err != nil {
		t.Skipf("CRIU does not work here: %v: %s", err, out)
	}
	b := newBox(t, "sh", "-c", "trap 'exit 5' USR1; while :; do sleep 1; done")
	bin := filepath.Join(b.dir, "bin") // runc has no flag for the program, and looks for it in $PATH
	b.ok(os.Mkdir(bin, 0o755))
	b.ok(os.WriteFile(filepath.Join(bin, "criu"), []byte("#!/bin/sh\nexec '"+program+"' \"$@\"\n"), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	images := filepath.Join(b.dir, "images")
	b.up(runc.CreateOpts{IO: nullIO(t)})
	b.status("running")
	opts := &runc.CheckpointOpts{ImagePath: images, WorkDir: filepath.Join(b.dir, "work"), AllowTerminal: true, FileLocks: true, Cgroups: runc.Soft}
	b.ok(b.rt.Checkpoint(b.ctx, id, opts, runc.LeaveRunning))
	b.status("running")
	b.ok(b.rt.Checkpoint(b.ctx, id, opts))
	if _, err := b.rt.State(b.ctx, id); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("after its checkpoint: %v", err)
	}
	pidFile := filepath.Join(b.dir, "pid")
	status, err := b.rt.Restore(b.ctx, id, b.bundle, &runc.RestoreOpts{CheckpointOpts: *opts, IO: nullIO(t), Detach: true, PidFile: pidFile, NoSubreaper: true, NoPivot: true})
	if err != nil {
		log, _ := os.ReadFile(b.rt.Log)
		t.Fatalf("restore: %v: %s", err, log)
	}
	pid, err := runc.ReadPidFile(pidFile)
	b.ok(err)
	if c := b.status("running"); status != 0 || c.Pid != pid {
		t.Errorf("status %d, pid file %d, %+v", status, pid, c)
	}
	b.ok(b.rt.Exec(b.ctx, id, process("true"), &runc.ExecOpts{IO: nullIO(t)}))
	b.ok(b.rt.Kill(b.ctx, id, int(syscall.SIGKILL), nil))
	b.status("stopped")
	b.ok(b.rt.Delete(b.ctx, id, nil))
}
