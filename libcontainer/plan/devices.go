package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"rt/internal/text"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// defaultDevices are the nodes of config-linux.md, default devices.
var defaultDevices = [...]struct {
	path         string
	major, minor uint32
}{
	{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7},
	{"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
}

var devLinks = [...]struct{ path, target string }{
	{"/dev/ptmx", "pts/ptmx"}, {"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "/proc/self/fd/0"},
	{"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
}

// devices makes nodes and links. Below a bind mount of /dev it makes none: that tree, its nodes and their owners are
// somebody else's, the host's as a rule.
func (b *builder) devices() error {
	if !b.has(specs.MountNamespace) {
		return nil
	}
	configured := make(map[string]bool, len(b.spec.Linux.Devices))
	for i := range b.spec.Linux.Devices {
		configured[path.Join("/", b.spec.Linux.Devices[i].Path)] = true
	}
	ours := !b.bindsDev()
	if ours {
		for _, d := range defaultDevices {
			if !configured[d.path] {
				b.node(nsenter.Mknod{Path: d.path, Mode: unix.S_IFCHR | 0o666, Dev: unix.Mkdev(d.major, d.minor)}, d.path, "")
			}
		}
	}
	for i := range b.spec.Linux.Devices {
		if !ours && strings.HasPrefix(path.Join("/", b.spec.Linux.Devices[i].Path), "/dev/") {
			continue
		}
		if err := b.device(&b.spec.Linux.Devices[i], fmt.Sprintf("/linux/devices/%d", i)); err != nil {
			return err
		}
	}
	if ours {
		for _, l := range devLinks {
			b.add("", nsenter.Symlink{Path: l.path, Target: l.target})
		}
	}
	return nil
}

// bindsDev looks at the mount on /dev that is on top.
func (b *builder) bindsDev() (bind bool) {
	for _, m := range b.spec.Mounts {
		if path.Join("/", m.Destination) == "/dev" && !parseOptions(m.Options).remount {
			bind = IsBind(m)
		}
	}
	return bind
}

func (b *builder) device(d *specs.LinuxDevice, pointer string) error {
	n := nsenter.Mknod{Path: path.Join("/", d.Path), Mode: 0o666}
	if d.FileMode != nil {
		n.Mode = uint32(*d.FileMode) & 0o7777
	}
	if d.UID != nil {
		n.UID = *d.UID
	}
	if d.GID != nil {
		n.GID = *d.GID
	}
	switch d.Type {
	case "c", "u":
		n.Mode |= unix.S_IFCHR
	case "b":
		n.Mode |= unix.S_IFBLK
	case "p":
		n.Mode |= unix.S_IFIFO
	default:
		return fmt.Errorf("%s/type: unknown device type %q", pointer, d.Type)
	}
	host := ""
	if d.Type != "p" {
		n.Dev = unix.Mkdev(uint32(d.Major), uint32(d.Minor))
		if strings.HasPrefix(n.Path, "/dev/") {
			host = n.Path
		}
	}
	b.node(n, host, pointer)
	if node, ok := b.facts.Nodes[host]; ok && host != "" {
		b.keepsOwner(d, node, pointer)
	}
	return nil
}

// keepsOwner warns where a device that is bound is to have another mode or owner: the node is the host's, and a change would be the host's,
// too. An owner that is the node's outside counts as the same: engines copy it from there.
func (b *builder) keepsOwner(d *specs.LinuxDevice, node Node, pointer string) {
	other := func(id *uint32, own uint32, maps []specs.LinuxIDMapping) bool {
		return id != nil && *id != own && !slices.ContainsFunc(maps, func(m specs.LinuxIDMapping) bool {
			return *id >= m.ContainerID && *id-m.ContainerID < m.Size && m.HostID+(*id-m.ContainerID) == own
		})
	}
	if d.FileMode != nil && uint32(*d.FileMode)&0o7777 != node.Mode&0o7777 {
		b.warn("%s/fileMode: %s is the host's node, and keeps its mode %#o", pointer, d.Path, node.Mode&0o7777)
	}
	if other(d.UID, node.UID, b.spec.Linux.UIDMappings) || other(d.GID, node.GID, b.spec.Linux.GIDMappings) {
		b.warn("%s: %s is the host's node, and keeps its owner %d:%d", pointer, d.Path, node.UID, node.GID)
	}
}

// node makes a device; in a user namespace, where nobody may, the host's node of the same path is bound.
func (b *builder) node(n nsenter.Mknod, host, pointer string) {
	n.HostNode, n.HostPath = nsenter.NoSlot, host
	if b.has(specs.UserNamespace) && host != "" {
		n.Bind = true
		n.HostNode = b.tree(Input{Path: host, Pointer: pointer})
	}
	b.add(pointer, n)
}

// sysctls are written through a procfs of the stub's own.
func (b *builder) sysctls() error {
	for _, key := range SortedKeys(b.spec.Linux.Sysctl) {
		b.add("/linux/sysctl/"+text.PointerToken(key),
			nsenter.Sysctl{Path: SysctlPath(key), Value: b.spec.Linux.Sysctl[key]})
	}
	return nil
}

// SysctlPath is a sysctl's path below /proc/sys. It follows sysctl(8): whichever of . and / comes first separates, and the other stands for it in a name.
func SysctlPath(key string) string {
	if i := strings.IndexAny(key, "./"); i < 0 || key[i] == '/' {
		return key
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, key)
}
