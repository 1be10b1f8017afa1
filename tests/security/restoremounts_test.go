package security

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Mounts of a container that CRIU makes again: it is root on the host, and knows them by paths that the container has chosen.

// adminInside is root with CAP_SYS_ADMIN, and can write to the root. It has a user namespace of its own where CRIU can save that: without
// CAP_SYS_RESOURCE it cannot ask for the limits of such a process.
func adminInside(v *victim) {
	status, err := os.ReadFile("/proc/self/status")
	must(v.t, err)
	if _, caps, _ := strings.Cut(string(status), "CapEff:\t"); true {
		bits, err := strconv.ParseUint(caps[:16], 16, 64)
		must(v.t, err)
		if bits&(1<<unix.CAP_SYS_RESOURCE) != 0 {
			mapped(v)
		}
	}
	capable(append([]string{"CAP_SYS_ADMIN"}, engineCaps...))(v)
	v.file("outside/dir/open", "the host's\n", 0o644)
	must(v.t, os.MkdirAll(v.outside+"/empty", 0o755))
	for _, dir := range []string{"w", "mnt"} {
		must(v.t, os.MkdirAll(filepath.Join(v.rootfs, dir), 0o755))
	}
	must(v.t, os.Chmod(v.rootfs, 0o777))
	for _, dir := range []string{"w", "mnt", "tmp"} {
		must(v.t, os.Chmod(filepath.Join(v.rootfs, dir), 0o777))
	}
}

// script is what the container runs: a shell script, then nothing until it ends. /tmp/ready is made at that point. runc saves no process
// with files of the host as stdio.
func script(text string) func(*victim) {
	return func(v *victim) {
		v.spec.Process.Args = []string{"sh", "-c", "exec </dev/null >/dev/null 2>&1\n" + text + "\ntouch /tmp/ready; while :; do sleep 1; done"}
	}
}

// ready waits until the container's script has done its work.
func (v *victim) ready() *victim {
	v.t.Helper()
	v.up()
	eventually(v.t, "the container's script", func() bool { _, err := os.Stat(v.rootfs + "/tmp/ready"); return err == nil })
	return v
}

// seesHost fails if a restored container reads the host's file at a path.
func (v *victim) seesHost(r result, path string) {
	v.t.Helper()
	if r.code != 0 {
		v.t.Logf("restore: %s", r)
		return
	}
	if r := v.exec("cat", path); strings.Contains(r.stdout, "the host's") {
		v.t.Errorf("the restored container reads a file of the host: %s", r)
	}
}

// TestRestoreOverlay: an overlay of the container's own directories, which are named like directories of the host. Before the
// checkpoint, or when rt has looked at the mounts already. One that can be written changes the host when it is mounted: the kernel
// empties its working directory.
func TestRestoreOverlay(t *testing.T) {
	needsRealCriu(t)
	overlay := func(v *victim, writable bool) string {
		dir, options := v.outside, "lowerdir="+v.outside+"/dir:"+v.outside+"/empty"
		if writable {
			v.file("outside/wk/work/x", "the host's\n", 0o644)
			must(t, os.MkdirAll(v.outside+"/up", 0o755))
			options += ",upperdir=" + dir + "/up,workdir=" + dir + "/wk"
		}
		return "mount -t tmpfs none /w; mkdir -p " + dir + "; mount --bind /w " + dir + "; mkdir " + dir + "/dir " + dir + "/empty " + dir + "/up " + dir + "/wk; " +
			"mount -t overlay -o " + options + " overlay /mnt || exit 1"
	}
	t.Run("before", func(t *testing.T) {
		v := newVictim(t, adminInside, func(v *victim) { script(overlay(v, false))(v) }).ready()
		if r := v.checkpoint(""); r.code != 0 {
			t.Logf("checkpoint: %s", r)
			return
		}
		v.seesHost(v.restore(""), "/mnt/open")
	})
	for name, writable := range map[string]bool{"meanwhile": false, "writable": true} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, adminInside, func(v *victim) {
				script("touch /tmp/ready; until test -e /tmp/go; do sleep 0.05; done; " + overlay(v, writable) + "; touch /tmp/done")(v)
			}).ready()
			v.checkpoint("touch " + v.rootfs + "/tmp/go; until test -e " + v.rootfs + "/tmp/done; do sleep 0.05; done").ok(t)
			v.seesHost(v.restore(""), "/mnt/open")
			v.untouched()
		})
	}
}

// TestRestoreReplacedBind: a directory that the container has bound is a link by the time that it is restored.
func TestRestoreReplacedBind(t *testing.T) {
	needsRealCriu(t)
	for _, volume := range []string{"", "vol"} {
		t.Run("volume_"+volume, func(t *testing.T) {
			where, shared := "/w/x/dir", ""
			v := newVictim(t, adminInside, func(v *victim) {
				shared = v.rootfs + "/w"
				if volume != "" {
					where, shared = "/vol/x/dir", v.dir+"/vol"
					v.file("vol/x/dir/own", "", 0o644)
					must(t, os.Chmod(v.dir+"/vol", 0o777))
					mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/vol", Options: []string{"bind"}})(v)
				}
				script("mkdir -p " + where + "; mount --bind " + where + " /mnt || exit 1")(v)
			}).ready()
			v.checkpoint("", "--leave-running").ok(t)
			v.remove()
			must(t, os.Rename(shared+"/x", shared+"/y"))
			must(t, os.Symlink(v.outside, shared+"/x"))
			v.seesHost(v.restore(""), "/mnt/open")
		})
	}
}

// TestRestoreReplacedBindElsewhere: the same in a mount namespace that a process of the container has made for itself.
func TestRestoreReplacedBindElsewhere(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t, adminInside, script("mkdir -p /w/x/dir; unshare -m sh -c 'mount --bind /w/x/dir /mnt || exit 1; touch /tmp/bound; "+
		"while :; do if test -e /mnt/open; then cat /mnt/open > /tmp/saw; fi; sleep 0.05; done' & until test -e /tmp/bound; do sleep 0.05; done"))
	must(t, os.Symlink("busybox", v.rootfs+"/bin/unshare"))
	v.ready()
	v.checkpoint("", "--leave-running").ok(t)
	v.remove()
	must(t, os.Rename(v.rootfs+"/w/x", v.rootfs+"/w/y"))
	must(t, os.Symlink(v.outside, v.rootfs+"/w/x"))
	if r := v.restore(""); r.code != 0 {
		t.Logf("restore: %s", r)
		return
	}
	eventually(t, "what the process sees", func() bool { _, err := os.Stat(v.rootfs + "/tmp/saw"); return err == nil })
	t.Error("a process of the restored container reads a file of the host")
}

// TestRestoreReplacedBindBehindChroot: the same, and a process in that mount namespace with a root of its own comes first: its
// mountinfo has nothing but what is below that root.
func TestRestoreReplacedBindBehindChroot(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t, adminInside, script("mkdir -p /w/x/dir /jail/bin; cp /bin/busybox /jail/bin/sh; mount --bind /jail /jail || exit 1\n"+
		"sh -c 'unshare -m sh -c \"echo \\$\\$ > /tmp/pid; mount --bind /w/x/dir /mnt || exit 1; touch /tmp/bound; "+
		"while :; do if test -e /mnt/open; then cat /mnt/open > /tmp/saw; fi; sleep 0.05; done\" & wait' & "+
		"until test -e /tmp/bound; do sleep 0.05; done\n"+
		"nsenter -t $(cat /tmp/pid) -m chroot /jail /bin/sh -c 'while :; do read x; done' </dev/zero & "+
		"until test \"$(readlink /proc/$!/root)\" = /jail; do sleep 0.05; done"))
	for _, name := range []string{"unshare", "nsenter", "chroot", "readlink", "cp"} {
		if err := os.Symlink("busybox", v.rootfs+"/bin/"+name); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	v.ready()
	v.checkpoint("", "--leave-running").ok(t)
	v.remove()
	v.restore("").ok(t) // what is still a directory comes back
	v.remove()
	must(t, os.Rename(v.rootfs+"/w/x", v.rootfs+"/w/y"))
	must(t, os.Symlink(v.outside, v.rootfs+"/w/x"))
	if r := v.restore(""); r.code != 0 {
		t.Logf("restore: %s", r)
		return
	}
	eventually(t, "what the process sees", func() bool { _, err := os.Stat(v.rootfs + "/tmp/saw"); return err == nil })
	t.Error("a process of the restored container reads a file of the host")
}

// TestRestoreReplacedSource: the source of a volume lies below a directory that a neighbour can write to, who replaces a part of its path by
// a link to the host when rt has looked at it and starts CRIU.
func TestRestoreReplacedSource(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t, script(""), func(v *victim) {
		v.file("shared/x/dir/own", "the volume's\n", 0o644)
		v.file("outside/dir/open", "the host's\n", 0o644)
		mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/shared/x/dir", Options: []string{"bind"}})(v)
	}).ready()
	v.checkpoint("").ok(t)
	v.seesHost(v.restore("cd "+v.dir+"/shared; mv x y; ln -s "+v.outside+" x").ok(t), "/vol/open")
}

// madeAtRestore is what CRIU makes in a directory of the host when a container is restored that has a deleted file or directory open. The
// directory that it was in has been removed as well, and a link to that of the host has its name.
func (v *victim) madeAtRestore(made, host, link string, before ...string) {
	v.t.Helper()
	v.deletedBehindLink(made, link)
	v.ready()
	v.checkpoint("").ok(v.t)
	var r result
	if made := v.made(host, func() { r = v.restore(strings.Join(before, "\n")) }); strings.Contains(made, "gone") {
		v.t.Errorf("made in a directory of the host: %q: %s", made, r)
	}
}

// compatible has CRIU make mounts as before 3.17, and on kernels before 5.15.
func (v *victim) compatible() (script string) {
	v.t.Helper()
	v.file("compatible.conf", "mntns-compat-mode\n", 0o600)
	return "export CRIU_CONFIG_FILE=" + v.dir + "/compatible.conf"
}

// deletedBehindLink is a container with something deleted, and a link in its place.
func (v *victim) deletedBehindLink(made, link string) {
	v.t.Helper()
	v.spec.Root.Readonly = false
	for _, dir := range []string{"w", "tmp"} {
		must(v.t, os.MkdirAll(filepath.Join(v.rootfs, dir), 0o755))
	}
	for _, name := range []string{"ln", "rmdir", "chmod"} {
		if err := os.Symlink("busybox", v.rootfs+"/bin/"+name); err != nil && !os.IsExist(err) {
			v.t.Fatal(err)
		}
	}
	script("mkdir /w/x; " + made + "; rmdir /w/x; ln -s " + link + " /w/x")(v)
	v.write()
}

// made are the events of inotify(7) about what is made in a directory while f runs.
func (v *victim) made(dir string, f func()) string {
	v.t.Helper()
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	must(v.t, err)
	defer unix.Close(watch)
	_, err = unix.InotifyAddWatch(watch, dir, unix.IN_CREATE)
	must(v.t, err)
	f()
	var events [4096]byte
	n, err := unix.Read(watch, events[:])
	if err != nil && err != unix.EAGAIN {
		v.t.Fatal(err)
	}
	return string(events[:max(n, 0)])
}

// deletedOnes are scripts that have something deleted open, /w/x/gone.
var deletedOnes = map[string]string{
	"file":      "echo evil >/w/x/gone; chmod 4755 /w/x/gone; exec 7<>/w/x/gone; rm /w/x/gone",
	"directory": "mkdir /w/x/gone; exec 7</w/x/gone; rmdir /w/x/gone",
}

// TestRestoreDeletedBehindLink: CRIU makes a deleted file, for a moment, with its content, owner and mode, behind a link to a directory of
// the host. The container has no capability. The directory is one that CRIU has no business with, one in /tmp, that of the images, or a
// cgroup, and the link has the name of a directory or is one of procfs that leads there.
func TestRestoreDeletedBehindLink(t *testing.T) {
	needsRealCriu(t)
	for name, made := range deletedOnes {
		t.Run(name, func(t *testing.T) {
			dir := hostDir(t)
			newVictim(t, capable(nil)).madeAtRestore(made, dir, dir)
		})
		t.Run(name+" by a process", func(t *testing.T) { // of the host; a container knows that there is one of number 1
			dir := hostDir(t)
			newVictim(t, capable(nil)).madeAtRestore(made, dir, "/proc/"+strconv.Itoa(os.Getpid())+"/root"+dir)
		})
		t.Run(name+" by a process with old mounts", func(t *testing.T) {
			dir := hostDir(t)
			v := newVictim(t, capable(nil))
			v.madeAtRestore(made, dir, "/proc/"+strconv.Itoa(os.Getpid())+"/root"+dir, v.compatible())
			if log, err := os.ReadFile(v.dir + "/images/restore.log"); err != nil || strings.Contains(string(log), "mnt-v2") {
				t.Errorf("CRIU has not made mounts in the old way: %v", err)
			}
		})
		t.Run(name+" in tmp", func(t *testing.T) {
			v := newVictim(t, capable(nil))
			v.madeAtRestore(made, v.outside, v.outside)
		})
		t.Run(name+" in images", func(t *testing.T) {
			v := newVictim(t, capable(nil))
			v.madeAtRestore(made, v.dir+"/images", v.dir+"/images")
		})
		t.Run(name+" in images by own process", func(t *testing.T) {
			v := newVictim(t, capable(nil))
			v.madeAtRestore(made, v.dir+"/images", "/proc/self/cwd")
		})
	}
	t.Run("cgroup", func(t *testing.T) {
		dir := freeCgroup(t)
		newVictim(t, capable(nil)).madeAtRestore(deletedOnes["directory"], dir, dir)
	})
}

// TestRestoreForgedNames: in the images a deleted file has the name of one outside of the container's root, in a directory that CRIU may write
// to. rt does not start CRIU, which would make it there, set-user-ID.
func TestRestoreForgedNames(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t, capable(nil))
	forged := "/" + strings.Repeat("../", 12) + strings.TrimPrefix(v.dir, "/") + "/images/gone"
	own := "/w/" + strings.Repeat("a", len(forged)-len("/w//gone")) + "/gone"
	v.spec.Root.Readonly = false
	must(t, os.MkdirAll(v.rootfs+"/w", 0o755))
	script("mkdir " + filepath.Dir(own) + "; echo evil >" + own + "; chmod 4755 " + own + "; exec 7<>" + own + "; rm " + own)(v)
	v.write()
	v.ready()
	v.checkpoint("").ok(t)
	data, err := os.ReadFile(v.dir + "/images/files.img")
	must(t, err)
	if !bytes.Contains(data, []byte(own)) {
		t.Fatalf("files.img has no name %s", own)
	}
	must(t, os.WriteFile(v.dir+"/images/files.img", bytes.ReplaceAll(data, []byte(own), []byte(forged)), 0o600))
	var r result
	if made := v.made(v.dir+"/images", func() { r = v.restore("") }); strings.Contains(made, "gone") || !strings.Contains(r.stderr, "leads out of the container's root") {
		t.Errorf("made %q: %s", made, r)
	}
}

// TestRestoreDeletedInReplacedBind: the container has bound a directory of its own and has a deleted file open there. The directory is a link
// to one of the host when it is restored: CRIU binds that, and makes the file in it.
func TestRestoreDeletedInReplacedBind(t *testing.T) {
	needsRealCriu(t)
	for name, made := range deletedOnes {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, adminInside, script("mkdir -p /w/x/dir; mount --bind /w/x/dir /mnt || exit 1\n"+strings.ReplaceAll(made, "/w/x/", "/mnt/")))
			for _, name := range []string{"rmdir", "chmod"} {
				if err := os.Symlink("busybox", v.rootfs+"/bin/"+name); err != nil && !os.IsExist(err) {
					t.Fatal(err)
				}
			}
			v.ready()
			v.checkpoint("").ok(t)
			must(t, os.Rename(v.rootfs+"/w/x", v.rootfs+"/w/y"))
			must(t, os.Symlink(v.outside, v.rootfs+"/w/x"))
			if made := v.made(v.outside+"/dir", func() { t.Logf("%s", v.restore("")) }); made != "" {
				t.Errorf("made in a directory of the host: %q", made)
			}
		})
	}
}

// TestCheckpointBehindLink: a file without a name that has another one elsewhere, and a socket. With --link-remap CRIU gives the file a
// name where it was, at the checkpoint. A link to a directory of the host is there by now.
func TestCheckpointBehindLink(t *testing.T) {
	needsRealCriu(t)
	for name, made := range map[string]string{
		"file":   "echo own >/w/x/gone; ln /w/x/gone /w/kept; exec 7<>/w/x/gone; rm /w/x/gone",
		"socket": "attack listen /w/x/gone & until test -S /w/x/gone; do sleep 0.05; done; rm /w/x/gone",
	} {
		t.Run(name, func(t *testing.T) {
			dir := hostDir(t)
			v := newVictim(t, capable(nil))
			v.deletedBehindLink(made, "/proc/"+strconv.Itoa(os.Getpid())+"/root"+dir)
			v.ready()
			var r result
			if made := v.made(dir, func() { r = v.checkpoint("", "--link-remap") }); made != "" {
				t.Errorf("made in a directory of the host at the checkpoint: %q: %s", made, r)
			}
			if r.code != 0 {
				t.Logf("checkpoint: %s", r)
				return
			}
			if made := v.made(dir, func() { r = v.restore("") }); made != "" {
				t.Errorf("made in a directory of the host at the restore: %q: %s", made, r)
			}
			t.Logf("restore: %s", r)
		})
	}
}

// TestRestoreSocketBehindLink: the directory in which a socket is bound is a link to one of the host when it is restored.
func TestRestoreSocketBehindLink(t *testing.T) {
	needsRealCriu(t)
	dir := hostDir(t)
	v := newVictim(t, capable(nil), func(v *victim) {
		v.spec.Root.Readonly = false
		must(t, os.MkdirAll(v.rootfs+"/w", 0o755))
		script("mkdir /w/x; attack listen /w/x/gone & until test -S /w/x/gone; do sleep 0.05; done")(v)
	}).ready()
	v.checkpoint("").ok(t)
	must(t, os.Rename(v.rootfs+"/w/x", v.rootfs+"/w/y"))
	must(t, os.Symlink("/proc/"+strconv.Itoa(os.Getpid())+"/root"+dir, v.rootfs+"/w/x"))
	var r result
	if made := v.made(dir, func() { r = v.restore("") }); made != "" {
		t.Errorf("made in a directory of the host: %q: %s", made, r)
	}
	t.Logf("restore: %s", r)
}

// hostDir makes a directory of the host outside of /tmp.
func hostDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "rt-sec-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// freeCgroup makes a cgroup of the host that is no container's.
func freeCgroup(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		if _, err := os.Stat(dir + "/cgroup.procs"); err == nil {
			made, err := os.MkdirTemp(dir, "rt-sec-free-")
			must(t, err)
			t.Cleanup(func() { must(t, unix.Rmdir(made)) })
			return made
		}
	}
	t.Fatal("no cgroups")
	return ""
}

// TestRestoreDeletedInVolume: the link leads to where rt has mounted a volume for CRIU. The container may write to it, but not make files
// of root's that are set-user-ID, as an image can have: another user of the host that can reach the volume executes them.
func TestRestoreDeletedInVolume(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t, capable(nil), func(v *victim) {
		must(t, os.MkdirAll(v.dir+"/open", 0o777))
		mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/open", Options: []string{"bind"}})(v)
		v.spec.Root.Readonly = false
		for _, dir := range []string{"w", "tmp"} {
			must(t, os.MkdirAll(filepath.Join(v.rootfs, dir), 0o755))
			must(t, os.Chmod(filepath.Join(v.rootfs, dir), 0o777))
		}
		made := ""
		for i := range 8 {
			dir := fmt.Sprintf("/w/x%d", i)
			must(t, os.MkdirAll(v.rootfs+dir, 0o777))
			must(t, os.Chmod(v.rootfs+dir, 0o777))
			must(t, os.WriteFile(v.rootfs+dir+"/gone", []byte("evil\n"), 0o644))
			must(t, os.Chmod(v.rootfs+dir+"/gone", 0o755|os.ModeSetuid))
			made += fmt.Sprintf("exec %d<%s/gone; rm -f %s/gone; rmdir %s; ln -s %s/criu-mounts/%d %s\n",
				i+3, dir, dir, dir, filepath.Join(v.dir, "root", v.id), i, dir)
		}
		script(made)(v)
	})
	for _, name := range []string{"ln", "rmdir"} {
		must(t, os.Symlink("busybox", v.rootfs+"/bin/"+name))
	}
	v.ready()
	v.checkpoint("").ok(t)
	var r result
	if made := v.made(v.dir+"/open", func() { r = v.restore("") }); made != "" {
		t.Errorf("made in a volume: %q: %s", made, r)
	}
}

// TestRestoreDeletedInReadonlyVolume: the same with a link to where rt has mounted a read-only volume for CRIU.
func TestRestoreDeletedInReadonlyVolume(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t, capable(nil), func(v *victim) {
		v.spec.Root.Readonly = false
		for _, dir := range []string{"w", "tmp"} {
			must(t, os.MkdirAll(filepath.Join(v.rootfs, dir), 0o755))
		}
		must(t, os.MkdirAll(v.dir+"/fixed", 0o755))
		mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/fixed", Options: []string{"bind", "ro"}})(v)
		made := ""
		for i := range 6 {
			made += fmt.Sprintf("mkdir /w/x%[1]d; echo >/w/x%[1]d/gone; exec %[2]d<>/w/x%[1]d/gone; rm /w/x%[1]d/gone; rmdir /w/x%[1]d; ln -s %[3]s/criu-mounts/%[1]d /w/x%[1]d\n",
				i, i+3, filepath.Join(v.dir, "root", v.id))
		}
		script(made)(v)
	})
	for _, name := range []string{"ln", "rmdir"} {
		if err := os.Symlink("busybox", v.rootfs+"/bin/"+name); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	v.ready()
	v.checkpoint("").ok(t)
	var r result
	if made := v.made(v.dir+"/fixed", func() { r = v.restore("") }); made != "" {
		t.Errorf("made in a read-only volume: %q: %s", made, r)
	}
}

// TestRestoreSubmountOfVolume: a neighbour replaces a directory of a shared volume, below which the host has a mount, by a link while
// the container is restored. The container has no capability for that.
func TestRestoreSubmountOfVolume(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t, script(""), func(v *victim) {
		v.file("outside/sub/open", "the host's\n", 0o644)
		v.file("vol/a/sub/own", "", 0o644)
		v.file("other/open", "the volume's\n", 0o644)
		mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/vol", Options: []string{"rbind"}})(v)
	})
	must(t, unix.Mount(v.dir+"/other", v.dir+"/vol/a/sub", "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(v.dir+"/vol/a/sub", unix.MNT_DETACH) })
	v.ready()
	v.checkpoint("").ok(t)
	for range runs(8, 48) {
		must(t, os.Symlink(v.outside, v.dir+"/vol/link"))
		r := v.restore(host.attack + " exchange " + v.dir + "/vol/a " + v.dir + "/vol/link >/dev/null 2>&1 & echo $! >" + v.dir + "/neighbour")
		stopNeighbour(v)
		if r.code == 0 {
			for _, name := range []string{"a", "link"} {
				v.seesHost(r, "/vol/"+name+"/sub/open")
			}
		}
		v.remove()
		if t.Failed() {
			break
		}
	}
}

// stopNeighbour ends the process that exchanges the volume's directory, and puts that back.
func stopNeighbour(v *victim) {
	v.t.Helper()
	text, err := os.ReadFile(v.dir + "/neighbour")
	must(v.t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(v.t, err)
	_ = unix.Kill(pid, unix.SIGKILL)
	eventually(v.t, "the end of the neighbour", func() bool { reap(); return unix.Kill(pid, 0) != nil })
	if st, err := os.Lstat(v.dir + "/vol/a"); err == nil && st.Mode()&os.ModeSymlink != 0 {
		must(v.t, unix.Renameat2(unix.AT_FDCWD, v.dir+"/vol/a", unix.AT_FDCWD, v.dir+"/vol/link", unix.RENAME_EXCHANGE))
	}
	must(v.t, os.Remove(v.dir+"/vol/link"))
}

// twoVolumes are one that can be read and one that can be written, and root without a capability.
func twoVolumes(text string) []func(*victim) {
	return []func(*victim){capable(nil), script(text), func(v *victim) {
		v.file("fixed/own", "the host's\n", 0o644)
		v.file("open/own", "", 0o644)
		for _, dir := range []string{"a", "b"} {
			must(v.t, os.MkdirAll(filepath.Join(v.rootfs, "p", dir, "vol"), 0o777))
		}
		mounted(specs.Mount{Destination: "/p/a/vol", Type: "bind", Source: v.dir + "/fixed", Options: []string{"bind", "ro"}})(v)
		mounted(specs.Mount{Destination: "/p/b/vol", Type: "bind", Source: v.dir + "/open", Options: []string{"bind"}})(v)
	}}
}

// writesFixed fails if the restored container can write to the read-only volume.
func (v *victim) writesFixed() {
	v.t.Helper()
	v.exec("sh", "-c", "for d in /p/*/vol; do echo changed > $d/new; echo changed > $d/own; done")
	if entries, err := os.ReadDir(v.dir + "/fixed"); err != nil || len(entries) != 1 {
		v.t.Errorf("a read-only volume can be written: %v, %v", entries, err)
	}
}

// TestRestoreExchangedVolumes: root without a capability renames the directories that two volumes are mounted below, so that each has the
// other's name.
func TestRestoreExchangedVolumes(t *testing.T) {
	needsRealCriu(t)
	const exchange = "mv /p/a /p/c && mv /p/b /p/a && mv /p/c /p/b"
	t.Run("before", func(t *testing.T) {
		v := newVictim(t, twoVolumes(exchange)...).ready()
		if r := v.checkpoint(""); r.code != 0 {
			t.Logf("checkpoint: %s", r)
			return
		}
		v.restore("").ok(t)
		v.writesFixed()
	})
	t.Run("meanwhile", func(t *testing.T) {
		v := newVictim(t, twoVolumes("touch /tmp/ready; until test -e /tmp/go; do sleep 0.05; done; "+exchange+"; touch /tmp/done")...).ready()
		v.checkpoint("touch " + v.rootfs + "/tmp/go; until test -e " + v.rootfs + "/tmp/done; do sleep 0.05; done").ok(t)
		v.restore("").ok(t)
		v.writesFixed()
	})
	t.Run("open", func(t *testing.T) { // a file of the read-only volume is open for writing: what cannot be made read-only is refused
		v := newVictim(t, twoVolumes("exec 5>/p/b/vol/held; touch /tmp/ready; until test -e /tmp/go; do sleep 0.05; done; "+exchange+"; touch /tmp/done")...).ready()
		v.checkpoint("touch " + v.rootfs + "/tmp/go; until test -e " + v.rootfs + "/tmp/done; do sleep 0.05; done").ok(t)
		v.file("fixed/held", "", 0o644)
		if r := v.restore(""); r.code == 0 {
			v.exec("sh", "-c", "echo changed > /proc/1/fd/5")
			if text, err := os.ReadFile(v.dir + "/fixed/held"); err != nil || len(text) > 0 {
				t.Errorf("a read-only volume is open for writing: %q, %v", text, err)
			}
		} else {
			t.Logf("restore: %s", r)
		}
	})
}

// TestRestoreMountNames: CRIU takes a name of an external mount to end where the container has put "]:" into it.
func TestRestoreMountNames(t *testing.T) {
	needsRealCriu(t)
	volume := func(name string) func(*victim) {
		return func(v *victim) {
			v.file("dir/own", "", 0o644)
			v.file("outside/dir/open", "the host's\n", 0o644)
			must(t, os.MkdirAll(v.rootfs+name, 0o755))
			v.link(name, "vol")
			mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/dir", Options: []string{"bind"}})(v)
		}
	}
	t.Run("checkpoint", func(t *testing.T) {
		v := newVictim(t, script(""), volume("/x]:/etc")).ready()
		if r := v.checkpoint("", "--leave-running"); r.code == 0 || strings.Contains(r.stderr, "criu failed") {
			t.Errorf("CRIU was given a name that it takes for another: %s", r)
		}
	})
	// The volume is at /y, by a link. For restore the link is another one, so that rt gives CRIU mnt[/y]:/HOST/dir/d]:SOURCE. To CRIU that
	// says what to mount at /y: SOURCE below a directory of the volume, in which a link leads to a directory of the host that has the name
	// of the source. The container can write to both, without a capability.
	t.Run("restore", func(t *testing.T) {
		v := newVictim(t, script(""), volume("/y")).ready()
		v.checkpoint("", "--leave-running").ok(t)
		v.remove()
		at := v.dir + "/dir/d]:" + v.dir
		must(t, os.MkdirAll(filepath.Dir(at), 0o755))
		must(t, os.Symlink(v.outside, at))
		name := "/y]:" + v.dir + "/dir/d"
		must(t, os.MkdirAll(v.rootfs+name, 0o755))
		v.link(name, "vol")
		v.seesHost(v.restore(""), "/y/open")
	})
}

// TestRestoreMountPointInReadonlyVolume: what is missing in a volume that is read-only is not made there.
func TestRestoreMountPointInReadonlyVolume(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t, script(""), func(v *victim) {
		must(t, os.MkdirAll(v.dir+"/vol/deep", 0o755))
		mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/vol", Options: []string{"bind", "ro"}})(v)
		mounted(specs.Mount{Destination: "/vol/deep", Type: "tmpfs", Source: "tmpfs"})(v)
	}).ready()
	v.checkpoint("").ok(t)
	must(t, os.Remove(v.dir+"/vol/deep"))
	r := v.restore("")
	if entries, err := os.ReadDir(v.dir + "/vol"); err != nil || len(entries) > 0 {
		t.Errorf("made in a read-only volume: %v, %v: %s", entries, err, r)
	}
}

// TestRestoreOwnMounts: what a container has mounted of its own tree, and new file systems, is there again.
func TestRestoreOwnMounts(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t, adminInside, func(v *victim) {
		v.file("vol/x/own", "the volume's\n", 0o644)
		mounted(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir + "/vol", Options: []string{"bind", "ro"}})(v)
		script("mkdir -p /w/dir /w/tmpfs /w/vol; echo own > /w/dir/file; mount --bind /w/dir /mnt && mount -t tmpfs none /w/tmpfs && echo new > /w/tmpfs/file && mount --bind /vol/x /w/vol || exit 1")(v)
	}).ready()
	v.checkpoint("").ok(t)
	v.restore(v.compatible()).ok(t)
	v.checkpoint("").ok(t)
	v.restore("").ok(t)
	if r := v.exec("sh", "-c", "cat /mnt/file /w/tmpfs/file /w/vol/own; echo x > /w/vol/own"); r.stdout != "own\nnew\nthe volume's\n" || !strings.Contains(r.stderr, "Read-only") {
		t.Errorf("after restore: %s", r)
	}
	v.checkpoint("").ok(t) // once more: the restored mounts are the configuration's
}

// TestRestoreHostUnmounts: the host unmounts file systems while CRIU makes those of the container, and removes their mount points, which
// unmounts them in all mount namespaces. None of the container's gets the number of one that has gone: rt knows the host's by it.
func TestRestoreHostUnmounts(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t, script("")).ready()
	v.checkpoint("").ok(t)
	dir := hostDir(t)
	for i := range 8 {
		at := dir + "/" + strconv.Itoa(i)
		must(t, os.Mkdir(at, 0o755))
		must(t, unix.Mount("tmpfs", at, "tmpfs", 0, ""))
		t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	}
	v.restore("nsenter -t $PPID -m sh -c 'for d in " + dir + "/*; do umount $d && rmdir $d; done'").ok(t)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("still mounted: %v, %v", left, err)
	}
}

// TestRestorePrivateTmp: where nothing that CRIU needs is in /tmp, it has one of its own: no link leads to the host's.
func TestRestorePrivateTmp(t *testing.T) {
	needsRealCriu(t)
	program, _ := realCriu()
	if strings.HasPrefix(program, "/tmp/") {
		t.Skip("CRIU is in /tmp: " + program)
	}
	dir := hostDir(t)
	v := newVictim(t, capable(nil))
	v.deletedBehindLink(deletedOnes["file"], v.outside)
	rt := func(args ...string) result {
		return v.rt(append([]string{"--root", dir + "/root", "--criu", program}, args...)...)
	}
	t.Cleanup(func() { rt("delete", "--force", v.id).ok(t) })
	start := func() {
		rt(v.with("create")...).ok(t)
		rt("start", v.id).ok(t)
		eventually(t, "the container's script", func() bool { _, err := os.Stat(v.rootfs + "/tmp/ready"); return err == nil })
	}
	restore := func() result {
		rt("checkpoint", "--image-path", dir+"/images", v.id).ok(t)
		return rt("restore", "-d", "--bundle", v.dir+"/bundle", "--image-path", dir+"/images", v.id)
	}
	start()
	var r result
	if made := v.made(v.outside, func() { r = restore() }); made != "" {
		t.Errorf("made in a directory of the host's /tmp: %q: %s", made, r)
	}
	if r.code == 0 {
		rt("delete", "--force", v.id).ok(t)
	}
	must(t, os.RemoveAll(dir+"/images"))
	must(t, os.Remove(v.rootfs+"/tmp/ready"))
	must(t, os.Remove(v.rootfs+"/w/x"))
	script("")(v)
	v.write()
	start()
	restore().ok(t)
	if entries, err := os.ReadDir(v.rootfs + "/tmp"); err != nil || len(entries) != 1 {
		t.Errorf("the container's /tmp has %v, %v", entries, err)
	}
}
