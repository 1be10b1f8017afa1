package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
