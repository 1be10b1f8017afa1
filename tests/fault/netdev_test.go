package fault

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// network starts a process in a new network namespace and gives its pid.
func network(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("/bin/busybox", "sleep", "100000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := orphans.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = orphans.Wait(cmd) })
	return cmd.Process.Pid
}

func ipIn(pid int, args ...string) (string, error) {
	cmd := exec.Command("nsenter", append([]string{"--net=/proc/" + strconv.Itoa(pid) + "/ns/net", "ip"}, args...)...)
	out, err := os.CreateTemp(machine.work, "ip-")
	if err != nil {
		return "", err
	}
	defer out.Close()
	defer os.Remove(out.Name())
	cmd.Stdout, cmd.Stderr = out, out
	if err = orphans.Start(cmd); err == nil {
		err = orphans.Wait(cmd)
	}
	said, _ := os.ReadFile(out.Name())
	return string(said), err
}

// moving is a container that takes devices of the network namespace that rt is in, host, into one that is there already, box.
func moving(t *testing.T, devices map[string]specs.LinuxNetDevice) (l *lab, host, box int) {
	t.Helper()
	host, box = network(t), network(t)
	l = newLab(t, func(s *specs.Spec) {
		s.Linux.NetDevices = devices
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
				s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/net", box)
			}
		}
	})
	nsenter, err := exec.LookPath("nsenter")
	l.must(err)
	l.prefix = []string{nsenter, "--net=/proc/" + strconv.Itoa(host) + "/ns/net"}
	return l, host, box
}

// TestNetDevicesReturn: create is killed while it moves devices into a network namespace that was there before. After
// delete --force they are where they were, with name and address.
func TestNetDevicesReturn(t *testing.T) {
	var hits, moved atomic.Int64
	for _, as := range []string{"", "eth9", "net%d"} {
		l, host, box := moving(t, map[string]specs.LinuxNetDevice{"one": {Name: as}, "two": {}})
		back(t, host, box)
		v := verb{args: bundle("create")}
		r := l.inject(job{Who: inRt}, v.args(l)...)
		if r.code != 0 {
			t.Fatalf("%s", r)
		}
		l.ok("delete", "--force", l.id) // the devices stay, by the specification
		if out, err := ipIn(host, "link", "show", "one"); err == nil {
			t.Fatalf("a container that came to be has given its device back: %s", out)
		}
		back(t, host, box)
		for _, at := range points(t, r.Calls, 10) {
			r := l.inject(job{Who: inRt, Do: doKill, At: at}, v.args(l)...)
			if !r.Hit {
				l.ok("delete", "--force", l.id)
				back(t, host, box)
				continue
			}
			hits.Add(1)
			if _, err := ipIn(host, "link", "show", "one"); err != nil {
				moved.Add(1)
			}
			status, err := l.state()
			l.must(err)
			l.ok("delete", "--force", l.id)
			if status == "created" { // create had done all of its work
				back(t, host, box)
				continue
			}
			out, err := ipIn(host, "addr", "show", "one")
			if _, err2 := ipIn(host, "link", "show", "two"); err != nil || err2 != nil || !strings.Contains(out, "10.99.0.1/24") {
				if r.Status.Signaled() {
					there, _ := ipIn(box, "addr")
					t.Errorf("named %q, killed before %s: %v %v %s\nin the container's: %s", as, r.point(), err, err2, out, there)
				}
				back(t, host, box)
			}
		}
	}
	t.Logf("create was killed at %d points, at %d of them with a device in the container's namespace", hits.Load(), moved.Load())
}

// back makes the devices anew where they should be.
func back(t *testing.T, host, box int) {
	t.Helper()
	for _, pid := range []int{host, box} {
		for _, name := range []string{"one", "two", "eth9", "net0"} {
			_, _ = ipIn(pid, "link", "del", name)
		}
	}
	for _, args := range []string{"link add one type veth peer name two", "addr add 10.99.0.1/24 dev one", "link set one up"} {
		if out, err := ipIn(host, strings.Fields(args)...); err != nil {
			t.Fatalf("ip %s: %v %s", args, err, out)
		}
	}
}

// TestNetDevicesNotForgotten: create and delete --force cannot speak with the kernel's route netlink, or not open a file. A device
// is where it was, whole, or rt has said what is wrong; and while it is in the container's namespace, delete --force
// brings it back.
func TestNetDevicesNotForgotten(t *testing.T) {
	l, host, box := moving(t, map[string]specs.LinuxNetDevice{"one": {Name: "eth9"}})
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
		for at := 1; ; at += stride() {
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
