package nsenter

// #include "steps.h"
import "C"

import "golang.org/x/sys/unix"

// StagingRoot makes a mount namespace without the host's tree: nothing but a directory for the rootfs, a procfs and, if the
// container mounts one, a sysfs. The container's is a copy of it.
type StagingRoot struct {
	Sysfs bool `json:",omitempty"`
}

func (StagingRoot) Name() string   { return "staging-root" }
func (StagingRoot) String() string { return "make a mount namespace without the host's tree" }
func (s StagingRoot) encode(r *record) {
	set(r, C.K_staging_root, C.struct_args_staging_root{sysfs: truth(s.Sysfs)})
}

func (StagingRoot) hint(_ string, errno unix.Errno) string {
	if errno == unix.EINVAL {
		return pivotHint
	}
	return namespacesHint(errno)
}
