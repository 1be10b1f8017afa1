package libcontainer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rt/cgroups"
	"rt/internal/sys"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ownCapabilities are those that rt may pass on.
func ownCapabilities() uint64 {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		return 0
	}
	return uint64(d[0].Permitted) | uint64(d[1].Permitted)<<32
}

// secbitNoAmbient is SECBIT_NO_CAP_AMBIENT_RAISE of capabilities(7).
const secbitNoAmbient = 1 << 6

// forbidsAmbient says that no process of this caller can raise an ambient capability, if the process is to have any.
func forbidsAmbient(p *specs.Process) bool {
	if p == nil || p.Capabilities == nil || len(p.Capabilities.Ambient) == 0 {
		return false
	}
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	return err == nil && bits&secbitNoAmbient != 0
}

// passwdOf finds the file that will be the container's /etc/passwd: a bind mount's source, or the rootfs' own; nil if there
// is none that could be read.
func passwdOf(spec *specs.Spec, bundleDir, rootfs string, inside map[string]plan.Inside) (*os.File, error) {
	for _, m := range spec.Mounts {
		bind, ok := plan.BindOf(m, bundleDir)
		if !ok || bind.Target != "/"+passwdFile {
			continue
		}
		if name, ok := strings.CutPrefix(bind.Source, rootfs+"/"); ok {
			return passwdIn(rootfs, name)
		}
		if place := inside[bind.Named]; place.Root != "" {
			return passwdIn(place.Root, strings.TrimPrefix(place.Path, place.Root+"/"))
		}
		f, err := sys.OpenFile(unix.AT_FDCWD, bind.Source, sys.Regular, unix.O_RDONLY, 0)
		return f, noPasswd(err)
	}
	return passwdIn(rootfs, passwdFile)
}

const passwdFile = "etc/passwd"

func passwdIn(rootfs, name string) (*os.File, error) {
	dir, err := sys.Open(rootfs, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, noPasswd(err)
	}
	defer dir.Close()
	return passwdBelow(dir, name)
}

// passwdBelow follows links as the container would.
func passwdBelow(root *os.File, name string) (*os.File, error) {
	f, err := sys.OpenFile(int(root.Fd()), name, sys.Regular, unix.O_RDONLY,
		unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	return f, noPasswd(err)
}

// noPasswd drops an error that is about the file. It is the container's, which may have made it anything (a device without a
// driver, one with a lease), and rt may be nobody who may read it. With the errors that are left, nothing is known about it.
func noPasswd(err error) error {
	for _, errno := range [...]unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EIO} {
		if errors.Is(err, errno) {
			return fmt.Errorf("look for the home directory in the container's /etc/passwd: %w", err)
		}
	}
	return nil
}

// homeIn looks up a user's home directory, "/" if it is not there. The file is the container's: it may be anything,
// so only a regular file is read, and not without end.
func homeIn(passwd *os.File, uid uint32) (string, error) {
	const home = "/"
	if passwd == nil {
		return home, nil
	}
	defer passwd.Close()
	st, err := passwd.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return home, noPasswd(err)
	}
	buf := make([]byte, min(st.Size()+1, 1<<20))
	n, err := io.ReadFull(passwd, buf)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return home, noPasswd(err)
	}
	if n == len(buf) { // cut off: the last line may not be all of it
		n = bytes.LastIndexByte(buf, '\n') + 1
	}
	lines := bufio.NewScanner(bytes.NewReader(buf[:n]))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 6 {
			continue
		}
		if id, err := strconv.ParseUint(fields[2], 10, 32); err == nil && uint32(id) == uid && fields[5] != "" && !strings.Contains(fields[5], "\x00") {
			return fields[5], nil
		}
	}
	return home, nil
}

// homeOf is homeIn of the file that passwdOf finds.
func homeOf(spec *specs.Spec, bundleDir, rootfs string, inside map[string]plan.Inside, uid uint32) (string, error) {
	passwd, err := passwdOf(spec, bundleDir, rootfs, inside)
	if err != nil {
		return "", err
	}
	return homeIn(passwd, uid)
}

// needsHome says whether the environment leaves HOME to us.
func needsHome(env []string) bool {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], "HOME="); ok {
			return v == ""
		}
	}
	return true
}

// cgroupView is what the container's mounts of type cgroup are to show.
func cgroupView(host *cgroups.Host, cg *cgroups.Cgroup, p privileges) plan.CgroupView {
	paths := cg.Paths()
	view := plan.CgroupView{V2: host.Mode == cgroups.V2, Path: paths[""]}
	if p.hostRoot() {
		view.Whole = host.Unified
	}
	if view.V2 {
		return view
	}
	byMount := make(map[string][]string)
	for controller, mount := range host.V1 {
		if paths[controller] != "" {
			byMount[mount] = append(byMount[mount], controller)
		}
	}
	for _, mount := range slices.Sorted(maps.Keys(byMount)) {
		names := byMount[mount]
		slices.Sort(names)
		view.Hierarchies = append(view.Hierarchies, plan.Hierarchy{
			Dir: filepath.Base(mount), Controllers: names, Path: paths[names[0]],
		})
	}
	return view
}

// mountsCgroup says whether the configuration has a mount of type cgroup.
func mountsCgroup(spec *specs.Spec) bool {
	for _, m := range spec.Mounts {
		if m.Type == "cgroup" || m.Type == "cgroup2" {
			return true
		}
	}
	return false
}

// listenFds is how many descriptors of socket activation were handed to this very process (sd_listen_fds(3)).
func listenFds() int {
	pid, err := strconv.Atoi(os.Getenv("LISTEN_PID"))
	if err != nil || pid != os.Getpid() {
		return 0
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// hostNodes are the host's nodes of a configuration's devices, which are bound in a user namespace. What cannot be looked at has no
// warning, and its error is that of the step that binds it.
func hostNodes(spec *specs.Spec) map[string]plan.Node {
	nodes := map[string]plan.Node{}
	if spec.Linux == nil || !slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace }) {
		return nodes
	}
	for _, d := range spec.Linux.Devices {
		var st unix.Stat_t
		at := filepath.Join("/", d.Path)
		if err := sys.Retry(func() error { return unix.Stat(at, &st) }); err == nil {
			nodes[at] = plan.Node{Mode: st.Mode, UID: st.Uid, GID: st.Gid}
		}
	}
	return nodes
}

// linkedSources are those sources of bind mounts with the option copy-symlink that are symbolic links, and what they say. Below the
// rootfs a link is the image's, and so are those that may lead to it: it is followed.
func linkedSources(spec *specs.Spec, bundleDir, rootfs string, inside map[string]plan.Inside) map[string]string {
	links := map[string]string{}
	for _, m := range spec.Mounts {
		source := m.Source
		if !slices.Contains(m.Options, "copy-symlink") {
			continue
		}
		if !filepath.IsAbs(source) {
			source = filepath.Join(bundleDir, source)
		}
		if _, ok := inside[filepath.Dir(source)]; ok || strings.HasPrefix(filepath.Clean(source), rootfs+"/") {
			continue
		}
		if text, err := os.Readlink(source); err == nil {
			links[source] = text
		}
	}
	return links
}
