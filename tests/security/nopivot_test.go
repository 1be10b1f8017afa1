package security

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestNoPivotProc: with --no-pivot no procfs or sysfs of the host stays in the container's mount namespace, in no path of it, nor under the rootfs:
// from one the kernel lets a nested user namespace mount a new one without masks, in which uid 0 opens core_pattern for
// writing. Succeeds against rt 4a850c2, which unmounted /proc and /sys once, and nothing of what is locked.
func TestNoPivotProc(t *testing.T) {
	const nested = `unshare -U -r -m -p -f -n sh -c 'for fs in proc sysfs; do mount -t $fs $fs /tmp && echo GOT $fs; done; test -e /tmp/sys/kernel/core_pattern && echo GOT core_pattern'; echo done`
	for name, c := range map[string]struct {
		host   string // what the host has, in a mount namespace of rt's own; $1 is a directory
		mapped bool
	}{
		"plain":                             {host: ":"},
		"user namespace":                    {host: ":", mapped: true},
		"second":                            {host: `mount -t proc proc "$1" && mount -t sysfs sysfs "$2"`},
		"stacked":                           {host: `mount -t proc proc /proc && mount -t proc proc /proc && mount --rbind /sys /sys`},
		"below a younger mount":             {host: `mkdir "$1/p" && mount -t proc proc "$1/p" && mount --rbind "$1" "$2"`},
		"in the rootfs":                     {host: `mount -t proc proc "$3/proc" && mount -t proc proc "$3/proc" && mount -t sysfs sysfs "$3/sys"`},
		"in a rootfs with a user namespace": {host: `mount -t proc proc "$3/proc" && mount -t sysfs sysfs "$3/sys"`, mapped: true},
		"stacked, user namespace":           {host: `mount -t proc proc /proc && mount -t proc proc "$1"`, mapped: true},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("sh", "-c", nested))
			must(t, os.Symlink("busybox", v.rootfs+"/bin/unshare"))
			if c.mapped {
				mapped(v)
			}
			v.write()
			for _, d := range []string{"one", "two"} {
				must(t, os.MkdirAll(filepath.Join(v.dir, d), 0o755))
			}
			v.file("rt-in-namespace", "#!/bin/sh\nset -e\nset -- \"$@\"\nexec unshare -m --propagation private sh -ec '\nhost() { "+c.host+"; }\nhost "+v.dir+"/one "+v.dir+"/two "+v.rootfs+"\nexec "+host.rt+" \"$@\"' rt \"$@\"\n", 0o755)
			r := v.do(call{args: append(v.with("run")[:1:1], append([]string{"--no-pivot"}, v.with("run")[1:]...)...), exe: v.dir + "/rt-in-namespace"})
			if r.code != 0 || !strings.Contains(r.stdout, "done") {
				t.Fatal(r)
			}
			if strings.Contains(r.stdout, "GOT") {
				t.Errorf("a new, unmasked file system: %s", r)
			}
		})
	}
}

// TestNoPivotRoot: root of a container's user namespace, with CAP_SYS_ADMIN there, unmounts its root and enters its mount namespace
// again: it is not in the host's tree. Succeeds against rt 4a850c2 and runc 1.1.5, and for a rootless rt, which warns.
func TestNoPivotRoot(t *testing.T) {
	const warning = "--no-pivot leaves the host's tree below the container's root"
	for _, joined := range []bool{false, true} {
		for _, verb := range []string{"run", "exec"} {
			v := newVictim(t, mapped, capable(strongCaps))
			if joined {
				pod := newVictim(t, mapped)
				pod.give(200000, "bundle/rootfs")
				pod.up()
				v.spec.Linux.Namespaces[len(v.spec.Linux.Namespaces)-1].Path = "/proc/" + strconv.Itoa(pod.pid()) + "/ns/user"
			}
			v.give(200000, "bundle/rootfs")
			inHost := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "test -e " + v.outside + "/secret"}}
			v.spec.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{inHost}}
			attack := []string{"attack", "unroot", v.outside}
			if verb == "run" {
				v.spec.Process.Args = attack
			}
			v.write()
			r := v.rt(append([]string{map[string]string{"run": "run", "exec": "create"}[verb], "--no-pivot"}, v.with("run")[1:]...)...).ok(t)
			if strings.Contains(r.stderr, warning) {
				t.Errorf("joined %v: a warning of what cannot be: %s", joined, r)
			}
			if verb == "exec" {
				v.rt("start", v.id).ok(t)
				r = v.exec(attack...)
			}
			if strings.Contains(r.stdout, "got") || !strings.Contains(r.stdout, "the root stays: Invalid argument") {
				t.Errorf("joined %v, %s: %s", joined, verb, r)
			}
		}
	}
}
