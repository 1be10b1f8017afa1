package cri

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestExecSync(t *testing.T) {
	c := connect(t).run("pod").start("one", sleeper)
	response := must[*v1.ExecSyncResponse](t, "ExecSync")(c.runtime.ExecSync(t.Context(), &v1.ExecSyncRequest{
		ContainerId: c.id, Cmd: []string{"sh", "-c", "echo out; echo err >&2; exit 7"}}))
	c.is("stdout", string(response.Stdout), "out\n")
	c.is("stderr", string(response.Stderr), "err\n")
	c.is("exit code", response.ExitCode, 7)
	c.is("output of 300 kB", c.sh("head -c 300000 /dev/zero | tr '\\0' x | wc -c"), 300000)
	_, code := c.try("sh", "-c", "kill -9 $$")
	c.is("exit code of a killed one", code, 137)

	_, err := c.runtime.ExecSync(t.Context(), &v1.ExecSyncRequest{ContainerId: c.id, Cmd: []string{"no-such-program"}})
	if !says(err, "not found in $path") {
		t.Fatalf("a program that is not there: %v", err)
	}
	_, err = c.runtime.ExecSync(t.Context(), &v1.ExecSyncRequest{ContainerId: c.id, Cmd: []string{"/etc/passwd"}})
	if !says(err, "permission denied") {
		t.Fatalf("a file that is no program: %v", err)
	}
}

// TestExecTimeout: a probe that hangs is ended, and its process with it.
func TestExecTimeout(t *testing.T) {
	c := connect(t).run("pod").start("one", sleeper)
	_, err := c.runtime.ExecSync(t.Context(), &v1.ExecSyncRequest{ContainerId: c.id, Cmd: []string{"sleep", "4321"}, Timeout: 1})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("a time-out: %v", err)
	}
	c.eventually("the command is gone", func() bool { return !strings.Contains(c.sh("ps"), "sleep 4321") })
}

func TestExecStreamed(t *testing.T) {
	c := connect(t).run("pod").start("one", sleeper)
	s := c.exec(true, false, "sh", "-c", "cat; echo err >&2; exit 5")
	s.write("one\n")
	c.eventually("the line has come back", s.said("one\n"))
	s.write("two\n")
	s.stdin.Close()
	stdout, stderr, err := s.wait()
	c.is("stdout", stdout, "one\ntwo\n")
	c.is("stderr", stderr, "err\n")
	if code := exitError(""); !errors.As(err, &code) || code != "5" {
		t.Fatalf("the end is %v, want exit code 5", err)
	}

	stdout, _, err = c.exec(false, false, "sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x").wait()
	if err != nil || len(stdout) != 1000000 {
		t.Fatalf("%d bytes of 1000000: %v", len(stdout), err)
	}
	_, _, err = c.exec(false, false, "no-such-program").wait()
	if !says(err, "not found in $path") {
		t.Fatalf("a program that is not there: %v", err)
	}
}

func TestExecTerminal(t *testing.T) {
	c := connect(t).run("pod").start("one", sleeper)
	s := c.exec(true, true, "sh")
	s.size(93, 31)
	s.write("tty; until stty size | grep 31; do sleep 0.1; done\n")
	c.eventually("the size has arrived", s.said("31 93"))
	stdout, _ := s.output()
	c.has("the terminal's name", stdout, "/dev/pts/")
	s.write("echo sleeping; sleep 1000\n")
	c.eventually("it sleeps", s.said("\nsleeping"))
	// It may not be in the foreground yet: ^C until it has helped.
	c.eventually("^C has ended the sleep", func() bool {
		s.write("\x03echo aw'a'ke\n")
		time.Sleep(100 * time.Millisecond)
		return s.said("\nawake")()
	})
	s.write("exit 3\n")
	_, _, err := s.wait()
	c.is("the end", err, "exit code 3")
}

func TestAttach(t *testing.T) {
	p := connect(t).run("pod")
	c := p.start("streams", []string{"sh", "-c", "while read line; do echo got $line; done; echo err >&2; exit 4"},
		func(config *v1.ContainerConfig) { config.Stdin, config.StdinOnce = true, true })
	s := c.attach(true, false)
	s.write("hello\n")
	c.eventually("an answer", s.said("got hello\n"))
	s.stdin.Close()
	c.is("exit code after stdin has been closed", c.wait().ExitCode, 4)
	c.is("log", strings.Join(c.lines("stdout"), ","), "got hello")

	c = p.start("terminal", []string{"sh"}, func(config *v1.ContainerConfig) { config.Stdin, config.Tty = true, true })
	s = c.attach(true, true)
	s.size(71, 19)
	s.write("until stty size | grep 19; do sleep 0.1; done\n")
	c.eventually("the size has arrived", s.said("19 71"))
	s.write("exit 6\n")
	c.is("exit code of the shell", c.wait().ExitCode, 6)
}

// TestLogs: both streams in the kubelet's format, and a log that was rotated.
func TestLogs(t *testing.T) {
	c := connect(t).run("pod").start("one", []string{"sh", "-c", "echo out; echo err >&2; trap 'echo again' USR1; while :; do sleep 0.1; done"})
	c.eventually("the output is in the log", func() bool { return len(c.lines("stdout")) > 0 && len(c.lines("stderr")) > 0 })
	c.is("stdout", strings.Join(c.lines("stdout"), ","), "out")
	c.is("stderr", strings.Join(c.lines("stderr"), ","), "err")
	rotate(c)
	c.eventually("later output is in the new log", func() bool {
		c.sh("kill -USR1 1")
		return strings.Contains(strings.Join(c.lines("stdout"), ","), "again")
	})
}
