package nsenter_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rt/internal/sys"
	"rt/nsenter"

	"golang.org/x/sys/unix"
)

func TestUmask(t *testing.T) {
	old := syscall.Umask(0o035)
	defer syscall.Umask(old)
	for _, c := range []struct {
		plan steps
		want string
	}{
		{steps{cloneOnly, stop}, "0000"}, // modes of steps are meant as they are
		{steps{cloneOnly, nsenter.Umask{Mask: 0o127}, stop}, "0127"},
		{steps{cloneOnly, nsenter.Umask{}, stop}, "0000"},
	} {
		if have := start(t, c.plan).sync(nsenter.SyncReady).field("status", "Umask:"); have != c.want {
			t.Errorf("umask %s, wanted %s", have, c.want)
		}
	}
}

func TestScheduling(t *testing.T) {
	b := start(t, steps{cloneOnly, nsenter.Personality{Domain: 8}, nsenter.Scheduler{Policy: unix.SCHED_BATCH, Nice: 7},
		nsenter.IOPriority{Class: 2, Level: 6}, stop}).sync(nsenter.SyncReady)
	if have := strings.TrimSpace(read(t, b.proc("personality"))); have != "00000008" {
		t.Errorf("personality %s", have)
	}
	attr, err := unix.SchedGetAttr(b.pid, 0)
	if err != nil || attr.Policy != unix.SCHED_BATCH || attr.Nice != 7 {
		t.Errorf("scheduler %+v, %v", attr, err)
	}
	if prio, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(b.pid), 0); errno != 0 || prio != 2<<13|6 {
		t.Errorf("io priority %x, %v", prio, errno)
	}
	start(t, steps{cloneOnly, nsenter.Scheduler{Policy: 99}}).fails(1, unix.EINVAL, "sched_setattr")
	start(t, steps{cloneOnly, nsenter.Scheduler{Policy: unix.SCHED_FIFO}}).fails(1, unix.EINVAL, "sched_setattr") // priority 0
	start(t, steps{cloneOnly, nsenter.IOPriority{Class: 7}}).fails(1, unix.EINVAL, "ioprio_set")
}

func TestMemPolicy(t *testing.T) {
	for _, c := range []struct {
		step nsenter.MemPolicy
		want string
	}{
		{nsenter.MemPolicy{Mode: unix.MPOL_BIND | unix.MPOL_F_STATIC_NODES, Nodes: []uint64{1}}, "bind=static:0"},
		{nsenter.MemPolicy{Mode: unix.MPOL_INTERLEAVE, Nodes: append([]uint64{1}, make([]uint64, 15)...)}, "interleave:0"},
		{nsenter.MemPolicy{Mode: unix.MPOL_LOCAL}, "local"},
	} {
		b := start(t, steps{cloneOnly, c.step, stop}).sync(nsenter.SyncReady)
		if maps := read(t, b.proc("numa_maps")); !strings.Contains(maps, " "+c.want+" ") {
			t.Errorf("%s: %s", c.want, maps)
		}
	}
	start(t, steps{cloneOnly, nsenter.MemPolicy{Mode: 99}}).fails(1, unix.EINVAL, "set_mempolicy")
	start(t, steps{cloneOnly, nsenter.MemPolicy{Mode: unix.MPOL_BIND, Nodes: make([]uint64, 16)}}).fails(1, unix.EINVAL, "set_mempolicy")
}

// TestChownStdio: pipes and sockets are given to the user; a file and a device never are. A user who owns a file can make it
// set-user-ID, and others have chowned the host's /dev/null.
func TestChownStdio(t *testing.T) {
	b := start(t, steps{cloneOnly, nsenter.ChownStdio{UID: 1234, GID: 1}, stop}).sync(nsenter.SyncReady)
	for _, name := range []string{b.output.Name(), os.DevNull} {
		if st := stat(t, name); st.Uid != 0 || st.Gid != 0 {
			t.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
		}
	}
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	socket := os.NewFile(uintptr(pair[1]), "socket")
	startStdio(t, nsenter.Stdio{r, w, socket}, 0, steps{cloneOnly, nsenter.ChownStdio{UID: 1234, GID: 1}, stop}).sync(nsenter.SyncReady)
	for _, f := range []*os.File{r, socket} {
		var st unix.Stat_t
		must(t, unix.Fstat(int(f.Fd()), &st))
		if st.Uid != 1234 || st.Gid != 0 {
			t.Errorf("%s belongs to %d:%d, want 1234:0", f.Name(), st.Uid, st.Gid)
		}
	}
	// Who may not is not stopped by that.
	r, w, err = os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	startStdio(t, nsenter.Stdio{r, w, w}, 0, steps{cloneOnly, nsenter.Capabilities{}, nsenter.ChownStdio{UID: 1234}, stop}).sync(nsenter.SyncReady)
}

// TestOwnNull: the program's null device is the container's node, or one that nobody else has, but never the host's.
func TestOwnNull(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(root string)
		own  bool // the container has a null device
	}{
		{"its own", func(root string) { must(t, unix.Mknod(root+"/dev/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))) }, true},
		{"none", func(string) {}, false},
		{"another device", func(root string) { must(t, unix.Mknod(root+"/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5)))) }, false},
		{"a FIFO", func(root string) { must(t, unix.Mkfifo(root+"/dev/null", 0o666)) }, false},
		{"a link", func(root string) {
			must(t, unix.Mknod(root+"/dev/other", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
			must(t, os.Symlink("other", root+"/dev/null"))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			needRoot(t)
			root := rootfs(t, "dev/")
			c.make(root)
			b := start(t, inside(root, nsenter.ChownStdio{UID: 1000}, stop)).sync(nsenter.SyncReady)
			var got unix.Stat_t
			must(t, unix.Stat(b.proc("fd/0"), &got))
			host := stat(t, os.DevNull)
			if got.Rdev != host.Rdev || got.Dev == host.Dev {
				t.Errorf("stdin is device %#x on file system %#x, the host's null device %#x on %#x", got.Rdev, got.Dev, host.Rdev, host.Dev)
			}
			if own := stat(t, root+"/dev"); (own.Dev == got.Dev) != c.own {
				t.Errorf("stdin is on file system %#x, the container's /dev on %#x", got.Dev, own.Dev)
			}
			if flags := strings.Fields(strings.SplitN(read(t, b.proc("fdinfo/0")), "flags:", 2)[1])[0]; flags[len(flags)-4:] != "0002" {
				t.Errorf("stdin is open with flags %s, want only O_RDWR", flags)
			}
		})
	}
}

func TestChdir(t *testing.T) {
	root := rootfs(t, "a/b/", "file", "link -> /a", "private/in/", "loop -> loop")
	must(t, os.Chmod(root+"/private", 0o700))
	must(t, os.Chown(root+"/private", 1000, 1000))
	for path, want := range map[string]string{"/a/b": "/a/b", "/link/b": "/a/b", "/": "/", "": "/", "/../..": "/"} {
		if have := link(t, start(t, inside(root, nsenter.Chdir{Path: path}, stop)).sync(nsenter.SyncReady).proc("cwd")); have != want {
			t.Errorf("chdir %q: in %s", path, have)
		}
	}
	start(t, inside(root, nsenter.Chdir{Path: "/none"})).fails(pivoted, unix.ENOENT, "open")
	start(t, inside(root, nsenter.Chdir{Path: "/file", Retry: true})).fails(pivoted, unix.ENOTDIR, "open")
	start(t, inside(root, nsenter.Chdir{Path: "/loop"})).fails(pivoted, unix.ELOOP, "open")
	start(t, inside(root, nsenter.Chdir{Path: "/proc/self/root"})).fails(pivoted, unix.ELOOP, "open")

	// Where the user alone may enter, the step is tried again as the user; where the user may not, root has been.
	noCaps := nsenter.Capabilities{}
	private, retry := nsenter.Chdir{Path: "/private/in"}, nsenter.Chdir{Path: "/private/in", Retry: true}
	user := nsenter.Credentials{UID: 1000, GID: 1000}
	drop := nsenter.Capabilities{Effective: 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID, Permitted: 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID}
	b := start(t, inside(root, drop, retry, user, private, stop)).sync(nsenter.SyncReady)
	if have := link(t, b.proc("cwd")); have != "/private/in" {
		t.Errorf("in %s", have)
	}
	user.UID = 1001
	b = start(t, inside(root, retry, user, private, noCaps, stop)).sync(nsenter.SyncReady)
	if have := link(t, b.proc("cwd")); have != "/private/in" {
		t.Errorf("in %s", have)
	}
	start(t, inside(root, drop, retry, user, private)).fails(pivoted+3, unix.EACCES, "open")
}

// TestChdirRootfs: the one directory, and no link on the way to it.
func TestChdirRootfs(t *testing.T) {
	root := rootfs(t, "a/b/", "a/c/", "link -> a", "file")
	b := stat(t, root+"/a/b")
	in := func(path string) nsenter.ChdirRootfs { return nsenter.ChdirRootfs{Path: path, Dev: b.Dev, Ino: b.Ino} }
	if have := link(t, start(t, inside(root, in("/a/b"), stop)).sync(nsenter.SyncReady).proc("cwd")); have != "/a/b" {
		t.Errorf("in %s", have)
	}
	start(t, inside(root, in("/link/b"))).fails(pivoted, unix.ELOOP, "open")
	start(t, inside(root, in("/a/c"))).fails(pivoted, unix.ESTALE, "rootfs changed while it was opened")
	start(t, inside(root, in("/none"))).fails(pivoted, unix.ENOENT, "open")
	start(t, inside(root, in("/file"))).fails(pivoted, unix.ENOTDIR, "open")
	other := in("/a/b")
	other.Dev++
	start(t, inside(root, other)).fails(pivoted, unix.ESTALE, "rootfs changed while it was opened")
}

// CVE-2024-21626: a directory that no path of the container leads to.
func TestChdirOutside(t *testing.T) {
	root := rootfs(t)
	start(t, inside(root, nsenter.JoinNS{File: 0, Type: unix.CLONE_NEWNS}, nsenter.Chdir{Path: "/tmp"}), open(t, "/proc/self/ns/mnt", os.O_RDONLY)).
		fails(pivoted+1, unix.EXDEV, "current working directory is outside of container mount namespace root -- possible container breakout detected")
}

func TestFindExec(t *testing.T) {
	root := rootfs(t, "dir/", "plain", "bad", "elsewhere/bad")
	must(t, os.Chmod(root+"/bad", 0o755))
	must(t, os.WriteFile(root+"/bad", []byte("neither ELF nor #!"), 0o755))
	find := func(paths ...string) steps { return inside(root, nsenter.FindExec{Arg: "x", Candidates: paths}) }
	run := nsenter.ExecHost{Args: []string{"echo", "found"}}
	if out := start(t, append(find("/none/echo", "/dir", "/plain", "/bin/busybox", "/bad"), run)).ends(); out != "found\n" {
		t.Errorf("%q", out)
	}
	start(t, find("/none")).fails(pivoted, unix.ENOENT, "find")
	start(t, find("/none", "/none/either")).fails(pivoted, unix.ENOENT, "find")
	start(t, find("/plain")).fails(pivoted, unix.EACCES, "find")
	start(t, find("/none", "/plain", "/none")).fails(pivoted, unix.EACCES, "find")
	start(t, find("/dir")).fails(pivoted, unix.EISDIR, "find")
	start(t, find("/none", "/dir")).fails(pivoted, unix.ENOENT, "find")
	must(t, os.Symlink("loop", root+"/loop"))
	start(t, append(find("/plain/echo", "/loop", "/bin/busybox"), run)).fails(pivoted, unix.ELOOP, "find")
	start(t, find("/plain/x")).fails(pivoted, unix.ENOTDIR, "find")
	start(t, append(find("/bad"), run)).fails(pivoted+1, unix.ENOEXEC, "execve")
	start(t, inside(root, nsenter.ExecHost{Args: []string{"/none"}})).fails(pivoted, unix.ENOENT, "execve")
}

func TestExec(t *testing.T) {
	root := rootfs(t)
	out := start(t, inside(root, nsenter.ExecHost{Args: []string{"/bin/busybox", "sh", "-c", `echo "$0|$1|$2"; busybox env`, "", "a b", "\xff"},
		Env: []string{"A=1", "PATH=/bin", "B="}})).ends()
	if !strings.HasPrefix(out, "|a b|\xff\n") || !strings.Contains(out, "A=1\n") || !strings.Contains(out, "B=\n") || strings.Contains(out, "_RT_STUB") {
		t.Errorf("%q", out)
	}
}

// TestProgramThatCannotBeExecuted: its failure is its end, with the words of Go on stderr, for each error that execve(2) knows and
// for one that it does not; a failure that is rt's is told.
func TestProgramThatCannotBeExecuted(t *testing.T) {
	root := rootfs(t)
	const actErrno = 0x50000
	refused := func(errno unix.Errno, f nsenter.Failure, args ...string) *box {
		rights := nsenter.Rights{Bounding: ^uint64(0), Cwd: "/", NoNewPrivs: true, Failure: f,
			Filter: &nsenter.Seccomp{Program: filter(unix.SYS_EXECVE, actErrno|uint32(errno))}}
		return start(t, inside(root, rights.Program(nil, args, nil)...))
	}
	ends := func(errno unix.Errno, b *box, want string) {
		t.Helper()
		b.proc("") // which awaits the pid
		if r := b.next(); r == nil || r.Type != nsenter.ReplyNoProgram || unix.Errno(r.Value) != errno {
			t.Errorf("%v: got %+v", errno, r)
		}
		if ws := b.reap(b.pid, false); ws.ExitStatus() != 255 {
			t.Errorf("%v: status %#x", errno, ws)
		}
		if got, _, _ := strings.Cut(b.text(), "\n"); got != want {
			t.Errorf("stderr has %q, want %q", got, want)
		}
	}
	own := nsenter.Failure{OwnEnd: true}
	for _, errno := range []unix.Errno{unix.ENOEXEC, unix.ENOENT, unix.EACCES, unix.E2BIG, unix.EAGAIN, unix.EINVAL, unix.EIO, unix.EISDIR,
		unix.ELIBBAD, unix.ELOOP, unix.EMFILE, unix.ENAMETOOLONG, unix.ENFILE, unix.ENOMEM, unix.ENOSYS, unix.ENOTDIR, unix.EPERM, unix.ETXTBSY} {
		ends(errno, refused(errno, own, "/x"), "exec /x: "+errno.Error())
	}
	ends(1000, refused(1000, own, "/x"), "exec /x: errno 1000")
	long := "/" + strings.Repeat("x", 10000)
	ends(unix.EPERM, refused(unix.EPERM, own, long), "exec "+long[:4095]+": operation not permitted")
	but := nsenter.Failure{OwnEnd: true, But: unix.ENOSYS}
	ends(unix.EPERM, refused(unix.EPERM, but, "/x"), "exec /x: operation not permitted")
	for _, b := range []*box{refused(unix.ENOSYS, but, "/x"), refused(unix.ENOSYS, nsenter.Failure{}, "/x")} {
		b.fails(b.total-1, unix.ENOSYS, "execve")
		if got := b.text(); got != "" {
			t.Errorf("stderr has %q besides the error of rt", got)
		}
	}
}

// A listening socket, as `rt create` leaves it behind for `rt start`.
func listen(t *testing.T) (listener *os.File, connect func() *nsenter.Stub) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "start")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	listener = os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { listener.Close() })
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	must(t, unix.Listen(fd, 1))
	return listener, func() *nsenter.Stub {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		conv := os.NewFile(uintptr(fd), "conv")
		t.Cleanup(func() { conv.Close() })
		must(t, unix.Connect(fd, &unix.SockaddrUnix{Name: path}))
		return nsenter.Connect(conv)
	}
}

func TestAwaitStart(t *testing.T) {
	root := rootfs(t)
	await := func(last ...step) (*box, func() *nsenter.Stub) {
		listener, connect := listen(t)
		b := start(t, inside(root, append(steps{nsenter.Sync{Point: nsenter.SyncReady, Heed: true}, nsenter.AwaitStart{Listener: 0}}, last...)...), listener).sync(nsenter.SyncReady).goOn()
		b.proc("")
		if r := b.next(); r != nil {
			t.Fatalf("the first conversation goes on: %+v", r)
		}
		return b, connect
	}
	b, connect := await(shell("echo started"))
	caller := connect()
	must(t, caller.Go())
	if r, err := caller.Receive(); r != nil {
		t.Errorf("got %+v, %v instead of the end", r, err)
	}
	if ws := b.reap(b.pid, false); ws != 0 || b.text() != "started\n" {
		t.Errorf("status %#x, output %q", ws, b.text())
	}
	// What fails after that is told to the one who starts.
	b, connect = await(nsenter.ExecHost{Args: []string{"/none"}})
	caller = connect()
	must(t, caller.Go())
	if r, err := caller.Receive(); err != nil || r.Type != nsenter.ReplyError || unix.Errno(r.Value) != unix.ENOENT || r.Text != "execve" || r.Left != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	if ws := b.reap(b.pid, false); ws.ExitStatus() != 1 {
		t.Errorf("status %#x", ws)
	}
	// Who connects and goes away has not started it.
	b, connect = await(shell("echo started"))
	connect().Close()
	if ws := b.reap(b.pid, false); ws.ExitStatus() != 1 || b.text() != "" {
		t.Errorf("status %#x, output %q", ws, b.text())
	}
	// Without a listener it does not wait for ever.
	start(t, steps{nsenter.AwaitStart{Listener: nsenter.NoSlot}}).fails(0, unix.EBADF, "await start")
	// The first process of a pid namespace can be ended by a signal all the same.
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT} {
		b, _ = await(shell("echo started"))
		waitFor(t, "the handlers", func() bool { return b.field("status", "SigCgt:") != "0000000000000000" })
		must(t, unix.Kill(b.pid, sig))
		if ws := b.reap(b.pid, false); ws.ExitStatus() != 128+int(sig) {
			t.Errorf("%v: status %#x", sig, ws)
		}
	}
}

func waitFor(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func TestRlimit(t *testing.T) {
	b := start(t, steps{cloneOnly, nsenter.Rlimit{Number: unix.RLIMIT_NOFILE, Soft: 100, Hard: 200},
		nsenter.Rlimit{Number: unix.RLIMIT_CORE, Soft: 0, Hard: 4096}, stop}).sync(nsenter.SyncReady)
	if have := b.field("limits", "Max open files"); have != "100 200 files" {
		t.Errorf("open files: %s", have)
	}
	if have := b.field("limits", "Max core file size"); have != "0 4096 bytes" {
		t.Errorf("core file size: %s", have)
	}
	start(t, steps{cloneOnly, nsenter.Rlimit{Number: unix.RLIMIT_NOFILE, Soft: 2, Hard: 1}}).fails(1, unix.EINVAL, "prlimit")
	start(t, steps{cloneOnly, nsenter.Rlimit{Number: 99}}).fails(1, unix.EINVAL, "prlimit")
	start(t, steps{cloneOnly, nsenter.Rlimit{Number: unix.RLIMIT_NOFILE, Soft: 8, Hard: 8}, nsenter.Capabilities{},
		nsenter.Rlimit{Number: unix.RLIMIT_NOFILE, Soft: 8, Hard: 9}}).fails(3, unix.EPERM, "prlimit")
}

func TestIdentity(t *testing.T) {
	const chown, kill, netBind, setpcap = 1 << unix.CAP_CHOWN, 1 << unix.CAP_KILL, 1 << unix.CAP_NET_BIND_SERVICE, 1 << unix.CAP_SETPCAP
	user := nsenter.Credentials{UID: 1000, GID: 1001, Groups: []uint32{5, 7, 1 << 20}}
	b := start(t, steps{cloneOnly, nsenter.NoNewPrivs{}, nsenter.Bounding{Keep: chown | kill | netBind}, user,
		nsenter.Capabilities{Effective: kill, Permitted: kill | netBind | chown, Inheritable: kill | netBind, Ambient: netBind}, stop}).sync(nsenter.SyncReady)
	for name, want := range map[string]string{
		"Uid:": "1000 1000 1000 1000", "Gid:": "1001 1001 1001 1001", "Groups:": "5 7 1048576", "NoNewPrivs:": "1",
		"CapBnd:": fmt.Sprintf("%016x", chown|kill|netBind), "CapEff:": fmt.Sprintf("%016x", kill),
		"CapPrm:": fmt.Sprintf("%016x", kill|netBind|chown), "CapInh:": fmt.Sprintf("%016x", kill|netBind), "CapAmb:": fmt.Sprintf("%016x", netBind),
	} {
		if have := b.field("status", name); have != want {
			t.Errorf("%s %s, wanted %s", name, have, want)
		}
	}
	b = start(t, steps{cloneOnly, user, nsenter.Credentials{UID: 1000, GID: 1001}, stop})
	b.fails(2, unix.EPERM, "setgroups")
	for _, c := range []struct {
		cred nsenter.Credentials
		want string
	}{{nsenter.Credentials{UID: 9, GID: 9}, ""}, {nsenter.Credentials{Groups: []uint32{0}}, "0"}} {
		if have := start(t, steps{cloneOnly, c.cred, stop}).sync(nsenter.SyncReady).field("status", "Groups:"); have != c.want {
			t.Errorf("groups %q, wanted %q", have, c.want)
		}
	}
	kept := start(t, steps{cloneOnly, nsenter.Credentials{UID: 0, Groups: []uint32{8}}, nsenter.Credentials{UID: 1, KeepGroups: true}, stop})
	if have := kept.sync(nsenter.SyncReady).field("status", "Groups:"); have != "8" {
		t.Errorf("groups %q were not kept", have)
	}
	// They stay only where the user namespace denies setgroups(2).
	try := steps{nsenter.Clone{Flags: unix.CLONE_NEWUSER, Cgroup: nsenter.NoSlot}, nsenter.Sync{Point: nsenter.SyncMapIDs},
		nsenter.Credentials{TryGroups: true}, stop}
	for deny, want := range map[string]string{"allow": "", "deny": "8"} {
		b := start(t, append(steps{nsenter.SetUser{Groups: []uint32{8}}}, try...)).sync(nsenter.SyncMapIDs)
		must(t, os.WriteFile(b.proc("setgroups"), []byte(deny), 0))
		must(t, os.WriteFile(b.proc("uid_map"), []byte("0 0 1000"), 0))
		must(t, os.WriteFile(b.proc("gid_map"), []byte("0 0 1000"), 0))
		if have := b.goOn().sync(nsenter.SyncReady).field("status", "Groups:"); have != want {
			t.Errorf("%s: groups %q, wanted %q", deny, have, want)
		}
	}
	start(t, steps{cloneOnly, nsenter.Capabilities{}, nsenter.Credentials{TryGroups: true}}).fails(2, unix.EPERM, "setgroups")
	start(t, steps{cloneOnly, nsenter.Capabilities{}, nsenter.Bounding{}}).fails(2, unix.EPERM, "prctl PR_CAPBSET_DROP")
	// What is dropped already need not be dropped again.
	b = start(t, steps{cloneOnly, nsenter.Bounding{}, nsenter.Capabilities{}, nsenter.Bounding{}, stop}).sync(nsenter.SyncReady)
	if have := b.field("status", "CapBnd:"); have != "0000000000000000" {
		t.Errorf("bounding set %s, want none", have)
	}
	start(t, steps{cloneOnly, nsenter.Capabilities{Permitted: kill}, nsenter.Capabilities{Permitted: chown}}).fails(2, unix.EPERM, "capset")
	start(t, steps{cloneOnly, nsenter.Capabilities{Effective: kill}}).fails(1, unix.EPERM, "capset")
	start(t, steps{cloneOnly, nsenter.Capabilities{Permitted: kill, Ambient: kill}}).fails(1, unix.EPERM, "prctl PR_CAP_AMBIENT_RAISE")
	start(t, steps{cloneOnly, nsenter.Capabilities{Permitted: setpcap, Effective: setpcap}, nsenter.Credentials{KeepGroups: true, GID: 1}}).fails(2, unix.EPERM, "setresgid")
	start(t, steps{cloneOnly, nsenter.Capabilities{Permitted: setpcap, Effective: setpcap}, nsenter.Credentials{KeepGroups: true, UID: 1}}).fails(2, unix.EPERM, "setresuid")
	// Capabilities survive execve for a user that is not root by the ambient set alone.
	out := sh(t, inside(rootfs(t), user, nsenter.Capabilities{Effective: kill, Permitted: kill | netBind, Inheritable: netBind, Ambient: netBind}),
		"grep CapEff /proc/self/status")
	if out != fmt.Sprintf("CapEff:\t%016x", netBind) {
		t.Errorf("after execve: %q", out)
	}
}

// filter is a seccomp filter that has an action for one system call and lets the others pass.
func filter(call uint32, action uint32) []byte {
	var out []byte
	for _, i := range []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
		{Code: unix.BPF_RET, K: action},
		{Code: unix.BPF_RET, K: 0x7fff0000},
	} {
		out = binary.NativeEndian.AppendUint16(out, i.Code)
		out = append(out, i.Jt, i.Jf)
		out = binary.NativeEndian.AppendUint32(out, i.K)
	}
	return out
}

func TestSeccomp(t *testing.T) {
	root := rootfs(t)
	const actErrno, actNotify, newListener = 0x50000, 0x7fc00000, 8
	deny := filter(unix.SYS_MKDIR, actErrno|uint32(unix.EOVERFLOW))
	if out := sh(t, inside(root, nsenter.Seccomp{Program: deny}), "mkdir /x; grep Seccomp: /proc/self/status"); out !=
		"mkdir: can't create directory '/x': Value too large for defined data type\nSeccomp:\t2" && out != "mkdir: can't create directory '/x': Value too large for data type\nSeccomp:\t2" {
		t.Errorf("%q", out)
	}
	b := start(t, steps{cloneOnly, nsenter.Seccomp{Program: filter(unix.SYS_MKDIR, actNotify), Flags: newListener, Notify: true}, stop})
	// Its number is told first; who cannot take it has it sent.
	r := b.next()
	if r == nil || r.Type != nsenter.ReplyListener {
		t.Fatalf("wanted the listener's number, got %+v", r)
	}
	must(t, b.stub.SendListener())
	r = b.next()
	if r == nil || r.Type != nsenter.ReplyFd || r.Value != 1 || r.File == nil {
		t.Fatalf("wanted the listener, got %+v", r)
	}
	if have := link(t, fmt.Sprintf("/proc/self/fd/%d", r.File.Fd())); have != "anon_inode:seccomp notify" {
		t.Errorf("the listener is %s", have)
	}
	r.File.Close()
	b.sync(nsenter.SyncFiltered).sync(nsenter.SyncReady)
	// Or it is sent at once. The calls until SyncFiltered can be held up, and are allowed by who has it.
	for _, call := range []uint32{unix.SYS_CLOSE, unix.SYS_READ} {
		b = start(t, steps{cloneOnly, nsenter.Seccomp{Program: filter(call, actNotify), Flags: newListener, Notify: true, Send: true}, stop})
		if r = b.next(); r == nil || r.Type != nsenter.ReplyFd || r.Value != 1 || r.File == nil {
			t.Fatalf("wanted the listener, got %+v", r)
		}
		allowed := 0
		for said := nsenter.ReplyPid; said == nsenter.ReplyPid; { // the process that has cloned may say the pid late
			there, err := b.stub.AwaitEither(r.File)
			must(t, err)
			if !there {
				must(t, sys.AllowCall(r.File))
				allowed++
				continue
			}
			filtered, err := b.stub.Receive()
			must(t, err)
			if said = filtered.Type; said != nsenter.ReplyPid && (said != nsenter.ReplySync || filtered.Value != nsenter.SyncFiltered) {
				t.Errorf("wanted SyncFiltered, got %+v", filtered)
			}
		}
		if want := map[uint32]int{unix.SYS_CLOSE: 1}[call]; allowed != want {
			t.Errorf("%d calls were held up, want %d", allowed, want)
		}
		r.File.Close()
	}
	start(t, steps{cloneOnly, nsenter.Seccomp{Program: make([]byte, 16)}}).fails(1, unix.EINVAL, "seccomp")
	start(t, steps{cloneOnly, nsenter.Seccomp{}}).fails(1, unix.EINVAL, "seccomp")
	start(t, steps{cloneOnly, nsenter.Seccomp{Program: deny, Flags: 1 << 30}}).fails(1, unix.EINVAL, "seccomp")
	start(t, steps{cloneOnly, nsenter.Capabilities{}, nsenter.Seccomp{Program: deny}}).fails(2, unix.EACCES, "seccomp")
	start(t, steps{cloneOnly, nsenter.Capabilities{}, nsenter.NoNewPrivs{}, nsenter.Seccomp{Program: deny}, stop}).sync(nsenter.SyncReady)
}

// What rt hands down is there below First, and nothing else of rt's or the stub's own.
func TestCloseFds(t *testing.T) {
	root := rootfs(t)
	for fd := 3; fd <= 5; fd++ { // rt's own, which may or may not be open here
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			null := open(t, os.DevNull, os.O_RDONLY)
			if int(null.Fd()) != fd {
				must(t, unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC))
				t.Cleanup(func() { unix.Close(fd) })
			}
		}
	}
	for extra, want := range map[int]string{0: "0 1 2 3", 2: "0 1 2 3 4 5"} { // the last one is ls's own
		b := startExtra(t, extra, inside(root, nsenter.CloseFds{First: 3 + extra}, nsenter.ExecHost{Args: []string{"/bin/busybox", "ls", "/proc/self/fd"}}))
		if out := strings.Join(strings.Fields(b.ends()), " "); out != want {
			t.Errorf("with %d: %s", extra, out)
		}
	}
	b := startExtra(t, 3, inside(root, nsenter.CloseFds{First: 4}, nsenter.ExecHost{Args: []string{"/bin/busybox", "ls", "/proc/self/fd"}}))
	if out := strings.Join(strings.Fields(b.ends()), " "); out != "0 1 2 3 4" {
		t.Errorf("with 3, of which one is handed down: %s", out)
	}
}

// TestHandOut: a process that waits for its start, and an init, give the descriptors of their root and namespaces to the user who
// made the socket, to nobody else.
func TestHandOut(t *testing.T) {
	root := rootfs(t)
	name := fmt.Sprintf("@rt-test-%d", os.Getpid())
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(t, err)
	asked := os.NewFile(uintptr(fd), name)
	defer asked.Close()
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: name}))
	must(t, unix.Listen(fd, 1))
	listener, connect := listen(t)
	b := start(t, append(within(root, nsenter.MountFS{Type: "proc", Target: "/proc", Source: "proc"}, nsenter.HandOut{Listener: 1}, nsenter.Pivot{}),
		nsenter.Sync{Point: nsenter.SyncReady}, nsenter.AwaitStart{Listener: 0}, nsenter.Init{Steps: 2}, nsenter.CloseFds{First: 3}, shell("sleep 1000")),
		listener, asked).sync(nsenter.SyncReady).goOn()
	ask := func() (got []string, err error) {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		defer unix.Close(fd)
		must(t, unix.Connect(fd, &unix.SockaddrUnix{Name: name}))
		files, err := nsenter.ReceiveFiles(fd)
		for _, f := range files {
			link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
			must(t, err)
			got = append(got, link)
			f.Close()
		}
		return got, err
	}
	wants := func(when string) {
		t.Helper()
		got, err := ask()
		must(t, err)
		for _, kind := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
			link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b.pid, kind))
			must(t, err)
			if !slices.Contains(got[1:], link) {
				t.Errorf("%s: %v is without %s", when, got, link)
			}
		}
	}
	stranger := func(when string) {
		t.Helper()
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with its uid
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 1000, 1000, 1000); errno != 0 {
				done <- errno
				return
			}
			_, err := ask()
			done <- err
		}()
		if err := <-done; err != io.EOF {
			t.Errorf("%s: another user is answered: %v", when, err)
		}
	}
	wants("waiting")
	stranger("waiting")
	caller := connect()
	wants("while start runs hooks")
	must(t, caller.Go())
	if r, err := caller.Receive(); r != nil {
		t.Fatalf("got %+v, %v instead of the end", r, err)
	}
	for range 5 {
		wants("as init")
		stranger("as init")
	}
	must(t, unix.Kill(b.pid, unix.SIGTERM)) // for the program
	if ws := b.reap(b.pid, false); ws.ExitStatus() != 128+int(unix.SIGTERM) {
		t.Errorf("init has ended with %#x", ws)
	}
}

// TestIgnoredSignals: what rt's process ignores, the container's does not; nor is a signal blocked.
func TestIgnoredSignals(t *testing.T) {
	ignored := []os.Signal{syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR2, syscall.SIGTSTP, syscall.Signal(40), syscall.Signal(64)}
	signal.Ignore(ignored...)
	defer signal.Reset(ignored...)
	if status := read(t, "/proc/self/status"); strings.Contains(status, "SigIgn:\t0000000000000000\n") {
		t.Fatal("this process ignores no signal")
	}
	b := start(t, steps{cloneOnly, stop}).sync(nsenter.SyncReady)
	for _, field := range []string{"SigIgn:", "SigBlk:"} {
		if have := b.field("status", field); have != "0000000000000000" {
			t.Errorf("%s %s, want none", field, have)
		}
	}
}

// TestIgnoredSignalsBehindGroups: so it is where the list of groups is so long that less than the whole of what is ignored is read.
func TestIgnoredSignalsBehindGroups(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and its groups with it
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	const seen = 4095 // bytes: start.c
	for before := seen - 48; before < seen+24; before += 4 {
		must(t, unix.Setgroups(nil))
		var groups []int
		left := before - strings.Index(read(t, "/proc/thread-self/status"), "\nSigIgn:")
		for ; left > 12; left -= 11 {
			groups = append(groups, 1_000_000_000)
		}
		group, err := strconv.Atoi("1" + strings.Repeat("0", left-2))
		must(t, err)
		must(t, unix.Setgroups(append(groups, group)))
		b := start(t, steps{cloneOnly, stop}).sync(nsenter.SyncReady)
		if have := b.field("status", "SigIgn:"); have != "0000000000000000" {
			t.Fatalf("%d bytes before what is ignored: %s, want none", before, have)
		}
	}
}
