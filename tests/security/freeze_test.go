package security

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A container that can write its cgroup freezes itself, or what works in it. Deletion by force must not wait for that.

// freezer is the file that freezes a cgroup, with what freezes and what thaws.
func freezer(t *testing.T, path string) (file, frozen, thawed string) {
	t.Helper()
	for _, dir := range cgroupDirs(path) {
		if _, err := os.Stat(dir + "/freezer.state"); err == nil {
			return dir + "/freezer.state", "FROZEN", "THAWED"
		}
	}
	for _, dir := range cgroupDirs(path) {
		if _, err := os.Stat(dir + "/cgroup.freeze"); err == nil {
			return dir + "/cgroup.freeze", "1", "0"
		}
	}
	t.Fatal("there is no freezer")
	return "", "", ""
}

// write is for a file of a cgroup, which may be gone.
func write(file, text string) { _ = os.WriteFile(file, []byte(text), 0) }

// TestFrozenBelow: init is frozen in a cgroup below the container's. Succeeds against a runtime that thaws the container's cgroup
// alone.
func TestFrozenBelow(t *testing.T) {
	for name, edit := range map[string]func(*victim){"pid namespace": func(*victim) {}, "host's pids": hostPids} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("sleep", "1000"), edit)
			v.up()
			pid := strconv.Itoa(v.pid())
			top, _, _ := freezer(t, v.spec.Linux.CgroupsPath)
			dir := filepath.Dir(top)
			must(t, os.Mkdir(dir+"/below", 0o755))
			must(t, os.WriteFile(dir+"/below/cgroup.procs", []byte(pid), 0))
			file, frozen, thawed := freezer(t, v.spec.Linux.CgroupsPath+"/below")
			must(t, os.WriteFile(file, []byte(frozen), 0))
			t.Cleanup(func() { write(file, thawed); _ = os.Remove(dir + "/below") })
			v.rt("delete", "--force", v.id).ok(t)
		})
	}
}

// TestFrozenAbove: a container is made below a cgroup that is frozen, as by a neighbour that has frozen itself, in which no process does
// anything. Succeeds against a runtime that waits for its own.
func TestFrozenAbove(t *testing.T) {
	for _, verb := range []string{"create", "run"} {
		v := newVictim(t, args("true"))
		above := v.spec.Linux.CgroupsPath
		v.spec.Linux.CgroupsPath = above + "/below"
		v.write()
		dirs := cgroupDirs(above)
		if dirs == nil {
			for _, dir := range cgroupDirs("/") {
				must(t, os.Mkdir(filepath.Join(dir, above), 0o755))
			}
		}
		t.Cleanup(func() {
			for _, dir := range cgroupDirs("/") {
				_ = os.Remove(filepath.Join(dir, above, "below"))
				_ = os.Remove(filepath.Join(dir, above))
			}
		})
		file, frozen, thawed := freezer(t, above)
		must(t, os.WriteFile(file, []byte(frozen), 0))
		r := v.rt(v.with(verb)...)
		write(file, thawed)
		if r.code != 1 || !strings.Contains(r.stderr, "frozen") {
			t.Errorf("want an error that the cgroup is frozen: %s", r)
		}
		v.remove()
		for _, dir := range cgroupDirs("/") {
			_ = os.Remove(filepath.Join(dir, above))
		}
	}
}

// TestFrozenAboveMeanwhile: the cgroup above is frozen when the container's process is in its own already, here by a hook. create waited
// with the lock until it was thawed; now it fails, and undoes what it has done while it is frozen still. Succeeds against runc as well.
func TestFrozenAboveMeanwhile(t *testing.T) {
	v := newVictim(t, args("sleep", "1000"))
	above := v.spec.Linux.CgroupsPath
	v.spec.Linux.CgroupsPath = above + "/below"
	for _, dir := range cgroupDirs("/") {
		if err := os.Mkdir(filepath.Join(dir, above), 0o755); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, dir := range cgroupDirs("/") {
			_ = os.Remove(filepath.Join(dir, above))
		}
	})
	file, frozen, thawed := freezer(t, above)
	t.Cleanup(func() { write(file, thawed) })
	v.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo " + frozen + " >" + file}}}}
	v.write()
	r := v.create()
	if r.code != 1 || !strings.Contains(r.stderr, "container's cgroup unexpectedly frozen") {
		t.Errorf("want an error that the cgroup is frozen: %s", r)
	}
	if _, err := os.Stat(v.dir + "/root/" + v.id); err == nil {
		t.Error("the container's directory is left")
	}
	if dirs := cgroupDirs(above + "/below"); len(dirs) > 0 {
		t.Errorf("its cgroups are left: %v", dirs)
	}
}

// TestFrozenAboveAtDelete: a process in a v1 cgroup that is frozen from above does not end when it is killed, and looks as if it were in
// an uninterruptible sleep. delete says what is so, and works when that is thawed.
func TestFrozenAboveAtDelete(t *testing.T) {
	v := newVictim(t, args("sleep", "1000"))
	above := v.spec.Linux.CgroupsPath
	v.spec.Linux.CgroupsPath = above + "/below"
	v.write()
	t.Cleanup(func() {
		for _, dir := range cgroupDirs("/") {
			_ = os.Remove(filepath.Join(dir, above))
		}
	})
	v.up()
	file, frozen, thawed := freezer(t, above)
	t.Cleanup(func() { write(file, thawed) })
	must(t, os.WriteFile(file, []byte(frozen), 0))
	eventually(t, "a frozen container", func() bool { return strings.Contains(v.rt("state", v.id).stdout, `"paused"`) })
	r := v.rt("delete", "--force", v.id)
	write(file, thawed)
	if v2 := strings.HasSuffix(file, "/cgroup.freeze"); v2 { // where a killed process ends
		r.ok(t)
		return
	}
	if r.code == 0 || !strings.Contains(r.stderr, "a cgroup above the container's is frozen") {
		t.Errorf("want an error that says which cgroup is frozen: %s", r)
	}
	v.rt("delete", "--force", v.id).ok(t)
}

// TestFrozenMountsAdd: the container's cgroup is frozen while mounts add works in it, and has the container's lock. Succeeds
// against a runtime that waits for the lock, and has not thawed what holds it.
func TestFrozenMountsAdd(t *testing.T) {
	v := newVictim(t, args("sleep", "1000"))
	list, err := json.Marshal([]specs.Mount{{Destination: "/tmp/m", Type: "tmpfs", Source: "tmpfs"}})
	must(t, err)
	v.file("mounts.json", string(list), 0o600)
	v.up()
	file, frozen, thawed := freezer(t, v.spec.Linux.CgroupsPath)
	t.Cleanup(func() { write(file, thawed) })
	pid := v.pid()
	for try := range 400 {
		cmd := exec.Command(host.rt, "--root", v.dir+"/root", "mounts", "add", v.id, v.dir+"/mounts.json")
		must(t, cmd.Start())
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
		for started := time.Now(); time.Since(started) < time.Duration(try)*50*time.Microsecond; {
		}
		write(file, frozen)
		select {
		case <-ended:
			write(file, thawed)
			continue
		case <-time.After(300 * time.Millisecond): // caught, or a slow machine: deletion has to do in either case
		}
		r := v.rt("delete", "--force", v.id)
		if r.code != 0 || alive(pid) {
			write(file, thawed)
			t.Fatalf("%s: init is alive: %v", r, alive(pid))
		}
		<-ended
		return
	}
	t.Error("mounts add was never caught in the frozen cgroup: nothing was tested")
	_ = unix.Kill(pid, unix.SIGKILL)
}
