package plan

import (
	"strings"
	"testing"

	"rt/internal/names"
	"rt/libcontainer/bundle"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// FuzzMountOptions: whatever a mount says, what Check lets through becomes steps that keep the rules of every plan, can
// be encoded, and set no attribute that they also clear. Options are given by commas, as mount(8) takes them.
func FuzzMountOptions(f *testing.F) {
	for _, seed := range [][4]string{
		{"bind", "/s", "/d", "rbind,ro,nosuid,rro,slave,shared"},
		{"tmpfs", "tmpfs", "/dev/shm", "nosuid,mode=1777,size=65536k,noatime,strictatime,"},
		{"", "s", "d/../../x", "bind,remount,relatime,norelatime,rrw,runbindable"},
		{"overlay", "overlay", "/m", "lowerdir=/a:/b,upperdir=/c,workdir=/d,userxattr,index=off"},
		{"proc", "proc", "/proc", "hidepid=2,subset=pid,sync,dirsync,lazytime"},
		{"cgroup", "cgroup", "/sys/fs/cgroup", "ro,nosuid,noexec,nodev,relatime"},
		{"mqueue", "mqueue", "/dev/mqueue", "remount,mand,silent,loud,iversion,x=\x00"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, typ, source, dest, options string) {
		m := specs.Mount{Type: typ, Source: source, Destination: dest}
		if options != "" {
			m.Options = strings.Split(options, ",")
		}
		spec := bundle.Normalise(&specs.Spec{
			Version: "1.2.0", Root: &specs.Root{Path: "rootfs"},
			Process: &specs.Process{Args: []string{"sh"}, Cwd: "/", Env: []string{"PATH=/bin"}},
			Mounts:  []specs.Mount{m},
			Linux:   &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}}},
		})
		if bundle.Join((&bundle.Bundle{Spec: spec}).Check()) != nil {
			return
		}
		facts := Facts{Bounding: everything, Home: "/", Cgroups: CgroupView{V2: true, Path: "/sys/fs/cgroup/c"}}
		p, err := Create(spec, Options{ID: "ID", Bundle: "/bundle", Rootfs: "/bundle/rootfs"}, facts)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without words")
			}
			return
		}
		checkAny(t, p)
		if _, err := nsenter.Encode(p.Steps(), len(p.Inputs)); err != nil {
			t.Errorf("passed, but cannot be encoded: %v", err)
		}
		for _, it := range p.Items {
			checkAttributes(t, it.Step)
		}
	})
}

func checkAttributes(t *testing.T, step nsenter.Step) {
	t.Helper()
	check := func(set, clear uint64) {
		// Access times are one field of several bits, which is cleared to be set (mount_setattr(2)).
		if both := set & clear &^ unix.MOUNT_ATTR__ATIME; both != 0 {
			t.Errorf("%s sets and clears %#x", step, both)
		}
		if set&unix.MOUNT_ATTR__ATIME != 0 && clear != 0 && clear&unix.MOUNT_ATTR__ATIME != 0 && clear&unix.MOUNT_ATTR__ATIME != unix.MOUNT_ATTR__ATIME {
			t.Errorf("%s clears only a part of the access time", step)
		}
	}
	target := ""
	switch s := step.(type) {
	case nsenter.MountTree:
		check(s.Set, s.Clear)
		check(s.SetAll, s.ClrAll)
		target = s.Target
	case nsenter.Remount:
		check(s.Set, s.Clear)
		target = s.Target
	case nsenter.MountFS:
		if s.Attrs&^(names.Restricting()|names.AccessTimes) != 0 {
			t.Errorf("%s has attributes that are none", step)
		}
		target = s.Target
	default:
		return
	}
	if !strings.HasPrefix(target, "/") || strings.Contains(target+"/", "/../") {
		t.Errorf("%s: target %q", step, target)
	}
}
