package console

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

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
		f := NewForwarder(nil)
		f.Start(os.Getpid(), func(unix.Signal) error { return nil })
		f.Stop()
		f.Stop()
		unix.Kill(os.Getpid(), unix.SIGTERM)
		time.Sleep(patience) // not reached to its end
	}
	return fmt.Errorf("mode %q", mode)
}

// relay prints the signals it would forward, one a line, until SIGTERM.
func relay() error {
	end := make(chan struct{})
	f := NewForwarder(func() { fmt.Println("resize") })
	<-f.all
	fmt.Println("caught")
	if _, err := bufio.NewReader(os.Stdin).ReadByte(); err != nil { // now the test has sent what comes before Start
		return err
	}
	f.Start(1, func(s unix.Signal) error {
		fmt.Println(int(s))
		if s == unix.SIGTERM {
			close(end)
		}
		return unix.ESRCH // must not matter
	})
	<-end
	f.Stop()
	return nil
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
	if err := cmd.Start(); err != nil {
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

func TestSignalsAreKeptAndForwarded(t *testing.T) {
	expect(t, []string{"1", "10", "2", "20", "3", "37", "64"}, nil,
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGTSTP, 37, 64)
	expect(t, []string{"18"}, nil, unix.SIGCONT) // it would take back a SIGTSTP that is not handled yet (signal(7))
}

func TestSignalsOfRtItself(t *testing.T) {
	expect(t, []string{"resize"}, nil, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGWINCH)
}

func TestNohupIsRespected(t *testing.T) {
	expect(t, []string{"12"}, []string{"/bin/sh", "-c", `trap "" HUP; exec "$0"`}, unix.SIGHUP, unix.SIGUSR2)
}

func TestStopGivesDefaultActionsBack(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "RT_CONSOLE_TEST=stopped")
	err := cmd.Run()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != unix.SIGTERM {
		t.Errorf("end: %v, %v", status, err)
	}
}

func TestForwarderKillsByPidWithoutSend(t *testing.T) {
	child := exec.Command("/bin/sh", "-c", "trap 'echo usr1; exit 0' USR1; echo ready; while :; do read x; done")
	var rest bytes.Buffer
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	f := NewForwarder(nil)
	defer f.Stop()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { child.Process.Kill() })
	defer late.Stop()
	r := bufio.NewReader(out)
	r.ReadString('\n')
	f.Start(child.Process.Pid, nil)
	unix.Kill(os.Getpid(), unix.SIGUSR1)
	r.WriteTo(&rest)
	if err := child.Wait(); err != nil || rest.String() != "usr1\n" {
		t.Errorf("the child said %q, %v", rest.String(), err)
	}
}
