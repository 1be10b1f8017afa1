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

// CallerFiles is the limit on open files, soft and hard, that rt's caller has. Go's runtime raises the soft one to the hard
// one, and the stub uses that: a plan may hold a descriptor for each mount.
func CallerFiles() (soft, hard uint64) {
	var lim [2]C.uint64_t
	C.rt_files(&lim[0])
	return uint64(lim[0]), uint64(lim[1])
}
