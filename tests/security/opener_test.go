package security

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Where the sources of mounts are opened: root of a container's user namespace may enter each mount namespace that belongs to it,
// and mount there. A process with the rights of rt's user must open nothing in one.

// A heldDir is a directory in which every name is a directory. The stub and its opener get an answer only when it is released.
type heldDir struct {
	path  string
	asked chan int // pid of who is held
	free  func()
}

// newHeldDir mounts a file system at path, by FUSE (fuse(4), linux/fuse.h).
func newHeldDir(t *testing.T, path string) *heldDir {
	t.Helper()
	must(t, os.MkdirAll(path, 0o755))
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Mount("held", path, "fuse", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)))
	freed := make(chan struct{})
	h := &heldDir{path: path, asked: make(chan int, 100), free: sync.OnceFunc(func() { close(freed) })}
	t.Cleanup(func() {
		h.free()
		_ = unix.Unmount(path, unix.MNT_DETACH)
	})
	go h.serve(fd, freed)
	return h
}

func (h *heldDir) serve(fd int, freed chan struct{}) {
	defer unix.Close(fd)
	const forget, lookup, getattr, initialize, interrupt, forgetMany = 2, 1, 3, 26, 36, 42
	e := binary.NativeEndian
	attr := make([]byte, 88)
	e.PutUint64(attr, 1)                       // inode
	e.PutUint32(attr[60:], unix.S_IFDIR|0o755) // mode
	e.PutUint32(attr[64:], 2)                  // links
	buf := make([]byte, 1<<17)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR || err == unix.ENOENT {
			continue
		}
		if err != nil || n < 40 {
			return // unmounted
		}
		var reply []byte
		errno := int32(0)
		switch pid := int(e.Uint32(buf[32:])); e.Uint32(buf[4:]) {
		case forget, interrupt, forgetMany:
			continue
		case initialize:
			reply = make([]byte, 64)
			e.PutUint32(reply, 7)
			e.PutUint32(reply[4:], 31)
			e.PutUint32(reply[20:], 4096) // bytes in a write
		case getattr:
			reply = append(make([]byte, 16), attr...)
		case lookup:
			comm, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
			if strings.HasPrefix(string(comm), "rt:[") {
				h.asked <- pid
				<-freed
			}
			reply = append(make([]byte, 40), attr...)
			e.PutUint64(reply, 2) // node; it is not cached
		default:
			errno = -int32(unix.ENOSYS)
		}
		head := make([]byte, 16, 16+len(reply))
		e.PutUint32(head, uint32(16+len(reply)))
		e.PutUint32(head[4:], uint32(errno))
		copy(head[8:], buf[8:16])
		_, _ = unix.Write(fd, append(head, reply...))
	}
}

// bindWherePossible has root of a process's user namespace bind a directory over another one in all mount namespaces that it may
// enter. How it comes by them (file handles of nsfs, NS_MNT_GET_NEXT, a number in /proc) does not matter here.
func bindWherePossible(pid int, from, over string) {
	seen := map[string]bool{}
	files, _ := filepath.Glob("/proc/[0-9]*/ns/mnt")
	for _, file := range files {
		if name, err := os.Readlink(file); err != nil || seen[name] {
			continue
		} else {
			seen[name] = true
		}
		_ = exec.Command("nsenter", fmt.Sprintf("--user=/proc/%d/ns/user", pid), "--mount="+file, "--", "mount", "-o", "bind", from, over).Run()
	}
}

// ofUser makes a victim an ordinary user's.
func ofUser(v *victim) {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: user, Size: 1}}
	v.spec.Linux.UIDMappings, v.spec.Linux.GIDMappings, v.spec.Linux.CgroupsPath = ids, ids, ""
	v.give(user, "root", "bundle")
	copyFile(v.t, host.rt, v.dir+"/rt")
	v.exe = v.dir + "/as-user"
	script := fmt.Sprintf("#!/bin/sh\nexec setpriv --reuid=%d --regid=%d --clear-groups %s/rt \"$@\"\n", user, user, v.dir)
	must(v.t, os.WriteFile(v.exe, []byte(script), 0o755))
}

// TestSourcesSubstituted: while a source is opened, root of the container's user namespace, or a neighbour in one that is joined,
// binds something else over the next one wherever it may, and gets what it has chosen by the rights of rt's user.
func TestSourcesSubstituted(t *testing.T) {
	for _, rootless := range []bool{false, true} {
		for _, add := range []bool{false, true} {
			t.Run(fmt.Sprintf("rootless %v add %v", rootless, add), func(t *testing.T) {
				prepare := func(v *victim) {
					mapped(v)
					if v.give(200000, "bundle/rootfs"); rootless {
						ofUser(v)
					}
				}
				pod, v := newVictim(t, prepare).up(), newVictim(t, prepare)
				v.file("chosen/secret", "what the container has chosen\n", 0o644)
				v.file("volume/secret", "the volume's\n", 0o644)
				held := newHeldDir(t, v.dir+"/held")
				volumes := []specs.Mount{
					{Destination: "/first", Type: "bind", Source: held.path + "/x", Options: []string{"rbind"}},
					{Destination: "/second", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}},
				}
				done := make(chan result, 1)
				if add {
					v.write()
					pod = v.up()
					go func() { done <- v.mounts("add", volumes...) }()
				} else {
					v.spec.Mounts = append(v.spec.Mounts, volumes...)
					last := &v.spec.Linux.Namespaces[len(v.spec.Linux.Namespaces)-1]
					if last.Path = fmt.Sprintf("/proc/%d/ns/user", pod.pid()); last.Type != specs.UserNamespace {
						t.Fatalf("the last namespace is %s", last.Type)
					}
					v.write()
					go func() { done <- v.create() }()
				}
				t.Cleanup(func() { held.free(); v.remove() })
				select {
				case <-held.asked:
				case r := <-done:
					t.Fatalf("it was not held: %s", r)
				}
				bindWherePossible(pod.pid(), v.dir+"/chosen", v.dir+"/volume")
				held.free()
				(<-done).ok(t)
				if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/second/secret", v.pid())); string(text) != "the volume's\n" {
					t.Errorf("the volume has %q, %v", text, err)
				}
			})
		}
	}
}
