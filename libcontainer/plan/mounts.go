package plan

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"rt/internal/hint"
	"rt/internal/names"
	"rt/libcontainer/bundle"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// root makes the rootfs a mount, in a namespace from which nothing leaks back to the host. The tree's own
// propagation is what linux.rootfsPropagation says; without it the container sees later mounts of the host
// below the rootfs, and the host sees none of the container's.
func (b *builder) root() error {
	if !b.has(specs.MountNamespace) {
		return nil
	}
	if b.opts.NoPivot && b.rootfsPropagation() == unix.MS_PRIVATE {
		// The host's mounts stay below the moved root: private copies would be busy for as long as the container lives.
		return errors.New("rootfsPropagation of [r]private is not safe without pivot_root (/linux/rootfsPropagation)")
	}
	b.add("/linux/rootfsPropagation", nsenter.Propagation{Flags: b.hostPropagation()})
	tree := b.tree(Input{Path: b.opts.Rootfs, Recursive: true, Pointer: "/root/path"})
	attach := nsenter.AttachRoot{Tree: tree, Propagation: b.rootPlace(), Path: b.opts.Rootfs, Shared: b.place() == unix.MS_SHARED,
		Staged: b.staged(), HostAPI: b.facts.RootAPI}
	if b.clonesRoot() {
		attach.HostAPI = nil // out already, but for what goes with the clone
	}
	b.add("/root/path", attach)
	return nil
}

func (b *builder) rootfsPropagation() uint64 {
	return names.MountOption(b.spec.Linux.RootfsPropagation).Set &^ unix.MS_REC
}

// hostPropagation is for the copy of the host's tree in the new namespace, which is never shared with the host:
// mounts made there on the way to the container's root are nobody else's business.
func (b *builder) hostPropagation() uint64 {
	if p := b.rootfsPropagation(); p == unix.MS_PRIVATE || p == unix.MS_UNBINDABLE {
		return unix.MS_REC | unix.MS_PRIVATE
	}
	return unix.MS_REC | unix.MS_SLAVE
}

// place is the propagation of what comes from the host. A detached clone is its source's peer until told otherwise,
// which a volume may stay if the configuration says shared, and there is no user namespace: to its copy of the mounts the host's
// are masters (mount_namespaces(7)).
func (b *builder) place() uint64 {
	switch p := b.rootfsPropagation(); p {
	case unix.MS_SHARED:
		return unix.MS_SHARED
	case unix.MS_PRIVATE, unix.MS_UNBINDABLE:
		return unix.MS_PRIVATE
	default:
		return unix.MS_SLAVE
	}
}

// rootPlace is the rootfs' own before the switch. A shared one is a new peer group, not one with the host
// (config-linux.md, Rootfs Mount Propagation); it is made after the switch, for pivot_root(2) takes no shared mount.
func (b *builder) rootPlace() uint64 {
	if b.rootfsPropagation() == unix.MS_SHARED {
		return unix.MS_PRIVATE
	}
	return b.place()
}

func (b *builder) switchRoot() error {
	if !b.has(specs.MountNamespace) {
		dir := b.input(Input{Kind: Directory, Path: b.opts.Rootfs, Pointer: "/root/path"})
		b.add("/root/path", nsenter.Chroot{Dir: dir, Path: b.opts.Rootfs})
		return nil
	}
	if b.opts.NoPivot && !b.clonesRoot() {
		b.add("", nsenter.MoveRoot{HostAPI: b.facts.HostAPI})
		if c := b.spec.Process.Capabilities; c != nil && slices.Contains(slices.Concat(c.Bounding, c.Permitted), "CAP_SYS_ADMIN") {
			b.warn("--no-pivot leaves the host's tree below the container's root: a process with CAP_SYS_ADMIN can unmount the root, join its mount namespace again and is in that tree")
		}
	} else {
		b.add("", nsenter.Pivot{})
	}
	// Before the root may become read-only.
	b.add("/process/cwd", nsenter.Mkdir{Path: path.Join("/", b.spec.Process.Cwd), Mode: 0o755})
	return nil
}

// clonesRoot: with --no-pivot the host's tree stays below the container's root. The kernel keeps that in its place for a container with
// a user namespace, if the mount namespace was prepared by who is outside of it: then a clone of the host's tree is pivoted away.
func (b *builder) clonesRoot() bool {
	return b.opts.NoPivot && b.has(specs.UserNamespace) && b.isNew(specs.MountNamespace) && !b.facts.Unprivileged && !b.facts.OpenInside
}

func (b *builder) cloneRoot() {
	if b.clonesRoot() {
		b.add("", nsenter.Unshare{Flags: unix.CLONE_NEWNS, Kinds: string(specs.MountNamespace)},
			nsenter.Propagation{Flags: unix.MS_REC | unix.MS_SLAVE}, nsenter.CloneRoot{HostAPI: slices.Concat(b.facts.RootAPI, b.facts.HostAPI)})
	}
}

// rootAttributes comes after everything that may have to make something in the root.
func (b *builder) rootAttributes() error {
	if !b.has(specs.MountNamespace) {
		return nil
	}
	attr := nsenter.RootAttr{Propagation: b.rootfsPropagation()}
	if b.spec.Root.Readonly {
		attr.Set = unix.MOUNT_ATTR_RDONLY
	}
	if attr.Set != 0 || attr.Propagation != 0 {
		b.add("/root", attr)
	}
	return nil
}

func (b *builder) mounts() error {
	for i := range b.spec.Mounts {
		if err := b.mount(&b.spec.Mounts[i], fmt.Sprintf("/mounts/%d", i)); err != nil {
			return err
		}
		b.mounted = append(b.mounted, path.Join("/", b.spec.Mounts[i].Destination))
	}
	switch {
	case b.opts.NotifyDir == "":
	case !b.has(specs.MountNamespace):
		b.warn("NOTIFY_SOCKET is not passed on: without a mount namespace it would be a mount of the host")
	default:
		tree := b.tree(Input{Path: b.opts.NotifyDir})
		b.add("", nsenter.MountTree{Tree: tree, Target: notifyTarget, Source: b.opts.NotifyDir,
			Set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC, Place: unix.MS_PRIVATE, Private: true})
	}
	return nil
}

func (b *builder) mount(m *specs.Mount, pointer string) error {
	f := parseOptions(m.Options)
	target := path.Join("/", m.Destination)
	if !f.remount {
		b.covering(target)
	}
	if !f.remount && !IsBind(*m) {
		if err := b.noPathInside(m, &f, pointer); err != nil {
			return err
		}
	}
	ids, err := b.idMap(m, &f)
	switch {
	case err != nil:
		return fmt.Errorf("%s/options: %w", pointer, err)
	case ids != nil && (b.facts.Unprivileged || b.facts.OpenInside):
		return hint.With(fmt.Errorf("%s: mount %s cannot be id-mapped: %w", pointer, target, unix.EPERM), "id-mapped mounts need root, outside of any user namespace")
	case ids != nil && (f.remount || m.Type == "cgroup" || m.Type == "cgroup2"):
		return fmt.Errorf("%s: a mount that is there already, or of type cgroup, cannot be id-mapped", pointer)
	case f.remount:
		b.remount(m, &f, target, pointer)
	case IsBind(*m):
		return b.bind(m, &f, ids, target, pointer)
	case m.Type == "cgroup" || m.Type == "cgroup2":
		return b.cgroupMount(m, &f, target, pointer)
	case ids != nil:
		return b.idMappedFS(m, &f, ids, target, pointer)
	default:
		return b.fsMount(m, &f, target, pointer)
	}
	return nil
}

// more are the propagation options after the first; several together are rare, and each is a change of its own.
func (b *builder) more(f *flags, target, pointer string) {
	if len(f.propagation) > 1 {
		b.propagate(f.propagation[1:], true, target, pointer)
	}
}

func (b *builder) propagate(list []uint64, own bool, target, pointer string) {
	for _, p := range list {
		b.add(pointer, nsenter.Remount{Target: target, Propagation: p &^ unix.MS_REC, Recursive: p&unix.MS_REC != 0, Own: own})
	}
}

func (f *flags) firstPropagation() (p uint64, recursive bool) {
	if len(f.propagation) == 0 {
		return 0, false
	}
	return f.propagation[0] &^ unix.MS_REC, f.propagation[0]&unix.MS_REC != 0
}

func (b *builder) fsMount(m *specs.Mount, f *flags, target, pointer string) error {
	if m.Type == "" {
		return fmt.Errorf("%s/type: a mount that is not a bind mount needs a type", pointer)
	}
	if f.copyUp && m.Type != "tmpfs" {
		return fmt.Errorf("%s/options: tmpcopyup is for mounts of type tmpfs, not %s", pointer, m.Type)
	}
	step := nsenter.MountFS{
		Type: m.Type, Target: target, Source: m.Source, Attrs: f.attrs()&^f.clrAll | f.setAll, // the mount is the whole tree
		NoLinks: m.Type == "proc" || m.Type == "sysfs",
	}
	step.Options = append(append(step.Options, f.superblock...), f.data...)
	b.label(&step)
	step.CopyUp = copyUp(m.Type, f)
	step.Attrs = b.late(m.Type, target, pointer, step.Attrs)
	step.ReadonlyFS = readonlyFS(m.Type, f.set&step.Attrs)
	step.Propagation, step.Recursive = f.firstPropagation()
	if hasLong(step.Options) || len(m.Source) > maxOption {
		if step.Data = mountData(step.Options); len(step.Data) > maxData {
			return fmt.Errorf("%s/options: %d bytes of options are more than the %d that mount(2) takes", pointer, len(step.Data), maxData)
		}
		step.ByMount, step.Options = true, nil
	}
	b.add(pointer, step)
	b.more(f, target, pointer)
	return nil
}

// fsconfig(2) takes 255 bytes for a value; the data of mount(2) is a page, its last byte a NUL.
const (
	maxOption = 255
	maxData   = 4095
)

func hasLong(options []nsenter.Option) bool {
	for _, o := range options {
		if o.Value != nil && len(*o.Value) > maxOption {
			return true
		}
	}
	return false
}

// mountData is what mount(2) takes instead of single options. Labels hold commas, and are quoted for that.
func mountData(options []nsenter.Option) string {
	words := make([]string, len(options))
	for i, o := range options {
		words[i] = o.String()
		if strings.HasSuffix(o.Key, "context") && o.Value != nil {
			words[i] = o.Key + `="` + *o.Value + `"`
		}
	}
	return strings.Join(words, ",")
}

// copyUp is what a new tmpfs takes over from the directory that it hides: its mode, unless that is configured, for
// the mode that the kernel gives, 1777, is seldom the image's; with tmpcopyup owner and content as well.
func copyUp(fstype string, f *flags) nsenter.CopyUp {
	if fstype != "tmpfs" {
		return 0
	}
	up := nsenter.CopyMode
	if f.copyUp {
		up |= nsenter.CopyContent | nsenter.CopyOwner
	}
	for _, o := range f.data {
		switch o.Key {
		case "mode":
			up &^= nsenter.CopyMode
		case "uid", "gid":
			up &^= nsenter.CopyOwner
		}
	}
	return up
}

// wholeTree applies the recursive options to a mount that is there; own says that the plan has made it.
func (b *builder) wholeTree(f *flags, own bool, target, pointer string) {
	if f.setAll|f.clrAll != 0 {
		b.add(pointer, nsenter.Remount{Target: target, Set: f.setAll, Clear: f.clrAll, Recursive: true, Own: own})
	}
}

func (b *builder) bind(m *specs.Mount, f *flags, ids *IDMap, target, pointer string) error {
	if len(f.data) > 0 {
		return fmt.Errorf("%s/options: bind mounts cannot have any filesystem-specific options applied: %s", pointer, f.data[0])
	}
	source := bindSource(m, b.opts.Bundle)
	if text, ok := b.facts.Links[source]; ok && f.copyLink {
		b.add(pointer, nsenter.Symlink{Path: target, Target: text, Must: true})
		return nil
	}
	at := source
	if place, ok := b.inside(source); ok {
		at = place.Path
	}
	recursive := f.rbind
	if ids != nil && b.mountedBelow(at, recursive) != "" && (b.hot || b.joinedUser()) { // where others may choose what that is
		return fmt.Errorf("%s: mount %s cannot be id-mapped: its source %s lies in another mount of the configuration", pointer, target, source)
	}
	step := nsenter.MountTree{
		Tree:   b.source(Input{Path: source, Recursive: recursive, IDMap: ids, Pointer: pointer + "/source"}),
		Target: target, Source: source, SetAll: f.setAll, ClrAll: f.clrAll,
		Place: b.place(), Recursive: recursive,
	}
	step.Set, step.Clear, step.Implied = f.ofBind()
	if !f.named && b.willBeReadonly(at) {
		step.Set = unix.MOUNT_ATTR_RDONLY
	}
	step.Back = f.back
	if b.hostSys(path.Clean(source), f, recursive) {
		step.SetAll |= unix.MOUNT_ATTR_RDONLY
	}
	step.Propagation, step.PropagateAll = f.firstPropagation()
	b.add(pointer, step)
	b.more(f, target, pointer)
	return nil
}

// idMap is nil for a mount that shows ids as they are.
func (b *builder) idMap(m *specs.Mount, f *flags) (*IDMap, error) {
	ids := &IDMap{UIDs: m.UIDMappings, GIDs: m.GIDMappings, Recursive: f.ridmap}
	ns, _, ok := bundle.NamespaceOf(b.spec, specs.UserNamespace)
	isNew := ok && ns.Path == ""
	switch {
	case len(m.UIDMappings) > 0:
	case f.idmapping != "":
		return ids, b.optionMap(ids, f.idmapping, isNew)
	case !f.idmap || !ok: // without a user namespace bundle.Check has refused it
		return nil, nil
	case isNew:
		ids.UIDs, ids.GIDs = b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings
	case b.hot && b.facts.Namespace&unix.CLONE_NEWUSER == 0: // rt is in it
		return nil, errors.New("the ids of a user namespace that rt is in cannot be mapped")
	default:
		ids.Namespace = ns.Path
	}
	return ids, nil
}

// optionMap fills in the mapping that a mount option has.
func (b *builder) optionMap(ids *IDMap, option string, known bool) error {
	m, err := names.MapOf(option)
	if err != nil {
		return err
	}
	var user specs.Linux
	if known {
		user = *b.spec.Linux
	}
	if ids.UIDs, err = onHost(m.UIDs, user.UIDMappings); err == nil {
		ids.GIDs, err = onHost(m.GIDs, user.GIDMappings)
	}
	return err
}

// onHost makes the relative ranges of a mapping absolute.
func onHost(list []names.IDRange, user []specs.LinuxIDMapping) (out []specs.LinuxIDMapping, err error) {
	for _, r := range list {
		host := uint64(r.Host)
		if r.Relative {
			at := slices.IndexFunc(user, func(u specs.LinuxIDMapping) bool {
				return r.Host >= u.ContainerID && host+uint64(r.Size) <= uint64(u.ContainerID)+uint64(u.Size)
			})
			if at < 0 {
				return nil, fmt.Errorf("no range of the container's new user namespace holds the ids %d to %d", host, host+uint64(r.Size)-1)
			}
			host += uint64(user[at].HostID) - uint64(user[at].ContainerID)
		}
		out = append(out, specs.LinuxIDMapping{ContainerID: r.OnDisk, HostID: uint32(host), Size: r.Size})
	}
	return out, nil
}

// idMappedFS is a file system that rt makes: only who owns a file system may map its ids (mount_setattr(2)), and to
// the stub's user namespace it would belong there.
func (b *builder) idMappedFS(m *specs.Mount, f *flags, ids *IDMap, target, pointer string) error {
	if f.copyUp {
		return fmt.Errorf("%s/options: tmpcopyup does not go with an id-mapped mount", pointer)
	}
	fs := &NewMount{Type: m.Type, Attrs: b.late(m.Type, target, pointer, f.attrs()|f.setAll&unix.MOUNT_ATTR_RDONLY)}
	if m.Source != "" {
		fs.Options = append(fs.Options, nsenter.Option{Key: "source", Value: &m.Source})
	}
	if readonlyFS(m.Type, f.set&fs.Attrs) {
		fs.Options = append(fs.Options, nsenter.Option{Key: "ro"})
	}
	like := nsenter.MountFS{Type: m.Type, Options: append(append(fs.Options, f.superblock...), f.data...)}
	b.label(&like)
	fs.Options = like.Options
	step := nsenter.MountTree{
		Tree:   b.input(Input{Kind: NewFS, Path: m.Source, FS: fs, IDMap: ids, Pointer: pointer}),
		Target: target, Source: m.Source, SetAll: f.setAll &^ unix.MOUNT_ATTR_RDONLY, ClrAll: f.clrAll, Place: unix.MS_PRIVATE,
	}
	step.Propagation, step.PropagateAll = f.firstPropagation()
	b.add(pointer, step)
	b.more(f, target, pointer)
	return nil
}

func (b *builder) remount(m *specs.Mount, f *flags, target, pointer string) {
	options := append(f.superblock, f.data...)
	if f.clear&unix.MOUNT_ATTR_RDONLY != 0 {
		b.writableFS(target)
	}
	// A step of its own for each: what is recursive in one of them is not in the others.
	b.add(pointer, nsenter.Remount{
		Target: target, Set: b.remountLate(target, f.set, f.clear), Clear: f.clear, Options: options, Superblock: !f.bind && len(options) > 0,
	})
	b.propagate(f.propagation, false, target, pointer)
	b.wholeTree(f, false, target, pointer)
}

// cgroupMount shows the container its own cgroup: as a new mount where the cgroup namespace sees to that, else as a bind mount of
// its directory, or of what the host's root shows instead.
func (b *builder) cgroupMount(m *specs.Mount, f *flags, target, pointer string) error {
	view := b.facts.Cgroups
	if view.Foreign {
		change(&f.set, &f.clear, names.Option{Set: unix.MOUNT_ATTR_RDONLY})
	}
	if view.V2 || (m.Type == "cgroup2" && view.Path != "") {
		b.cgroupDir(nsenter.MountFS{Type: "cgroup2", Source: "cgroup", Target: target, Attrs: f.attrs(),
			Options: append(f.superblock, f.data...)}, view.Shown(), f, pointer)
		b.propagate(f.propagation, true, target, pointer)
		b.wholeTree(f, true, target, pointer)
		return nil
	}
	if len(view.Hierarchies) == 0 {
		return fmt.Errorf("%s/type: this host has no cgroup mounts to show", pointer)
	}
	mode := "755"
	top := nsenter.MountFS{
		Type: "tmpfs", Source: "cgroup", Target: target,
		Options: []nsenter.Option{{Key: "mode", Value: &mode}},
	}
	b.label(&top)
	top.Attrs = b.late(top.Type, target, pointer, f.attrs())
	b.add(pointer, top)
	for _, h := range view.Hierarchies {
		b.cgroupDir(nsenter.MountFS{Type: "cgroup", Source: "cgroup", Target: target + "/" + h.Dir, Attrs: f.attrs(),
			Options: controllerOptions(h.Controllers)}, h.Path, f, pointer)
		for _, name := range h.Controllers {
			if name != h.Dir && !strings.Contains(name, "=") {
				b.add(pointer, nsenter.Symlink{Path: target + "/" + name, Target: h.Dir})
			}
		}
	}
	b.propagate(f.propagation, true, target, pointer)
	b.wholeTree(f, true, target, pointer)
	return nil
}

func (b *builder) cgroupDir(fs nsenter.MountFS, dir string, f *flags, pointer string) {
	if b.has(specs.CgroupNamespace) {
		b.add(pointer, fs)
		return
	}
	tree := b.tree(Input{Path: dir, Pointer: pointer})
	b.add(pointer, nsenter.MountTree{Tree: tree, Source: dir, Target: fs.Target, Set: f.set, Clear: f.clear, Place: unix.MS_PRIVATE})
}

func controllerOptions(names []string) []nsenter.Option {
	var opts []nsenter.Option
	for _, n := range names {
		if strings.HasPrefix(n, "name=") {
			opts = append(opts, nsenter.Option{Key: "none"})
		}
		opts = append(opts, ownOption(n))
	}
	return opts
}
