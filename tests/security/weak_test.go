package security

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A flaw takes one defence out of the runtime, by a change of its source.
type flaw struct {
	name, file, from, to string
	attack               string // the test that must notice, of another package with its directory before: "cgroups TestX"
}

// walkedFromMount is where a path that leads into a mount of the plan is walked from that mount.
const walkedFromMount = "if (!m->hidden && ((*skip = below(path, m->at)) || (*skip = below(path, m->want))))"

// byPath changes mounts by their paths.
var byPath = []flaw{
	{"mounts are changed by path", "nsenter/mounts.c", "int at = made_at(c, target, hidden);", "int at = -1;\n\town = hidden = 0;", ""},
	{"mounts are changed by path", "nsenter/made.c", walkedFromMount, "if (0)", ""},
	{"mounts are changed by path", "nsenter/mounts.c", "if (at < 0 || !made_elsewhere(c, target, at))", "if (1)", ""},
}

// pathOpen opens a path below the root. Links are kept in twice: by RESOLVE_IN_ROOT, and by RESOLVE_NO_SYMLINKS of the walk, which
// puts their texts in their places. withoutResolve has neither, and starts at the root as both do.
const (
	pathOpen       = `k_openat2(root, *path ? path : ".", flags | O_CLOEXEC, 0, resolve | K_IN_ROOT | K_NO_MAGICLINKS)`
	withoutResolve = `k_openat2(root, path[strspn(path, "/")] ? path + strspn(path, "/") : ".", flags | O_CLOEXEC, 0, resolve & 0)`
)

var flaws = []flaw{
	{"paths leave the root", "nsenter/path.c", pathOpen, withoutResolve, "TestSymlinkTargets"},
	{"races leave the root", "nsenter/path.c", pathOpen, withoutResolve, "TestRaces"},
	{"magic links are followed, no look at the working directory", "nsenter/process.c", "path_open(c->root, s->str[0], O_PATH | O_DIRECTORY, a->is_rootfs ? K_NO_SYMLINKS : 0)",
		"open(s->str[0], O_PATH | O_DIRECTORY | O_CLOEXEC)", ""},
	{"the stub can be looked into", "nsenter/credentials.go", "unix.PR_SET_DUMPABLE, 0)", "unix.PR_SET_DUMPABLE, 1)", "TestSnoop/user_namespace_0"},
	{"a directory of the host stays open", "nsenter/stub.c", "prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);\n\tfor", "open(\"/\", O_PATH | O_DIRECTORY | O_CLOEXEC);\n\tfor", ""},
	{"descriptors are left to execve", "nsenter/process.c", "(int)syscall(NR_close_range, from, to, 0)", "(int)syscall(NR_close_range, from, to, 4)", ""},
	{"any null will do", "nsenter/protect.c", "st.st_rdev == ((1 << 8) | 3) ? 0 : -EINVAL", "1 ? 0 : -EINVAL", ""},
	{"any node will do", "nsenter/devices.c", "return (st->st_mode & S_IFMT) == (s->mknod.mode", "return 1 || (st->st_mode & S_IFMT) == (s->mknod.mode", ""},
	{"sysctls by the container's /proc", "nsenter/proc.c", "c->proc = own_proc(c)",
		"c->proc = path_open(c->root, \"proc\", O_PATH, 0)", "TestForgedProc/a_file"},
	{"masks by name", "nsenter/made.c", walkedFromMount, "if (0)", "TestRacedMasks"},
	{"volumes by name", "nsenter/made.c", walkedFromMount, "if (0)", "TestRacedVolumes"},
	{"tmpcopyup of a name", "nsenter/mounts.c", "open_hidden(c, at, s->mount_fs.copy_up)", "path_open(c->root, s->str[1], O_RDONLY | O_DIRECTORY, 0)", "TestRacedCopyUp"},
	{"tmpcopyup opens devices", "nsenter/mounts.c", "set_attr(c, tree, K_RECURSIVE, K_ATTR_NODEV, 0, MS_PRIVATE)", "set_attr(c, tree, K_RECURSIVE, 0, 0, MS_PRIVATE)", "TestRacedCopyUpDevice"},
	{"the null device is opened by its name", "nsenter/process.c", "fd = reopen(c, at, O_RDWR | O_NOCTTY);", "fd = path_open(dir, path, O_RDWR | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0);", "TestRacedNull"},
	{"any device is opened as the terminal's", "nsenter/devices.c", "if (fs.f_type != K_DEVPTS_MAGIC)", "if (0)", "TestDeviceAsTerminal"},
	{"mounts over the root", "nsenter/protect.c", "return is_root(c, at, st) ? -EINVAL : 0;", "return 0;", "TestMountOverRoot"},
	{"other procfs of the host", "libcontainer/facts/hostapi.go", `m.Root == "/" {`, `m.Root == "/" && len(m.Mountpoint) < 6 {`, "TestNoPivotProc/second"},
	{"procfs of the host in the rootfs", "nsenter/root.c", "int r = remove_apis(c, s, 1);", "int r = 0;", "TestNoPivotProc/in_the_rootfs"},
	{"volumes behind links by name", "libcontainer/plan/keep.go", "s.Keep = keep()\n\t\t\tb.Items[i].Step = s\n\t\tcase nsenter.ReadonlyPath", "s.Keep = false\n\t\t\tb.Items[i].Step = s\n\t\tcase nsenter.ReadonlyPath", "TestRacedVolumes/by_a_link"},
	{"masks of files are taken for missing", "nsenter/path.c", "if (fd < 0 && errno == ENOTDIR && !*path", "if (0 && !*path", "TestFileVolume"},
	{"locked procfs of the host", "nsenter/root.c", "*covered = 1;", "return close(at);", ""},
	{"the host's tree is not cloned for a user namespace", "libcontainer/plan/mounts.go", "return b.opts.NoPivot && b.has(specs.UserNamespace)", "return false && b.has(specs.UserNamespace)", "TestNoPivotRoot"},
	{"procfs of the host below the clone of its tree", "nsenter/root.c", "if ((r = remove_apis(c, s, 0)) < 0) /*", "if (0) /*", "TestNoPivotProc/user_namespace"},
	{"ro is for the mount alone", "libcontainer/plan/readonly.go", "return attrs&unix.MOUNT_ATTR_RDONLY != 0 && !fillable", "return attrs&unix.MOUNT_ATTR_RDONLY == 1<<20 && !fillable", "TestReadonlyElsewhere"},
	{"mounts add makes read-only last", "libcontainer/plan/readonly.go", "if b.hot || !fillable[fstype]", "if !fillable[fstype]", "TestHotplugReadonly"},
	{"any mount may be removed", "nsenter/hotplug.c", "if (s->unmount.id != st.mnt_id)", "if (0)", "TestHotplugSwapped"},
	{"rbind is a type", "libcontainer/plan/plan.go", `f.bind || m.Type == "bind"`, `f.bind || m.Type == "bind" || m.Type == "rbind"`, "TestBindTypes"},
	{"links lead into /proc", "nsenter/mounts.c", "if (smuggled(c, fd, path)) {", "if (0 && smuggled(c, fd, path)) {", "TestIntoProc"},
	{"proc and sysfs behind links", "nsenter/mounts.c", "if (no_links &&", "if (0 && no_links &&", "TestForgedProc"},
	{"the stub runs from rt's own file", "nsenter/image.go", "func Image() (*os.File, error) {", "func Image() (*os.File, error) {\n\tif f, err := os.Open(\"/proc/self/exe\"); err == nil {\n\t\treturn f, nil\n\t}", "TestRuinBinary"},
	{"a link leads to a source", "nsenter/sources.c", "if (strcmp(path, name) != 0 || made_elsewhere(c, want, at)) {", "if (0) {", "TestSourceThroughLink"},
	{"a source has mounts below it that a neighbour puts there", "nsenter/sources.c", "r = made_apart(c, want, name);", "r = made_apart(c, \"\", \"\");", "TestRacedSource"},
	{"the mounts of a clone are not known", "nsenter/sources.c", "|| (r = made_parts(c, name, tree)) < 0)", ")", "TestMaskOverClone"},
	{"the mounts of a clone are walked to by name", "nsenter/sources.c", "|| (r = made_parts(c, name, tree)) < 0)", ")", "TestRacedClone"},
	{"what is below a mask is known by its place", "nsenter/made.c", "|| (planned && m->want[planned]) ?", "?", "TestRacedMaskLink"},
	{"the mount of a file has no directory", "nsenter/made.c", "if (up < 0 && errno == ENOTDIR)", "if (0)", "TestRemountOfFile"},
	{"ro is for what the kernel has once", "libcontainer/plan/readonly.go", "&& !single[fstype]", "&& (fstype == \"\" || single != nil)", "TestReadonlyOfTheHosts"},
	{"an image of mounts may be a hole", "libcontainer/criu/names.go", "if err == nil && size == 0 {", "if false {", "libcontainer/criu TestHoles/mounts,_hole"},
	{"any number of mounts", "libcontainer/criu/mounts.go", "if len(image.Mounts) == most {", "if false {", "libcontainer/criu TestHoles/mounts,_too_many"},
	{"files of the images have any names", "libcontainer/checkpoint/sources.go", "if err := images.CheckNames(); err != nil {", "if err := images.CheckNames(); err != nil && false {", "TestRestoreForgedNames"},
	{"what is below a mask is not masked", "nsenter/protect.c", "return protect(c, s, mask, 1);", "return protect(c, s, mask, 0);", "TestMountUnderMask"},
	{"a remount changes what is at its path", "nsenter/mounts.c", "if (at < 0 || !made_elsewhere(c, target, at))", "if (1)", "TestRemountOfAnother/link"},
	{"a remount changes what a neighbour puts at its path", "nsenter/mounts.c", "if (at < 0 || !made_elsewhere(c, target, at))", "if (1)", "TestRemountOfAnother/renamed"},
	{"what is hidden is not protected", "nsenter/protect.c", "(base = hidden ? made_hidden(c, i, path, &skip) :", "(base = hidden ? -1 :", "TestRacedHidden"},
	{"a source in another mount", "nsenter/sources.c", "if (r == 0 && !made_as_planned", "if (0 && !made_as_planned", "TestSourceOfAnotherMount"},
	{"a clone of what becomes read-only is writable", "libcontainer/plan/mounts.go", "if !f.named && b.willBeReadonly(at) {", "if false && b.willBeReadonly(at) {", "TestReadonlyClones/plain_itself"},
	{"a clone has below it what becomes read-only", "libcontainer/plan/userns.go", "if in.Recursive {\n\t\tb.cloning(below)", "if false {\n\t\tb.cloning(below)", "TestReadonlyClones/plain_below"},
	{"a source in an earlier mount is opened by its name", "nsenter/sources.c", "(tree = clone_found(c, s->str[0], a->recursive != 0))", "(tree = k_open_tree(openat(c->root, s->str[0] + 1, O_PATH | O_CLOEXEC), \"\", K_EMPTY_PATH | K_OPEN_TREE_CLONE | (a->recursive ? K_RECURSIVE : 0)))", "TestSourceThroughLink/plain"},
	{"links of the image lead the host to a source", "libcontainer/stub/inputs.go", `if in.Root != "" {`, "if false {", "TestSourceBelowRootfs/root$"},
	{"links of the image lead the opener to a source", "nsenter/sources.c", "if (!*s->str[1])", "if (1)", "TestSourceBelowRootfs/root_with"},
	{"links of the image lead mounts add to a source", "libcontainer/facts/joining.go", "Bundle: bundle, Rootfs: rootfs}", "Bundle: bundle}", "TestSourceBelowRootfs/rootless"},
	{"another name of the rootfs leads to a source", "libcontainer/facts/inside.go", "s.rootfs = st.Dev == w.root.Dev && st.Ino == w.root.Ino", "", "TestSourceBelowAlias/root$"},
	{"links of the host are not followed to the rootfs", "libcontainer/facts/inside.go", "if s.link == \"\" {", "if true {", "TestSourceBelowAlias/rootless"},
	{"mounts add does not look for other names of the rootfs", "libcontainer/facts/joining.go", "known.Inside, err = insideRootfs", "_, err = insideRootfs", "TestSourceBelowAlias/joined"},
	{"an overlay below the rootfs", "libcontainer/plan/mounts.go", "if !f.remount && !IsBind(*m) {", "if false {", "TestOverlayBelowRootfs"},
	{"--user x is root", "libcontainer/process.go", "return fmt.Errorf(\"bad uid: %w (--user)\", err)", "n = 0", "TestExecUser"},
	{"exec --cap is inheritable", "libcontainer/process.go", "&n.Bounding, &n.Effective, &n.Permitted}", "&n.Bounding, &n.Effective, &n.Permitted, &n.Inheritable}", "TestInheritableCapabilities"},
	{"other users may enter a container's directory", "libcontainer/state/files.go", "dirMode      = unix.S_ISVTX | 0o700", "dirMode      = 0o711", "TestDirectoryOfContainer"},
	{"other users may enter the directory of an older rt", "libcontainer/state/files.go", "if st.Mode&0o077 == 0 {", "if true {", "TestNotifyOfOthers/start"},
	{"an agent decides on the stub's calls", "libcontainer/stub/listener.go", "s.older = r.Text != nsenter.ListenerClosed", "s.older = true", "TestAgentSeesProgramOnly/rootless_false"},
	{"a rootless rt asks for the listener under the filter", "libcontainer/plan/process.go", "Send: f.Notify && b.facts.HandOut}", "Send: false}", "TestAgentGone/read_rootless_true"},
	{"create waits in a cgroup that is frozen meanwhile", "libcontainer/container.go", "if err != nil || !frozen {", "if _ = frozen; true {", "TestFrozenAboveMeanwhile"},
	{"the container names its own main process", "libcontainer/notify/wait.go", "if isReady(buf[:n]) {", "if s, err := connect(p.host, p.limit); err == nil {\n\t\t\t_ = send(s, string(buf[:n]), nil)\n\t\t\tunix.Close(s)\n\t\t}\n\t\tif isReady(buf[:n]) {", "TestNotifyMessages"},
	{"a unit that has the name is stopped", "libcontainer/place/scope.go", "ours := s.started && (s.up || s.isPlaced())", "ours := true\n\ts.started = true", "TestUnitOfOthers/lost"},
	{"signals of other users of the bus", "internal/dbus/conn.go", "if m.sender == from {", "if m.sender == from || true {", "TestForgedJob"},
	{"long signals are kept", "internal/dbus/message.go", "maxKept    = 64 << 10", "maxKept    = 128 << 20", "TestBusFlood"},
	{"processes of other pid namespaces are not counted", "cgroups/create.go", "if others && except == 0 {", "if others && except < 0 {", "TestCgroupOfOutside"},
	{"a mark of elsewhere keeps a cgroup", "cgroups/destroy.go", "lives && !c.claim.isElsewhere(dir)", "lives", "TestSameNameElsewhere"},
	{"the directory of NOTIFY_SOCKET is mounted on the host", "nsenter/mounts.c", "a->own ? attach_own(c, t, at) : ", "", "TestNotifyDirOfShared"},
	{"ids are mapped by what a path leads to by now", "libcontainer/stub/idmap.go", "if want.Namespace != \"\" {", "if want.Namespace != \"\" {\n\t\treturn OpenNamespace(plan.Input{Path: want.Namespace, Type: unix.CLONE_NEWUSER})", "TestIDMapOfJoined"},
	{"the host's namespaces pass for a container's at restore", "libcontainer/checkpoint/joined.go", ", NotHosts: plan.NotHosts(spec, ns.Type)})", "})", "TestRestoreHostByPath/ipc"},
	{"CRIU opens namespaces by their paths", "libcontainer/checkpoint/joined.go", `Value: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())`, "Value: ns.Path", "TestRestoreReplacedNamespace"},
	{"access control lists on the way to --root", "internal/sys/along.go", "if err == nil && listed {", "if false && listed {", "TestForgedContainer/way_by"},
	{"a device is replaced by the pid file", "libcontainer/handover.go", "unix.Lstat(h.PidFile, &st); err == nil &&", "unix.Lstat(h.PidFile, &st); err != nil &&", "TestPidFileIsDevice"},
	{"a process that is killed at its birth is not moved", "libcontainer/stub/end.go", "if !inCgroup || s.pid == 0 || s.hasReported {", "if inCgroup || !inCgroup {", "TestCallersCgroupWasKilled"},
	{"a cgroup is known by its path", "cgroups/claim.go", "if err != nil || is == 0 {\n\t\treturn noHold", "if err == nil && is != 0 {\n\t\treturn full", "TestCgroupMadeAgain"},
	{"a cgroup that has the container's path is its own", "cgroups/claim.go", "if err != nil || is == 0 {\n\t\treturn noHold", "if err == nil && is != 0 {\n\t\treturn full", "TestNeighbourWithThePath/host's_pids"},
	{"what is left of a container is what is in the cgroup of its path", "cgroups/claim.go", "if err != nil || is == 0 {\n\t\treturn noHold", "if err == nil && is != 0 {\n\t\treturn full", "TestKillOfAStoppedContainer/same_path"},
	{"what is left of a container is all below its cgroup", "cgroups/claim.go", "return err != nil || name != \"\"", "return false && (err != nil || name != \"\")", "TestKillOfAStoppedContainer/below"},
	{"cgroups of others below are the container's", "cgroups/claim.go", "return err != nil || name != \"\"", "return false && (err != nil || name != \"\")", "TestNeighbourBelow/host's_pids"},
	{"all in the cgroup are the container's", "libcontainer/place/processes.go", "if p.PrivatePid {", "if false {", "TestHostProcessInCgroup"},
	{"cgroups are removed all at once", "cgroups/claim.go", "seen < seenAtOnce && time.Since(since) < heldAtOnce", "seen > 0 || time.Since(since) < 0", "TestManyCgroups"},
	{"what was intended is taken", "cgroups/claim.go", "case Existed:\n\t\treturn noHold", "case Existed:\n\t\treturn full", "TestRefusedCreateKilled"},
	{"an empty cgroup is free", "cgroups/claim.go", "if lives {\n\t\t\treturn fmt", "if lives && false {\n\t\t\treturn fmt", "TestTwoCreatesAtOnce"},
	{"files of the caller are given to the user", "nsenter/process.c", "!(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))", "0", "TestStdioOwner"},
	{"the host's null device is handed on", "nsenter/process.c", "if (null_device(&st)) {", "if (0 && null_device(&st)) {", "TestStdioNull"},
	{"files and terminals are passed on", "libcontainer/stdio/stdio.go", "if pipes[i] || isNull(&stats[i]) {", "if pipes[i] || isNull(&stats[i]) || foreground {", "TestStdioFiles"},
	{"the caller's terminal is passed on", "libcontainer/stdio/stdio.go", "if pipes[i] || isNull(&stats[i]) {", "if pipes[i] || isNull(&stats[i]) || foreground {", "TestTypedLines"},
	{"the caller's terminal can be typed at", "libcontainer/stdio/stdio.go", "if pipes[i] || isNull(&stats[i]) {", "if pipes[i] || isNull(&stats[i]) || foreground {", "TestTypeForCaller"},
	{"directories are passed on", "libcontainer/stdio/stdio.go", "case unix.S_IFDIR:", "case 0xffff:", "TestStdioDirectory"},
	{"all that is in the pipe for stdin is given back", "libcontainer/stdio/copy.go", "min(int64(unread+left), n.read)", "int64(unread + left)", "TestStdinRewind"},
	{"sockets are passed on", "libcontainer/stdio/stdio.go", "if pipes[i] || isNull(&stats[i]) {", "if pipes[i] || isNull(&stats[i]) || stats[i].Mode&unix.S_IFMT == unix.S_IFSOCK {", "TestStdioSocket"},
	{"FIFOs are passed on", "libcontainer/stdio/stdio.go", "if pipes[i] || isNull(&stats[i]) {", "if pipes[i] || isNull(&stats[i]) || stats[i].Mode&unix.S_IFMT == unix.S_IFIFO {", "TestFifoOwner"},
	{"a stop is an end", "libcontainer/foreground.go", "case got == pid && ws.Exited():", "case got == pid:", "TestForgedEnd/run$"},
	{"a stop is an end for PID 1", "nsenter/init.c", "pid == c->program && !WIFSTOPPED(status)", "pid == c->program", "TestForgedEnd/run_with_init"},
	{"only the container's own cgroup is thawed", "cgroups/freeze.go", "_ = m.release(dir, taken); return c.next(m)", "return c.next(m)", "TestFrozenBelow/pid_namespace"},
	{"mounts added behind links", "nsenter/mounts.c", "if (c->undo >= 0 && made_behind_link(c, path, \"/sys\"))", "if (0)", "TestHotplugLinks"},
	{"any destination may be removed", "libcontainer/plan/hotplug.go", "if n >= len(ids) {", "if n >= len(ids) && n == 0 {\n\t\t\t\tids = []uint64{0}\n\t\t\t}\n\t\t\tif n >= len(ids) {", ""},
	{"mounts without an id may be removed", "nsenter/hotplug.c", "if (s->unmount.id != st.mnt_id)", "if (s->unmount.id && s->unmount.id != st.mnt_id)", ""},
	{"file systems with paths are added", "libcontainer/plan/hotplug.go", "!IsBind(*m) && !pathless[m.Type]:", "false && !pathless[m.Type]:", "TestHotplugPaths"},
	{"what rt mounts in a shared volume is shared", "nsenter/mounts.c", "c->shared && c->base != c->root", "0 && c->base != c->root", "TestOwnMountsOfShared"},
	{"the host's namespaces pass for a container's", "libcontainer/stub/inputs.go", "hosts, err := sys.IsHostNamespace(f, in.Type)", "hosts, err := false, error(nil)", "TestHostByPath"},
	{"the host's mounts pass for a container's", "libcontainer/stub/inputs.go", "hosts, err := sys.IsHostNamespace(f, in.Type)", "hosts, err := false, error(nil)", "TestHostMountsByPath"},
	{"devices are opened like files", "internal/sys/open.go", "if !kinds.has(st.Mode) {", "if st.Mode&unix.S_IFMT == unix.S_IFLNK {", "TestDeviceAsPasswd"},
	{"FIFOs are opened like files", "internal/sys/open.go", "if !kinds.has(st.Mode) {", "if st.Mode&unix.S_IFMT == unix.S_IFLNK {", "TestOddStateFiles"},
	{"files are written through links", "internal/sys/write.go", "unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW", "unix.O_CREAT|unix.O_TRUNC", "TestPidFileThroughLink"},
	{"trees are opened in the host's mount namespace", "libcontainer/plan/userns.go", "(!b.facts.OpenInside || b.joinedUser()) {", "false {", "TestHostLocks"},
	{"a copy of the host's mounts without locks", "nsenter/opener.c", "{.flags = CLONE_NEWUSER, .exit_signal", "{.flags = 0, .exit_signal", "TestHostLocks"},
	{"the opener's user namespace belongs to one with other members", "libcontainer/plan/create.go", "b.startOpener,\n\t\tb.stageRoot,\n\t\tb.joinNamespaces,", "b.joinNamespaces,\n\t\tb.startOpener,", ""},
	{"a rootless rt opens sources in a user namespace with other members", "libcontainer/plan/userns.go", " || b.joinedUser())", ")", "TestSourcesSubstituted/rootless_true_add_false"},
	{"the root of the opener's copy is not covered", "nsenter/opener.c", "int covered = cover_root(),", "int covered = 0,", "TestEnterNewMountNamespace/mounts_add"},
	{"a container's mount namespace begins with the host's tree", "libcontainer/plan/userns.go", "if !b.opener || b.hot ||", "if true || b.hot ||", "TestEnterNewMountNamespace/joined_user_namespace"},
	{"the host's root owns user namespaces", "nsenter/namespaces.c", "if ((d[0].effective & NEEDED) != NEEDED ||", "if (1 ||", "TestUserNamespaceOwner"},
	{"a mask of any size", "nsenter/protect.c", "\"ro\", NULL, \"nr_blocks\", \"1\"", "\"ro\", NULL, \"nr_blocks\", \"0\"", "TestMaskHoldsNothing"},
	{"any device of the host will do", "nsenter/devices.c", "if (!same_node(&st, s))\n\t\treturn wrong_node", "if (0)\n\t\treturn wrong_node", "TestOtherDevice"},
	{"the network is joined where the container sees it", "libcontainer/plan/create.go", "const afterClone = unix.CLONE_NEWCGROUP", "const afterClone = unix.CLONE_NEWCGROUP | unix.CLONE_NEWNET", "TestSnoop/nobody_0"},
	{"what delete --force kills is said first", "kill.go", "p.log.Hold() //", "//", "TestWedgedLog"},
	{"who does not reap is left alone", "libcontainer/place/end.go", "p.endParents()", "_ = p.endParents", "TestWedgedReaper"},
	{"the stub of mounts add is not written down", "libcontainer/mounts.go", "m.c.RecordHelper(pid)", "", "TestWedgedFiles/destination.*false"},
	{"groups of the host's root are kept", "libcontainer/plan/userns.go", "if b.facts.DropGroups {", "if false {", "TestGroupsOfTheHost"},
	{"any namespace of init's will do", "libcontainer/namespaces/compare.go", "if !recorded {", "if !recorded || want != \"\" {", "TestJoinWhatWasCreated/leave"},
	{"a number says which mount namespace it is", "libcontainer/namespaces/compare.go", "known && now.ID != c.MountNamespaceID", "known && now.ID == 0", "TestJoinWhatWasCreated/cycle"},
	{"a change of ids makes it what fs.suid_dumpable says", "nsenter/credentials.c", "result = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);", "result = 0;", "TestSnoopSomebodys"},
	{"the limit on files is waited for", "nsenter/exec.c", "tries++;", "continue;", "TestFilesOfWaiting"},
	{"the process is born as one that can be looked into", "nsenter/namespaces.c", "long pid = clone_as(&args);", "long pid = clone_as(&args);\n\tif (pid == 0)\n\t\tprctl(PR_SET_DUMPABLE, 1, 0, 0, 0);", "TestSnoop/user_namespace_1"},
	{"a createContainer hook begins where the path leads", "nsenter/process.c", "if (a->is_rootfs) {", "if (0) {", "TestHookDirectoryIsRootfs/a_directory"},
	{"a createContainer hook begins where a link leads", "nsenter/process.c", "path_open(c->root, s->str[0], O_PATH | O_DIRECTORY, a->is_rootfs ? K_NO_SYMLINKS : 0);\n\tif (fd < 0)\n\t\treturn a->retry && errno == EACCES ? 0 : -errno;\n\tif (a->is_rootfs) {",
		"path_open(c->root, s->str[0], O_PATH | O_DIRECTORY, 0);\n\tif (fd < 0)\n\t\treturn -errno;\n\tif (0) {", "TestHookDirectoryIsRootfs/a_link"},
	{"a startContainer hook is root", "libcontainer/hooks.go", "p, err := j.StartHook(h, filter)",
		"_ = filter\n\t\tp, err := j.CreateHook(h, plan.RootDir{})", "TestHookReadsHost"},
	{"a waiting process keeps its capabilities", "nsenter/rights.go", "steps = append(append(steps, caps), between...)",
		"steps = append(append(append([]Step{}, between...), steps...), caps)", "TestWaitingInit"},
	{"credentials under the filter", "nsenter/rights.go", "var steps []Step\n", `var steps []Step
	if r.Filter != nil && !r.NoNewPrivs {
		steps, r.Filter = append(steps, *r.Filter), nil
	}
`, ""},
	{"an init has no filter", "libcontainer/plan/init.go", "	b.add(\"\", nsenter.Seccomp{Program: initFilter(), Flags: seccomp.FlagSpecAllow})\n", "", ""},
	{"any --root is believed", "libcontainer/state/trust.go", "err := sys.Along(root, mode, w.see)", "err := sys.Along(root, mode, func(string, *unix.Stat_t, bool) error { return nil })", "TestForgedContainer/way_for_all"},
	{"any --root will do", "libcontainer/state/trust.go", "	return sys.CheckOwner(st, w.owner)", "	return nil", "TestForgedContainer/root_for_all"},
	{"links of others lead to --root", "libcontainer/state/trust.go", "if !roots && st.Uid != w.owner &&", "if !link && !roots && st.Uid != w.owner &&", "TestForgedContainer/link_of_another_user"},
	{"links of others lead to $XDG_RUNTIME_DIR", "libcontainer/state/trust.go", "if !roots && st.Uid != w.owner &&", "if !link && !roots && st.Uid != w.owner &&", "TestModeThroughLink"},
	{"any uid that is not mapped is the host's root", "libcontainer/state/trust.go", "	return sys.CheckOwner(st, w.owner)", "	if w.unmapped(st) {\n\t\treturn nil\n\t}\n\treturn sys.CheckOwner(st, w.owner)", "TestRootInUserNamespace"},
	{"any container's directory will do", "libcontainer/state/trust.go", "if err := sys.CheckOwner(st, c.Owner); err != nil {", "if err := sys.CheckOwner(st, c.Owner); false {", "TestForgedContainer/directory_for_all"},
	{"any state.json will do", "internal/sys/read.go", "if err := CheckOwner(&st, uid); err != nil {", "if err := CheckOwner(&st, uid); false {", "TestForgedContainer/state_for_all"},
	{"a state may name another container", "libcontainer/state/trust.go", "if c.ID != id {", "if false {", "TestForgedContainer/state_of_another_id"},
	{"a user's state leads root anywhere", "libcontainer/state/trust.go", "if !inHierarchy(host, dir) {", "if !inHierarchy(host, dir) && false {", "TestRootOfUser"},
	{"exec by a file has the caller's limits", "libcontainer/bundle/bundle.go", "if err == nil && own != nil {", "if false {", "TestProcessLeavesOut"},
	{"PATH may lead into the working directory", "libcontainer/criu/criu.go", "	if err == nil {\n\t\tpath, err = filepath.Abs(path)", "	if err == nil || errors.Is(err, exec.ErrDot) {\n\t\tpath, err = filepath.Abs(path)", "TestProgramOfTheDirectory"},
	{"any directory of images will do", "libcontainer/criu/directory.go", "if err := checkOwner(f); err != nil {", "if err := checkOwner(f); false {", "TestCheckpointDirectoryOfOthers"},
	{"an access control list says nothing", "internal/sys/along.go", "if err == nil && listed {", "if err == nil && listed && false {", "TestPlantedImages/checkpoint_a_directory_above_by_an_access_control_list"},
	{"any way leads to a directory of images", "libcontainer/criu/directory.go", "if err := judgeWay(path, st); err != nil {", "if err := judgeWay(path, st); false {", "TestPlantedImages/checkpoint_a_directory_above_for_all"},
	{"images may be links and FIFOs", "libcontainer/checkpoint/session.go", "if err := s.images.CheckImages(o.LazyPages); err != nil {", "if err := s.images.CheckImages(o.LazyPages); false {", "TestPlantedImages/restore_fifo_core-1.img"},
	{"any directory may be the parent of images", "libcontainer/criu/directory.go", "if err != nil || parent == \"\" {", "if true {", "TestPlantedImages/restore_parent_of_another_user"},
	{"CRIU's log may be a link", "libcontainer/checkpoint/session.go", "if err := s.work.CheckWork(log); err != nil {", "if err := s.work.CheckWork(log); false {", "TestPlantedWorkFiles"},
	{"any file of root's configures CRIU", "libcontainer/criu/config.go", "if !strings.HasPrefix(clean, ConfigDir+\"/\") {", "if false {", "TestCriuConfigOfImage"},
	{"links lead to CRIU's configuration", "libcontainer/criu/config.go", "name, unix.O_PATH|unix.O_NOFOLLOW, 0)", "name, unix.O_PATH, 0)", "TestCriuConfigOfImage//etc/criu/link.conf"},
	{"stdio is what the container has on 0, 1 and 2", "libcontainer/checkpoint/stdio.go", "if list == nil {\n\t\tif list, err = presentStdio", "if true {\n\t\tif list, err = presentStdio", "TestCheckpointOfOwnPipe"},
	{"a file stands for a pipe", "libcontainer/checkpoint/inherit.go", "if strings.HasPrefix(key, kind+\":[\") && !strings", "if false && !strings", ""},
	{"stdio is open as the image says", "libcontainer/checkpoint/checks.go", "{\"standard descriptors\", (*restored).checkStdio},", "", "TestRestoreOtherDirection"},
	{"rt's terminal stands for the container's", "libcontainer/checkpoint/inherit.go", "if err != nil || r.Spec.Process.Terminal {", "if err != nil {", "TestRestoreTerminalOfCaller"},
	{"the host's null device is given away", "libcontainer/checkpoint/inherit.go", "if !sys.InFirstUserNamespace() {", "if true || !sys.InFirstUserNamespace() {", "TestRestoreNullOfHost"},
	{"a restored container has the caller's keyring", "libcontainer/checkpoint/restore.go", "err = r.newKeyring()", "err = nil", "TestRestoreKeyring"},
	{"any child of rt's is the container's process", "libcontainer/checkpoint/pid.go", "if pid == r.Session.Pid || !sys", "if !sys", ""},
	{"a process in rt's namespaces is the container's", "libcontainer/checkpoint/pid.go", "if own == its {", "if own == its && false {", ""},
	{"a dump that fails leaves the container frozen", "libcontainer/checkpoint.go", "if err == nil && frozen {\n\t\tvar cg", "if err == nil && frozen && false {\n\t\tvar cg", "TestCriuKilledInDump"},
	{"a keyring is named after its container", "libcontainer/facts/keyring.go", `fmt.Sprintf("%s%x", keyringPrefix(id), random)`, `"_ses." + id`, "TestKeyringOfOthers"},
	{"a stub is known by its name", "nsenter/image.go", "return IsImage(exe)", "return IsImage(exe) || true", "TestPretendedStub"},
	{"nobody looks at credentials", "nsenter/credentials.c", "c->what = what;\n\treturn -EPERM;", "c->what = what;\n\treturn 0;", ""},
	{"the stub calls exit until that works", "nsenter/stub.c", "__builtin_trap();", "_exit(status);", "TestFilterBeforeProgram/all/errno$"},
	{"an end is taken for the program's beginning", "libcontainer/stub/end.go", "if s.execFailed || s.filter == nil {", "if true {", "TestFilterBeforeProgram/execve/kill$"},
	{"what the filter denies is the program's end", "libcontainer/plan/process.go", `action := b.opts.Filter.Denies("execve")`, `action := ""`, "TestFilterBeforeProgram/execve/errno$"},
	{"an agent that has gone is awaited", "libcontainer/stub/listener.go", "if there || err != nil {", "if _ = there; true {", "TestAgentGone/close_rootless_false_$"},
	{"the container is locked until it is ready", "libcontainer/start.go", "c.Release() // the container may", "// the container may", "TestNotifyWithoutLock/start"},
	{"the stub of anybody", "nsenter/stub.c", "sock >= 0 && is_sealed()", "sock >= 0 && (is_sealed() || 1)", "TestStubOfTheCaller/rt"},
	{"namespaces on the first thread", "internal/sys/thread.go", "if unix.Gettid() != unix.Getpid() {", "if unix.Gettid() > 0 {", "TestFirstThread"},
	{"who has the lock is awaited", "libcontainer/delete.go", "who, endErr := c.EndHolder(r.Left(grace))", "var who []int\n\tvar endErr error", "TestWedgedHooks/prestart"},
	{"whoever has the pid of the holder is killed", "internal/sys/process.go", "return !dead && start == p.Start, err", "return !dead && (start == p.Start || true), err", "TestWedgedHolder/a_process_with_the_pid_of_one_that_had_it"},
	{"hooks outlive the verb that is killed", "libcontainer/state/holder.go", "_ = sys.SignalGroup(p, unix.SIGKILL)", "", "TestWedgedHooks/createRuntime"},
	{"any mount comes back", "libcontainer/checkpoint/compare.go", "if err := s.rules.check(ns.list); err != nil {", "if err := s.rules.check(ns.list); false {", ""},
	{"what CRIU has mounted is looked at later", "libcontainer/checkpoint/links.go", "if err := s.rules.checkMade(made); err != nil {", "if err := s.rules.checkMade(made); false {", "TestRestoreDeletedInReplacedBind"},
	{"CRIU follows links of the container", "libcontainer/checkpoint/links.go", "func() error { return followNoLinks(made) })", "func() error { return nil })", "TestRestoreDeletedBehindLink/file_by_a_process"},
	{"mounts of the images are made, whatever they are", "libcontainer/checkpoint/restore.go", "if err := r.sources.checkImages(r.Session.images); err != nil {", "if err := r.sources.checkImages(r.Session.images); false {", "TestRestoreOverlay/writable"},
	{"mounts of other namespaces are not looked at", "libcontainer/checkpoint/namespaces.go", "if known[name] == nil {", "if len(known) == 0 {", ""},
	{"a namespace has the mounts that one of its threads sees", "libcontainer/checkpoint/namespaces.go", "list, err := allMounts(task)", "list, err := mountsOf(task)", ""},
	{"a thread may see hidden mounts", "libcontainer/checkpoint/namespaces.go", "return seesOnly(task, known[name])", "return nil", ""},
	{"a restored init may have another root", "libcontainer/checkpoint/compare.go", "has.Mnt_id != want.Mnt_id || has.Ino != want.Ino", "false", "TestRestoreChrootedInit"},
	{"CRIU may write to the host", "libcontainer/checkpoint/restore.go", "err = r.shutHost()", "err = nil", ""},
	{"CRIU has the host's /tmp", "libcontainer/checkpoint/host.go", "	own := !slices", "	own := false && !slices", ""},
	{"file systems that the host unmounts are not held", "libcontainer/checkpoint/sources.go", `if err := s.pin("/proc/thread-self"); err != nil {`, "if err := error(nil); err != nil {", "TestRestoreHostUnmounts"},
	{"restored volumes are no slaves", "libcontainer/checkpoint/compare.go", "if err := s.enslave(ns); err != nil {", "if err := error(nil); err != nil {", "tests/integration TestRestoreVolumes/shared"},
	{"what CRIU is given are peers of the host's mounts", "libcontainer/checkpoint/restore.go", `unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "")`, "error(nil)", ""},
	{"a restored mount may be a peer of its source", "libcontainer/checkpoint/propagation.go", "|| !isSlave(s.Info) {", "{", ""},
	{"CRIU may write to read-only volumes", "libcontainer/checkpoint/sources.go", "&unix.MountAttr{Attr_set: e.attrs}", "&unix.MountAttr{}", ""},
	{"an overlay is saved", "libcontainer/checkpoint/dumpable.go", "if err := checkDump(ns.list, known, configured); err != nil {", "if err := checkDump(ns.list, known, configured); false {", ""},
	{"CRIU looks for sources", "libcontainer/checkpoint/sources.go", "criu.Pair{Key: e.Key, Value: at}", "criu.Pair{Key: e.Key, Value: e.Value}", ""},
	{"a volume has the attributes of the image", "libcontainer/checkpoint/compare.go", "strengthen(ns.task, s.rules.weaker(ns.list))", "strengthen(ns.task, nil)", "TestRestoreExchangedVolumes/meanwhile"},
	{"a volume that is busy stays writable", "libcontainer/checkpoint/compare.go", "if errors.Is(err, unix.EBUSY) {", "if errors.Is(err, unix.EBUSY) {\n\t\treturn nil\n\t}\n\tif false {", "TestRestoreExchangedVolumes/open"},
	{"what has a volume's place is that volume", "libcontainer/checkpoint/dumpable.go", "		if !same {", "		if !same && false {", ""},
	{"any name of a mount", "libcontainer/checkpoint/rules.go", `strings.Contains(key, "]:")`, "false", "TestRestoreMountNames/checkpoint"},
	{"restored capabilities are not compared", "libcontainer/checkpoint/checks.go", "		{\"capabilities\", (*restored).checkCapabilities},\n", "", "TestRestoreStricterBundle/bounding"},
	{"restored masks are not compared", "libcontainer/checkpoint/checks.go", "		{\"masks\", (*restored).checkMasks},\n", "", "TestRestoreStricterBundle/masks"},
	{"limits that were taken away stay away", "cgroups/freeze.go", "if c.given != nil && *c.given > 0", "if false && *c.given > 0", "cgroups TestReleaseBesideNewcomer"},
	{"a class of service ends with its first container", "libcontainer/intelrdt/intelrdt.go", "if dir == g.Dir {", "if false {", "libcontainer/intelrdt TestGroupThatAnotherJoined"},
	{"restored limits are those of the images", "libcontainer/checkpoint/checks.go", "		{\"limits\", (*restored).lowerRlimits},\n", "", "TestRestoreStricterLimits"},
	{"a restored OOM score is that of the images", "libcontainer/checkpoint/checks.go", "		{\"OOM score\", (*restored).raiseOOMScore},\n", "", "TestRestoreStricterLimits"},
	{"restored users are not compared", "libcontainer/checkpoint/checks.go", "		{\"user\", (*restored).checkUser},\n", "", "TestRestoreStricterBundle/user"},
	{"restored filters are not looked for", "libcontainer/checkpoint/checks.go", "		{\"filters\", (*restored).checkFilters},\n", "", "TestRestoreStricterBundle/filter"},
	{"CRIU resumes what is refused", "libcontainer/checkpoint/checks.go", "error) error {\n	pids, err := sys.Descendants(r.Pid)\n	if err != nil {\n		pids",
		"error) error {\n	if r.Pid != 0 {\n		_ = r.Cgroup.Release()\n		return why\n	}\n	pids, err := sys.Descendants(r.Pid)\n	if err != nil {\n		pids", "TestRestoreStricterBundle/masks"},
	{"CRIU has the groups of rt's caller", "libcontainer/checkpoint/settings.go", "if !p.MayDropGroups() {", "if true {", "TestRestoreGroupsOfTheCaller"},
	{"a full backlog is awaited", "libcontainer/console/socket.go", "|unix.SOCK_NONBLOCK", "", "TestWedgedSockets/pidfd"},
	{"any number of each thing", "libcontainer/bundle/bounds.go", "return n > most", "return false", ""},
	{"a list that is too long is no error", "libcontainer/bundle/bounds.go", "if n > most {", "if false {", ""},
	{"a line for each warning", "libcontainer/runtime.go", "if i == mostWarnings {", "if false {", "TestManyOfEach/capabilities_that_few_know"},
	{"a section that is missing is nil", "libcontainer/bundle/decode.go", "if err == nil {\n\t\tNormalise(s)", "if false {", "TestConfigWithoutLinux"},
	{"a panic is nobody's to catch", "internal/bug/bug.go", "func Catch(err *error) {\n", "func Catch(err *error) {\n\tif true {\n\t\treturn\n\t}\n", "internal/bug TestPanicBecomesAnError"},
	{"default devices come first", "cgroups/translate/devices.go", "clear(state.exceptions)\n", `clear(state.exceptions)
			if !rule.Allow {
				state.exceptions = defaultDevices()
			}
`, ""},
	{"default devices do not come last", "cgroups/translate/devices.go", "defaults := DeviceState{exceptions: defaultDevices()}", "defaults := DeviceState{}", ""},
	{"a command is read to its end", "libcontainer/usage/process.go", `sys.ReadKernelHead(dir+"/cmdline", MaxCommand)`, `sys.ReadKernelHead(dir+"/cmdline", 64<<20)`, "tests/integration TestTopOfLongCommands"},
	{"the answer of the kernel has no room", "cgroups/bpf.go", "	revision                                    uint64\n", "", "cgroups TestQueryIsNotOverrun"},
	{"a cgroup that is frozen from above is joined", "cgroups/create.go", "if frozen {", "if frozen && len(c.members) == 0 {", ""},
	{"a buffer for each message", "libcontainer/notify/wait.go", "n, err := unix.Read(p.sock, buf)", "buf = append([]byte(nil), make([]byte, 1<<16)...)\n\t\tn, err := unix.Read(p.sock, buf)", "TestNotifyFlood"},
	{"unknown names vanish", "libcontainer/seccomp/profile.go", "if len(p.passed) == 0 {", "if len(p.passed) >= 0 {", "libcontainer/seccomp TestUnknownNames"},
	{"any case will do", "libcontainer/bundle/unknown.go", `u.fail(wayPointer("", here), "is spelt`, `u.warn(wayPointer("", here), "is spelt`, "libcontainer/bundle TestOneSpelling"},
	{"a cgroup is known by the end of its path", "libcontainer/doctor/cgroups.go", "if dir == filepath.Join(mount, path) {", "if mount != \"\" && strings.HasSuffix(dir, path) {", "libcontainer/doctor TestIsCgroup"},
	{"what cannot be seen is printed", "internal/text/text.go", "unicode.Cf, ", "", "internal/text TestHarmful"},
	{"instances of templates are units", "cgroups/systemd/unit.go", `if strings.Contains(name, "@") {`, "if false {", "cgroups/systemd TestTemplateName"},
	{"a descriptor for each part of a tree", "cgroups/walk.go", "if len(w.open) == mostBases {", "if len(w.open) == 1<<20 {", "TestDeepCgroups"},
	{"an inactive unit is waited for", "cgroups/systemd/manager.go", `"ActiveState")); err == nil && state == "inactive" {`, `"ActiveState")); err == nil && state == "gone" {`, "cgroups/systemd TestStopKeptLoaded"},
	{"controllers are enabled when one is needed", "cgroups/create.go", "t.wanted(c.v1Count() == 0)", "t.wanted(false)", "cgroups TestControllersV2"},
	{"a v1 tasks file stays open", "nsenter/namespaces.c", "close(tasks);", "", "nsenter TestCgroupJoin"},
	{"a device with its name is taken for whole", "libcontainer/netdev/record.go", "known && (name != n.Name || !l.up)", "known && name != n.Name", "libcontainer/netdev TestBackKilledNamed"},
}

// peersOfTheHost: two defences cover for each other here.
var peersOfTheHost = []flaw{
	{"trees stay peers of the host's", "nsenter/mounts.c", "if (propagation != MS_SHARED)", "if (0)", ""},
	{"trees are opened in the host's mount namespace", "libcontainer/plan/userns.go", "(!b.facts.OpenInside || b.joinedUser()) {", "false {", ""},
}

// anyDevice: so they do for network devices.
var anyDevice = []flaw{
	{"any device comes back", "libcontainer/netdev/identity.go", "if err != nil || !m.shared {", "if true {", ""},
	{"no second look at devices", "libcontainer/netdev/netdev.go", "if err == nil && m.shared {", "if false {", ""},
}

// flawsNamed are some of them, which cover for each other.
func flawsNamed(names ...string) (some []flaw) {
	for _, f := range flaws {
		if slices.Contains(names, f.name) {
			some = append(some, f)
		}
	}
	return some
}

// TestFlawsAreInTheSource: what a flaw takes out is there, so that a change of it is noticed without the builds of TestWeakened.
func TestFlawsAreInTheSource(t *testing.T) {
	for _, f := range slices.Concat(flaws, byPath, peersOfTheHost, anyDevice) {
		files := []string{"../../" + f.file}
		if strings.HasSuffix(f.file, "/") {
			var err error
			files, err = filepath.Glob("../../nsenter/*.[ch]")
			must(t, err)
		}
		if !slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			must(t, err)
			return strings.Contains(string(text), f.from)
		}) {
			t.Errorf("%s: %s has no %q any more", f.name, f.file, f.from)
		}
	}
}

// A weak runtime is one with some flaws, which an attack must notice.
type weak struct {
	changes []flaw
	attack  string
}

// command attacks: by a test of this package, whose program is self, by one of others that start the runtime, or by one of the weakened
// package itself.
func (w *weak) command(t *testing.T, self string) *exec.Cmd {
	dir, test, ok := strings.Cut(w.attack, " ")
	if !ok {
		dir, test = "", w.attack
	}
	test = "^" + strings.ReplaceAll(test, "/", "$/^")
	overlay := weaken(t, w.changes)
	var cmd *exec.Cmd
	switch {
	case dir == "":
		cmd = exec.Command(self, "-test.count=1", "-test.run", test, "-test.v")
	default:
		cmd = exec.Command("go", "test", "-vet=off", "-count=1", "-timeout", "1h", "-overlay", overlay, "-tags", tags, "-run", test, "-v", "./"+dir)
		cmd.Dir = top(t)
	}
	cmd.Env = append(buildEnv(t), "RT_SECURITY=", "RT_SECURITY_PATIENCE=20s")
	if dir == "" || strings.HasPrefix(dir, "tests/") {
		cmd.Env = append(cmd.Env, "RT="+build(t, overlay))
	}
	return cmd
}

// test is the name of the attack without that of a part of it.
func (w *weak) test() string {
	name, _, _ := strings.Cut(w.attack[strings.LastIndexByte(w.attack, ' ')+1:], "/")
	return name
}

// unnoticed says why the attack has not noticed that the runtime is weak, by what its test has printed, and "" if it has. An attack that
// was skipped says nothing about the defence.
func (w *weak) unnoticed(out string, err error) string {
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && strings.Contains(out, "--- FAIL: "+w.test()):
		return ""
	case err == nil && strings.Contains(out, "no tests to run"):
		return "is no test"
	case err == nil && strings.Contains(out, "--- SKIP: "+w.test()):
		return "was skipped, so that nothing is known of the defence"
	default:
		return "does not notice"
	}
}

// TestSkippedAttackIsNoVerdict: what TestWeakened makes of an attack's output.
func TestSkippedAttackIsNoVerdict(t *testing.T) {
	failed := &exec.ExitError{}
	for _, c := range []struct {
		out  string
		err  error
		want string
	}{
		{"--- FAIL: TestX (0.1s)\nFAIL\n", failed, ""},
		{"    --- FAIL: TestX/a (0.1s)\n    --- SKIP: TestX/b (0.1s)\n--- FAIL: TestX (0.1s)\n", failed, ""},
		{"    x_test.go:1: no CRIU\n--- SKIP: TestX (0.0s)\nPASS\n", nil, "was skipped"},
		{"    --- SKIP: TestX/a (0.1s)\n--- PASS: TestX (0.1s)\nPASS\n", nil, "was skipped"},
		{"--- PASS: TestX (0.1s)\nPASS\n", nil, "does not notice"},
		{"testing: warning: no tests to run\nPASS\n", nil, "is no test"},
		{"./x.go:1: undefined: y\n", failed, "does not notice"},
		{"", errors.New("no such program"), "does not notice"},
	} {
		w := weak{attack: "TestX/a"}
		if got := w.unnoticed(c.out, c.err); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%q, %v: got %q, want %q", c.out, c.err, got, c.want)
		}
	}
}

// TestWeakened: each attack succeeds against a runtime without the defence it is about. Where two defences cover for each
// other, both are taken out.
func TestWeakened(t *testing.T) {
	if !host.full {
		t.Skip("builds a runtime for each flaw: RT_SECURITY=full, make test-security")
	}
	var list []weak
	for _, f := range flaws {
		if f.attack != "" {
			list = append(list, weak{[]flaw{f}, f.attack})
		}
	}
	list = append(list, weak{flaws[4:6], "TestLeakedDescriptors"}, weak{append(flaws[2:3:3], flaws[4:6]...), "TestLeakedDescriptors"},
		weak{flaws[6:8], "TestForgedNull/a_zero_device"}, weak{peersOfTheHost, "TestDevicesOfTheHost"}, weak{peersOfTheHost[:1], "TestPeersOfTheHost"}, weak{anyDevice, "TestForgedNetDevice"},
		weak{byPath, "TestRacedRemounts/propagation"},
		weak{flawsNamed("any number of each thing", "a list that is too long is no error"), "TestManyOfEach/device_rules"},
		weak{flawsNamed("default devices come first", "default devices do not come last"), "tests/integration TestDeviceRuleVerdicts/a_default_device_is_denied"},
		weak{flawsNamed("the opener's user namespace belongs to one with other members", "the root of the opener's copy is not covered"), "TestSourcesSubstituted/rootless_false_add_false"},
		weak{flawsNamed("create waits in a cgroup that is frozen meanwhile", "a cgroup that is frozen from above is joined"), "TestFrozenAbove"},
		weak{flawsNamed("any destination may be removed", "mounts without an id may be removed"), "TestHotplugSwapped"},
		weak{flawsNamed("locked procfs of the host", "the host's tree is not cloned for a user namespace"), "TestNoPivotProc/user_namespace"},
		weak{flawsNamed("any mount comes back", "mounts of the images are made, whatever they are"), "TestRestoreOverlay/meanwhile"},
		weak{flawsNamed("any mount comes back", "mounts of the images are made, whatever they are", "an overlay is saved"), "TestRestoreOverlay/before"},
		weak{flawsNamed("any mount comes back", "what CRIU has mounted is looked at later"), "TestRestoreReplacedBind"},
		weak{flawsNamed("CRIU may write to the host", "CRIU follows links of the container"), "TestRestoreDeletedBehindLink/file"},
		weak{flawsNamed("CRIU has the host's /tmp", "CRIU follows links of the container"), "TestRestorePrivateTmp"},
		weak{flawsNamed("what CRIU is given are peers of the host's mounts", "a restored mount may be a peer of its source"), "tests/integration TestRestoreVolumes/shared"},
		weak{flawsNamed("CRIU may write to read-only volumes", "CRIU follows links of the container"), "TestRestoreDeletedInReadonlyVolume"},
		weak{flawsNamed("mounts of other namespaces are not looked at", "what CRIU has mounted is looked at later", "a thread may see hidden mounts"), "TestRestoreReplacedBindElsewhere"},
		weak{flawsNamed("a namespace has the mounts that one of its threads sees", "what CRIU has mounted is looked at later", "a thread may see hidden mounts"), "TestRestoreReplacedBindBehindChroot"},
		weak{flawsNamed("any mount comes back", "what CRIU has mounted is looked at later", "CRIU looks for sources"), "TestRestoreReplacedSource"},
		weak{flawsNamed("any mount comes back", "what CRIU has mounted is looked at later", "any name of a mount", "CRIU looks for sources"), "TestRestoreMountNames/restore"},
		weak{flawsNamed("a volume has the attributes of the image", "what has a volume's place is that volume"), "TestRestoreExchangedVolumes/before"},
		weak{flawsNamed("credentials under the filter", "nobody looks at credentials"), "TestPretendingFilter"},
		weak{flawsNamed("a file stands for a pipe", "stdio is open as the image says"), "TestRestoreWritesToStdin"},
		weak{flawsNamed("any child of rt's is the container's process", "a process in rt's namespaces is the container's"), "TestRestoreForeignProcess/its_own"},
		weak{flawsNamed("an init has no filter", "the stub can be looked into"), "TestInitIsNoWayAround/CAP_KILL_user_namespace_false"})
	self, err := os.Executable()
	must(t, err)
	for _, w := range list {
		t.Run(w.changes[0].name, func(t *testing.T) {
			cmd := w.command(t, self)
			out, err := cmd.CombinedOutput()
			if why := w.unnoticed(string(out), err); why != "" {
				t.Errorf("%s %s: %v\n%s", w.attack, why, err, out)
			}
		})
	}
}

const tags = "urfave_cli_no_docs netgo osusergo"

// top is the directory of the source.
func top(t *testing.T) string {
	dir, err := filepath.Abs("../..")
	must(t, err)
	return dir
}

// headers are where the kernel's are looked for: behind those of the C library.
func headers(t *testing.T) []string {
	multiarch, err := exec.Command("gcc", "-print-multiarch").Output()
	must(t, err)
	return []string{"-idirafter", "/usr/include", "-idirafter", "/usr/include/" + strings.TrimSpace(string(multiarch))}
}

func buildEnv(t *testing.T) []string {
	return append(os.Environ(), "CC=musl-gcc", "CGO_ENABLED=1", "CGO_CFLAGS=-O2 "+strings.Join(headers(t), " "))
}

// weaken changes the source, which stays as it is, and returns a file for go's -overlay. The stub is built.
func weaken(t *testing.T, changes []flaw) (overlay string) {
	t.Helper()
	dir, top := t.TempDir(), top(t)
	replace := map[string]string{}
	sources, err := filepath.Glob(top + "/nsenter/*.[ch]")
	must(t, err)
	for _, s := range sources {
		copyFile(t, s, filepath.Join(dir, filepath.Base(s)))
	}
	for _, f := range changes {
		n := 0
		files := []string{filepath.Join(top, f.file)}
		if strings.HasSuffix(f.file, "/") {
			files = sources
		}
		for _, file := range files {
			target := filepath.Join(dir, filepath.Base(file))
			from := target
			if strings.HasSuffix(file, ".go") {
				target = filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(file, top+"/"), "/", "+")) // other directories have a file of that name
				from = target
				if replace[file] == "" { // else it has been changed already
					from = file
				}
				replace[file] = target
			} else if strings.Contains(f.from, "is_sealed") { // of rt, not of the stub
				replace[file] = target
			}
			text, err := os.ReadFile(from)
			must(t, err)
			n += strings.Count(string(text), f.from)
			must(t, os.WriteFile(target, []byte(strings.ReplaceAll(string(text), f.from, f.to)), 0o644))
		}
		if n == 0 {
			t.Fatalf("%s has no %q any more: say what the flaw is now", f.file, f.from)
		}
	}
	c, err := filepath.Glob(dir + "/*.c")
	must(t, err)
	stub := append(append([]string{"-static", "-Os", "-std=gnu11", "-D_GNU_SOURCE", "-DRT_STUB_IMAGE", "-o", dir + "/stub"}, headers(t)...), c...)
	if out, err := exec.Command("musl-gcc", stub...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	replace[top+"/nsenter/image/stub"] = dir + "/stub"
	list, err := json.Marshal(map[string]any{"Replace": replace})
	must(t, err)
	must(t, os.WriteFile(dir+"/overlay.json", list, 0o644))
	return dir + "/overlay.json"
}

// build builds a runtime of the source with an overlay.
func build(t *testing.T, overlay string) (rt string) {
	t.Helper()
	rt = filepath.Join(filepath.Dir(overlay), "rt")
	cmd := exec.Command("go", "build", "-overlay", overlay, "-tags", tags, "-ldflags", `-s -w -linkmode external -extldflags "-static"`, "-o", rt, ".")
	cmd.Dir, cmd.Env = top(t), buildEnv(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return rt
}
