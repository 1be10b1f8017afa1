package integration

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCreateKilled kills create at many instants: delete --force then removes whatever has been made by then.
func TestCreateKilled(t *testing.T) {
	t.Parallel()
	rtOnly(t, "a create that was killed")
	for i := range 30 {
		c := newContainer(t, mounted("/tmp", "tmpfs", "tmpfs"))
		r := c.begin(call{args: c.with("create")})
		time.Sleep(time.Duration(i) * time.Millisecond) // the instant, not a wait for something
		r.cmd.Process.Kill()
		<-r.ended
		r.ended <- nil
		c.delete("--force").ok()
		if left := c.leftovers(true); len(left) > 0 {
			t.Errorf("killed after %d ms: %v", i, left)
		}
	}
}

// TestDeleteKilled: a delete that was killed is finished by the next one.
func TestDeleteKilled(t *testing.T) {
	t.Parallel()
	rtOnly(t, "a delete that was killed")
	for i := range 12 {
		c := newContainer(t).up()
		r := c.begin(call{args: []string{"delete", "--force", c.id}})
		time.Sleep(time.Duration(i) * time.Millisecond)
		r.cmd.Process.Kill()
		<-r.ended
		r.ended <- nil
		c.delete("--force").ok()
		if left := c.leftovers(true); len(left) > 0 {
			t.Errorf("killed after %d ms: %v", i, left)
		}
	}
}

// TestSharedRootfs: containers that start at the same time on one root file system make its mount points together.
func TestSharedRootfs(t *testing.T) {
	t.Parallel()
	first := newContainer(t, writable, args("true"))
	var all []*running
	for range 6 {
		c := newContainer(t, writable, args("true"), mounted("/deep/mount/point", "tmpfs", "tmpfs"), mounted("/deep/file", "bind", "/etc/hostname", "bind"))
		c.spec.Root.Path = first.rootfs
		c.write()
		all = append(all, c.begin(call{args: c.with("run")}))
	}
	for _, r := range all {
		got := r.wait()
		if got.code != 0 {
			t.Errorf("a start beside others: %s", got)
		}
	}
}

// TestPidfdSocket: the caller is handed a pidfd of the container's init.
func TestPidfdSocket(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	socket := c.consoleSocket()
	c.create("--pidfd-socket", socket.path).ok()
	term, _ := socket.receive()
	info, err := os.ReadFile(filepath.Join("/proc/self/fdinfo", pidText(int(term.master.Fd()))))
	c.must(err)
	if got := value(string(info), "Pid"); got != pidText(c.pid()) {
		t.Errorf("the descriptor is of process %s, want %d", got, c.pid())
	}
	if err := unix.PidfdSendSignal(int(term.master.Fd()), unix.SIGKILL, nil, 0); err != nil {
		t.Error(err)
	}
	c.awaitStatus("stopped")
}
