package plan

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"rt/libcontainer/bundle"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func hotplugSpec(mounts ...specs.Mount) *specs.Spec {
	return bundle.Normalise(&specs.Spec{
		Version: "1.2.0", Process: &specs.Process{Args: []string{"sh"}, Cwd: "/"}, Root: &specs.Root{Path: "rootfs"}, Mounts: mounts,
		Linux: &specs.Linux{
			UIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}, GIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}},
			MaskedPaths: []string{"/secret"},
			Namespaces:  []specs.LinuxNamespace{{Type: "pid"}, {Type: "mount"}, {Type: "user"}, {Type: "network"}, {Type: "time"}},
		},
	})
}

const hotplugNamespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWTIME

// TestHotplugGolden: the order of mounts add and mounts remove, as text.
func TestHotplugGolden(t *testing.T) {
	bind := specs.Mount{Destination: "/vol", Type: "bind", Source: "/host/vol", Options: []string{"rbind", "rro", "rshared", "nosuid"}}
	idmap := specs.Mount{Destination: "/mapped", Type: "bind", Source: "relative", Options: []string{"bind", "idmap"}}
	tmpfs := specs.Mount{Destination: "vol/t", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=1m", "ro"}}
	for name, c := range map[string]struct {
		compile func(*specs.Spec, Options, Facts) (*Plan, error)
		facts   Facts
		mounts  []specs.Mount
	}{
		"add":          {AddMounts, Facts{Namespace: hotplugNamespaces, BornDir: "/sys/fs/cgroup/box"}, []specs.Mount{bind, idmap, tmpfs}},
		"add-v1":       {AddMounts, Facts{Namespace: hotplugNamespaces, Tasks: []string{"/sys/fs/cgroup/pids/box/tasks"}}, []specs.Mount{tmpfs}},
		"add-rootless": {AddMounts, Facts{Namespace: hotplugNamespaces, Unprivileged: true, OpenInside: true}, []specs.Mount{bind, tmpfs}},
		"remove":       {RemoveMounts, Facts{Namespace: hotplugNamespaces, BornDir: "/sys/fs/cgroup/box", MountIDs: map[string][]uint64{"/vol": {7, 8}, "/vol/t": {9}}}, []specs.Mount{bind, bind, tmpfs}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := c.compile(hotplugSpec(c.mounts...), Options{ID: "ID", Bundle: "/bundle"}, c.facts)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata/hotplug", name+".txt"), []byte(p.Text()))
			slotViolations(p, t.Errorf)
			treeViolations(p, t.Errorf)
			copyViolations(p, t.Errorf)
			textViolations(p, t.Errorf)
			if _, err := nsenter.Encode(p.Steps(), len(p.Inputs)); err != nil {
				t.Error(err)
			}
			if last := p.Items[len(p.Items)-1].Step; !reflect.DeepEqual(last, nsenter.Sync{Point: nsenter.SyncReady, GoOn: name == "remove", Mounts: name != "remove"}) {
				t.Errorf("it ends in %v", last)
			}
			undo := false
			for _, it := range p.Items {
				switch s := it.Step.(type) {
				case nsenter.Undo:
					undo = true
				case nsenter.Remount:
					if !s.Own {
						t.Errorf("%s: its path is walked a second time", s)
					}
				case nsenter.MountFS, nsenter.MountTree:
					if !undo {
						t.Errorf("%s cannot be undone", s)
					}
				case nsenter.JoinNS:
					if s.Type&(unix.CLONE_NEWPID|unix.CLONE_NEWTIME) != 0 {
						t.Errorf("%s: nobody in there is to see it", s)
					}
				}
			}
		})
	}
}

func TestHotplugRefused(t *testing.T) {
	for text, m := range map[string]specs.Mount{
		"/0/options: a mount that is there already": {Destination: "/x", Options: []string{"remount", "bind", "ro"}},
		"/0/options: tmpcopyup is only":             {Destination: "/x", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}},
		"/0/type: cgroups can be":                   {Destination: "/x", Type: "cgroup2", Source: "cgroup"},
		"/0/options: no option may be longer":       {Destination: "/x", Type: "tmpfs", Source: "x", Options: []string{"size=" + strings.Repeat("0", 260)}},
		"/0/type: a mount of type overlay can be":   {Destination: "/x", Type: "overlay", Source: "x", Options: []string{"lowerdir=/a:/b"}},
		"/0/type: a mount of type ext4 can be":      {Destination: "/x", Type: "ext4", Source: "/dev/sda"},
		"/0/type: a mount of type fuse can be":      {Destination: "/x", Type: "fuse", Source: "x", Options: []string{"fd=3"}},
		"/0: mount /x cannot be id-mapped":          {Destination: "/x", Type: "bind", Source: "/a", Options: []string{"idmap"}},
	} {
		if _, err := AddMounts(hotplugSpec(m), Options{}, Facts{Namespace: hotplugNamespaces, OpenInside: true}); err == nil || !strings.HasPrefix(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	many := make([]specs.Mount, nsenter.MaxUndo+1)
	for i := range many {
		many[i] = specs.Mount{Destination: "/x", Type: "tmpfs", Source: "tmpfs"}
	}
	if _, err := AddMounts(hotplugSpec(many...), Options{}, Facts{Namespace: hotplugNamespaces}); err == nil || err.Error() != "more than 64 mounts at once cannot be undone" {
		t.Errorf("many: %v", err)
	}
	for _, target := range []string{"/", "", ".", "/..", "/proc", "proc", "/proc/", "/proc/kcore", "/a/../proc/x", "/sys", "/sys/firmware", "/sys/fs/cgroup", "/secret", "/x/../secret/"} {
		if _, err := RemoveMounts(hotplugSpec(specs.Mount{Destination: target}), Options{}, Facts{Namespace: hotplugNamespaces}); err == nil || !strings.Contains(err.Error(), "cannot be unmounted") {
			t.Errorf("remove %q: %v", target, err)
		}
	}
	for _, target := range []string{"/procfs", "/system", "/secrets", "/dev/shm", "/a"} {
		for _, made := range []bool{true, false} {
			facts := Facts{Namespace: hotplugNamespaces, MountIDs: map[string][]uint64{"/other": {1}}}
			if made {
				facts.MountIDs[target] = []uint64{7}
			}
			if _, err := RemoveMounts(hotplugSpec(specs.Mount{Destination: target}), Options{}, facts); (err == nil) != made {
				t.Errorf("remove %q: made %v, %v", target, made, err)
			}
		}
	}
	for _, compile := range []func(*specs.Spec, Options, Facts) (*Plan, error){AddMounts, RemoveMounts} {
		if _, err := compile(hotplugSpec(many[0]), Options{}, Facts{Namespace: unix.CLONE_NEWPID}); err == nil || !strings.HasPrefix(err.Error(), "the container has no mount namespace") {
			t.Errorf("no mount namespace: %v", err)
		}
	}
}

// TestSourceInEarlierMount: a source below the rootfs is the container's own where an earlier mount is there, above it or, of a recursive
// bind, below it, and the image's else. One of the first kind is not id-mapped where others may be in the user namespace.
func TestSourceInEarlierMount(t *testing.T) {
	join := ""
	opens := func(source string, options ...string) (string, error) {
		spec := hotplugSpec(specs.Mount{Destination: "/a/b/", Type: "tmpfs", Source: "tmpfs"}, specs.Mount{Destination: "/d", Type: "bind", Source: source, Options: options},
			specs.Mount{Destination: "/later", Type: "tmpfs", Source: "tmpfs"})
		if spec.Linux.Namespaces[2].Path = join; join != "" {
			spec.Linux.UIDMappings, spec.Linux.GIDMappings = nil, nil
		}
		p, err := Create(spec, Options{Bundle: "/bundle", Rootfs: "/bundle/rootfs"}, Facts{})
		if err != nil {
			return "", err
		}
		for _, v := range violations(p) {
			t.Errorf("%s: %s", source, v)
		}
		for _, it := range p.Items {
			switch s := it.Step.(type) {
			case nsenter.RequestTree:
				if it.Pointer != "/mounts/1/source" {
					continue
				}
				if s.Root == "/bundle/rootfs" {
					return "the image's " + s.Path, nil
				}
				return "the host's " + s.Path + s.Root, nil
			case nsenter.OpenTree:
				return "the container's " + s.Path, nil
			}
		}
		return "", nil
	}
	for source, want := range map[string]string{
		"/bundle/rootfs/a/b": "the container's /a/b", "rootfs/x/../a//b/c/": "the container's /a/b/c",
		"/bundle/rootfs/a": "the container's /a", "/bundle/rootfs/a/bc": "the image's /bundle/rootfs/a/bc", "/bundle/rootfs": "the host's /bundle/rootfs",
		"/bundle/rootfs/later": "the image's /bundle/rootfs/later", "/a/b": "the host's /a/b", "/bundle/rootfs/../a/b": "the host's /bundle/a/b", "/bundle/rootfs/../rootfs/a": "the container's /a", "/c/../a/b": "the host's /c/../a/b",
	} {
		if got, err := opens(source, "rbind"); got != want {
			t.Errorf("%s: %s, %v, wanted %s", source, got, err, want)
		}
	}
	if got, err := opens("/bundle/rootfs/a", "bind"); got != "the image's /bundle/rootfs/a" {
		t.Errorf("not recursive: %s, %v", got, err)
	}
	if got, err := opens("/bundle/rootfs/a/b/c", "rbind", "idmap"); got != "the container's /a/b/c" {
		t.Errorf("id-mapped: %s, %v", got, err)
	}
	join = "/proc/5/ns/user"
	if _, err := opens("/bundle/rootfs/a/b/c", "rbind", "idmap"); err == nil || !strings.Contains(err.Error(), "/mounts/1: mount /d cannot be id-mapped: its source") {
		t.Errorf("id-mapped, in a user namespace that is joined: %v", err)
	}
}
