package libcontainer

import (
	"fmt"
	"os"
	"strconv"

	"rt/internal/sys"
	"rt/libcontainer/console"

	"golang.org/x/sys/unix"
)

// handOver gives what the caller waits for to those who wait: terminal, pidfd, and last of all the pid file.
func (k *making) handOver() error {
	if err := k.sendTerminal(); err != nil {
		return err
	}
	if k.o.PidfdSocket != "" {
		if err := sendPidfd(k.o.PidfdSocket, k.c.Pid); err != nil {
			return err
		}
	}
	return writePidFile(k.o.PidFile, k.c.Pid)
}

func (k *making) sendTerminal() error {
	if k.master == nil || k.o.ConsoleSocket == "" {
		return nil
	}
	defer k.closeTerminal()
	return console.Send(k.o.ConsoleSocket, k.master, k.master.Name())
}

func sendPidfd(socket string, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open pidfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	return console.SendFd(socket, f, "pidfd")
}

// writePidFile replaces what has the name, but not a device: /dev/null would be a file for the whole host.
func writePidFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err == nil && (st.Mode&unix.S_IFMT == unix.S_IFCHR || st.Mode&unix.S_IFMT == unix.S_IFBLK) {
		return fmt.Errorf("write pid file: %s is a device", path)
	}
	if err := sys.ReplaceFile(path, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}
