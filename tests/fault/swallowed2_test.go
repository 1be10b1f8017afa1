package fault

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestNetDevicesNotForgotten: create and delete --force cannot speak with the kernel's route netlink, or not open a file. A device
// is where it was, whole, or rt has said what is wrong; and while it is in the container's namespace, delete --force
// brings it back.
func TestNetDevicesNotForgotten(t *testing.T) {
	host, box := network(t), network(t)
	l := newLab(t, func(s *specs.Spec) {
		s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"one": {Name: "eth9"}}
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
				s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/net", box)
			}
		}
	})
	nsenter, err := exec.LookPath("nsenter")
	l.must(err)
	l.prefix = []string{nsenter, "--net=/proc/" + strconv.Itoa(host) + "/ns/net"}
	there := func() bool {
		out, _ := ipIn(host, "addr", "show", "one")
		return strings.Contains(out, "10.99.0.1/24") && strings.Contains(out, ",UP")
	}
	create := bundle("create")(l)
	var sends []int // those of create's calls that a device may be moved before
	for _, call := range []int{unix.SYS_SENDTO, unix.SYS_UNLINK} {
		for at := 1; ; at++ {
			back(t, host, box)
			r := l.inject(job{Who: inRt, Do: doFail, Only: call, At: at, Errno: syscall.ENOMEM}, create...)
			if !r.Hit {
				l.ok("delete", "--force", l.id)
				break
			}
			if r.code == 0 {
				l.ok("delete", "--force", l.id)
				continue
			}
			if call == unix.SYS_SENDTO {
				sends = append(sends, at)
			}
			if !there() {
				l.ok("delete", "--force", l.id)
			}
			if !there() && !strings.Contains(r.stderr, "bring network device one back") {
				t.Errorf("create, ENOMEM at call %d of %d: it is not back: %s", at, call, r)
			}
		}
	}
	if len(sends) == 0 {
		t.Fatal("no call of create failed")
	}
	last := sends[len(sends)-1] // the device has been moved by then
	said := 0
	for _, j := range []job{{Only: unix.SYS_SENDTO, Errno: syscall.ENOMEM}, {Only: unix.SYS_OPENAT2, Errno: syscall.EMFILE}, {Only: unix.SYS_OPENAT, Errno: syscall.EMFILE}} {
		for at := 1; ; at++ {
			back(t, host, box)
			l.inject(job{Who: inRt, Do: doKill, Only: unix.SYS_SENDTO, At: last}, create...)
			if there() {
				t.Fatal("create was killed before it had moved the device")
			}
			j.Who, j.Do, j.At = inRt, doFail, at
			r := l.inject(j, "delete", "--force", l.id)
			if r.code != 0 {
				said++
				l.ok("delete", "--force", l.id)
			}
			if !there() && !strings.Contains(r.stderr, "bring network device one back") {
				t.Errorf("delete --force, %s at %s: it is not back: %s", unix.ErrnoName(j.Errno), r.point(), r)
			}
			if !r.Hit {
				break
			}
		}
	}
	if said == 0 {
		t.Error("no delete said that a call had failed")
	}
}

// TestHooksUnwatched: epoll has no room for a descriptor of rt (fs.epoll.max_user_watches, of all programs of a user). Timeouts
// of hooks are kept, a long state is written, and a hook that prints much does not wait for a reader that is gone.
func TestHooksUnwatched(t *testing.T) {
	limit := 1
	l := newLab(t, func(s *specs.Spec) {
		s.Annotations = map[string]string{"long": strings.Repeat("x", 200_000)}
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{
			{Path: "/bin/busybox", Args: []string{"sh", "-c", "cat >/dev/null; head -c 300000 /dev/zero"}},
			{Path: "/bin/busybox", Args: []string{"sleep", "100"}, Timeout: &limit},
		}}
	})
	for at := 2; ; at++ { // the first call is the Go runtime's for itself, which ends without it
		r := l.inject(job{Who: inRt, Do: doFail, Only: unix.SYS_EPOLL_CTL, At: at, Errno: syscall.ENOSPC}, bundle("create")(l)...)
		if r.Late || !strings.Contains(r.stderr, "run createRuntime hook 1 (/bin/busybox): hook ran past specified timeout of 1.0s") {
			t.Errorf("call %d: %s", at, r)
		}
		if !r.Hit {
			if at < 4 {
				t.Errorf("only %d calls of epoll", at-1)
			}
			break
		}
	}
}
