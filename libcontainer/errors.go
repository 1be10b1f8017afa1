package libcontainer

import (
	"errors"

	"rt/libcontainer/hooks"
)

// Errors that engines know by their text.
var (
	ErrPaused      = errors.New("container paused")
	ErrNotPaused   = errors.New("container not paused")
	errPausedTwice = errors.New("container not running: it is paused")
	errExecStopped = errors.New("cannot exec in a stopped container")
	errExecPaused  = errors.New("cannot exec in a paused container (use --ignore-paused to override)")
)

// IsStartHook says whether err is the failure of a startContainer hook.
func IsStartHook(err error) bool {
	var failed *hooks.Error
	return errors.As(err, &failed) && failed.Kind == "startContainer"
}
