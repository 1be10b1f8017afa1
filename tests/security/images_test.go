package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What is in the directory of a checkpoint's images, and who could have put it there. CRIU itself is replaced by what matters of it.

// asksCriu makes a CRIU that leaves a mark when rt starts it.
func (v *victim) asksCriu() (program, mark string) {
	mark = v.dir + "/criu-was-started"
	v.file("criu", "#!/bin/sh\necho >"+mark+"\n", 0o755)
	return v.dir + "/criu", mark
}

// TestCriuConfigOfImage: the annotation names a file of the image as CRIU's configuration. It belongs to root, as all of an image
// does. A link below /etc/criu leads there as well.
func TestCriuConfigOfImage(t *testing.T) {
	layer, err := os.MkdirTemp("/run", "rt-sec-") // /tmp may be written by all, and so may not be above such a file
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(layer) })
	must(t, os.Chmod(layer, 0o755))
	for _, dir := range []string{"etc/criu/below", "image"} {
		must(t, os.MkdirAll(layer+"/"+dir, 0o755))
	}
	for _, name := range []string{"image/evil.conf", "etc/criu/good.conf", "etc/other.conf"} {
		must(t, os.WriteFile(layer+"/"+name, []byte("action-script /bin/true\n"), 0o644))
	}
	must(t, os.Symlink(layer+"/image/evil.conf", layer+"/etc/criu/link.conf"))
	must(t, os.Symlink(layer+"/image", layer+"/etc/criu/linked"))
	for path, want := range map[string]bool{layer + "/image/evil.conf": false, "/etc/criu/link.conf": false, "/etc/criu/linked/evil.conf": false,
		"/etc/criu/../other.conf": false, "/etc/other.conf": false, "/etc/criu/good.conf": true} {
		t.Run(path, func(t *testing.T) {
			v := newVictim(t, func(v *victim) { v.spec.Annotations = map[string]string{"org.criu.config": path} }).up()
			program, mark := v.asksCriu()
			v.file("private-etc", "#!/bin/sh\nexec unshare -m sh -c 'mount --bind "+layer+"/etc /etc && exec \"$@\"' sh "+host.rt+" \"$@\"\n", 0o755)
			r := v.do(call{args: []string{"--criu", program, "checkpoint", "--image-path", v.dir + "/image", v.id}, exe: v.dir + "/private-etc"})
			_, err := os.Stat(mark)
			if started := err == nil; started != want || !want && !strings.Contains(r.stderr, "org.criu.config") {
				t.Errorf("CRIU was started: %v, want %v: %s", started, want, r)
			}
		})
	}
}

// TestPlantedImages: an archive that was unpacked into the directory of images had more than files in it, or another user can
// exchange a directory above it.
func TestPlantedImages(t *testing.T) {
	link := func(name string) func(*victim, string) error {
		return func(v *victim, dir string) error { return os.Symlink(v.outside+"/secret", dir+"/"+name) }
	}
	fifo := func(name string) func(*victim, string) error {
		return func(_ *victim, dir string) error { return unix.Mkfifo(dir+"/"+name, 0o600) }
	}
	theirs := func(dir string) error { return os.Chown(dir, someone, someone) }
	for name, plant := range map[string]func(v *victim, dir string) error{
		"link dump.log":      link("dump.log"),
		"link inventory.img": link("inventory.img"),
		"fifo core-1.img":    fifo("core-1.img"),
		"fifo pages-1.img":   fifo("pages-1.img"),
		"directory":          func(_ *victim, dir string) error { return os.Mkdir(dir+"/fs-1.img", 0o755) },
		"parent of another user": func(v *victim, dir string) error {
			must(t, os.MkdirAll(v.dir+"/theirs", 0o755))
			must(t, theirs(v.dir+"/theirs"))
			return os.Symlink("../../theirs", dir+"/parent")
		},
		"parent with a link": func(v *victim, dir string) error {
			must(t, os.MkdirAll(v.dir+"/first", 0o755))
			must(t, link("pages-1.img")(v, v.dir+"/first"))
			return os.Symlink("../../first", dir+"/parent")
		},
		"parent of itself":                  func(_ *victim, dir string) error { return os.Symlink(".", dir+"/parent") },
		"a directory above of another user": func(_ *victim, dir string) error { return theirs(filepath.Dir(dir)) },
		"a directory above for all":         func(_ *victim, dir string) error { return os.Chmod(filepath.Dir(dir), 0o777) },
		"a directory above by an access control list": func(_ *victim, dir string) error {
			return unix.Setxattr(filepath.Dir(dir), "system.posix_acl_access", writersACL(someone), 0)
		},
		"a directory above for a group": func(_ *victim, dir string) error {
			must(t, os.Chown(filepath.Dir(dir), 0, 4711))
			return os.Chmod(filepath.Dir(dir), 0o775)
		},
		"": func(v *victim, dir string) error {
			must(t, os.MkdirAll(v.dir+"/first", 0o755))
			must(t, os.WriteFile(dir+"/pages-1.img", nil, 0o600))
			return os.Symlink("../../first", dir+"/parent")
		},
	} {
		for _, verb := range []string{"checkpoint", "restore"} {
			t.Run(verb+" "+name, func(t *testing.T) {
				v := newVictim(t)
				if verb == "checkpoint" {
					v.up()
				}
				program, mark := v.asksCriu()
				dir := v.dir + "/above/image"
				must(t, os.MkdirAll(dir, 0o755))
				must(t, os.WriteFile(dir+"/descriptors.json", []byte(`["","",""]`), 0o600))
				must(t, plant(v, dir))
				args := []string{"--criu", program, verb, "--image-path", dir}
				if verb == "restore" {
					args = append(args, "-d", "--bundle", v.dir+"/bundle")
				}
				r := v.rt(append(args, v.id)...)
				_, err := os.Stat(mark)
				if started := err == nil; started != (name == "") || r.code == 0 || !v.untouched() {
					t.Errorf("CRIU was started: %v: %s", started, r)
				}
				if name != "" && (!strings.Contains(r.stderr, v.dir+"/above") && !strings.Contains(r.stderr, v.dir+"/first/pages-1.img") || strings.Contains(r.stderr, "no such file")) {
					t.Errorf("no directory is named, or another error: %s", r)
				}
			})
		}
	}
}

// TestPlantedWorkFiles: the directory of work files has a link that has the name of CRIU's log.
func TestPlantedWorkFiles(t *testing.T) {
	for _, name := range []string{"dump.log", "stats-dump"} {
		v := newVictim(t).up()
		program, mark := v.asksCriu()
		must(t, os.Mkdir(v.dir+"/work", 0o755))
		must(t, unix.Mkfifo(v.dir+"/work/attach", 0o600)) // others of an engine's are none of CRIU's
		must(t, os.Symlink(v.outside+"/secret", v.dir+"/work/"+name))
		r := v.rt("--criu", program, "checkpoint", "--image-path", v.dir+"/image", "--work-path", v.dir+"/work", v.id)
		if _, err := os.Stat(mark); err == nil || r.code == 0 || !strings.Contains(r.stderr, v.dir+"/work/"+name) {
			t.Error(r)
		}
	}
}
