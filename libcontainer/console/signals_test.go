package console

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"rt/nsenter"

	"golang.org/x/sys/unix"
)

// asChild is what the test binary does when a test starts it again.
func asChild(mode string) error {
	switch mode {
	case "background":
		return background()
	case "relay":
		return relay()
	case "stopped":
		s, err := CatchSignals()
		if err != nil {
			return err
		}
		s.Stop()
		s.Stop()
		unix.Kill(os.Getpid(), unix.SIGTERM)
		time.Sleep(patience) // not reached to its end
	}
	return fmt.Errorf("mode %q", mode)
}

// relay prints the signals it would forward, one a line, until SIGTERM.
func relay() error {
	signals, err := CatchSignals()
	if err != nil {
		return err
	}
	defer signals.Stop()
	fmt.Println("caught")
	if _, err := bufio.NewReader(os.Stdin).ReadByte(); err != nil { // now the test has sent what comes before Serve
		return err
	}
	ended := false
	return signals.Serve(-1, func() (bool, error) { return ended, nil }, func(s unix.Signal) error {
		fmt.Println(int(s))
		if s == unix.SIGTERM {
			ended = true
			unix.Kill(os.Getpid(), unix.SIGCHLD) // as the child's end would
		}
		return unix.ESRCH // must not matter
	})
}

// expect runs relay, sends it the signals and compares the lines that it prints with want (sorted).
func expect(t *testing.T, want []string, prefix []string, list ...unix.Signal) {
	t.Helper()
	argv := append(slices.Clone(prefix), "/proc/self/exe")
	if len(prefix) > 0 {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		argv[len(argv)-1] = exe
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "RT_CONSOLE_TEST=relay")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := startWithDefaults(cmd); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(out)
	lines.Scan() // caught
	for _, s := range list {
		unix.Kill(cmd.Process.Pid, s)
	}
	in.Write([]byte("\n"))
	var got []string
	for len(got) < len(want) && lines.Scan() { // different signals have no order: SIGTERM must come after them
		got = append(got, lines.Text())
	}
	unix.Kill(cmd.Process.Pid, unix.SIGTERM)
	for lines.Scan() {
		if line := lines.Text(); line != "15" {
			got = append(got, line)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("relay: %v", err)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("forwarded %v, want %v", got, want)
	}
}

// startWithDefaults starts a process that ignores no signal, whatever this one was started with: nohup ignores SIGHUP, and a shell
// SIGINT and SIGQUIT of what it has in the background. What has a handler here is SIG_DFL behind execve.
func startWithDefaults(cmd *exec.Cmd) error {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught)
	defer signal.Stop(caught)
	return cmd.Start()
}

func TestSignalsAreKeptAndForwarded(t *testing.T) {
	expect(t, []string{"1", "10", "2", "20", "3", "37", "64"}, nil,
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGTSTP, 37, 64)
	expect(t, []string{"18"}, nil, unix.SIGCONT) // it would take back a SIGTSTP that is not handled yet (signal(7))
}

func TestSignalsOfRtItself(t *testing.T) {
	expect(t, []string{"28"}, nil, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGWINCH)
}

func TestNohupIsRespected(t *testing.T) {
	expect(t, []string{"12"}, []string{"/bin/sh", "-c", `trap "" HUP; exec "$0"`}, unix.SIGHUP, unix.SIGUSR2)
}

func TestStopGivesDefaultActionsBack(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "RT_CONSOLE_TEST=stopped")
	err := startWithDefaults(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != unix.SIGTERM {
		t.Errorf("end: %v, %v", status, err)
	}
}

// The child's end is found whether it comes before Serve or after, and also by the pidfd alone.
func TestServeEndsWithTheChild(t *testing.T) {
	for i := range 100 {
		signals, err := CatchSignals()
		if err != nil {
			t.Fatal(err)
		}
		child := exec.Command("/bin/true")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		pidfd := -1
		if i%2 == 1 {
			nsenter.CatchSignals(-1, 1<<(unix.SIGCHLD-1)) // it is lost
			if pidfd, err = unix.PidfdOpen(child.Process.Pid, 0); err != nil {
				t.Fatal(err)
			}
		}
		err = signals.Serve(pidfd, func() (bool, error) {
			pid, err := unix.Wait4(child.Process.Pid, nil, unix.WNOHANG, nil)
			return pid != 0, err
		}, func(unix.Signal) error { return nil })
		unix.Close(pidfd)
		signals.Stop()
		if err != nil {
			t.Fatal(err)
		}
	}
}
