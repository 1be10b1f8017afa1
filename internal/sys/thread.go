package sys

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// OnThread runs f on a thread that ends with it, so that f may take the thread into other namespaces. That is never the first thread,
// which Go's runtime cannot end: it would stay in them, and keep them for as long as the process runs.
// A panic of f ends the process: f defers bug.Catch.
func OnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return // and never unlock: the thread ends with this goroutine
		}
		OnThread(f) // while this goroutine has the first thread, the other one has another
		runtime.UnlockOSThread()
	}()
	<-done
}
