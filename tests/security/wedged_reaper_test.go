package security

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWedgedReaper: an `rt exec` is stopped, and its command has ended in the container. Nothing reaps that, and so the container's init
// cannot end. delete --force ends the rt. Succeeds against a runtime that waits for init alone.
func TestWedgedReaper(t *testing.T) {
	v := newVictim(t, args("sleep", "1000")).up()
	cmd := exec.Command(host.rt, "--root", v.dir+"/root", "exec", v.id, "sleep", "2000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	pid := 0
	eventually(t, "the command", func() bool {
		for _, word := range strings.Fields(v.rt("ps", "--format", "json", v.id).stdout) {
			for _, text := range strings.Split(strings.Trim(word, "[]"), ",") {
				if n, err := strconv.Atoi(text); err == nil && n != v.pid() && commandOf(n) == "sleep 2000" {
					pid = n
				}
			}
		}
		return pid != 0
	})
	must(t, unix.Kill(cmd.Process.Pid, unix.SIGSTOP))
	eventually(t, "stop of rt exec", func() bool { return stateOf(cmd.Process.Pid) == "T" })
	must(t, unix.Kill(pid, unix.SIGKILL))
	eventually(t, "end of the command", func() bool { return stateOf(pid) == "Z" })
	defer reapInside()()
	v.forced(0, "")
}

// stateOf is the letter of a process's state (proc_pid_stat(5)), "" if there is no such process.
func stateOf(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	return string(data[strings.LastIndexByte(string(data), ')')+2:][:1])
}

func commandOf(pid int) string {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return strings.TrimSpace(strings.ReplaceAll(string(data), "\x00", " "))
}
