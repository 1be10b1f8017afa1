package security

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNotifyMessages: a service that may speak to the proxy says what a service manager would believe of rt: another main
// process, files to keep, other states, more bytes and descriptors than anybody wants. The manager hears of its readiness,
// of the container's pid, and the barrier; and the socket's directory is not the container's.
func TestNotifyMessages(t *testing.T) {
	v := newVictim(t, capable(strongCaps), args("sh", "-c", "touch /run/notify/mine; test ! -e /run/notify/mine || echo mine; attack datagrams; exec sleep 1000"))
	path := v.dir + "/manager.sock"
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	defer manager.Close()
	must(t, manager.SetReadDeadline(time.Now().Add(patience)))
	heard := make(chan []string, 1)
	go func() { heard <- overhear(manager) }()
	r := v.do(call{args: []string{"run", "--detach", "--bundle", v.dir + "/bundle", v.id}, env: []string{"NOTIFY_SOCKET=" + path}}).ok(t)
	if !strings.Contains(r.stdout, "sent\n") || strings.Contains(r.stdout, "mine\n") {
		t.Error(r)
	}
	manager.Close()
	if got, want := <-heard, []string{"READY=1\n+0", "MAINPID=" + strconv.Itoa(v.pid()) + "\n+0", "BARRIER=1+1"}; !slices.Equal(got, want) {
		t.Errorf("the service manager heard %q, wanted %q", got, want)
	}
}

// overhear gives each message with the number of descriptors that came along. They are closed: that is the answer to a barrier.
func overhear(manager *net.UnixConn) (messages []string) {
	data, oob := make([]byte, 1<<16), make([]byte, unix.CmsgSpace(4*256))
	for {
		n, oobn, _, _, err := manager.ReadMsgUnix(data, oob)
		if err != nil {
			return messages
		}
		files := 0
		controls, _ := unix.ParseSocketControlMessage(oob[:oobn])
		for i := range controls {
			fds, _ := unix.ParseUnixRights(&controls[i])
			for _, fd := range fds {
				unix.Close(fd)
				files++
			}
		}
		messages = append(messages, string(data[:n])+"+"+strconv.Itoa(files))
	}
}
