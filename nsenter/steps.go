package nsenter

// #include "steps.h"
import "C"

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Slot is the position of a descriptor among those sent with a plan; NoSlot is none.
type Slot int

// NoSlot says that a step has no descriptor to work on.
const NoSlot Slot = -1

// A Step is one thing that the stub does. String says what, for plans and errors: verb and object.
type Step interface {
	fmt.Stringer
	Name() string
	encode(r *record)
}

// The kinds of steps and their arguments, from the one list of both in steps.h.
const (
	kJoinNamespace = C.K_join_namespace
	kTakeRoot      = C.K_take_root
	kClone         = C.K_clone
	kJoinCgroup    = C.K_join_cgroup
	kKeyring       = C.K_keyring
	kLoopbackUp    = C.K_loopback_up
	kInputs        = C.K_inputs
	kSync          = C.K_sync
	kCall          = C.K_call
	kOpenTree      = C.K_open_tree
	kOpener        = C.K_opener
	kRequestTree   = C.K_request_tree
	kMapTree       = C.K_map_tree
	kOpenerEnd     = C.K_opener_end
	kStagingRoot   = C.K_staging_root
	kAttachRoot    = C.K_attach_root
	kPivot         = C.K_pivot
	kCloneRoot     = C.K_clone_root
	kMoveRoot      = C.K_move_root
	kChroot        = C.K_chroot
	kMountFS       = C.K_mount_fs
	kMountTree     = C.K_mount_tree
	kRemount       = C.K_remount
	kReadonlyPath  = C.K_readonly_path
	kMaskPath      = C.K_mask_path
	kMkdir         = C.K_mkdir
	kSymlink       = C.K_symlink
	kMknod         = C.K_mknod
	kConsole       = C.K_console
	kProcWrite     = C.K_proc_write
	kUndo          = C.K_undo
	kUnmount       = C.K_unmount
	kChownStdio    = C.K_chown_stdio
	kChdir         = C.K_chdir
	kCloseFds      = C.K_close_fds
	kSetIDs        = C.K_set_ids
	kBounding      = C.K_bounding
	kCredentials   = C.K_credentials
	kNoNewPrivs    = C.K_no_new_privs
	kCapabilities  = C.K_capabilities
	kFindExec      = C.K_find_exec
	kHandOut       = C.K_hand_out
	kAwaitStart    = C.K_await_start
	kInit          = C.K_init
	kSeccomp       = C.K_seccomp
	kGate          = C.K_gate
	kExec          = C.K_exec

	kinds    = C.K_END - 1 // how many there are
	argsSize = C.ARGS_SIZE
)

type (
	u32               = C.uint32_t
	u64               = C.uint64_t
	fdSlot            = C.fd_slot
	argsJoinNamespace = C.struct_args_join_namespace
	argsClone         = C.struct_args_clone
	argsJoinCgroup    = C.struct_args_join_cgroup
	argsSync          = C.struct_args_sync
	argsCall          = C.struct_args_call
	argsOpenTree      = C.struct_args_open_tree
	argsOpener        = C.struct_args_opener
	argsRequestTree   = C.struct_args_request_tree
	argsMapTree       = C.struct_args_map_tree
	argsStagingRoot   = C.struct_args_staging_root
	argsAttachRoot    = C.struct_args_attach_root
	argsChroot        = C.struct_args_chroot
	argsMountFS       = C.struct_args_mount_fs
	argsMountTree     = C.struct_args_mount_tree
	argsRemount       = C.struct_args_remount
	argsReadonlyPath  = C.struct_args_readonly_path
	argsMkdir         = C.struct_args_mkdir
	argsSymlink       = C.struct_args_symlink
	argsMknod         = C.struct_args_mknod
	argsConsole       = C.struct_args_console
	argsProcWrite     = C.struct_args_proc_write
	argsUndo          = C.struct_args_undo
	argsUnmount       = C.struct_args_unmount
	argsChownStdio    = C.struct_args_chown_stdio
	argsChdir         = C.struct_args_chdir
	argsCloseFds      = C.struct_args_close_fds
	argsSetIDs        = C.struct_args_set_ids
	argsBounding      = C.struct_args_bounding
	argsCredentials   = C.struct_args_credentials
	argsCapabilities  = C.struct_args_capabilities
	argsHandOut       = C.struct_args_hand_out
	argsAwaitStart    = C.struct_args_await_start
	argsInit          = C.struct_args_init
	argsSeccomp       = C.struct_args_seccomp
	argsGate          = C.struct_args_gate
	argsExec          = C.struct_args_exec
)

// set gives a step's record its kind and its arguments, as C has them: A is the struct of that kind, and no larger than ARGS_SIZE.
func set[A any](r *record, kind uint32, args A) {
	r.kind = kind
	*(*A)(unsafe.Pointer(&r.args)) = args
}

// slot is a slot as C has it.
func slot(s Slot) fdSlot {
	if s < 0 {
		return fdSlot{n: C.NO_FD}
	}
	return fdSlot{n: u32(s)}
}

// truth is a truth value as C has it.
func truth(b bool) u32 {
	if b {
		return 1
	}
	return 0
}

// Hint says what usually helps where a step has failed, by the system call that the stub names and its error; "" if nothing is known. In
// user namespaces the kernel says EPERM or EINVAL to most (user_namespaces(7), mount_namespaces(7)).
func Hint(s Step, call string, errno unix.Errno) string {
	if s, ok := s.(interface {
		hint(call string, errno unix.Errno) string
	}); ok {
		return s.hint(call, errno)
	}
	return ""
}
