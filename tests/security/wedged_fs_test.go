package security

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A hungFS is a FUSE file system in which each name is a file with hungText. From hold on it answers for its root alone, and never
// for what is in it.
type hungFS struct {
	t     *testing.T
	dir   string
	dev   int
	conn  string      // its directory in /sys/fs/fuse/connections
	takes bool        // it reads what it is asked: the process that asks then waits for the answer in state D
	held  atomic.Bool // it has hung since
	over  atomic.Bool // the test is over
	was   atomic.Bool // asked
	ended chan struct{}
}

const hungText = "root:x:0:0:root:/root:/bin/sh\n"

// newHungFS is one that hangs from the start.
func newHungFS(t *testing.T, dir string, takes bool) *hungFS {
	t.Helper()
	must(t, os.Mkdir(dir, 0o755))
	f := serveFS(t, dir, takes)
	f.hold()
	return f
}

func serveFS(t *testing.T, dir string, takes bool) *hungFS {
	t.Helper()
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	f := &hungFS{t: t, dir: dir, dev: dev, takes: takes, ended: make(chan struct{})}
	must(t, unix.Mount("hung", dir, "fuse", unix.MS_NOSUID, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", dev)))
	ready := make(chan struct{})
	go f.serve(ready)
	t.Cleanup(f.end)
	<-ready
	var st unix.Stat_t
	must(t, unix.Stat(dir, &st))
	f.conn = "/sys/fs/fuse/connections/" + strconv.FormatUint(uint64(unix.Minor(st.Dev)), 10)
	return f
}

// hold: from now on nothing is answered.
func (f *hungFS) hold() { f.held.Store(true) }

// Operations of linux/fuse.h.
const (
	fuseLookup     = 1
	fuseForget     = 2
	fuseGetattr    = 3
	fuseOpen       = 14
	fuseRead       = 15
	fuseStatfs     = 17
	fuseRelease    = 18
	fuseFlush      = 25
	fuseInit       = 26
	fuseOpendir    = 27
	fuseReaddir    = 28
	fuseReleasedir = 29
	fuseAccess     = 34
	fuseInterrupt  = 36
	fuseBatch      = 42 // FUSE_BATCH_FORGET
)

// serve answers what is asked about the root, and until hold about the rest, until the file system has ended.
func (f *hungFS) serve(ready chan struct{}) {
	defer close(f.ended)
	buf := make([]byte, 1<<17+4096)
	for there := false; !f.over.Load(); {
		fds := []unix.PollFd{{Fd: int32(f.dev), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 100); err != nil && err != unix.EINTR || n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0 {
			return // unmounted
		} else if n <= 0 {
			continue
		}
		if f.held.Load() && !f.takes {
			f.mark()
			time.Sleep(10 * time.Millisecond)
			continue
		}
		n, err := unix.Read(f.dev, buf)
		if err == unix.EAGAIN || err == unix.EINTR {
			continue
		}
		if err != nil || n < 40 {
			return
		}
		out, errno, known := f.answer(le32(buf[4:]), buf[:n])
		if !known {
			if f.held.Load() {
				f.mark()
			}
			continue
		}
		reply := make([]byte, 16+len(out))
		put32(reply, uint32(len(reply)))
		put32(reply[4:], uint32(-int32(errno)))
		copy(reply[8:], buf[8:16])
		copy(reply[16:], out)
		_, _ = unix.Write(f.dev, reply)
		if !there {
			there = true
			close(ready)
		}
	}
}

// answer: known is false for what is not answered.
func (f *hungFS) answer(op uint32, in []byte) (out []byte, errno unix.Errno, known bool) {
	root := le32(in[16:]) == 1
	switch op {
	case fuseForget, fuseBatch, fuseInterrupt:
		return nil, 0, false
	case fuseInit:
		out = make([]byte, 64)
		put32(out, 7)
		put32(out[4:], 31)
		put32(out[20:], 4096)
		return out, 0, true
	case fuseStatfs:
		return make([]byte, 80), 0, true
	case fuseAccess:
		return nil, 0, true
	case fuseGetattr:
		if root || !f.held.Load() {
			out = append(make([]byte, 16), attributes(root)...)
			if root {
				put32(out, 1000) // seconds for which it is valid: to bind the root asks nothing
			}
			return out, 0, true
		}
	}
	if f.held.Load() {
		return nil, 0, false
	}
	switch op {
	case fuseLookup:
		out = make([]byte, 40)
		put32(out, 2) // inode
		return append(out, attributes(false)...), 0, true
	case fuseOpen:
		out = make([]byte, 16)
		put32(out[8:], 1) // FOPEN_DIRECT_IO
		return out, 0, true
	case fuseRead:
		at := min(int(le32(in[48:])), len(hungText))
		return []byte(hungText[at:min(len(hungText), at+int(le32(in[56:])))]), 0, true
	case fuseOpendir:
		return make([]byte, 16), 0, true
	case fuseReaddir, fuseRelease, fuseReleasedir, fuseFlush:
		return nil, 0, true
	}
	return nil, unix.ENOSYS, true
}

// attributes is struct fuse_attr.
func attributes(root bool) []byte {
	out := make([]byte, 88)
	put32(out, 2)
	put32(out[8:], uint32(len(hungText)))
	put32(out[60:], 0o100755) // mode
	put32(out[64:], 1)        // links
	if root {
		put32(out, 1)
		put32(out[60:], 0o40755)
	}
	return out
}

func (f *hungFS) mark() { f.was.Store(true) }

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}
func put32(b []byte, n uint32) {
	b[0], b[1], b[2], b[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
}

// asked: a process has waited for an answer.
func (f *hungFS) asked() bool { return f.was.Load() }

// end aborts and unmounts the file system, by which all that is asked fails, also in mount namespaces that have a copy of the mount.
func (f *hungFS) end() {
	if f.dev < 0 {
		return
	}
	_ = os.WriteFile(f.conn+"/abort", []byte("1"), 0)
	if err := unix.Unmount(f.dir, unix.MNT_FORCE|unix.MNT_DETACH); err != nil {
		f.t.Errorf("unmount: %v", err)
	}
	f.over.Store(true)
	<-f.ended
	unix.Close(f.dev) // which aborts it, too
	f.dev = -1
}
