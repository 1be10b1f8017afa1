package facts

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"rt/internal/hint"
	"rt/internal/sys"
	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// capabilities are those that rt may pass on.
func capabilities() uint64 {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		return 0
	}
	return uint64(d[0].Permitted) | uint64(d[1].Permitted)<<32
}

// Privileges are what rt may do. They decide who opens mounts, which namespace comes first and who maps ids.
type Privileges struct {
	Caps   uint64 // in rt's own user namespace
	First  bool   // which is the host's first one
	Mounts bool   // rt may clone mounts of its mount namespace
}

// OwnPrivileges costs root of the host one stat(2).
func OwnPrivileges() Privileges {
	p := Privileges{Caps: capabilities(), First: sys.InFirstUserNamespace()}
	p.Mounts = p.Admin() && (p.First || ownsMounts())
	return p
}

// Has says whether rt has a capability (CAP_*).
func (p Privileges) Has(capability uint) bool { return p.Caps>>capability&1 != 0 }

// Admin says whether rt has CAP_SYS_ADMIN.
func (p Privileges) Admin() bool { return p.Has(unix.CAP_SYS_ADMIN) }

// MayTrace says whether rt may look into processes of containers that are not dumpable.
func (p Privileges) MayTrace() bool { return p.Admin() && p.Has(unix.CAP_SYS_PTRACE) }

// HostRoot says that rt is root of the host, and not of a user namespace.
func (p Privileges) HostRoot() bool { return p.First && p.Admin() }

// ownsMounts says whether rt's mount namespace belongs to rt's user namespace or one below it. It does not after
// `unshare -Ur`, whose root has every capability and may mount nothing (NS_GET_USERNS is EPERM then, ioctl_ns(2)).
func ownsMounts() bool {
	f, err := sys.OpenKernelFile("/proc/self/ns/mnt", unix.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close()
	fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// MayDropGroups says whether rt may call setgroups(2) where it is.
func (p Privileges) MayDropGroups() bool {
	return p.Admin() && p.Has(unix.CAP_SETGID) && (p.First || !SetgroupsDenied(unix.AT_FDCWD, "/proc/self/setgroups"))
}

// deniesSetgroups says whether setgroups(2) may be refused in the container's user namespace. The stub finds out (TryGroups).
func (p Privileges) deniesSetgroups(spec *specs.Spec) bool {
	if path := bundle.JoinedNamespace(spec, specs.UserNamespace); path != "" {
		if pid, ok := strings.CutSuffix(path, "/ns/user"); ok && strings.HasPrefix(pid, "/proc/") {
			return SetgroupsDenied(unix.AT_FDCWD, pid+"/setgroups")
		}
		return !p.Admin()
	}
	if bundle.MakesNamespace(spec, specs.UserNamespace) && p.mapsOwnGID(spec.Linux) {
		return true
	}
	return !p.First && SetgroupsDenied(unix.AT_FDCWD, "/proc/self/setgroups")
}

// SetgroupsDenied looks into a file setgroups of /proc (user_namespaces(7)).
func SetgroupsDenied(dir int, path string) bool {
	text, err := sys.ReadKernelFileAt(dir, path, 64)
	return err == nil && strings.HasPrefix(string(text), "deny")
}

// Check refuses a configuration for which rt would need more privileges, before anything is made.
func (p Privileges) Check(spec *specs.Spec) error {
	if p.Admin() {
		return nil
	}
	if !bundle.HasNamespace(spec, specs.UserNamespace) {
		if os.Geteuid() == 0 {
			return hint.With(errors.New("create container: rt lacks CAP_SYS_ADMIN (/linux/namespaces)"),
				`start rt with CAP_SYS_ADMIN, or add {"type": "user"} and mappings, as rt spec --rootless does`)
		}
		return hint.With(errors.New("create container: rootless container requires user namespaces (/linux/namespaces)"),
			"rt spec --rootless writes a configuration for a user who is not root")
	}
	for i, ns := range spec.Linux.Namespaces {
		if ns.Path != "" && ns.Type != specs.UserNamespace && bundle.MakesNamespace(spec, specs.UserNamespace) {
			return hint.With(fmt.Errorf("join namespace %s: a new user namespace has no rights in it (/linux/namespaces/%d/path)", ns.Path, i),
				"join the user namespace that it belongs to as well")
		}
	}
	return nil
}

// Hint is what is known about a step that the kernel has refused an rt with these privileges; "" if nothing.
func (p Privileges) Hint(errno unix.Errno) string {
	if p.HostRoot() || errno != unix.EPERM && errno != unix.EACCES {
		return ""
	}
	for _, f := range [...]struct{ path, forbids, text string }{
		{"/proc/sys/user/max_user_namespaces", "0", "user namespaces are switched off: sysctl user.max_user_namespaces is 0"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "user namespaces are for root only: sysctl kernel.unprivileged_userns_clone is 0"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
			"AppArmor keeps capabilities from user namespaces: give rt a profile with `userns,`, or set sysctl kernel.apparmor_restrict_unprivileged_userns to 0"},
	} {
		if text, err := sys.ReadKernelFile(f.path, 64); err == nil && strings.TrimSpace(string(text)) == f.forbids {
			return f.text
		}
	}
	return ""
}

// Problems are what an rt with these privileges cannot do for a configuration, for `rt check`.
func (p Privileges) Problems(spec *specs.Spec) (found []bundle.Problem) {
	if err := p.Check(spec); err != nil {
		found = append(found, bundle.Problem{Pointer: "/linux/namespaces", Text: err.Error()})
	}
	if !bundle.MakesNamespace(spec, specs.UserNamespace) {
		return found
	}
	if p.mapsOwnGID(spec.Linux) && len(spec.Process.User.AdditionalGids) > 0 {
		found = append(found, bundle.Problem{Pointer: "/process/user/additionalGids", Text: "cannot set any additional groups in a rootless container"})
	}
	for _, m := range idMapsOf(spec.Linux) {
		if p.mapper(&m) != byHelper {
			continue
		}
		if _, err := m.helperPath(); err != nil {
			found = append(found, bundle.Problem{Pointer: m.pointer, Text: err.Error()})
		}
	}
	return found
}
