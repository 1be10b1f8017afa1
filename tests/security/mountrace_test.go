package security

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Mounts that are made in several steps, while a neighbour who shares the rootfs swaps what their paths lead to.

// swapGate has a neighbour swap the directory /gate of the image, which has t0, t1 ..., for a link to another that has the same.
func swapGate(v *victim, link string, entries int) {
	for i := range entries {
		for _, d := range []string{"gate", link} {
			must(v.t, os.MkdirAll(v.rootfs+"/"+d+"/t"+strconv.Itoa(i), 0o755))
		}
	}
	must(v.t, os.Symlink("/"+link, v.rootfs+"/gate.link"))
	program(v.t, host.attack, "exchange", v.rootfs+"/gate", v.rootfs+"/gate.link")
}

// TestRacedRemounts: a mount whose options take more than one step gets all of them, and no other mount gets them: the
// read-only volumes at /ro/tN stay read-only. Succeeds against rt 4a850c2, which found the mount again by its path, in one
// container of ten.
func TestRacedRemounts(t *testing.T) {
	long := "size=" + strings.Repeat("0", 300) + "100k" // fsconfig(2) takes 255 bytes
	for name, c := range map[string]struct {
		options []string
		want    string // in the options of each mount
	}{
		"long options":      {[]string{long, "nosuid", "rw"}, "nosuid"},
		"read-only":         {[]string{"ro", "nosuid"}, "ro,nosuid"},
		"recursive options": {[]string{"rnosuid", "rrw"}, "nosuid"},
		"propagation":       {[]string{"rslave", "rshared"}, "shared:"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, capable(strongCaps), args("sh", "-c", `for d in /ro/* /gate/*; do touch $d/written 2>/dev/null; done; cat /proc/self/mountinfo`))
			swapGate(v, "ro", perContainer)
			for i := range perContainer {
				source := filepath.Join(v.outside, "volumes", strconv.Itoa(i))
				must(t, os.MkdirAll(source, 0o777))
				mounted(specs.Mount{Destination: "/ro/t" + strconv.Itoa(i), Type: "bind", Source: source, Options: []string{"bind", "ro"}})(v)
			}
			for i := range perContainer {
				mounted(specs.Mount{Destination: "/gate/t" + strconv.Itoa(i), Type: "bind", Source: v.outside + "/dir", Options: []string{"bind", "ro"}})(v)
				mounted(specs.Mount{Destination: "/gate/t" + strconv.Itoa(i), Type: "tmpfs", Source: "raced", Options: c.options})(v)
			}
			v.write()
			v.before = v.picture()
			steps, made, missed := 0, 0, 0
			for ; steps < runs(25, 200)*perContainer && !t.Failed(); steps += perContainer {
				r := v.run()
				if r.code != 0 {
					v.remove()
					continue
				}
				made++
				for _, line := range strings.Split(r.stdout, "\n") {
					if strings.Contains(line, " raced ") && !strings.Contains(line, c.want) {
						if missed++; missed == 1 {
							t.Errorf("a mount without its options: %s", line)
						}
					}
				}
				v.untouched()
				v.remove()
			}
			t.Logf("%d steps raced, %d containers made, %d mounts without their options", steps, made, missed)
		})
	}
}

// TestRacedCopyUp: tmpcopyup copies the directory that it covers, and no other: what is masked is in no copy. Succeeds
// against rt 4a850c2, which opened the directory twice, within two containers.
func TestRacedCopyUp(t *testing.T) {
	v := newVictim(t, args("sh", "-c", `cat /gate/*/secret /gate.link/*/secret /secrets/*/secret 2>/dev/null; true`))
	swapGate(v, "secrets", perContainer)
	for i := range perContainer {
		dir := "/secrets/t" + strconv.Itoa(i)
		v.file("bundle/rootfs"+dir+"/secret", "SECRET\n", 0o644)
		v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, dir)
		mounted(specs.Mount{Destination: "/gate/t" + strconv.Itoa(i), Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})(v)
	}
	v.write()
	rounds, made := 0, 0
	for ; rounds < runs(25, 200) && !t.Failed(); rounds++ {
		r := v.run()
		if r.code == 0 {
			made++
		}
		if n := strings.Count(r.stdout, "SECRET"); n > 0 {
			t.Errorf("round %d: %d of %d masked files are read from a copy", rounds, n, perContainer)
		}
		v.remove()
	}
	t.Logf("%d rounds of %d mounts, %d containers made", rounds, perContainer, made)
}

// TestRacedVolumes: the neighbour renames the directory that a volume is mounted on. What is masked and protected in the
// volume, and mounted over parts of it, is in the volume wherever that is then. Succeeds against rt 4a850c2, which found
// the paths by their names, in one container of three; by a link of the image also against the rt that kept by name what it
// walked from.
func TestRacedVolumes(t *testing.T) {
	for name, way := range map[string]string{"by name": "/vol", "by a link": "/var/vol"} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, capable(strongCaps), args("sh", "-c", `for d in /vol /vol.fake; do cd $d; test -e marker || continue; echo seen; cat masked dir/masked covered/file; touch readonly/written && echo WRITTEN; done 2>/dev/null; true`))
			for _, dir := range []string{"volume", "bundle/rootfs/vol.fake"} {
				for _, name := range []string{"masked", "dir/masked", "covered/file"} {
					text := ""
					if dir == "volume" {
						text = "SECRET\n"
					}
					v.file(dir+"/"+name, text, 0o644)
				}
				must(t, os.MkdirAll(filepath.Join(v.dir, dir, "readonly"), 0o777))
			}
			must(t, os.Symlink("dir/masked", v.dir+"/volume/link"))
			must(t, os.MkdirAll(v.rootfs+"/vol", 0o755))
			must(t, os.MkdirAll(v.rootfs+"/run", 0o755))
			must(t, os.MkdirAll(v.rootfs+"/var", 0o755))
			must(t, os.Symlink("/vol", v.rootfs+"/var/vol")) // as /var/run leads to /run
			v.file("volume/marker", "", 0o644)
			mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}})(v)
			mounted(specs.Mount{Destination: way + "/covered", Type: "tmpfs", Source: "tmpfs"})(v)
			v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, way+"/masked", way+"/link")
			v.spec.Linux.ReadonlyPaths = append(v.spec.Linux.ReadonlyPaths, way+"/readonly")
			v.write()
			program(t, host.attack, "exchange", v.rootfs+"/vol", v.rootfs+"/vol.fake")
			seen, evaded := 0, 0
			for range runs(40, 500) {
				r := v.run()
				if strings.Contains(r.stdout, "seen") {
					seen++
				}
				if strings.Contains(r.stdout, "SECRET") || strings.Contains(r.stdout, "WRITTEN") {
					if evaded++; evaded == 1 {
						t.Errorf("the volume is not protected: %s", r)
					}
				}
				v.remove()
				must(t, os.RemoveAll(v.dir+"/volume/readonly/written"))
			}
			t.Logf("the volume was looked into %d times, %d times without protection", seen, evaded)
			if seen == 0 {
				t.Error("no container saw its volume")
			}
		})
	}
}

// TestRacedHidden: a link of the image leads a mount to the directory in which two others are, and the neighbour renames that before. What
// is masked and protected in a volume, and read-only, is so where the neighbour has taken it. The same without a link, where the
// configuration hides the volume.
func TestRacedHidden(t *testing.T) {
	for _, late := range []string{"/late", "/top"} {
		t.Run(late, func(t *testing.T) {
			v := newVictim(t, capable(nil), args("sh", "-c", `for d in /top /top.fake; do cd $d/vol || continue; cat masked; echo WRITTEN >>readonly/file; done 2>/dev/null; grep top /proc/self/mountinfo`))
			v.file("volume/masked", "SECRET\n", 0o644)
			v.file("volume/readonly/file", "", 0o644)
			v.before = v.picture()
			for _, dir := range []string{"top/vol", "top.fake/vol", "top/tmpfs", "top.fake/tmpfs"} {
				must(t, os.MkdirAll(v.rootfs+"/"+dir, 0o755))
			}
			v.link("/top", "late")
			mounted(specs.Mount{Destination: "/top/vol", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}})(v)
			if late != "/top" { // where the plan knows that it is hidden, it is made read-only before
				mounted(specs.Mount{Destination: "/top/tmpfs", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}})(v)
			}
			mounted(specs.Mount{Destination: late, Type: "tmpfs", Source: "tmpfs"})(v)
			v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/top/vol/masked")
			v.spec.Linux.ReadonlyPaths = append(v.spec.Linux.ReadonlyPaths, "/top/vol/readonly")
			v.write()
			program(t, host.attack, "exchange", v.rootfs+"/top", v.rootfs+"/top.fake")
			seen, evaded := 0, 0
			for range runs(40, 200) {
				r := v.run()
				if strings.Contains(r.stdout, "/null /top") {
					seen++
				}
				text, err := os.ReadFile(v.dir + "/volume/readonly/file")
				must(t, err)
				if strings.Contains(r.stdout, "SECRET") || len(text) > 0 || strings.Contains(r.stdout, "/tmpfs rw,") {
					if evaded++; evaded == 1 {
						t.Errorf("the mounts are not protected: %s%s", r, text)
					}
				}
				v.remove()
				must(t, os.WriteFile(v.dir+"/volume/readonly/file", nil, 0o644))
			}
			t.Logf("%d times masked where it is hidden, or brought to light, %d times without protection", seen, evaded)
		})
	}
}

// TestFileVolume: a volume that is a file is masked, and made read-only, as others are. rt before this had a file's mount, of
// which it kept the descriptor, for something that is not there.
func TestFileVolume(t *testing.T) {
	v := newVictim(t, args("sh", "-c", `cat /etc/masked; cat /etc/readonly; echo more >>/etc/readonly; touch /etc/covered; true`))
	for _, name := range []string{"masked", "readonly"} {
		v.file("volume/"+name, name+"'s text\n", 0o666)
		mounted(specs.Mount{Destination: "/etc/" + name, Type: "bind", Source: v.dir + "/volume/" + name, Options: []string{"bind"}})(v)
	}
	mounted(specs.Mount{Destination: "/etc/readonly", Type: "bind", Source: v.dir + "/volume/readonly", Options: []string{"bind"}})(v) // once more
	v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/etc/masked")
	v.spec.Linux.ReadonlyPaths = append(v.spec.Linux.ReadonlyPaths, "/etc/readonly")
	v.write()
	if r := v.run().ok(t); r.stdout != "readonly's text\n" || !strings.Contains(r.stderr, "Read-only file system") {
		t.Error(r)
	}
}

// TestMountOverRoot: a link of the image leads a mount onto the root itself, which init would not see but each process that joins
// would: without read-only root, /proc and masks. Succeeds against rt 4a850c2.
func TestMountOverRoot(t *testing.T) {
	const refusal = "mountpoint is on the top of rootfs"
	volume := filepath.Join(host.work, "over-root")
	must(t, os.MkdirAll(volume+"/x", 0o755))
	for _, link := range []string{"/", ".", "./", "../..", "bin/..", "/proc/..", "/proc/../x2", "//"} {
		for _, m := range []specs.Mount{
			{Destination: "/x", Type: "bind", Source: volume, Options: []string{"rbind"}},
			{Destination: "/x", Type: "tmpfs", Source: "tmpfs"},
			{Destination: "/x/x", Type: "tmpfs", Source: "tmpfs"},
		} {
			v := newVictim(t, func(v *victim) { v.link(link, "x"); v.link("/", "x2") }, mounted(m))
			if r := v.create(); r.code != 1 || !strings.Contains(r.stderr, refusal) {
				t.Errorf("x -> %s, %s on %s: %s", link, m.Type, m.Destination, r)
			}
			v.remove()
		}
	}
	v := newVictim(t, func(v *victim) { v.link("/", "x") }).up()
	before := strings.Join(v.mountinfo(), "\n")
	for _, m := range []specs.Mount{
		{Destination: "/x", Type: "bind", Source: volume, Options: []string{"rbind"}},
		{Destination: "/x/x/x", Type: "tmpfs", Source: "tmpfs"},
	} {
		if r := v.mounts("add", m); r.code != 1 || !strings.Contains(r.stderr, refusal) {
			t.Errorf("mounts add: %s", r)
		}
	}
	if after := strings.Join(v.mountinfo(), "\n"); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	for _, p := range []string{"/", "/x", "/x/x", "/bin/.."} {
		v := newVictim(t, func(v *victim) { v.link("/", "x") }, args("sh", "-c", "mkdir /made"))
		v.spec.Linux.ReadonlyPaths = append(v.spec.Linux.ReadonlyPaths, p)
		v.write()
		if r := v.run(); r.code == 0 || !strings.Contains(r.stderr, "Read-only file system") { // as runc
			t.Errorf("readonlyPaths %s: %s", p, r)
		}
		v.spec.Linux.ReadonlyPaths, v.spec.Linux.MaskedPaths = nil, []string{p}
		v.write()
		if r := v.run(); r.code != 1 || !strings.Contains(r.stderr, refusal) {
			t.Errorf("maskedPaths %s: %s", p, r)
		}
	}
}

// TestBindTypes: "rbind" is an option and no type, as with runc: ENODEV. With an empty source rt 4a850c2 mounted the bundle's
// directory, config.json and all.
func TestBindTypes(t *testing.T) {
	for _, source := range []string{"", ".", "/"} {
		v := newVictim(t, args("ls", "/got"), mounted(specs.Mount{Destination: "/got", Type: "rbind", Source: source}))
		if r := v.run(); r.code != 1 || !strings.Contains(r.stderr, "no such device") {
			t.Errorf("type rbind, source %q: %s", source, r)
		}
	}
	for _, m := range []specs.Mount{{Type: "bind"}, {Type: "none", Options: []string{"rbind"}}, {Type: "rbind", Options: []string{"bind"}}, {Options: []string{"bind"}}} {
		m.Destination = "/got"
		v := newVictim(t, args("ls", "/got"), mounted(m))
		if r := v.run(); r.code != 1 || !strings.Contains(r.stderr, "a bind mount needs a source") {
			t.Errorf("%+v: %s", m, r)
		}
	}
}

// TestRemountOfAnother: a remount changes no mount that the configuration has put elsewhere, to which a link of the image leads, or whose
// directory a neighbour renames: a read-only volume of the host stays so, and what is mounted in it. Succeeds against an rt that opened the
// target by its path, and against runc 1.6.
func TestRemountOfAnother(t *testing.T) {
	for name, target := range map[string]string{"link": "/x", "link to what is below": "/x/sub", "renamed": "/d", "renamed above": "/d/sub"} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("sh", "-c", `for d in /ro /d /ro/sub /d/sub; do echo x 2>/dev/null >$d/written; done; true`))
			for _, dir := range []string{"outside/sub", "bundle/rootfs/ro", "bundle/rootfs/d", "sub"} {
				must(t, os.MkdirAll(v.dir+"/"+dir, 0o777))
			}
			v.link("/ro", "x")
			below := v.outside + "/sub" // a mount of the host's in the volume
			must(t, unix.Mount(v.outside, v.outside, "", unix.MS_BIND, ""))
			t.Cleanup(func() { _ = unix.Unmount(v.outside, unix.MNT_DETACH) })
			must(t, unix.Mount(below, below, "", unix.MS_BIND, ""))
			t.Cleanup(func() { _ = unix.Unmount(below, unix.MNT_DETACH) })
			mounted(specs.Mount{Destination: "/ro", Type: "bind", Source: v.outside, Options: []string{"rbind", "rro"}})(v)
			rounds := 1
			if strings.HasPrefix(target, "/d") {
				rounds = runs(25, 200)
				for i := range perContainer {
					mounted(specs.Mount{Destination: "/tmp/t" + strconv.Itoa(i), Type: "tmpfs", Source: "tmpfs"})(v)
				}
				program(t, host.attack, "exchange", v.rootfs+"/ro", v.rootfs+"/d")
			}
			mounted(specs.Mount{Destination: target, Type: "none", Source: "none", Options: []string{"remount", "bind", "rw"}})(v)
			v.write()
			v.before = v.picture()
			refused := 0
			for range rounds {
				r := v.run()
				if strings.Contains(r.stderr, "another mount of the configuration is there") {
					refused++
				}
				v.remove()
				if !v.untouched() {
					return
				}
			}
			t.Logf("%d rounds, refused %d times", rounds, refused)
			if rounds == 1 && refused == 0 {
				t.Errorf("the remount was not refused: %s", v.run())
			}
		})
	}
}

// TestMountUnderMask: a masked directory has a volume below it. A neighbour who renames the volume's directory to where nothing is masked
// does not bring it to light. Succeeds against an rt that masked the directory alone, and against runc 1.6.
func TestMountUnderMask(t *testing.T) {
	for name, c := range map[string]struct {
		point, moved string
	}{
		"volume":      {"data/vol", "data/vol"},
		"deep volume": {"data/deep/vol", "data/deep"},
		"file":        {"data/file", "data/file"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("sleep", "1000"))
			v.file("volume/secret", "SECRET\n", 0o644)
			point, source := v.rootfs+"/"+c.point, v.dir+"/volume"
			must(t, os.MkdirAll(filepath.Dir(point), 0o755))
			if name == "file" {
				source += "/secret"
				v.file("bundle/rootfs/"+c.point, "", 0o644)
			} else {
				must(t, os.MkdirAll(point, 0o755))
			}
			mounted(specs.Mount{Destination: "/" + c.point, Type: "bind", Source: source, Options: []string{"rbind"}})(v)
			v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/data")
			v.write()
			v.up()
			must(t, os.Rename(v.rootfs+"/"+c.moved, v.rootfs+"/public"))
			if r := v.exec("sh", "-c", "cat /public /public/secret /public/*/secret; grep /public /proc/self/mountinfo"); strings.Contains(r.stdout, "SECRET") {
				t.Error(r)
			}
		})
	}
}

// TestRacedSource: a neighbour moves the directory of a masked volume below the source of a recursive bind mount, which has a mount of the
// configuration in it and is cloned in the container: the clone does not show the volume without its mask.
func TestRacedSource(t *testing.T) {
	v := newVictim(t, args("sh", "-c", `i=0; while test $i -lt 300; do i=$((i + 1)); for d in /hidden /out/hidden /pub/hidden; do read x 2>/dev/null <$d/masked && echo $d $x && exit; done; done; true`))
	v.file("volume/masked", "SECRET\n", 0o644)
	for _, d := range []string{"hidden", "pub/hidden"} {
		must(t, os.MkdirAll(v.rootfs+"/"+d, 0o755))
	}
	mounted(specs.Mount{Destination: "/hidden", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind", "rprivate"}})(v)
	mounted(specs.Mount{Destination: "/pub/vol", Type: "tmpfs", Source: "tmpfs"})(v)
	for i := range perContainer {
		mounted(specs.Mount{Destination: "/tmp/t" + strconv.Itoa(i), Type: "tmpfs", Source: "tmpfs"})(v)
	}
	mounted(specs.Mount{Destination: "/out", Type: "bind", Source: v.rootfs + "/pub", Options: []string{"rbind"}})(v)
	v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/hidden/masked")
	v.write()
	program(t, host.attack, "exchange", v.rootfs+"/hidden", v.rootfs+"/pub/hidden")
	v.neverShowsSecret(runs(40, 200), nil)
}

// neverShowsSecret runs the container again and again while a neighbour is at work. intact, if there is one, says after each whether to go on.
func (v *victim) neverShowsSecret(times int, intact func() bool) {
	v.t.Helper()
	made, evaded := 0, 0
	for range times {
		r := v.run()
		if r.code == 0 {
			made++
		}
		if strings.Contains(r.stdout, "SECRET") {
			if evaded++; evaded == 1 {
				v.t.Errorf("the volume is shown without its mask: %s", r)
			}
		}
		v.remove()
		if intact != nil && !intact() {
			break
		}
	}
	v.t.Logf("%d containers made, %d show the volume without its mask", made, evaded)
	if made == 0 {
		v.t.Error("no container was made")
	}
}
