package plan

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rt/internal/names"
	"rt/libcontainer/bundle"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	rdonly  = unix.MOUNT_ATTR_RDONLY
	nosuid  = unix.MOUNT_ATTR_NOSUID
	nodev   = unix.MOUNT_ATTR_NODEV
	noexec  = unix.MOUNT_ATTR_NOEXEC
	noatime = unix.MOUNT_ATTR_NOATIME
	strict  = unix.MOUNT_ATTR_STRICTATIME
	atimes  = unix.MOUNT_ATTR__ATIME
	nodir   = unix.MOUNT_ATTR_NODIRATIME
	nolink  = unix.MOUNT_ATTR_NOSYMFOLLOW
)

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		options                    string
		set, clear, setAll, clrAll uint64
	}{
		{"", 0, 0, 0, 0},
		{"ro", rdonly, 0, 0, 0},
		{"rw", 0, rdonly, 0, 0},
		{"ro rw", 0, rdonly, 0, 0},
		{"rw ro", rdonly, 0, 0, 0},
		{"ro ro", rdonly, 0, 0, 0},
		{"nosuid nodev noexec", nosuid | nodev | noexec, 0, 0, 0},
		{"nosuid nodev noexec suid dev exec", 0, nosuid | nodev | noexec, 0, 0},
		{"noexec exec noexec", noexec, 0, 0, 0},
		{"nosymfollow", nolink, 0, 0, 0},
		{"nosymfollow symfollow", 0, nolink, 0, 0},
		// An access time is set by clearing all of them at once: mount_setattr(2), EINVAL.
		{"noatime", noatime, atimes, 0, 0},
		{"strictatime", strict, atimes, 0, 0},
		{"relatime", 0, atimes, 0, 0},
		{"atime", 0, 0, 0, 0}, // takes noatime back, and nothing else
		{"noatime atime", 0, 0, 0, 0},
		{"strictatime atime", strict, atimes, 0, 0},
		{"nostrictatime", 0, 0, 0, 0},
		{"strictatime nostrictatime", 0, 0, 0, 0},
		{"relatime norelatime", 0, 0, 0, 0},
		{"noatime norelatime", noatime, atimes, 0, 0},
		{"noatime strictatime", strict, atimes, 0, 0},
		{"strictatime relatime", 0, atimes, 0, 0},
		{"norelatime", 0, 0, 0, 0},
		// Not one of the access times, and not touched by them.
		{"nodiratime noatime", nodir | noatime, atimes, 0, 0},
		{"nodiratime diratime", 0, nodir, 0, 0},
		// Of the tree, and apart from those of the mount.
		{"rro", 0, 0, rdonly, 0},
		{"rro rrw", 0, 0, 0, rdonly},
		{"ro rrw", rdonly, 0, 0, rdonly},
		{"rnosuid rnodev rnoexec rnosymfollow rnodiratime", 0, 0, nosuid | nodev | noexec | nolink | nodir, 0},
		{"rsuid rdev rexec rsymfollow rdiratime", 0, 0, 0, nosuid | nodev | noexec | nolink | nodir},
		{"rnoatime", 0, 0, noatime, atimes},
		{"rstrictatime rrelatime", 0, 0, 0, atimes},
		{"ratime", 0, 0, 0, atimes},
		{"rnostrictatime", 0, 0, 0, atimes},
		// Words without effect on attributes.
		{"defaults loud silent iversion noiversion bind rbind remount shared sync size=1", 0, 0, 0, 0},
	} {
		f := parseOptions(strings.Fields(c.options))
		if f.set != c.set || f.clear != c.clear || f.setAll != c.setAll || f.clrAll != c.clrAll {
			t.Errorf("%q: set %#x clear %#x, tree: set %#x clear %#x", c.options, f.set, f.clear, f.setAll, f.clrAll)
		}
		if both := f.set & f.clear &^ atimes; both != 0 {
			t.Errorf("%q sets and clears %#x", c.options, both)
		}
	}
}

// TestEveryOptionHasAnEffect: each mount option of names does something here, but for those that say so themselves.
func TestEveryOptionHasAnEffect(t *testing.T) {
	for _, name := range names.MountOptions() {
		f := parseOptions([]string{name})
		if len(f.data) > 0 {
			t.Errorf("%s goes to the file system as %v", name, f.data)
		}
		if reflect.DeepEqual(f, flags{}) && name != "defaults" {
			t.Errorf("%s has no effect", name)
		}
	}
}

// TestAttributesOfBind: what names no flag keeps those of the source, anything else sets exactly what it names.
func TestAttributesOfBind(t *testing.T) {
	const each = rdonly | nosuid | nodev | noexec | nolink
	for _, c := range []struct {
		options             string
		set, clear, implied uint64
	}{
		{"bind rprivate defaults rro", 0, 0, 0},
		{"ro", rdonly, 0, each &^ rdonly},
		{"rw", 0, rdonly, each &^ rdonly},
		{"nosuid dev symfollow", nosuid, nodev | nolink, rdonly | noexec},
		{"noatime", noatime, atimes | nodir, each},
		{"nodiratime", nodir, atimes, each},
		{"relatime nodiratime", nodir, atimes, each},
		{"strictatime", strict, atimes | nodir, each},
		{"atime", 0, 0, each}, {"norelatime", 0, 0, each}, {"diratime", 0, 0, each}, {"silent", 0, 0, each}, {"sync", 0, 0, each},
	} {
		f := parseOptions(strings.Fields(c.options))
		if set, clear, implied := f.ofBind(); set != c.set || clear != c.clear || implied != c.implied {
			t.Errorf("%q: set %#x clear %#x implied %#x, want %#x %#x %#x", c.options, set, clear, implied, c.set, c.clear, c.implied)
		}
	}
}

func TestParseWords(t *testing.T) {
	f := parseOptions([]string{"rslave", "size=1k", "sync", "shared", "", "x", "y=", "lazytime", "a=b=c"})
	if got := fmt.Sprint(f.data); got != "[size=1k x y= a=b=c]" {
		t.Errorf("for the file system: %s", got)
	}
	if got := fmt.Sprint(f.superblock); got != "[sync lazytime]" {
		t.Errorf("for the superblock: %s", got)
	}
	if !slices.Equal(f.propagation, []uint64{unix.MS_SLAVE | unix.MS_REC, unix.MS_SHARED}) {
		t.Errorf("propagation: %#x", f.propagation)
	}
	for _, c := range []struct {
		options              string
		bind, rbind, remount bool
	}{
		{"", false, false, false}, {"bind", true, false, false}, {"rbind", true, true, false},
		{"rbind bind", true, true, false}, {"bind remount", true, false, true}, {"remount", false, false, true},
	} {
		if f := parseOptions(strings.Fields(c.options)); f.bind != c.bind || f.rbind != c.rbind || f.remount != c.remount {
			t.Errorf("%q: %+v", c.options, f)
		}
	}
}

func TestIsBind(t *testing.T) {
	for _, c := range []struct {
		kind, options string
		want          bool
	}{
		{"", "bind", true}, {"none", "rbind", true}, {"bind", "", true}, {"rbind", "ro", false},
		{"tmpfs", "", false}, {"proc", "ro", false}, {"", "", false}, {"tmpfs", "bindx", false},
	} {
		if got := IsBind(specs.Mount{Type: c.kind, Options: strings.Fields(c.options)}); got != c.want {
			t.Errorf("type %q options %q: %v", c.kind, c.options, got)
		}
	}
}

func TestSysctlPath(t *testing.T) {
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":              "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":              "net/ipv4/ip_forward",
		"net/ipv4/conf/eth0.100/rp_filter": "net/ipv4/conf/eth0.100/rp_filter",
		"net.ipv4.conf.eth0/100.rp_filter": "net/ipv4/conf/eth0.100/rp_filter",
		"kernel":                           "kernel",
		"":                                 "",
		"a.":                               "a/",
		"/a.b":                             "/a.b",
		".a/b":                             "/a.b",
		"net.ä.x":                          "net/ä/x",
	} {
		if got := SysctlPath(key); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		arg  string
		env  []string
		want []string
	}{
		{"sh", []string{"PATH=/a:/b"}, []string{"/a/sh", "/b/sh"}},
		{"sh", []string{"PATH=/a", "PATH=/b"}, []string{"/b/sh"}},
		{"sh", []string{"PATH=:/b:"}, []string{"./sh", "/b/sh", "./sh"}},
		{"sh", []string{"PATH=rel"}, []string{"rel/sh"}},
		{"/bin/sh", []string{"PATH=/a"}, []string{"/bin/sh"}},
		{"./sh", nil, []string{"./sh"}},
		{"a/b", []string{"PATH=/x"}, []string{"a/b"}},
		// Without a PATH nothing is found; the working directory is not a PATH of one element.
		{"sh", nil, []string{""}},
		{"sh", []string{"PATH="}, []string{""}},
		{"sh", []string{"XPATH=/a", "PATHX=/b"}, []string{""}},
	} {
		if got := Candidates(c.arg, c.env); !slices.Equal(got, c.want) {
			t.Errorf("%q with %q: %q", c.arg, c.env, got)
		}
	}
}

func TestEmptyOptionsOnBind(t *testing.T) {
	spec := bundle.Normalise(&specs.Spec{
		Process: &specs.Process{Args: []string{"sh"}, Cwd: "/"}, Root: &specs.Root{Path: "r"},
		Linux:  &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}},
		Mounts: []specs.Mount{{Destination: "/a", Source: "/b", Options: []string{"bind", ""}}},
	})
	if _, err := Create(spec, Options{Rootfs: "/r"}, Facts{}); err != nil {
		t.Errorf("bundle.Check only warns of an empty option: %v", err)
	}
	long := strings.Repeat("x", 4094)
	for _, c := range []struct {
		mount specs.Mount
		want  string
	}{
		{specs.Mount{Destination: "/a", Source: "/b", Options: []string{"bind", "size=1"}}, "/mounts/0/options: bind mounts cannot have"},
		{specs.Mount{Destination: "/a", Source: "/b"}, "/mounts/0/type: "},
		{specs.Mount{Destination: "/a", Type: "tmpfs", Options: []string{"k=" + long}}, "4096 bytes of options are more than the 4095"},
		{specs.Mount{Destination: "/a", Type: "cgroup"}, "/mounts/0/type: this host has no cgroup mounts"},
	} {
		spec.Mounts = []specs.Mount{c.mount}
		if _, err := Create(spec, Options{Rootfs: "/r"}, Facts{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.mount, err)
		}
	}
}

func TestIDMapNeedsRoot(t *testing.T) {
	ids := []specs.LinuxIDMapping{{HostID: 1, Size: 1}}
	spec := bundle.Normalise(&specs.Spec{
		Process: &specs.Process{Args: []string{"sh"}, Cwd: "/"}, Root: &specs.Root{Path: "r"},
		Linux:  &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}},
		Mounts: []specs.Mount{{Destination: "/a", Source: "/b", Options: []string{"bind"}, UIDMappings: ids, GIDMappings: ids}},
	})
	for _, f := range []Facts{{Unprivileged: true}, {OpenInside: true}} {
		if _, err := Create(spec, Options{Rootfs: "/r"}, f); !errors.Is(err, unix.EPERM) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if _, err := Create(spec, Options{Rootfs: "/r"}, Facts{}); err != nil {
		t.Error(err)
	}
}

func TestTooManyInputs(t *testing.T) {
	spec := bundle.Normalise(&specs.Spec{
		Process: &specs.Process{Args: []string{"sh"}, Cwd: "/"}, Root: &specs.Root{Path: "r"},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}},
	})
	for range nsenter.MaxFds {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/a", Source: "/b", Options: []string{"bind"}})
	}
	p, err := Create(spec, Options{Rootfs: "/r"}, Facts{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nsenter.Encode(p.Steps(), len(p.Inputs)); err == nil {
		t.Errorf("%d descriptors go with a plan", len(p.Inputs))
	}
}
