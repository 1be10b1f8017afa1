package stub

import (
	"errors"
	"fmt"
	"os"
)

// Events is rt's part while a stub works. An error ends the session's phase and is its result.
type Events interface {
	// Born is called once, as soon as the container's process is known. It is a child of this process.
	Born(pid int) error
	// Join moves the container's process into its cgroup v2.
	Join(pid int) error
	// Sync does rt's part at a sync point on the way.
	Sync(point, pid int) error
	// Filter takes the listener of the seccomp filter that process pid has loaded, and closes it.
	Filter(listener *os.File, pid int) error
	// Stalled is called each time the stub has sent nothing for as long as LimitSilence says.
	Stalled(pid int) error
}

// None is rt's part where it has none. Others embed it.
type None struct{}

// Born ignores the pid.
func (None) Born(int) error { return nil }

// Join is an error: a plan that has the process moved needs it.
func (None) Join(pid int) error {
	return fmt.Errorf("the stub: process %d waits to be moved into its cgroup", pid)
}

// Sync is an error: the plan does not have that sync point on the way.
func (None) Sync(point, _ int) error { return fmt.Errorf("the stub waits at sync point %d", point) }

// Filter is an error: no filter of the plan has a listener.
func (None) Filter(listener *os.File, _ int) error {
	listener.Close()
	return errors.New("the stub has a listener that nobody asked for")
}

// Stalled goes on waiting.
func (None) Stalled(int) error { return nil }

// RetryMoved calls enter, and once more with *moved set if the kernel has killed the process when it was made in its cgroup. rt then
// moves the process there.
func RetryMoved(moved *bool, enter func() error) error {
	err := enter()
	if err == ErrKilledAtBirth && !*moved {
		*moved = true
		err = enter()
	}
	return err
}
