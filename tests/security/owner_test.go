package security

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
func ownerOf(t *testing.T, ns *os.File) uint32 {
	t.Helper()
	uid, err := unix.IoctlGetUint32(int(ns.Fd()), unix.NS_GET_OWNER_UID)
	must(t, err)
	return uid
}

// enterWithout has uid 0 without a capability, as in a container that has no user namespace, enter a mount and a user namespace and
// look for a file there. How it comes by them (file handles of nsfs, Linux 6.18) does not matter here.
func enterWithout(fds []*os.File, file string) (string, error) {
	cmd := exec.Command("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", host.attack, "enter", file)
	cmd.ExtraFiles = fds
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// namespaceFds are a process's mount namespace and the user namespace that it belongs to.
func namespaceFds(t *testing.T, pid int) []*os.File {
	t.Helper()
	mounts, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	must(t, err)
	t.Cleanup(func() { mounts.Close() })
	user, err := unix.IoctlRetInt(int(mounts.Fd()), unix.NS_GET_USERNS)
	must(t, err)
	file := os.NewFile(uintptr(user), "user namespace")
	t.Cleanup(func() { file.Close() })
	return []*os.File{mounts, file}
}

// startedBy is the process that a runtime has made for the container, while it runs its opener: both are below the test.
func startedBy(t *testing.T, opener int) int {
	t.Helper()
	parent := func(pid int) int {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		must(t, err)
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		n, err := strconv.Atoi(fields[1])
		must(t, err)
		return n
	}
	stub := parent(opener)
	rt, found := parent(stub), 0
	eventually(t, "there is a process of the container", func() bool {
		children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", rt))
		for _, file := range children {
			text, _ := os.ReadFile(file)
			for _, child := range strings.Fields(string(text)) {
				if n, _ := strconv.Atoi(child); n != stub {
					found = n
				}
			}
		}
		return found != 0
	})
	return found
}

// TestEnterNewMountNamespace: a process gets, with all capabilities of the user namespace that it belongs to and uid 0 of the host, into
// the mount namespace of a container that is being created, and into the copy of the host's mounts that its opener has. It finds no file
// of the host. It succeeds against a runtime that makes the container's as a copy of the host's.
func TestEnterNewMountNamespace(t *testing.T) {
	for _, how := range []string{"new user namespace", "joined user namespace", "mounts add"} {
		t.Run(how, func(t *testing.T) {
			prepare := func(v *victim) { mapped(v); v.give(200000, "bundle/rootfs") }
			v := newVictim(t, prepare)
			held := newHeldDir(t, v.dir+"/held")
			volume := specs.Mount{Destination: "/first", Type: "bind", Source: held.path + "/x", Options: []string{"rbind"}}
			v.file("public", "the host's\n", 0o644)
			act := v.create
			switch how {
			case "mounts add":
				v.write()
				v.up()
				act = func() result { return v.mounts("add", volume) }
			case "joined user namespace":
				pod := newVictim(t, prepare).up()
				v.spec.Linux.Namespaces[len(v.spec.Linux.Namespaces)-1].Path = fmt.Sprintf("/proc/%d/ns/user", pod.pid())
				fallthrough
			default:
				v.spec.Mounts = append(v.spec.Mounts, volume)
				v.write()
			}
			done := make(chan result, 1)
			go func() { done <- act() }()
			t.Cleanup(func() { held.free(); v.remove() })
			var pids []int
			select {
			case pid := <-held.asked:
				if pids = append(pids, pid); how != "mounts add" {
					pids = append(pids, startedBy(t, pid))
				}
			case r := <-done:
				t.Fatalf("it was not held: %s", r)
			}
			for _, pid := range pids {
				cmd := exec.Command(host.attack, "enter", v.dir+"/public")
				cmd.ExtraFiles = namespaceFds(t, pid)
				if out, err := cmd.CombinedOutput(); err != nil {
					comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
					t.Errorf("in the mount namespace of %s: %v, %s", strings.TrimSpace(string(comm)), err, out)
				}
			}
			held.free()
			(<-done).ok(t)
		})
	}
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
				fds := namespaceFds(t, pid)
				out, err := enterWithout(fds, v.dir+"/private")
				if !strings.Contains(out, "setns: Operation not permitted") {
					t.Errorf("uid 0 without capabilities has entered the mount namespace of %d: %v, %q", pid, err, out)
				}
				uid := ownerOf(t, fds[1])
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
