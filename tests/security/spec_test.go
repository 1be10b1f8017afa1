package security

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// engineCaps are what engines give a container that asks for nothing.
var engineCaps = strings.Fields(`CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID CAP_SETFCAP
 CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE`)

// strongCaps are more than anybody gives away who is afraid of the container.
var strongCaps = append(strings.Fields("CAP_SYS_ADMIN CAP_DAC_READ_SEARCH CAP_NET_ADMIN"), engineCaps...)

func defaultSpec(id string) *specs.Spec {
	return &specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{
			Args: []string{"sleep", "1000"}, Env: []string{"PATH=/bin"}, Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: engineCaps, Effective: engineCaps, Permitted: engineCaps},
		},
		Root: &specs.Root{Path: "rootfs"},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/" + id,
			Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.MountNamespace}},
			MaskedPaths:   []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

func args(args ...string) func(*victim) {
	return func(v *victim) { v.spec.Process.Args = args }
}

func capable(caps []string) func(*victim) {
	return func(v *victim) {
		v.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	}
}

func asUser(uid uint32) func(*victim) {
	return func(v *victim) { v.spec.Process.User = specs.User{UID: uid, GID: uid} }
}

// mapped gives the container a user namespace of its own, in which its root is somebody else outside.
func mapped(v *victim) {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200000, Size: 65536}}
	v.spec.Linux.Namespaces = append(v.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	v.spec.Linux.UIDMappings, v.spec.Linux.GIDMappings = ids, ids
}

func mounted(m specs.Mount) func(*victim) {
	return func(v *victim) { v.spec.Mounts = append(v.spec.Mounts, m) }
}

// without leaves out the mounts at and below a destination.
func without(destination string) func(*victim) {
	return func(v *victim) {
		var kept []specs.Mount
		for _, m := range v.spec.Mounts {
			if m.Destination != destination && !strings.HasPrefix(m.Destination, destination+"/") {
				kept = append(kept, m)
			}
		}
		v.spec.Mounts = kept
	}
}
