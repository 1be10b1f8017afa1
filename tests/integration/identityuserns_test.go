package integration

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestIdentityUserNamespace: in a user namespace that maps every id to itself (a unit of systemd with PrivateUsers=full) the runtime is
// not the host's root, whatever the map says. Containers work, the usual device rules are no error though the kernel takes none from
// there, and one that denies a device is an error that leaves nothing.
func TestIdentityUserNamespace(t *testing.T) {
	t.Parallel()
	needRoot(t, "ids of others are mapped")
	for name, flags := range map[string]uintptr{"alone": syscall.CLONE_NEWUSER, "with a mount namespace": syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS} {
		t.Run(name, func(t *testing.T) {
			prefix := identityNamespace(t, flags)
			usual := func(s *specs.Spec) {
				s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: i64(1), Minor: i64(5), Access: "rw"}}
			}
			for _, edit := range []func(*specs.Spec){usual, mapped} {
				c := newContainer(t, usual, edit)
				c.prefix = prefix
				if r := c.create().ok(); !differs(t, "root of a user namespace: the usual device rules") {
					r.says("/linux/resources/devices: not enforced: ")
				}
				c.start().ok()
				if got := strings.Fields(c.sh("cat /proc/1/uid_map")); got[0] != "0" || got[1] != c.mappedTo() {
					t.Errorf("ids of init: %v", got)
				}
				c.exec("sh", "-c", "echo x >/dev/null && head -c 3 /dev/zero | wc -c").ok().prints("3")
				c.delete("--force").ok()
			}
			c := newContainer(t, usual, func(s *specs.Spec) {
				s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Type: "c", Major: i64(1), Minor: i64(3), Access: "rwm"})
			})
			c.prefix = prefix
			if !differs(t, "rootless, or root of a user namespace: a rule") {
				c.create().fails("(/linux/resources/devices)", "operation not permitted").oneError()
				c.rt("state", c.id).fails("does not exist")
			}
		})
	}
}

// mappedTo is the id, outside, of the container's root.
func (c *container) mappedTo() string {
	if len(c.spec.Linux.UIDMappings) == 0 {
		return "0"
	}
	return fmt.Sprint(c.spec.Linux.UIDMappings[0].HostID)
}

// identityNamespace makes namespaces, among them a user namespace that maps all ids to themselves, and returns the command that enters them.
func identityNamespace(t *testing.T, flags uintptr) []string {
	t.Helper()
	all := []syscall.SysProcIDMap{{Size: 1<<32 - 1}}
	holder := exec.Command("sleep", "1000")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true}
	if err := orphans.Start(holder); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Process.Kill(); _ = orphans.Wait(holder) })
	enter := []string{"nsenter", "-U"}
	if flags&syscall.CLONE_NEWNS != 0 {
		enter = append(enter, "-m")
	}
	return append(enter, "-t", fmt.Sprint(holder.Process.Pid))
}
