package integration

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNotifySocket: systemd is told READY=1 and the MAINPID of a detached run, and its barrier is awaited.
func TestNotifySocket(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, script("probe notify READY=1 && sleep 1000"))
	path := filepath.Join(c.dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	c.must(err)
	t.Cleanup(func() { socket.Close() })
	c.must(socket.SetReadDeadline(time.Now().Add(patience)))
	running := c.begin(call{args: c.with("run", "--detach"), env: []string{"NOTIFY_SOCKET=" + path}})
	messages := make(chan string, 1)
	go func() { messages <- readNotifications(socket) }()
	running.wait().ok()
	socket.Close()
	got := <-messages
	for _, want := range []string{"READY=1\n", "MAINPID=" + pidText(c.pid()) + "\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("systemd was told %q, not %q", got, want)
		}
	}
}

// TestPidFileBeforeReady: a detached run writes the pid file before the container says that it is ready, which may depend on who reads it.
func TestPidFileBeforeReady(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, script("until test -e /go; do sleep 0.01; done; probe notify READY=1 && sleep 1000"))
	path, pidFile := filepath.Join(c.dir, "notify"), filepath.Join(c.dir, "pid")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	c.must(err)
	t.Cleanup(func() { socket.Close() })
	go readNotifications(socket)
	running := c.begin(call{args: c.with("run", "--detach", "--pid-file", pidFile), env: []string{"NOTIFY_SOCKET=" + path}})
	eventually(t, "the pid file", func() bool { _, err := os.Stat(pidFile); return err == nil })
	c.must(os.WriteFile(filepath.Join(c.rootfs, "go"), nil, 0o644))
	running.wait().ok()
}

// readNotifications reads until the socket is closed. A barrier's pipe is closed at once: that is the answer
// (sd_notify_barrier(3)).
func readNotifications(socket *net.UnixConn) (got string) {
	data, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(64))
	for {
		n, oobn, _, _, err := socket.ReadMsgUnix(data, oob)
		if err != nil {
			return got
		}
		got += string(data[:n]) + "\n"
		controls, _ := unix.ParseSocketControlMessage(oob[:oobn])
		for i := range controls {
			fds, _ := unix.ParseUnixRights(&controls[i])
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}
}

// TestNoNotifySocket: without NOTIFY_SOCKET there is no such variable inside.
func TestNoNotifySocket(t *testing.T) {
	t.Parallel()
	newContainer(t, script("echo \"[$NOTIFY_SOCKET]\"")).run().ok().prints("[]")
}
