package integration

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func withTerminal(s *specs.Spec) { s.Process.Terminal = true }

func TestConsoleSocket(t *testing.T) {
	t.Parallel()
	c := newContainer(t, withTerminal, args("sh"), func(s *specs.Spec) {
		s.Process.ConsoleSize = &specs.Box{Height: 31, Width: 97}
		s.Process.User = specs.User{UID: 1000, GID: 1000}
	})
	socket := c.consoleSocket()
	c.create("--console-socket", socket.path).ok()
	term, name := socket.receive()
	if !strings.HasPrefix(name, "/dev/p") {
		t.Errorf("the terminal's name is %q", name)
	}
	c.start().ok()
	term.shows("/ $ ")
	term.types("echo size=$(stty size) tty=$(tty) owner=$(stat -c %u:%g:%a /dev/console)\n")
	term.shows("size=31 97")
	term.shows("tty=/dev/")
	term.shows("owner=1000:5:620")
	term.types("test -t 0 && test -t 1 && test -t 2 && echo all three\\ are; ls -l /proc/self/fd | grep -c pts; echo ctty > /dev/tty\n")
	term.shows("all three are")
	term.shows("ctty")
	// It is the controlling terminal: ^C reaches the foreground process.
	term.types("sleep 500\n")
	c.awaitProcess("sleep 500")
	term.types("\x03")
	term.types("echo status=$?\n")
	term.shows("status=130")
	term.types("exit 3\n")
	c.awaitStatus("stopped")
}

// awaitProcess waits until the container has a process with this command line.
func (c *container) awaitProcess(cmdline string) {
	c.t.Helper()
	eventually(c.t, "process "+cmdline, func() bool {
		for _, p := range c.processes() {
			if strings.Contains(p.text, "("+cmdline) {
				return true
			}
		}
		return false
	})
}

func TestConsoleSocketErrors(t *testing.T) {
	t.Parallel()
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, withTerminal)
		c.create().fails("cannot allocate tty if runc will detach without setting console socket")
		c.run("--detach").fails("cannot allocate tty if runc will detach without setting console socket")
	})
	t.Run("not wanted", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t)
		c.create("--console-socket", filepath.Join(c.dir, "x")).fails("cannot use console socket if runc will not detach or allocate tty")
	})
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		c := newContainer(t, withTerminal)
		c.create("--console-socket", filepath.Join(c.dir, "nothing")).fails("no such file or directory").oneError()
		if left := c.leftovers(false); len(left) > 0 {
			t.Errorf("after a failed create: %v", left)
		}
	})
}

// TestForegroundTerminal runs an interactive shell on a pty of the test: input, size and resize go in, output comes
// out, and the caller's terminal is afterwards as it was.
func TestForegroundTerminal(t *testing.T) {
	t.Parallel()
	c := newContainer(t, withTerminal, args("sh"))
	term := openPty(t)
	term.resize(24, 80)
	before := termios(t, term)
	running := c.begin(call{args: c.with("run"), tty: term.slave})
	term.shows("/ # ")
	term.types("echo first=$(stty size)\n")
	term.shows("first=24 80")
	if raw := termios(t, term); raw.Lflag&(unix.ECHO|unix.ICANON) != 0 {
		t.Errorf("the caller's terminal is not raw: %#x", raw.Lflag)
	}
	term.resize(40, 132)
	term.types("while test \"$(stty size)\" != '40 132'; do usleep 5000; done; echo second=$(stty size)\n")
	term.shows("second=40 132")
	if !strings.Contains(term.text(), "# echo first=") && !strings.Contains(term.text(), "echo first=$(stty size)\r\n") {
		t.Errorf("no echo of the container's terminal: %q", term.text())
	}
	term.types("exit 9\n")
	if r := running.wait(); r.code != 9 {
		t.Errorf("want exit 9: %s", r)
	}
	if after := termios(t, term); !reflect.DeepEqual(before, after) {
		t.Errorf("the terminal's settings changed:\n%+v\n%+v", before, after)
	}
}

// TestTerminalIsGivenBack: also when what comes after the program's start fails.
func TestTerminalIsGivenBack(t *testing.T) {
	t.Parallel()
	c := newContainer(t, withTerminal, args("sleep", "1000"))
	nowhere := filepath.Join(c.dir, "no", "such", "pid")
	term := openPty(t)
	before := termios(t, term)
	same := func(what string) {
		t.Helper()
		if after := termios(t, term); !reflect.DeepEqual(before, after) {
			t.Errorf("%s: the terminal's settings changed:\n%+v\n%+v", what, before, after)
		}
	}
	if r := c.begin(call{args: c.with("run", "--pid-file", nowhere), tty: term.slave}).wait(); r.code != 1 {
		t.Error(r)
	}
	same("run")
	c.spec.Process.Terminal = false
	c.write()
	c.up()
	if r := c.begin(call{args: []string{"exec", "--tty", "--pid-file", nowhere, c.id, "sleep", "1000"}, tty: term.slave}).wait(); r.code != 255 {
		t.Error(r)
	}
	same("exec")
}

func termios(t *testing.T, term *terminal) *unix.Termios {
	t.Helper()
	settings, err := unix.IoctlGetTermios(int(term.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// TestForegroundTerminalRestored: the settings come back when the container is killed from elsewhere as well.
func TestForegroundTerminalRestored(t *testing.T) {
	t.Parallel()
	c := newContainer(t, withTerminal, args("sh"))
	term := openPty(t)
	before := termios(t, term)
	running := c.begin(call{args: c.with("run"), tty: term.slave})
	term.shows("/ # ")
	term.types("echo re''ady\n")
	term.shows("ready")
	c.kill("KILL").ok()
	if r := running.wait(); r.code != 137 {
		t.Errorf("want exit 137: %s", r)
	}
	if after := termios(t, term); !reflect.DeepEqual(before, after) {
		t.Errorf("the terminal's settings changed:\n%+v\n%+v", before, after)
	}
}

// TestSignalsAreForwarded: a signal to a foreground run goes to the container's init.
func TestSignalsAreForwarded(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, script("trap 'exit 44' TERM; touch /ready; while :; do usleep 5000; done"))
	c.prefix = []string{"sh", "-c", `echo $$ > ` + filepath.Join(c.dir, "runtime") + `; exec "$@"`, "sh"}
	running := c.begin(call{args: c.with("run")})
	runtime := strings.TrimSpace(c.awaitFile("runtime"))
	c.awaitPath("b/rootfs/ready")
	host(t, "kill", "-TERM", runtime)
	if r := running.wait(); r.code != 44 {
		t.Errorf("want exit 44: %s", r)
	}
}

func TestExecTerminal(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	t.Run("console socket", func(t *testing.T) {
		c := c.in(t)
		socket := c.consoleSocket()
		c.execWith([]string{"--tty", "--detach", "--console-socket", socket.path, "--pid-file", filepath.Join(c.dir, "exec.pid")}, "sh").ok()
		term, _ := socket.receive()
		term.shows("/ # ")
		term.types("tty; test -t 0 && echo is a\\ tty\n")
		term.shows("is a tty")
		term.types("exit\n")
	})
	t.Run("foreground", func(t *testing.T) {
		c := c.in(t)
		term := openPty(t)
		term.resize(33, 77)
		before := termios(t, term)
		running := c.begin(call{args: []string{"exec", "-t", c.id, "sh"}, tty: term.slave})
		term.shows("/ # ")
		term.types("echo size=$(stty size)\n")
		term.shows("size=33 77")
		term.types("exit 5\n")
		if r := running.wait(); r.code != 5 {
			t.Errorf("want exit 5: %s", r)
		}
		if after := termios(t, term); !reflect.DeepEqual(before, after) {
			t.Errorf("the terminal's settings changed:\n%+v\n%+v", before, after)
		}
	})
}
