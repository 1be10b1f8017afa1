// Package stdio decides what a container gets of rt's own stdin, stdout and stderr, and copies what it does not get.
//
// Who has a descriptor of a file has more than its content: /proc/self/fd/N opens the file again for writing, a directory is
// a way to the directories above it, a terminal accepts input for the programs of its owner (TIOCSTI), and a socket is in the network
// namespace that it was made in. So in the foreground only pipes without a name are passed on, and a pipe stands for everything else.
package stdio

import (
	"fmt"
	"os"

	"rt/internal/hint"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// names are those of the three descriptors.
var names = [3]string{"stdin", "stdout", "stderr"}

// Streams are the three descriptors of a container's process.
type Streams struct {
	Child     [3]*os.File // what the process is to have
	Terminals []string    // names of those of Child that are terminals of the caller, if detached
	Sockets   []string    // names of those of Child that are sockets of a network, if detached

	given []*os.File // of Child, those that are rt's to close once the process has them
	in    *input     // or nil
	outs  []*output
	end   *os.File // eventfd: readable once nothing more is to be copied
	over  chan struct{}
}

// Open decides about the caller's three descriptors. With foreground, rt stays for as long as the process runs and can copy.
func Open(caller [3]*os.File, foreground bool) (*Streams, error) {
	s := &Streams{Child: caller}
	var stats [3]unix.Stat_t
	var pipes [3]bool
	for i, f := range caller {
		if pipes[i] = isPipe(f); pipes[i] {
			continue
		}
		if err := unix.Fstat(int(f.Fd()), &stats[i]); err != nil {
			return nil, fmt.Errorf("look at %s: %w", names[i], os.NewSyscallError("fstat", err))
		}
		if err := refuse(names[i], stats[i].Mode); err != nil {
			return nil, err
		}
	}
	for i := range caller {
		if pipes[i] || isNull(&stats[i]) {
			continue
		}
		if !foreground {
			s.note(i, stats[i].Mode)
			continue
		}
		if err := s.copied(i, caller, &stats); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// refuse is an error for what no process in a container may hold: a directory is a way to all of the host's files, a block
// device to its disk.
func refuse(name string, mode uint32) error {
	what := ""
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		what = "directory"
	case unix.S_IFBLK:
		what = "block device"
	default:
		return nil
	}
	return hint.With(fmt.Errorf("%s is a %s, which is not passed to a container", name, what), "use a file or a pipe, such as `cat FILE | rt ...`")
}

// isPipe says whether f is of pipe(2). A FIFO is on another file system: its name and owner outlive the container.
func isPipe(f *os.File) bool {
	var fs unix.Statfs_t
	err := sys.Retry(func() error { return unix.Fstatfs(int(f.Fd()), &fs) })
	return err == nil && fs.Type == unix.PIPEFS_MAGIC
}

// isNull is for the null device, which the stub exchanges for the container's.
func isNull(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

// note keeps in mind what a detached process gets although it is more than a way in or out.
func (s *Streams) note(i int, mode uint32) {
	switch mode & unix.S_IFMT {
	case unix.S_IFCHR:
		if isTerminal(s.Child[i]) {
			s.Terminals = append(s.Terminals, names[i])
		}
	case unix.S_IFSOCK:
		if domain, err := unix.GetsockoptInt(int(s.Child[i].Fd()), unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || domain != unix.AF_UNIX {
			s.Sockets = append(s.Sockets, names[i])
		}
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// copied puts a pipe in the place of descriptor i. stdout and stderr share one if they are one open file, so that what is
// written to both stays in order.
func (s *Streams) copied(i int, caller [3]*os.File, stats *[3]unix.Stat_t) error {
	if i == 2 && s.Child[1] != caller[1] && sameFile(caller[1], caller[2], &stats[1], &stats[2]) {
		s.Child[2] = s.Child[1]
		return nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("make a pipe for %s: %w", names[i], err)
	}
	r, w := os.NewFile(uintptr(p[0]), names[i]), os.NewFile(uintptr(p[1]), names[i])
	if i == 0 {
		s.in = &input{source: caller[0], pipe: w, regular: stats[0].Mode&unix.S_IFMT == unix.S_IFREG}
		s.given, s.Child[0] = append(s.given, r), r
		return s.in.prepare()
	}
	s.outs = append(s.outs, &output{name: names[i], pipe: r, target: caller[i]})
	s.given, s.Child[i] = append(s.given, w), w
	return nil
}

// kcmpFile is KCMP_FILE: whether two descriptors are of one open file (kcmp(2)).
const kcmpFile = 0

// sameFile says whether two descriptors share an offset, or need none: a file that is appended to, a terminal.
func sameFile(a, b *os.File, sa, sb *unix.Stat_t) bool {
	if sa.Dev != sb.Dev || sa.Ino != sb.Ino {
		return false
	}
	pid := uintptr(os.Getpid())
	if r, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, kcmpFile, a.Fd(), b.Fd(), 0); errno == 0 && r == 0 {
		return true
	} else if errno == 0 && sa.Mode&unix.S_IFMT != unix.S_IFREG {
		return true
	}
	fa, errA := unix.FcntlInt(a.Fd(), unix.F_GETFL, 0)
	fb, errB := unix.FcntlInt(b.Fd(), unix.F_GETFL, 0)
	return errA == nil && errB == nil && fa == fb && fa&unix.O_APPEND != 0
}

// Given is for when the process has its descriptors: rt's copies of them are closed, so that each side sees the other's end.
func (s *Streams) Given() {
	for _, f := range s.given {
		f.Close()
	}
	s.given = nil
}

// GiveTo makes a user of the host the owner of the pipes that rt has made, so that the process can open /dev/stderr again. In
// a user namespace it cannot take them itself. An rt that may not give anything away need not: they are its user's already.
func (s *Streams) GiveTo(uid int) {
	for _, f := range s.pipes() {
		_ = unix.Fchown(int(f.Fd()), uid, -1)
	}
}

// Copies says whether anything has to be copied.
func (s *Streams) Copies() bool { return s.in != nil || len(s.outs) > 0 }

// pipes are rt's ends.
func (s *Streams) pipes() (list []*os.File) {
	if s.in != nil {
		list = append(list, s.in.pipe)
	}
	for _, o := range s.outs {
		list = append(list, o.pipe)
	}
	return list
}

// Close gives up on a process that does not come to be, or has a terminal of its own. After Start it does nothing.
func (s *Streams) Close() {
	if s == nil || s.over != nil {
		return
	}
	s.Given()
	for _, f := range s.pipes() {
		f.Close()
	}
	s.in, s.outs = nil, nil
}
