package security

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The owner of a user namespace: the kernel gives all capabilities in it to a process in its parent whose effective uid is that of its
// maker. Root of a container without a user namespace has the uid of the host's root, even without capabilities.

// unused are uids that rt makes user namespaces with.
const unused = 1 << 31

// ownerOf is the uid of the host that owns the user namespace.
func ownerOf(t *testing.T, ns int) uint32 {
	t.Helper()
	uid, err := unix.IoctlGetUint32(ns, unix.NS_GET_OWNER_UID)
	must(t, err)
	return uid
}

// enterWithout has uid 0 without a capability, as in a container that has no user namespace, enter a user and a mount namespace and
// read a file there. How it comes by them (file handles of nsfs, Linux 6.18) does not matter here.
func enterWithout(mounts, user int, file string) (string, error) {
	var fds [2]*os.File
	for i, ns := range []int{mounts, user} {
		fd, err := unix.FcntlInt(uintptr(ns), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return "", err
		}
		fds[i] = os.NewFile(uintptr(fd), "namespace")
		defer fds[i].Close()
	}
	cmd := exec.Command("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "nsenter", "--preserve-credentials",
		"--mount=/proc/self/fd/3", "--user=/proc/self/fd/4", "--", "cat", file)
	cmd.ExtraFiles = fds[:]
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestUserNamespaceOwner: a container's user namespace, and the one that its opener's copy of the host's mounts belongs to, have
// an owner whose uid no process has, and each has another. Succeeds against a runtime that makes them as uid 0, in every create.
func TestUserNamespaceOwner(t *testing.T) {
	for _, hostRoot := range []bool{false, true} {
		t.Run(fmt.Sprintf("the host's root is mapped %v", hostRoot), func(t *testing.T) {
			v := newVictim(t, mapped, func(v *victim) {
				if hostRoot {
					v.spec.Linux.UIDMappings[0].HostID, v.spec.Linux.GIDMappings[0].HostID = 0, 0
				} else {
					v.give(200000, "bundle/rootfs")
				}
			})
			held := newHeldDir(t, v.dir+"/held")
			v.spec.Mounts = append(v.spec.Mounts, specs.Mount{Destination: "/first", Type: "bind", Source: held.path + "/x", Options: []string{"rbind"}})
			v.write()
			v.file("private", "the host's\n", 0o600)
			done := make(chan result, 1)
			go func() { done <- v.create() }()
			t.Cleanup(func() { held.free(); v.remove() })
			owners := map[uint32]int{}
			owned := func(pid int) {
				mounts, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
				must(t, err)
				defer unix.Close(mounts)
				user, err := unix.IoctlRetInt(mounts, unix.NS_GET_USERNS)
				must(t, err)
				defer unix.Close(user)
				out, err := enterWithout(mounts, user, v.dir+"/private")
				if err == nil {
					t.Errorf("uid 0 without capabilities has entered the mount namespace of %d and read %q", pid, out)
				}
				uid := ownerOf(t, user)
				if uid < unused {
					t.Errorf("the owner of the user namespace that the mount namespace of %d belongs to is uid %d, want one of %d or more", pid, uid, unused)
				}
				owners[uid] = pid
			}
			select {
			case pid := <-held.asked:
				owned(pid)
			case r := <-done:
				t.Errorf("the source was not opened by an opener: %s", r)
				done <- r
			}
			held.free()
			(<-done).ok(t)
			pid := v.pid()
			owned(pid)
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			must(t, err)
			id := 200000
			if hostRoot {
				id = 0
			}
			if want := fmt.Sprintf("Uid:\t%d\t%d\t%d\t%d\n", id, id, id, id); !strings.Contains(string(status), want) {
				t.Errorf("the container's process has not the ids %q:\n%s", want, status)
			}
			if len(owners) != 2 {
				t.Errorf("owners and processes are %v, want one of the opener and another of the container", owners)
			}
		})
	}
}
