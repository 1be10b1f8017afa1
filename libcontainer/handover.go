package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"rt/internal/sys"
	"rt/libcontainer/console"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// HandOverOptions are the flags that say where the caller waits for a process. An empty path: it does not.
type HandOverOptions struct {
	ConsoleSocket string // AF_UNIX socket that is handed the terminal's master
	PidFile       string // written last, temp + rename, no newline
	PidfdSocket   string // AF_UNIX socket that is handed a pidfd of the process
}

// A handOver gives to those who wait for a process what they wait for: its terminal, a pidfd, and the pid file.
type handOver struct {
	HandOverOptions
	master *os.File // of the process's terminal, or nil; closed by giveTerminal or close
}

// checkTerminal refuses a terminal without an owner for its master, which is the console socket or an rt that stays, and a socket without
// need.
func checkTerminal(terminal, detach bool, socket string) error {
	switch {
	case terminal && detach && socket == "":
		return errors.New("cannot allocate tty if runc will detach without setting console socket")
	case socket != "" && (!detach || !terminal):
		return errors.New("cannot use console socket if runc will not detach or allocate tty")
	}
	return nil
}

// give gives the terminal and the pidfd of a process.
func (h *handOver) give(fg *foreground, p *specs.Process, pid int) error {
	if err := h.giveTerminal(fg, p); err != nil {
		return err
	}
	return h.sendPidfd(pid)
}

// giveTerminal sends the terminal's master to the console socket, or attaches it to the foreground, if there is one.
func (h *handOver) giveTerminal(fg *foreground, p *specs.Process) error {
	if h.master == nil {
		return nil
	}
	defer h.close()
	switch {
	case h.ConsoleSocket != "":
		return console.Send(h.ConsoleSocket, h.master, h.master.Name())
	case fg != nil:
		return fg.attach(h.master, p)
	}
	return nil
}

// close closes a terminal that was not given.
func (h *handOver) close() {
	h.master.Close() // or nothing, of a nil one
	h.master = nil
}

// sendPidfd sends a pidfd of the process to the pidfd socket, if there is one.
func (h *handOver) sendPidfd(pid int) error {
	if h.PidfdSocket == "" {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open pidfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	return console.SendFd(h.PidfdSocket, f, "pidfd")
}

// writePidFile replaces the pid file, but not a device: /dev/null would be a file for the whole host.
func (h *handOver) writePidFile(pid int) error {
	if h.PidFile == "" {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Lstat(h.PidFile, &st); err == nil && (st.Mode&unix.S_IFMT == unix.S_IFCHR || st.Mode&unix.S_IFMT == unix.S_IFBLK) {
		return fmt.Errorf("write pid file: %s is a device", h.PidFile)
	}
	if err := sys.ReplaceFile(h.PidFile, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}
