package nsenter

// #include "start.h"
import "C"

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// StartUnchanged calls start, which starts a program of the host, on a thread that has the timer slack of rt's caller again
// (PR_SET_TIMERSLACK(2const)); children inherit it.
func StartUnchanged(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if slack := uintptr(C.rt_slack()); slack > 0 {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0) // cannot fail for the thread itself
	}
	return start()
}
