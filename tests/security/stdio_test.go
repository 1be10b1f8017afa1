package security

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The caller's stdin, stdout and stderr are the host's.

// openFile opens a file of the host below the victim's directory outside.
func (v *victim) openFile(name string, flags int) *os.File {
	v.t.Helper()
	f, err := os.OpenFile(filepath.Join(v.outside, name), flags, 0)
	must(v.t, err)
	v.t.Cleanup(func() { f.Close() })
	return f
}

// TestStdioOwner: a file that the caller passes as stdio is not given to the container's user, who could make it set-user-ID.
func TestStdioOwner(t *testing.T) {
	v := newVictim(t, asUser(1000)).up()
	must(t, os.WriteFile(v.dir+"/program", nil, 0o755))
	for _, detach := range []string{"--detach=false", "--detach=true"} {
		f, err := os.OpenFile(v.dir+"/program", os.O_RDWR, 0)
		must(t, err)
		v.do(call{args: []string{"exec", detach, v.id, "chmod", "4755", "/proc/self/fd/0"}, stdin: f})
		if detach == "--detach=true" {
			eventually(t, "the end of the detached process", func() bool {
				pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
				return pid > 0 && err == nil
			})
		}
		var st unix.Stat_t
		must(t, unix.Fstat(int(f.Fd()), &st))
		f.Close()
		if st.Uid != 0 || st.Mode != unix.S_IFREG|0o755 {
			t.Errorf("%s: the host's file belongs to %d, mode %o", detach, st.Uid, st.Mode)
		}
	}
}

// TestStdioNull: root in the container does not get the host's /dev/null, whatever stands at its own.
func TestStdioNull(t *testing.T) {
	for _, own := range []string{"", "rm /dev/null", "rm /dev/null && printf x >/dev/null"} {
		v := newVictim(t).up()
		if own != "" {
			v.exec("sh", "-c", own).ok(t)
		}
		// busybox chmod with the mode that the host's node has: the attack does no harm, but for ctime.
		var before, after unix.Stat_t
		must(t, unix.Stat(os.DevNull, &before))
		r := v.exec("sh", "-c", "chmod 666 /proc/self/fd/0 && echo changed")
		must(t, unix.Stat(os.DevNull, &after))
		if before.Ctim != after.Ctim {
			t.Errorf("after %q in the container: the mode of the host's /dev/null was set: %s", own, r)
		}
	}
}

// TestStdioFiles: a file that the caller passes to a foreground command can be read, or written to, and no more: not opened
// again for writing, not cut short, not looked at as a file.
func TestStdioFiles(t *testing.T) {
	for _, verb := range []string{"run", "exec"} {
		v := newVictim(t, func(v *victim) {
			v.file("outside/script", "echo harmless; echo evil >/proc/self/fd/0; : >/proc/self/fd/1; echo end; exit\n", 0o644)
			v.file("log", "before\n", 0o644)
			if verb == "run" {
				v.spec.Process.Args = []string{"sh"}
			}
		})
		command := v.with("run")
		if verb == "exec" {
			v.up()
			command = []string{"exec", v.id, "sh"}
		}
		log, err := os.OpenFile(v.dir+"/log", os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		defer log.Close()
		r := v.do(call{args: command, stdin: v.openFile("script", os.O_RDONLY), stdout: log})
		v.untouched()
		text, err := os.ReadFile(v.dir + "/log")
		must(t, err)
		if want := "before\nharmless\nend\n"; string(text) != want {
			t.Errorf("the log has %q, want %q: %s", text, want, r)
		}
	}
}

// TestStdioDirectory: a directory is a way to all of the host's files, a block device to its disk: neither is passed on, by no
// command.
func TestStdioDirectory(t *testing.T) {
	v := newVictim(t).up()
	other := newVictim(t, args("sh", "-c", "cat <&1; cat /proc/self/fd/0/secret /proc/self/fd/0/../outside/secret"))
	must(t, unix.Mknod(v.dir+"/block", unix.S_IFBLK|0o600, int(unix.Mkdev(7, 250))))
	for name, flags := range map[string]int{v.outside: os.O_RDONLY, v.dir + "/block": unix.O_PATH} {
		f, err := os.OpenFile(name, flags, 0)
		must(t, err)
		defer f.Close()
		for _, verb := range [][]string{
			{"exec", v.id, "cat", "/proc/self/fd/0/secret"}, {"exec", "--detach", v.id, "cat", "/proc/self/fd/0/secret"},
			other.with("run"), {"run", "--detach", "--bundle", other.dir + "/bundle", other.id}, other.with("create"),
		} {
			r := v.do(call{args: verb, stdin: f})
			if r.code == 0 || !strings.Contains(r.stderr, "which is not passed to a container") || strings.Contains(r.stdout, "the host's") {
				t.Errorf("stdin is %s: %s", name, r)
			}
			v.rt("delete", "--force", other.id)
			reap()
		}
	}
}

// openPty makes a terminal of the host's.
func openPty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { master.Close() })
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	fd, err := unix.IoctlRetInt(int(master.Fd()), unix.TIOCGPTPEER)
	if err != nil || fd < 0 {
		n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
		must(t, err)
		fd, err = unix.Open("/dev/pts/"+strconv.Itoa(n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		must(t, err)
	}
	slave = os.NewFile(uintptr(fd), "slave")
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// TestTypedLines: what is typed at the caller's terminal after exec has ended is for the caller's shell, whatever the container
// has left running.
func TestTypedLines(t *testing.T) {
	v := newVictim(t).up()
	master, slave := openPty(t)
	v.do(call{args: []string{"exec", v.id, "sh", "-c", "exec 3<&0; cat <&3 >/tmp/thief 2>&1 & exit 0"}, stdin: slave}).ok(t)
	const lines = "one\ntwo\nthree\nfour\nfive\n"
	_, err := master.WriteString(lines)
	must(t, err)
	var stolen []byte
	eventually(t, "the lines are stolen, or the thief is gone", func() bool {
		stolen, _ = os.ReadFile(v.rootfs + "/tmp/thief")
		return len(stolen) > 0 || !strings.Contains(v.exec("ps").ok(t).stdout, " cat\n") // a zombie is [cat]
	})
	if n, err := unix.IoctlGetInt(int(slave.Fd()), unix.TIOCINQ); err != nil || n != len(lines) {
		t.Errorf("of %d typed bytes %d are left, %v", len(lines), n, err)
	}
	if len(stolen) > 0 {
		t.Errorf("the container has read %q from the caller's terminal", stolen)
	}
}

// TestTypeForCaller: a container does not type at the caller's terminal, where a shell would run it as the caller (TIOCSTI).
func TestTypeForCaller(t *testing.T) {
	v := newVictim(t, capable(append([]string{"CAP_SYS_ADMIN"}, engineCaps...))).up()
	_, slave := openPty(t)
	v.do(call{args: []string{"exec", v.id, "attack", "type", "evil\n"}, stdin: slave, stdout: slave})
	if n, err := unix.IoctlGetInt(int(slave.Fd()), unix.TIOCINQ); err != nil || n != 0 {
		t.Errorf("the caller's terminal has %d bytes of input, %v", n, err)
	}
}

// TestStdinRewind: a container that puts bytes of its own into the pipe that stands for its stdin does not set the caller's file
// back to before what the container was given: a shell, whose script that is, would execute text that it has passed.
func TestStdinRewind(t *testing.T) {
	v := newVictim(t, asUser(1000)).up()
	must(t, os.WriteFile(v.dir+"/script", []byte(strings.Repeat("0123456789abcde\n", 1<<18)), 0o644))
	f, err := os.Open(v.dir + "/script")
	must(t, err)
	defer f.Close()
	const start = 550
	eventually(t, "the container writes into the pipe", func() bool {
		_, err = f.Seek(start, io.SeekStart)
		must(t, err)
		return v.do(call{args: []string{"exec", v.id, "attack", "rewind", "123"}, stdin: f}).code == 0
	})
	if at, err := f.Seek(0, io.SeekCurrent); err != nil || at != start {
		t.Errorf("the caller's file is at %d, %v; it was at %d", at, err, start)
	}
}

// TestStdioSocket: a socket of the caller's is in the host's network namespace, and a container that has it as well.
func TestStdioSocket(t *testing.T) {
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { l.Close() })
		return l
	}
	v := newVictim(t, capable([]string{"CAP_NET_ADMIN"})).up()
	secret, l := listen(), listen()
	go func() {
		for {
			c, err := secret.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("secret"))
			c.Close()
		}
	}()
	client, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer client.Close()
	server, err := l.Accept()
	must(t, err)
	defer server.Close()
	f, err := server.(*net.TCPConn).File()
	must(t, err)
	defer f.Close()
	r := v.do(call{args: []string{"exec", v.id, "attack", "network", strconv.Itoa(secret.Addr().(*net.TCPAddr).Port)}, stdin: f})
	if r.code != 0 || strings.Contains(r.stdout, "got ") {
		t.Errorf("the container is in the host's network: %s", r)
	}
}

// TestFifoOwner: a FIFO of the host, which lasts, is not given to the container's user.
func TestFifoOwner(t *testing.T) {
	v := newVictim(t, asUser(1000)).up()
	must(t, unix.Mkfifo(v.dir+"/fifo", 0o600))
	f, err := os.OpenFile(v.dir+"/fifo", os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	v.do(call{args: []string{"exec", v.id, "true"}, stdin: f}).ok(t)
	var st unix.Stat_t
	must(t, unix.Stat(v.dir+"/fifo", &st))
	if st.Uid != 0 {
		t.Errorf("the host's FIFO belongs to uid %d", st.Uid)
	}
}

// procWord is the value of a line of /proc/PID/status, or "".
func procWord(pid, name string) string {
	text, _ := os.ReadFile("/proc/" + pid + "/status")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// TestForgedEnd: a program that makes rt, or PID 1 of --init, its tracer has a stop of its own reported to who waits for its end.
// It is not taken for the end. Signals that are passed on show that the stop has been seen.
func TestForgedEnd(t *testing.T) {
	for name, init := range map[string]bool{"exec": false, "run": false, "run with init": true} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("attack", "traceme"), capable(nil)) // a tracer has all capabilities of the tracee, and PID 1 has few
			pidFile := v.dir + "/program.pid"
			command := []string{"run", "--init=" + strconv.FormatBool(init), "--pid-file", pidFile, "--bundle", v.dir + "/bundle", v.id}
			if name == "exec" {
				v.spec.Process.Args = []string{"sleep", "1000"}
				v.up()
				command = []string{"exec", "--pid-file", pidFile, v.id, "attack", "traceme"}
			}
			cmd := exec.Command(host.rt, append([]string{"--root", v.dir + "/root"}, command...)...)
			must(t, cmd.Start())
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			over := func() bool {
				select {
				case err := <-ended:
					ended <- err
					return true
				default:
					return false
				}
			}
			var pid string
			eventually(t, "the program stops", func() bool {
				text, _ := os.ReadFile(pidFile)
				if pid = strings.TrimSpace(string(text)); init && pid != "" {
					text, _ = os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
					pid = strings.TrimSpace(string(text))
				}
				return over() || pid != "" && strings.HasPrefix(procWord(pid, "State"), "t")
			})
			for _, s := range []unix.Signal{40, 41, 42} {
				_ = unix.Kill(cmd.Process.Pid, unix.SIGCHLD) // look now
				_ = unix.Kill(cmd.Process.Pid, s)
				eventually(t, "the signal is passed on", func() bool {
					pending, _ := strconv.ParseUint(procWord(pid, "ShdPnd"), 16, 64)
					return over() || pending&(1<<(s-1)) != 0
				})
			}
			if over() {
				t.Fatalf("rt has ended by %d before the program", cmd.ProcessState.ExitCode())
			}
			n, err := strconv.Atoi(pid)
			must(t, err)
			must(t, unix.Kill(n, unix.SIGKILL))
			eventually(t, "rt ends", over)
			if code := cmd.ProcessState.ExitCode(); code != 128+int(unix.SIGKILL) {
				t.Errorf("rt has ended by %d", code)
			}
		})
	}
}
