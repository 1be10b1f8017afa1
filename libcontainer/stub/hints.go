package stub

import (
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

const filesHint = "the hard limit on open files of rt's caller is too low for so many mounts: ulimit -Hn shows it"

// Hint says what usually helps.
func (e *StepError) Hint() string {
	hint := nsenter.Hint(e.Item.Step, e.Call, e.Errno)
	if s, ok := e.Item.Step.(nsenter.RequestTree); ok && e.Call == "mount_setattr" {
		hint = idMapHint(e.Errno, fsTypeAt(s.Path), s.Recursive && s.MapAll)
	}
	if hint == "" && e.Errno == unix.EMFILE { // a descriptor for each mount that is told later, and those of the plan
		return filesHint
	}
	return hint
}
