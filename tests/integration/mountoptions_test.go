package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// An optionEffect is what one word of mounts[].options does, seen in the container's mountinfo.
type optionEffect struct {
	word   string
	before string // options in front of it
	has    string // options that the mount, or its superblock, then has; "below:" before one of the mount below it
	lacks  string
}

// optionEffects has every word that `rt features` lists. tmpfs options are tried on a tmpfs, those of a tree on a bind
// mount with a mount below it.
var optionEffects = []optionEffect{
	{"async", "sync", "rw", "sync"}, {"sync", "", "sync", ""}, {"dirsync", "", "dirsync", ""},
	{"lazytime", "", "lazytime", ""}, {"nolazytime", "lazytime", "rw", "lazytime"},
	{"mand", "", "rw", ""}, {"nomand", "mand", "rw", "mand"}, // Linux has had no mandatory locks since 5.15
	{"iversion", "", "rw", ""}, {"noiversion", "", "rw", ""}, // fsconfig(2) has no word for it
	{"silent", "", "rw", ""}, {"loud", "", "rw", ""}, {"defaults", "", "rw relatime", "nosuid"},
	{"atime", "noatime", "relatime", "noatime"}, {"noatime", "", "noatime", "relatime"},
	{"relatime", "noatime", "relatime", "noatime"}, {"norelatime", "", "relatime", ""},
	{"strictatime", "", "rw", "relatime noatime"}, {"nostrictatime", "strictatime", "relatime", ""},
	{"diratime", "nodiratime", "rw", "nodiratime"}, {"nodiratime", "", "nodiratime", ""},
	{"ro", "", "ro", ""}, {"rw", "ro", "rw", "ro"},
	{"suid", "nosuid", "rw", "nosuid"}, {"nosuid", "", "nosuid", ""},
	{"dev", "nodev", "rw", "nodev"}, {"nodev", "", "nodev", ""},
	{"exec", "noexec", "rw", "noexec"}, {"noexec", "", "noexec", ""},
	{"symfollow", "nosymfollow", "rw", "nosymfollow"}, {"nosymfollow", "", "nosymfollow", ""},
	{"tmpcopyup", "", "rw", ""}, {"remount", "ro nosuid", "ro nosuid", ""},
	{"private", "", "", "shared: master:"}, {"rprivate", "", "", "shared: master:"},
	{"shared", "", "shared:", ""}, {"rshared", "", "shared:", ""},
	{"slave", "", "", "shared:"}, {"rslave", "", "", "shared:"},
	{"unbindable", "", "unbindable", ""}, {"runbindable", "", "unbindable", ""},

	{"bind", "", "rw", "below:rw"}, {"rbind", "", "below:rw", ""},
	{"rro", "rbind", "ro below:ro", ""}, {"rrw", "rbind ro", "rw below:rw", ""},
	{"rnosuid", "rbind", "nosuid below:nosuid", ""}, {"rsuid", "rbind nosuid", "below:rw", "nosuid below:nosuid"},
	{"rnodev", "rbind", "nodev below:nodev", ""}, {"rdev", "rbind nodev", "below:rw", "nodev below:nodev"},
	{"rnoexec", "rbind", "noexec below:noexec", ""}, {"rexec", "rbind noexec", "below:rw", "noexec below:noexec"},
	{"rnosymfollow", "rbind", "nosymfollow below:nosymfollow", ""}, {"rsymfollow", "rbind nosymfollow", "below:rw", "nosymfollow below:nosymfollow"},
	{"rnoatime", "rbind", "noatime below:noatime", ""}, {"ratime", "rbind noatime", "relatime below:relatime", "noatime"},
	{"rrelatime", "rbind noatime", "relatime below:relatime", "noatime"}, {"rnorelatime", "rbind noatime", "relatime below:relatime", "noatime"},
	{"rstrictatime", "rbind", "below:rw", "relatime below:relatime"}, {"rnostrictatime", "rbind strictatime", "relatime below:relatime", ""},
	{"rnodiratime", "rbind", "nodiratime below:nodiratime", ""}, {"rdiratime", "rbind nodiratime", "below:rw", "nodiratime below:nodiratime"},
	{"copy-symlink", "bind", "rw", ""}, // of what is no link; TestCopySymlink
	{"idmap", "bind", "idmapped", "below:rw"}, {"ridmap", "rbind", "idmapped below:idmapped", ""},
}

// TestEveryMountOption: what each of the options that rt says it has does, in one container.
func TestEveryMountOption(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable)
	src := filepath.Join(c.dir, "src")
	c.must(os.MkdirAll(filepath.Join(src, "sub"), 0o755))
	c.must(unix.Mount("tmpfs", filepath.Join(src, "sub"), "tmpfs", 0, "size=64k"))
	defer func() { c.must(unix.Unmount(filepath.Join(src, "sub"), unix.MNT_DETACH)) }()
	effects := slices.DeleteFunc(slices.Clone(optionEffects), func(o optionEffect) bool { return o.word == "ridmap" && noMappedTmpfs() })
	if differs(t, "mount option copy-symlink") && differs(t, "mount option defaults") {
		effects = slices.DeleteFunc(effects, func(o optionEffect) bool { return o.word == "copy-symlink" || o.word == "defaults" })
	}
	if differs(t, "mount options noatime and relatime") {
		effects = slices.DeleteFunc(effects, func(o optionEffect) bool { return o.word == "relatime" })
	}
	for _, o := range effects {
		m := specs.Mount{Destination: "/m/" + o.word, Type: "tmpfs", Source: "tmpfs", Options: append(strings.Fields(o.before), o.word)}
		switch {
		case o.word == "remount": // of a mount that is there
			c.spec.Mounts = append(c.spec.Mounts, specs.Mount{Destination: m.Destination, Type: "tmpfs", Source: "tmpfs"})
		case strings.HasSuffix(o.word, "bind") || strings.Contains(o.before, "bind"):
			m.Type, m.Source = "bind", src
		}
		if strings.HasSuffix(o.word, "idmap") {
			m.UIDMappings, m.GIDMappings = maps(0, 0, 1), maps(0, 0, 1)
		}
		c.spec.Mounts = append(c.spec.Mounts, m)
	}
	c.write()
	c.up()
	mounts := parseMountinfo(c.proc("mountinfo"))
	for _, o := range effects {
		for _, word := range strings.Fields(o.has) {
			if !hasMountWord(mounts, "/m/"+o.word, word) {
				t.Errorf("%s %s: lacks %s: %+v", o.before, o.word, word, c.mountAt("/m/"+o.word))
			}
		}
		for _, word := range strings.Fields(o.lacks) {
			if hasMountWord(mounts, "/m/"+o.word, word) {
				t.Errorf("%s %s: has %s: %+v", o.before, o.word, word, c.mountAt("/m/"+o.word))
			}
		}
	}
	c.delete("--force").ok()
}

// TestDefaultsOnBind: `defaults` names no flag, so that a bind mount keeps what its source has.
func TestDefaultsOnBind(t *testing.T) {
	t.Parallel()
	needRoot(t, "a source with flags is mounted")
	c := newContainer(t)
	src := filepath.Join(c.dir, "src")
	c.must(os.Mkdir(src, 0o755))
	c.must(unix.Mount("tmpfs", src, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64k"))
	defer func() { c.must(unix.Unmount(src, unix.MNT_DETACH)) }()
	c.spec.Mounts = append(c.spec.Mounts, specs.Mount{Destination: "/mnt", Type: "bind", Source: src, Options: []string{"bind", "defaults"}})
	c.write()
	if r := c.create(); r.code != 0 && differs(t, "mount option defaults") {
		r.fails("bind mounts cannot have any filesystem-specific options applied")
		return
	} else {
		r.ok()
	}
	if mounts := parseMountinfo(c.proc("mountinfo")); !hasMountWord(mounts, "/mnt", "nosuid") || !hasMountWord(mounts, "/mnt", "nodev") {
		t.Errorf("%+v", c.mountAt("/mnt"))
	}
	c.delete("--force").ok()
}

// hasMountWord looks for an option, or a propagation as "shared:", of the topmost mount at a point.
func hasMountWord(mounts []mount, point, word string) bool {
	if below, ok := strings.CutPrefix(word, "below:"); ok {
		point, word = point+"/sub", below
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if m := mounts[i]; m.point == point {
			return m.has(word) || strings.Contains(m.tags, word) && (strings.HasSuffix(word, ":") || word == "unbindable") ||
				slices.Contains(strings.Split(m.super, ","), word) && word != "rw" && word != "ro"
		}
	}
	return false
}

// TestEveryMountOptionIsTried: the table above has each word that `rt features` lists, and no other.
func TestEveryMountOptionIsTried(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	var f struct{ MountOptions []string }
	c.must(json.Unmarshal([]byte(c.rt("features").ok().stdout), &f))
	var tried []string
	for _, o := range optionEffects {
		tried = append(tried, o.word)
	}
	slices.Sort(tried)
	if differs(t, "mount option copy-symlink") { // and idmap, which runc knows and does not list
		tried = slices.DeleteFunc(tried, func(word string) bool { return !slices.Contains(f.MountOptions, word) })
	}
	if !slices.Equal(tried, f.MountOptions) {
		t.Errorf("tried: %v\nlisted: %v", tried, f.MountOptions)
	}
	mounted("/tmp", "bind", "/tmp", "bind", "nonsense")(c.spec)
	c.write()
	c.create().fails("bind mounts cannot have any filesystem-specific options applied").oneError().rtSays("/mounts/7/options/1")
}

// TestMountsOverDefaults: engines change /proc by a remount, mount over /dev, and want a world-writable /dev/shm.
func TestMountsOverDefaults(t *testing.T) {
	t.Parallel()
	c := newContainer(t, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts,
			specs.Mount{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"remount", "hidepid=2", "nosuid"}},
			specs.Mount{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=711", "nosuid"}},
			specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"mode=1777", "size=64k"}})
	}).up()
	if m := c.mountAt("/proc"); !m.has("nosuid") || !strings.Contains(m.super, "hidepid=") {
		t.Errorf("/proc: %+v", m)
	}
	if got := c.sh("stat -c %a /dev /dev/shm; test -c /dev/null && test -L /dev/ptmx && echo devices; echo x > /dev/null"); got != "711\n1777\ndevices" {
		t.Errorf("got %q", got)
	}
}
