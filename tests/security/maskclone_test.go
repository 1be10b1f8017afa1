package security

import (
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestMaskOverClone: what is below a masked directory is a clone of a volume: rt has cloned it with a read-only path above it, or the
// configuration with a recursive source. A neighbour who renames the volume's directory to where nothing is masked does not bring it to
// light.
func TestMaskOverClone(t *testing.T) {
	for name, edit := range map[string]func(*victim){
		"read-only path": func(v *victim) {
			v.spec.Linux.ReadonlyPaths = append(v.spec.Linux.ReadonlyPaths, "/data")
		},
		"read-only path behind a link": func(v *victim) {
			v.link("/data", "way")
			v.spec.Linux.ReadonlyPaths = append(v.spec.Linux.ReadonlyPaths, "/way")
		},
		"source": func(v *victim) {
			mounted(specs.Mount{Destination: "/out", Type: "bind", Source: v.rootfs + "/data", Options: []string{"rbind"}})(v)
			v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/out/priv")
		},
		"source of a source": func(v *victim) {
			mounted(specs.Mount{Destination: "/between", Type: "bind", Source: v.rootfs + "/data", Options: []string{"rbind"}})(v)
			mounted(specs.Mount{Destination: "/out", Type: "bind", Source: v.rootfs + "/between", Options: []string{"rbind"}})(v)
			v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/out/priv", "/between/priv")
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t)
			v.file("volume/secret", "SECRET\n", 0o644)
			must(t, os.MkdirAll(v.rootfs+"/data/priv/vol", 0o755))
			mounted(specs.Mount{Destination: "/data/priv/vol", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}})(v)
			v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/data/priv")
			edit(v)
			v.write()
			v.up()
			must(t, os.Rename(v.rootfs+"/data/priv/vol", v.rootfs+"/data/public"))
			if r := v.exec("sh", "-c", "cat /*/public/secret; grep public /proc/self/mountinfo"); strings.Contains(r.stdout, "SECRET") || strings.Count(r.stdout, "public") == 0 {
				t.Error(r)
			}
		})
	}
}

// TestRacedClone: as TestRacedVolumes, for a volume below a read-only path: what is masked in it is so wherever its directory is.
func TestRacedClone(t *testing.T) {
	v := newVictim(t, args("sh", "-c", `for d in /data/vol /data/vol.fake; do cat $d/masked; echo x >$d/readonly/written; done 2>/dev/null; true`))
	v.file("outside/masked", "SECRET\n", 0o644)
	v.file("bundle/rootfs/data/vol.fake/masked", "", 0o644)
	must(t, os.MkdirAll(v.outside+"/readonly", 0o777))
	must(t, os.MkdirAll(v.rootfs+"/data/vol.fake/readonly", 0o755))
	must(t, os.MkdirAll(v.rootfs+"/data/vol", 0o755))
	mounted(specs.Mount{Destination: "/data/vol", Type: "bind", Source: v.outside, Options: []string{"rbind"}})(v)
	v.spec.Linux.ReadonlyPaths = append(v.spec.Linux.ReadonlyPaths, "/data", "/data/vol/readonly")
	v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/data/vol/masked")
	v.write()
	v.before = v.picture()
	program(t, host.attack, "exchange", v.rootfs+"/data/vol", v.rootfs+"/data/vol.fake")
	v.neverShowsSecret(runs(40, 300), v.untouched)
}

// TestRacedMaskLink: a masked path is a link of the image, which leads elsewhere after the volume below it was mounted.
func TestRacedMaskLink(t *testing.T) {
	v := newVictim(t, args("sh", "-c", `cat /a/vol/secret /b/vol/secret 2>/dev/null; grep -q /vol /proc/self/mountinfo && echo seen`))
	v.file("volume/secret", "SECRET\n", 0o644)
	for _, d := range []string{"a/vol", "b/vol"} {
		must(t, os.MkdirAll(v.rootfs+"/"+d, 0o755))
	}
	v.link("/a", "priv")
	v.link("/b", "priv2")
	mounted(specs.Mount{Destination: "/priv/vol", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}})(v)
	for i := range perContainer {
		mounted(specs.Mount{Destination: "/tmp/t" + strconv.Itoa(i), Type: "tmpfs", Source: "tmpfs"})(v)
	}
	v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/priv")
	v.write()
	program(t, host.attack, "exchange", v.rootfs+"/priv", v.rootfs+"/priv2")
	v.neverShowsSecret(runs(40, 200), nil)
}

// TestRemountOfFile: a mount of a file that the host has in the rootfs, or in a volume, can be remounted, and is a source.
func TestRemountOfFile(t *testing.T) {
	v := newVictim(t, args("sh", "-c", "cat /etc/copy && ! echo x >/etc/hosted && ! echo x >/vol/file"))
	v.file("bundle/rootfs/etc/hosted", "", 0o644)
	v.file("volume/file", "", 0o644)
	for _, at := range []string{v.rootfs + "/etc/hosted", v.dir + "/volume/file"} {
		must(t, unix.Mount(v.outside+"/secret", at, "", unix.MS_BIND, ""))
		t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	}
	mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}})(v)
	mounted(specs.Mount{Destination: "/etc/hosted", Type: "none", Source: "none", Options: []string{"remount", "bind", "ro"}})(v)
	mounted(specs.Mount{Destination: "/vol/file", Type: "none", Source: "none", Options: []string{"remount", "bind", "ro"}})(v)
	mounted(specs.Mount{Destination: "/etc/copy", Type: "bind", Source: v.rootfs + "/vol/file", Options: []string{"bind"}})(v)
	v.write()
	if r := v.run(); r.code != 0 || r.stdout != "the host's\n" {
		t.Error(r)
	}
}

// TestReadonlyOfTheHosts: a container that mounts a file system which the kernel has once, read-only, leaves it writable for the host.
func TestReadonlyOfTheHosts(t *testing.T) {
	for _, fstype := range []string{"debugfs", "tracefs", "securityfs", "pstore", "bpf", "fusectl", "binfmt_misc", "devtmpfs", "configfs"} {
		t.Run(fstype, func(t *testing.T) {
			v := newVictim(t, mounted(specs.Mount{Destination: "/mnt", Type: fstype, Source: fstype, Options: []string{"ro"}}))
			if r := v.create(); r.code != 0 {
				t.Log(r)
				if !strings.Contains(r.stderr, "no such device") {
					t.Error(r)
				}
				return
			}
			dir := v.dir + "/own"
			must(t, os.MkdirAll(dir, 0o755))
			must(t, unix.Mount(fstype, dir, fstype, 0, ""))
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			var st unix.Statfs_t
			must(t, unix.Statfs(dir, &st))
			if st.Flags&unix.ST_RDONLY != 0 {
				t.Errorf("%s of the host is read-only", fstype)
			}
		})
	}
}
