package integration

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestNotifySocket: the caller of a foreground run is told READY=1 and the MAINPID by systemd's protocol.
func TestNotifySocket(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, script("probe notify READY=1 && sleep 1000"))
	path := filepath.Join(c.dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	c.must(err)
	defer socket.Close()
	running := c.begin(call{args: c.with("run", "--detach"), env: []string{"NOTIFY_SOCKET=" + path}})
	buf, got := make([]byte, 4096), ""
	c.must(socket.SetReadDeadline(time.Now().Add(patience)))
	for !strings.Contains(got, "READY=1") || !strings.Contains(got, "MAINPID=") {
		n, err := socket.Read(buf)
		if err != nil {
			t.Fatalf("read of the notify socket after %q: %v", got, err)
		}
		got += string(buf[:n]) + "\n"
	}
	socket.Close() // runc waits for BARRIER to be taken
	r := running.wait()
	r.ok()
	if pid := pidText(c.pid()); !strings.Contains(got, "MAINPID="+pid+"\n") {
		t.Errorf("notified %q, the container's pid is %s", got, pid)
	}
}

// TestNotifySocketIsNotLeaked: create without NOTIFY_SOCKET has no such variable inside.
func TestNoNotifySocket(t *testing.T) {
	t.Parallel()
	newContainer(t, script("echo \"[$NOTIFY_SOCKET]\""), func(s *specs.Spec) {}).run().ok().prints("[]")
}
