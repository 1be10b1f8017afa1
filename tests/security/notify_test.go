package security

import (
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
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

// serviceManager listens at a path of the victim's, answers barriers, and gives what it has heard when the test calls it.
func (v *victim) serviceManager() (env []string, heard func() []string) {
	path := v.dir + "/manager.sock"
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(v.t, err)
	result := make(chan []string, 1)
	go func() { result <- overhear(manager) }()
	v.t.Cleanup(func() { manager.Close() })
	return []string{"NOTIFY_SOCKET=" + path}, func() []string { manager.Close(); return <-result }
}

// TestNotifyWithoutLock: a container that never says READY=1 is paused, tightened and deleted all the same. Hangs with an rt that has
// the container's lock while it waits.
func TestNotifyWithoutLock(t *testing.T) {
	for _, verb := range []string{"start", "run"} {
		t.Run(verb, func(t *testing.T) {
			v := newVictim(t, args("sleep", "1000"))
			env, heard := v.serviceManager()
			call := call{args: []string{"run", "--detach", "--bundle", v.dir + "/bundle", v.id}, env: env}
			if verb == "start" {
				call.args = v.with("create")
				v.do(call).ok(t)
				call.args = []string{"start", v.id}
			}
			done := make(chan result, 1)
			go func() { done <- v.do(call) }()
			eventually(t, "the program", func() bool { return strings.Contains(v.rt("state", v.id).stdout, `"running"`) })
			for _, args := range [][]string{{"pause", v.id}, {"resume", v.id}, {"update", "--memory", "100000000", v.id}, {"delete", "--force", v.id}} {
				if r := v.rt(args...); r.code != 0 {
					t.Error(r)
				}
			}
			if r := <-done; r.code != 0 {
				t.Error(r)
			}
			if got := heard(); len(got) != 0 {
				t.Errorf("the service manager heard %q", got)
			}
		})
	}
}

// peak is the most memory that a process has had since its execve, in KiB (VmHWM; what getrusage(2) says counts the parent's, too).
func peak(pid int) int {
	status, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n
}

// TestNotifyFlood: a container that sends and sends takes rt memory, which is not counted as its own. Succeeds against an rt with a
// new buffer for every look at the socket.
func TestNotifyFlood(t *testing.T) {
	v := newVictim(t, args("sh", "-c", "attack flood "+strconv.Itoa(runs(3, 10))+"; exec sleep 1000"))
	env, heard := v.serviceManager()
	cmd := exec.Command(host.rt, "--root", v.dir+"/root", "run", "--detach", "--bundle", v.dir+"/bundle", v.id)
	cmd.Env = append(os.Environ(), env...)
	must(t, cmd.Start())
	killed := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	most, looks := 0, 0
	for waiting := true; waiting; {
		select {
		case err := <-ended:
			if waiting = false; err != nil {
				t.Error(err)
			}
		case <-time.After(5 * time.Millisecond):
			if now := peak(cmd.Process.Pid); now > 0 {
				most, looks = max(most, now), looks+1
			}
		}
	}
	killed.Stop()
	if most > 15_000 || looks == 0 {
		t.Errorf("rt took %d KiB in %d looks, want less than 15,000", most, looks)
	}
	if got := heard(); len(got) != 3 {
		t.Errorf("the service manager heard %q", got)
	}
}

// TestNotifyDirOfShared: the directory of NOTIFY_SOCKET is rt's own mount. Where /run is a volume that the configuration leaves a peer
// of the host's, it is not mounted on the host. Succeeds against rt 4a850c2: it stayed at the host's /run/notify for good.
func TestNotifyDirOfShared(t *testing.T) {
	v := newVictim(t, args("grep", " /run/notify ", "/proc/self/mountinfo"))
	v.spec.Linux.RootfsPropagation = "shared"
	mounted(specs.Mount{Destination: "/run", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}})(v)
	v.write()
	must(t, os.MkdirAll(v.dir+"/volume", 0o755))
	v.file("on-host", `#!/bin/sh -e
cd "$1"; shift
mount -t tmpfs volume volume; mount --make-shared volume
"$@"
cut -d" " -f5 /proc/self/mountinfo | grep "^$PWD/" >mounts
`, 0o755)
	v.file("rt-on-host", "#!/bin/sh\nexec unshare -m --propagation private "+v.dir+"/on-host "+v.dir+" "+host.rt+" \"$@\"\n", 0o755)
	env, _ := v.serviceManager()
	r := v.do(call{args: v.with("run"), exe: v.dir + "/rt-on-host", env: env}).ok(t)
	if strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("the directory is not there: %s", r)
	}
	list, err := os.ReadFile(v.dir + "/mounts")
	must(t, err)
	if got, want := string(list), v.dir+"/volume\n"; got != want {
		t.Errorf("the host has mounts at %q, want %q", got, want)
	}
}
