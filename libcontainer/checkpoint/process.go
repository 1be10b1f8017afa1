package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"rt/internal/hint"
	"rt/internal/names"
	"rt/internal/sys"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What init may do is compared with what the configuration allows. A process can give up privileges, so less is allowed. More is refused
// where the kernel lets no process gain it. Only the filter is required of all processes: exec can give others more privileges.

// maxFile bounds what is read of a file of the kernel's, in bytes.
const maxFile = 64 << 20

// A procStatus is what /proc/PID/status says of a thread, by the names of its lines.
type procStatus map[string]string

func readStatus(dir string) (procStatus, error) {
	text, err := sys.ReadKernelFile(dir+"/status", maxFile)
	if err != nil {
		return nil, err
	}
	s := procStatus{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			s[name] = strings.TrimSpace(value)
		}
	}
	return s, nil
}

// threads are the directories in /proc of a process's threads, which do not run.
func threads(pid int) (dirs []string, err error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	list, err := sys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		dirs = append(dirs, dir+"/"+t.Name())
	}
	return dirs, nil
}

// eachThread calls f with what /proc says of each thread of init.
func (r *restored) eachThread(f func(procStatus) error) error {
	dirs, err := threads(r.init)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		s, err := readStatus(dir)
		if err == nil {
			err = f(s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkNoNewPrivs requires no_new_privs on each thread of init, if it is configured. CRIU before 4.0 does not restore the flag, and a process
// can set it only for itself.
func (r *restored) checkNoNewPrivs() error {
	return r.eachThread(func(s procStatus) error {
		if r.Spec.Process.NoNewPrivileges && s["NoNewPrivs"] != "1" {
			return hint.With(errors.New("a thread of init lacks no_new_privs (/process/noNewPrivileges)"),
				"it was saved without, or CRIU is older than 4.0, which does not restore it")
		}
		return nil
	})
}

// checkFilters requires a seccomp filter on each thread of each process, if one is configured: exec installs it, too.
func (r *restored) checkFilters() error {
	if seccomp.Of(r.Spec) == nil {
		return nil
	}
	for _, pid := range r.pids {
		dirs, err := threads(pid)
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			s, err := readStatus(dir)
			if err != nil {
				return err
			}
			if s["Seccomp"] != "2" && !strings.HasPrefix(s["State"], "Z") {
				return fmt.Errorf("process %d has no seccomp filter (/linux/seccomp)", pid)
			}
		}
	}
	return nil
}

// checkCapabilities refuses an init with a capability that the configuration does not allow. Without no_new_privs a set-user-ID program may
// have given it all of the bounding set.
func (r *restored) checkCapabilities() error {
	conf := r.Spec.Process.Capabilities
	if conf == nil {
		conf = &specs.LinuxCapabilities{}
	}
	bounding, permitted, inheritable := capMask(conf.Bounding), capMask(conf.Permitted), capMask(conf.Inheritable)
	most := permitted
	if !r.Spec.Process.NoNewPrivileges {
		most |= bounding | inheritable
	}
	allowed := []struct {
		line, property string
		most           uint64
	}{
		{"CapBnd", "bounding", bounding}, {"CapPrm", "permitted", most}, {"CapEff", "effective", most}, {"CapAmb", "ambient", most},
		{"CapInh", "inheritable", bounding | permitted | inheritable},
	}
	return r.eachThread(func(s procStatus) error {
		for _, a := range allowed {
			has, err := strconv.ParseUint(s[a.line], 16, 64)
			if err != nil {
				return fmt.Errorf("read %s of process %d: %.64q is no hexadecimal number", a.line, r.init, s[a.line])
			}
			if more := has &^ a.most; more != 0 {
				return fmt.Errorf("init has %s, which is not configured (/process/capabilities/%s)", capNames(more), a.property)
			}
		}
		return nil
	})
}

func capMask(list []string) (mask uint64) {
	for _, name := range list {
		if n := names.Capability(name); n >= 0 {
			mask |= 1 << n
		}
	}
	return mask
}

func capNames(mask uint64) string {
	var list []string
	for n := range 64 {
		if mask>>n&1 == 0 {
			continue
		}
		if all := names.Capabilities(); n < len(all) {
			list = append(list, all[n])
		} else {
			list = append(list, strconv.Itoa(n))
		}
	}
	return strings.Join(list, ", ")
}

// checkUser compares the IDs of init with those configured. With no_new_privs a process needs CAP_SETUID or CAP_SETGID to change them. Without
// it a set-user-ID program can change the user, limited by the bounding set, but not the supplementary groups.
func (r *restored) checkUser() error {
	p := r.Spec.Process
	conf := p.Capabilities
	if conf == nil {
		conf = &specs.LinuxCapabilities{}
	}
	may := capMask(conf.Permitted)
	if !p.NoNewPrivileges {
		may |= capMask(conf.Bounding) | capMask(conf.Inheritable)
	}
	fixed := func(capability int) bool { return may>>capability&1 == 0 }
	return r.eachThread(func(s procStatus) (err error) {
		if fixed(unix.CAP_SETUID) && p.NoNewPrivileges {
			err = r.checkIDs("uid_map", s["Uid"], []uint32{p.User.UID}, "/process/user/uid")
		}
		if err == nil && fixed(unix.CAP_SETGID) && p.NoNewPrivileges {
			err = r.checkIDs("gid_map", s["Gid"], []uint32{p.User.GID}, "/process/user/gid")
		}
		if err == nil && fixed(unix.CAP_SETGID) && !r.Privileges.KeepsGroups(r.Spec, r.Warn) {
			err = r.checkIDs("gid_map", s["Groups"], append(slices.Clone(p.User.AdditionalGids), p.User.GID), "/process/user/additionalGids")
		}
		return err
	})
}

// checkIDs compares ids as rt sees them with those that the container's allowed ones are mapped to.
func (r *restored) checkIDs(file, has string, allowed []uint32, pointer string) error {
	path := "/proc/" + strconv.Itoa(r.init) + "/" + file
	text, err := sys.ReadKernelFile(path, maxFile)
	if err != nil {
		return err
	}
	var most []string
	mappings := facts.ReadIDMap(string(text))
	for _, id := range allowed {
		if outside, ok := facts.OuterID(mappings, id); ok {
			most = append(most, strconv.FormatUint(uint64(outside), 10))
		}
	}
	for _, id := range strings.Fields(has) {
		if !slices.Contains(most, id) {
			return fmt.Errorf("init has the id %s of the host, and what is configured is %v of the container (%s)", id, allowed, pointer)
		}
	}
	return nil
}

// checkPrivateNamespaces refuses an init that is in a namespace of the host's where the configuration gives it its own, or not in the one
// that it joins. A time namespace CRIU makes always, so that clocks go on.
func (r *restored) checkPrivateNamespaces() error {
	for i, ns := range r.Spec.Linux.Namespaces {
		file := "/ns/" + plan.NamespaceFile(ns.Type)
		theirs, err := sys.NamespaceInode(unix.AT_FDCWD, "/proc/"+strconv.Itoa(r.init)+file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the kernel has none of the type
		}
		if err != nil {
			return err
		}
		want := "/proc/self" + file
		if f := r.Joined[ns.Type]; f != nil {
			want = "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
		}
		other, err := sys.NamespaceInode(unix.AT_FDCWD, want)
		if err != nil {
			return err
		}
		if (theirs == other) != (ns.Path != "") {
			err := fmt.Errorf("init is not in the %s namespace that is configured (/linux/namespaces/%d)", ns.Type, i)
			if ns.Type == specs.CgroupNamespace && r.Session.cgroupsIgnored() {
				err = hint.With(err, "with --manage-cgroups-mode ignore CRIU makes no cgroup namespace, and the container would see the host's cgroups: use soft")
			}
			return err
		}
	}
	return nil
}
