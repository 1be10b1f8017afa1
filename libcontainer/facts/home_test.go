package facts

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/tests/nofiles"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const passwd = "root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n"

// rootfsHome is HOME for a uid in a rootfs with the given etc/passwd.
func rootfsHome(rootfs string, uid uint32) string {
	return specHome(bundle.Normalise(&specs.Spec{}), rootfs, uid)
}

func specHome(spec *specs.Spec, rootfs string, uid uint32) string {
	home, err := homeOf(spec, filepath.Dir(rootfs), rootfs, nil, uid)
	if err != nil {
		return err.Error()
	}
	return home
}

func rootfsWith(t *testing.T, text string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestHome(t *testing.T) {
	for _, c := range []struct {
		name, passwd string
		uid          uint32
		want         string
	}{
		{"root", passwd, 0, "/root"},
		{"user", passwd, 1000, "/home/u"},
		{"unknown", passwd, 7, "/"},
		{"no file", "", 0, "/"},
		{"no newline", "root:x:0:0:root:/root:/bin/sh", 0, "/root"},
		{"six fields", "root:x:0:0:root:/r", 0, "/r"},
		{"five fields", "root:x:0:0:root\nr:x:0:0::/second:", 0, "/second"},
		{"empty home", "root:x:0:0:root::/bin/sh\n", 0, "/"},
		{"the first one counts", "a:x:5:5::/a:\nb:x:5:5::/b:\n", 5, "/a"},
		{"a name that is a number", "1000:x:1:1::/wrong:\n", 1000, "/"},
		{"uid with sign", "a:x:+0:0::/wrong:\n", 0, "/"},
		{"negative uid", "a:x:-1:0::/wrong:\n", 4294967295, "/"},
		{"uid wraps", "a:x:4294967296:0::/wrong:\n", 0, "/"},
		{"hexadecimal", "a:x:0x0:0::/wrong:\n", 0, "/"},
		{"comment, junk, NIS", "# c\n\n::::::\n+::::::\n\x00\xff\nroot:x:0:0::/root:\n", 0, "/root"},
		{"NUL in the home directory", "root:x:0:0::/ro\x00ot:\n", 0, "/"},
		{"carriage return", "root:x:0:0::/root:/bin/sh\r\n", 0, "/root"},
	} {
		root := rootfsWith(t, c.passwd)
		if c.name == "no file" {
			os.Remove(filepath.Join(root, "etc/passwd"))
		}
		if got := rootfsHome(root, c.uid); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestHomeHostile: the file is the image's, and may be anything; it must not stop create, nor tell of the host.
func TestHomeHostile(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("root:x:0:0::/secret:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	root := rootfsWith(t, "")
	file := filepath.Join(root, "etc/passwd")
	replace := func(name string, make func() error) {
		t.Helper()
		os.RemoveAll(filepath.Join(root, "etc"))
		if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := make(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := rootfsHome(root, 0); got != "/" {
			t.Errorf("%s: %q", name, got)
		}
	}
	replace("FIFO", func() error { return unix.Mkfifo(file, 0o666) })
	replace("directory", func() error { return os.Mkdir(file, 0o755) })
	replace("link out of the rootfs", func() error { return os.Symlink(outside, file) })
	replace("relative link out", func() error {
		return os.Symlink("../../../../../../../../.."+outside, file)
	})
	replace("link to itself", func() error { return os.Symlink("passwd", file) })
	replace("magic link", func() error { return os.Symlink("/proc/self/fd/0", file) })
	replace("etc is a link out", func() error {
		os.RemoveAll(filepath.Join(root, "etc"))
		return os.Symlink(filepath.Dir(outside), filepath.Join(root, "etc"))
	})
	os.Remove(filepath.Join(root, "etc"))
	if os.Geteuid() == 0 {
		replace("endless device", func() error { return unix.Mknod(file, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) })
	}
	replace("10 MB without a newline", func() error { return os.WriteFile(file, make([]byte, 10<<20), 0o644) })
	line := []byte(strings.Repeat("x", 1000) + ":x:1:1::/x:\n")
	replace("10 MB of lines", func() error {
		return os.WriteFile(file, append([]byte(strings.Repeat(string(line), 10<<20/len(line))), "root:x:0:0::/far:\n"...), 0o644)
	})
	// What is read ends in the middle of a line: half of a directory is the wrong one.
	entry := "root:x:0:0::/home/directory:/bin/sh\n"
	for _, cut := range []int{13, 20, 26, 34} {
		filler := strings.Repeat(strings.Repeat("#", 63)+"\n", 1<<14)
		filler = filler[:1<<20-cut-1] + "\n"
		replace("cut", func() error { return os.WriteFile(file, []byte(filler+entry), 0o644) })
	}
	// A link that stays inside is followed, as the container would.
	os.RemoveAll(filepath.Join(root, "etc"))
	os.Mkdir(filepath.Join(root, "etc"), 0o755)
	os.WriteFile(filepath.Join(root, "real"), []byte(passwd), 0o644)
	if err := os.Symlink("/real", file); err != nil {
		t.Fatal(err)
	}
	if got := rootfsHome(root, 0); got != "/root" {
		t.Errorf("link inside: %q", got)
	}
}

// TestHomeOfSourceBelowRootfs: a link of the image leads the source of /etc/passwd to the host's.
func TestHomeOfSourceBelowRootfs(t *testing.T) {
	root, outside := rootfsWith(t, ""), rootfsWith(t, "root:x:0:0::/secret:\n")
	if err := os.Symlink(outside, root+"/out"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/own", []byte(passwd), 0o644); err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(root)
	for source, want := range map[string]string{root + "/out/etc/passwd": "/", name + "/out/etc/passwd": "/", root + "/own": "/root", name + "/own": "/root"} {
		spec := bundle.Normalise(&specs.Spec{Mounts: []specs.Mount{{Destination: "/etc/passwd", Source: source, Type: "bind"}}})
		if got := specHome(spec, root, 0); got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
}

func TestHomeOfMount(t *testing.T) {
	rootfs := rootfsWith(t, passwd)
	mounted := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(mounted, []byte("root:x:0:0::/mounted:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for destination, want := range map[string]string{"/etc/passwd": "/mounted", "etc/./passwd": "/mounted", "/etc/group": "/root"} {
		spec := bundle.Normalise(&specs.Spec{Mounts: []specs.Mount{{Destination: destination, Source: mounted, Options: []string{"bind"}}}})
		if got := specHome(spec, rootfs, 0); got != want {
			t.Errorf("mount at %s: %q", destination, got)
		}
	}
	spec := bundle.Normalise(&specs.Spec{Mounts: []specs.Mount{{Destination: "/etc/passwd", Source: "/no/such/file", Options: []string{"bind"}}}})
	if got := specHome(spec, rootfs, 0); got != "/" {
		t.Errorf("mount of nothing: %q", got)
	}
	if got := rootfsHome("/no/such/rootfs", 0); got != "/" {
		t.Errorf("no rootfs: %q", got)
	}
}

func TestNeedsHome(t *testing.T) {
	for _, c := range []struct {
		env  string
		want bool
	}{{"", true}, {"A=1", true}, {"HOME=/x", false}, {"HOME=", true}, {"HOME=/x HOME=", true}, {"HOME= HOME=/x", false}, {"XHOME=/x", true}} {
		if got := needsHome(strings.Fields(c.env)); got != c.want {
			t.Errorf("%q: %v", c.env, got)
		}
	}
}

// TestHomeUnknown: no home directory was found because none could be looked for.
func TestHomeUnknown(t *testing.T) {
	rootfs := rootfsWith(t, passwd)
	mounted := bundle.Normalise(&specs.Spec{Mounts: []specs.Mount{{Destination: "/etc/passwd", Source: filepath.Join(rootfs, "etc/passwd"), Options: []string{"bind"}}}})
	proc, err := sys.Open("/proc/self", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	root := func() (*os.File, error) { return sys.OpenAt(int(proc.Fd()), "root", unix.O_PATH|unix.O_DIRECTORY, 0) }
	nofiles.Run(t, func() {
		for _, spec := range []*specs.Spec{bundle.Normalise(&specs.Spec{}), mounted} {
			if home, err := homeOf(spec, filepath.Dir(rootfs), rootfs, nil, 0); !errors.Is(err, unix.EMFILE) {
				t.Errorf("%q, %v", home, err)
			}
		}
		if home, err := HomeBelow(root, 0); !errors.Is(err, unix.EMFILE) {
			t.Errorf("%q, %v", home, err)
		}
	})
}
