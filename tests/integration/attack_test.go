package integration

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A copied runtime is a copy of the binary under test: an attack that succeeds must not break the other tests.
func copiedRuntime(t *testing.T, c *container) (path string, unchanged func()) {
	t.Helper()
	path = filepath.Join(c.dir, machine.name)
	c.must(copyFile(machine.rt, path, 0o755))
	sum := func() [32]byte {
		data, err := os.ReadFile(path)
		c.must(err)
		return sha256.Sum256(data)
	}
	before := sum()
	// prefix runs the copy in place of the binary: sh -c 'shift; exec COPY "$@"' drops the first argument.
	c.prefix = []string{"sh", "-c", `shift; exec ` + path + ` "$@"`, "sh"}
	return path, func() {
		t.Helper()
		if sum() != before {
			t.Fatal("the container has overwritten the runtime's binary (CVE-2019-5736)")
		}
		host(t, path, "--version")
	}
}

// TestEntrypointIsRuntime: the first form of CVE-2019-5736. The container's program is a link or a script that leads
// back to the runtime's own binary, so that this runs as the container's process with /proc/self/exe pointing at it.
func TestEntrypointIsRuntime(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(c *container){
		"interpreter": func(c *container) { c.file("b/rootfs/bin/entry", "#!/proc/self/exe\n", 0o755) },
		"symlink": func(c *container) {
			c.must(os.Symlink("/proc/self/exe", filepath.Join(c.rootfs, "bin/entry")))
		},
		"init's": func(c *container) { c.must(os.Symlink("/proc/1/exe", filepath.Join(c.rootfs, "bin/entry"))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t, args("/bin/entry"), writable, capable(allCaps...))
			make(c)
			_, unchanged := copiedRuntime(t, c)
			c.run() // fails or not: the host's file is what counts
			unchanged()
			d := newContainer(t, writable, capable(allCaps...))
			make(d)
			_, unchanged = copiedRuntime(t, d)
			d.up()
			d.exec("/bin/entry")
			d.exec("probe", "overwrite", "/proc/self/exe")
			unchanged()
		})
	}
}

// TestHuntForRuntime: the second form. A process of the container waits for others to appear in it, holds their
// executables, and reopens them for writing as soon as they are not busy.
func TestHuntForRuntime(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, args("probe", "hunt"), capable(allCaps...))
	_, unchanged := copiedRuntime(t, c)
	c.create().ok()
	c.start().ok()
	for range 20 {
		for cmd, want := range map[string]int{"true": 0, "no-such-program": 255} {
			r := c.exec(cmd)
			r.exits(want)
		}
	}
	c.file("b/rootfs/stop", "", 0o644)
	c.awaitStatus("stopped")
	unchanged()
	// In a user namespace that the process joins it has no rights over what was executed outside.
	if c.awaitFile("b/rootfs/seen") == "0\n" && !ordinaryUser() {
		t.Error("the hunter has seen no executable: nothing was tested")
	}
}

// TestWaitingProcessExe: between create and start the waiting process has no executable of the host's file system.
func TestWaitingProcessExe(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	_, unchanged := copiedRuntime(t, c)
	c.create().ok()
	exe := filepath.Join("/proc", pidText(c.pid()), "exe")
	f, err := os.OpenFile(exe, os.O_WRONLY, 0)
	if err == nil {
		f.Close()
		t.Errorf("%s can be opened for writing", exe)
	}
	unchanged()
}

// TestCwdOfDescriptor: the working directory must not be one that the runtime or its caller has open (CVE-2024-21626).
func TestCwdOfDescriptor(t *testing.T) {
	t.Parallel()
	root, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	for fd := 3; fd < 12; fd++ {
		for _, dir := range []string{"/proc/self/fd/" + pidText(fd), "/proc/self/fd/" + pidText(fd) + "/../..", "/proc/1/fd/" + pidText(fd)} {
			c := newContainer(t, args("ls", "."), func(s *specs.Spec) { s.Process.Cwd = dir })
			r := c.do(call{args: c.with("run"), files: []*os.File{root, root}})
			if r.code == 0 && strings.Contains(r.stdout, "usr") {
				t.Errorf("the host's root is the working directory: %s", r)
			}
		}
	}
}

func TestExecCwdOfDescriptor(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	root, err := os.Open("/")
	c.must(err)
	defer root.Close()
	for fd := 3; fd < 12; fd++ {
		r := c.do(call{args: []string{"exec", "--cwd", "/proc/self/fd/" + pidText(fd), c.id, "ls", "."}, files: []*os.File{root, root}})
		if r.code == 0 && strings.Contains(r.stdout, "usr") {
			t.Errorf("the host's root is the working directory: %s", r)
		}
	}
}

// TestSymlinkedCwd: a working directory that is a symbolic link of the image leads nowhere outside.
func TestSymlinkedCwd(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("ls", "."), func(s *specs.Spec) { s.Process.Cwd = "/escape" })
	c.must(os.Symlink("../../../../../../..", filepath.Join(c.rootfs, "escape")))
	r := c.run().ok()
	if strings.Contains(r.stdout, "usr") || !strings.Contains(r.stdout, "bin") {
		t.Errorf("the working directory is outside: %s", r)
	}
}

// TestMaskWithOwnNull: the image's /dev/null is a link to a file of the host; masks must not use it (CVE-2025-31133).
func TestMaskWithOwnNull(t *testing.T) {
	t.Parallel()
	c := newContainer(t, writable, func(s *specs.Spec) {
		var kept []specs.Mount
		for _, m := range s.Mounts {
			if !strings.HasPrefix(m.Destination, "/dev") {
				kept = append(kept, m)
			}
		}
		s.Mounts = kept
	})
	c.must(os.Symlink("/proc/sys/kernel/core_pattern", filepath.Join(c.rootfs, "dev/null")))
	c.create()
	if _, err := os.Stat(filepath.Join(c.root, c.id)); err != nil {
		return // refused: as good
	}
	c.start()
	r := c.exec("sh", "-c", "cat /proc/timer_list | head -c 20")
	if strings.TrimSpace(r.stdout) != "" {
		t.Errorf("a masked path shows %s", r)
	}
}

// allCaps are those that this machine's root has: the attacker is as strong as can be.
var allCaps = strings.Fields(`CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP
 CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_ADMIN CAP_MKNOD CAP_AUDIT_WRITE CAP_SETFCAP`)
