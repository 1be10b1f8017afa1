package nsenter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Keep in step with stub.h.
const (
	planMagic   = 0x6e706c72
	planVersion = 1
	headerSize  = 24
	recordSize  = 80
	replySize   = 256
	// MaxFds is how many descriptors can go with one plan.
	MaxFds  = 1000
	maxPlan = 64 << 20
	noSlot  = 0xffffffff
)

// The kinds, in the order of KINDS in stub.h.
const (
	kTakeRoot = iota + 1
	kClone
	kSync
	kOpenTree
	kSetIDs
	kKeyring
	kLoopbackUp
	kAttachRoot
	kMountFS
	kMountTree
	kRemount
	kMkdir
	kSymlink
	kMknod
	kConsole
	kPivot
	kMoveRoot
	kChroot
	kProcWrite
	kReadonlyPath
	kMaskPath
	kChownStdio
	kChdir
	kFindExec
	kAwaitStart
	kSeccomp
	kBounding
	kCredentials
	kCapabilities
	kCloseFds
	kExec
	kInit
	kGate
	kUndo
	kUnmount
	kOpener
	kRequestTree
	kOpenerEnd
	kCall
	kInputs
	kNoNewPrivs
	kHandOut
	kStagingRoot
	kCloneRoot
	kMapTree
)

// A record is a step on its way into bytes: numbers, then strings, of which a nil one is NULL.
type record struct {
	kind uint32
	a    [8]uint64
	strs []*string
	blob bool // strs[0] is data, not text: NULs are fine
}

func (r *record) str(s ...string) {
	for i := range s {
		r.strs = append(r.strs, &s[i])
	}
}

// source adds a path, the directory that it lies below or "", and the rest of it there.
func (r *record) source(path, root string) {
	rest := ""
	if root != "" {
		rest = strings.TrimPrefix(path, root)
	}
	r.str(path, root, rest)
}

func (r *record) null() { r.strs = append(r.strs, nil) }

func (r *record) options(opts []Option) {
	for i := range opts {
		r.strs = append(r.strs, &opts[i].Key, opts[i].Value)
	}
}

func (r *record) set(kind uint32, a ...uint64) {
	r.kind = kind
	copy(r.a[:], a)
}

var errNUL = errors.New("string holds a NUL byte")

// append encodes the record at the end of buf: fixed part, offsets, bytes, padded to 8.
func (r *record) append(buf []byte) ([]byte, error) {
	le := binary.NativeEndian
	start := len(buf)
	buf = le.AppendUint32(buf, r.kind)
	buf = le.AppendUint32(buf, 0) // size, below
	for _, v := range r.a {
		buf = le.AppendUint64(buf, v)
	}
	buf = le.AppendUint32(buf, uint32(len(r.strs)))
	buf = le.AppendUint32(buf, 0)
	off := recordSize + 8*len(r.strs)
	for _, s := range r.strs {
		if s == nil {
			buf = le.AppendUint64(buf, 0)
			continue
		}
		buf = le.AppendUint64(buf, uint64(off))
		off += len(*s) + 1
	}
	for i, s := range r.strs {
		if s == nil {
			continue
		}
		if !(r.blob && i == 0) {
			for j := 0; j < len(*s); j++ {
				if (*s)[j] == 0 {
					return nil, fmt.Errorf("encode %q: %w", *s, errNUL)
				}
			}
		}
		buf = append(buf, *s...)
		buf = append(buf, 0)
	}
	for len(buf)%8 != 0 {
		buf = append(buf, 0)
	}
	// The last byte must be a NUL even if no string needs it, which padding or the string's own gives.
	le.PutUint32(buf[start+4:], uint32(len(buf)-start))
	return buf, nil
}

// Encode turns steps into the bytes that the stub reads; nfds descriptors go with them.
func Encode(steps []Step, nfds int) ([]byte, error) {
	if nfds > MaxFds {
		return nil, fmt.Errorf("encode plan: %d descriptors are more than the %d that can go with it", nfds, MaxFds)
	}
	buf := make([]byte, headerSize, 16<<10)
	for i, s := range steps {
		var r record
		s.encode(&r)
		var err error
		if buf, err = r.append(buf); err != nil {
			return nil, fmt.Errorf("step %d, %s: %w", i, s.Name(), err)
		}
	}
	if len(buf) > maxPlan {
		return nil, fmt.Errorf("encode plan: %d bytes are more than %d", len(buf), maxPlan)
	}
	le := binary.NativeEndian
	for i, v := range []uint32{planMagic, planVersion, uint32(len(buf)), uint32(len(steps)), uint32(nfds), 0} {
		le.PutUint32(buf[4*i:], v)
	}
	return buf, nil
}

func slot(s Slot) uint64 {
	if s < 0 {
		return noSlot
	}
	return uint64(s)
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (TakeRoot) encode(r *record) { r.set(kTakeRoot) }
func (s Clone) encode(r *record)  { r.set(kClone, s.Flags, slot(s.Cgroup)) }
func (Inputs) encode(r *record)   { r.set(kInputs) }
func (s Sync) encode(r *record) {
	r.set(kSync, uint64(s.Point), b2u(s.GoOn), b2u(s.Heed), b2u(s.Mounts))
}
func (s OpenTree) encode(r *record) {
	r.set(kOpenTree, slot(s.Tree), b2u(s.Recursive), b2u(s.Below))
	r.source(s.Path, s.Root)
}
func (s Opener) encode(r *record)  { r.set(kOpener, b2u(s.Inside)) }
func (OpenerEnd) encode(r *record) { r.set(kOpenerEnd) }
func (s RequestTree) encode(r *record) {
	r.set(kRequestTree, slot(s.Tree), b2u(s.Recursive), slot(s.Map), b2u(s.MapAll))
	r.source(s.Path, s.Root)
}
func (s SetIDs) encode(r *record)      { r.set(kSetIDs, uint64(s.UID), uint64(s.GID), b2u(s.Dumpable)) }
func (s Keyring) encode(r *record)     { r.set(kKeyring); r.str(s.Keyring) }
func (LoopbackUp) encode(r *record)    { r.set(kLoopbackUp) }
func (s StagingRoot) encode(r *record) { r.set(kStagingRoot, b2u(s.Sysfs)) }
func (s AttachRoot) encode(r *record) {
	r.set(kAttachRoot, slot(s.Tree), s.Propagation, b2u(s.Shared), b2u(s.Staged))
	r.str(s.Path)
	r.str(s.HostAPI...)
}

func (s MountFS) encode(r *record) {
	r.set(kMountFS, s.Attrs, b2u(s.NoLinks), s.Propagation, b2u(s.Recursive), uint64(s.CopyUp), b2u(s.ByMount)|b2u(s.ReadonlyFS)<<1, b2u(s.Keep), b2u(s.Tell))
	r.str(s.Type, s.Target, s.Source, s.Data, s.Label)
	if s.ReadonlyFS && !s.ByMount {
		r.options([]Option{{Key: "ro"}})
	}
	if s.Source != "" {
		r.str("source", s.Source)
	}
	r.options(s.Options)
}

func (s MountTree) encode(r *record) {
	r.set(kMountTree, slot(s.Tree), s.Set, s.Clear|s.Implied<<32, s.SetAll, s.ClrAll,
		s.Place<<32|s.Propagation, b2u(s.Recursive)|b2u(s.PropagateAll)<<1|b2u(s.Keep)<<2, b2u(s.NoLinks)|b2u(s.Tell)<<1|b2u(s.Private)<<2|s.Back<<32)
	r.str(s.Target, s.Source)
}

func (s Remount) encode(r *record) {
	r.set(kRemount, s.Set, s.Clear, s.Propagation, b2u(s.Recursive), b2u(s.Superblock), b2u(s.Own))
	r.str(s.Target)
	r.options(s.Options)
}

func (s ReadonlyMount) encode(r *record) {
	r.set(kRemount, unix.MOUNT_ATTR_RDONLY, 0, 0, 0, 0, 2)
	r.str(s.Target)
}

func (s Mkdir) encode(r *record)   { r.set(kMkdir, uint64(s.Mode)); r.str(s.Path) }
func (s Symlink) encode(r *record) { r.set(kSymlink, b2u(s.Must)); r.str(s.Path, s.Target) }
func (s Mknod) encode(r *record) {
	r.set(kMknod, uint64(s.Mode), s.Dev, uint64(s.UID), uint64(s.GID), slot(s.HostNode), b2u(s.Bind))
	r.str(s.Path, s.HostPath)
}

func (s Console) encode(r *record) {
	r.set(kConsole, uint64(s.Rows), uint64(s.Cols), uint64(s.UID), b2u(s.DevConsole))
}
func (Pivot) encode(r *record)      { r.set(kPivot) }
func (s MoveRoot) encode(r *record) { r.set(kMoveRoot); r.str(s.HostAPI...) }
func (s Chroot) encode(r *record)   { r.set(kChroot, slot(s.Dir)) }
func (s RootAttr) encode(r *record) {
	r.set(kRemount, s.Set, 0, s.Propagation, b2u(s.Recursive))
	r.str("/")
}
func (s Sysctl) encode(r *record) { r.set(kProcWrite); r.str("sys", s.Path, s.Value) }
func (s Label) encode(r *record) {
	r.set(kProcWrite, b2u(s.Outside))
	r.str("self/attr", s.File, s.Text)
}
func (s ReadonlyPath) encode(r *record) { r.set(kReadonlyPath, b2u(s.Keep)); r.str(s.Path) }
func (s MaskPath) encode(r *record)     { r.set(kMaskPath); r.str(s.Path, s.Label) }
func (s ChownStdio) encode(r *record)   { r.set(kChownStdio, uint64(s.UID), uint64(s.GID)) }
func (s Chdir) encode(r *record)        { r.set(kChdir, b2u(s.Retry)); r.str(s.Path) }
func (s ChdirRootfs) encode(r *record) {
	r.set(kChdir, 0, 1, s.Dev, s.Ino)
	r.str(s.Path)
}
func (s FindExec) encode(r *record)   { r.set(kFindExec); r.str(s.Candidates...) }
func (s AwaitStart) encode(r *record) { r.set(kAwaitStart, slot(s.Listener)) }
func (s Seccomp) encode(r *record) {
	r.set(kSeccomp, uint64(len(s.Program)), uint64(s.Flags), b2u(s.Notify), b2u(s.Send))
	r.blob = true
	r.str(string(s.Program))
}
func (NoNewPrivs) encode(r *record)    { r.set(kNoNewPrivs) }
func (s Bounding) encode(r *record)    { r.set(kBounding, s.Keep) }
func (s Credentials) encode(r *record) { s.become(r, false) }
func (s SetUser) encode(r *record)     { Credentials(s).become(r, true) }

// become sends the groups sorted, for the stub looks for what the kernel has among them, and as many other numbers, which the
// kernel's answer is to replace.
func (s Credentials) become(r *record, keepCaps bool) {
	mode := b2u(s.KeepGroups)
	if s.TryGroups {
		mode = 2
	}
	r.set(kCredentials, uint64(s.UID), uint64(s.GID), mode, uint64(len(s.Groups)), b2u(keepCaps))
	sorted := slices.Sorted(slices.Values(s.Groups))
	var groups []byte
	for _, g := range sorted {
		groups = binary.NativeEndian.AppendUint32(groups, g)
	}
	for range sorted {
		groups = binary.NativeEndian.AppendUint32(groups, otherThan(sorted))
	}
	r.blob = true
	r.str(string(groups))
}

// otherThan is the largest number that is not in a sorted list.
func otherThan(sorted []uint32) uint32 {
	n := ^uint32(0)
	for i := len(sorted) - 1; i >= 0 && sorted[i] >= n; i-- {
		if sorted[i] == n {
			n--
		}
	}
	return n
}

func (s Capabilities) encode(r *record) {
	r.set(kCapabilities, s.Effective, s.Permitted, s.Inheritable, s.Ambient)
}
func (s Capset) encode(r *record) {
	r.set(kCapabilities, s.Effective, s.Permitted, s.Inheritable, 0, 1)
}
func (s CloseFds) encode(r *record) { r.set(kCloseFds, uint64(s.First)) }
func (s Undo) encode(r *record)     { r.set(kUndo, slot(s.Proc)) }
func (s Unmount) encode(r *record) {
	r.set(kUnmount, b2u(s.Check), s.ID)
	r.str(s.Target)
}
func (s MapTree) encode(r *record)   { r.set(kMapTree, slot(s.Tree), slot(s.Map), b2u(s.All)) }
func (s CloneRoot) encode(r *record) { r.set(kCloneRoot); r.str(s.HostAPI...) }
func (s HandOut) encode(r *record)   { r.set(kHandOut, slot(s.Listener)) }
func (s Gate) encode(r *record)      { r.set(kGate, slot(s.FIFO)) }
func (s Init) encode(r *record)      { r.set(kInit, uint64(s.Steps), b2u(s.Terminal)) }
