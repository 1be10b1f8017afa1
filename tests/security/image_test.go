package security

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func resources(pids, memory *int64) *specs.LinuxResources {
	r := &specs.LinuxResources{}
	if pids != nil {
		r.Pids = &specs.LinuxPids{Limit: pids}
	}
	if memory != nil {
		r.Memory = &specs.LinuxMemory{Limit: memory}
	}
	return r
}

// limited is the runtime with no more than n descriptors.
func limited(v *victim, n uint64) string {
	name := "limited-" + strconv.FormatUint(n, 10)
	v.file(name, "#!/bin/sh\nulimit -n "+strconv.FormatUint(n, 10)+"\nexec "+host.rt+" \"$@\"\n", 0o755)
	return v.dir + "/" + name
}

// Images: what an attacker who writes the root filesystem can put into it.

// TestSymlinkTargets: mount targets, devices, working directory and masks of an image whose directories are links to the
// host's (CVE-2019-18837, CVE-2021-30465, CVE-2026-41579, CVE-2026-47766). Succeeds against a stub that resolves without
// RESOLVE_IN_ROOT.
func TestSymlinkTargets(t *testing.T) {
	for name, link := range map[string]func(v *victim) string{
		"absolute":        func(v *victim) string { return v.outside },
		"relative":        func(v *victim) string { return "../../../../../../../.." + v.outside },
		"dangling":        func(v *victim) string { return v.outside + "/new" },
		"through proc":    func(v *victim) string { return "/proc/1/root" + v.outside },
		"through self":    func(v *victim) string { return "/proc/self/root" + v.outside },
		"through cwd":     func(v *victim) string { return "/proc/self/cwd/../../../../../.." + v.outside },
		"a chain of them": func(v *victim) string { v.link("../../../.."+v.outside, "bin/hop"); return "/bin/hop" },
	} {
		for _, dir := range []string{"gate", "dev", "sys", "etc"} {
			t.Run(name+" "+dir, func(t *testing.T) {
				bind := filepath.Join(host.work, "volume")
				must(t, os.MkdirAll(bind, 0o755))
				v := newVictim(t, capable(strongCaps), args("true"), func(v *victim) {
					v.link(link(v), dir)
					base := "/" + dir
					for i, d := range []string{"", "/dir", "/made", "/made/deep/er"} {
						v.spec.Mounts = append(v.spec.Mounts, specs.Mount{Destination: base + d, Type: "tmpfs", Source: "tmpfs"})
						v.spec.Mounts = append(v.spec.Mounts, specs.Mount{Destination: base + d + "/b" + strconv.Itoa(i), Type: "bind", Source: bind, Options: []string{"rbind"}})
					}
					v.spec.Mounts = append(v.spec.Mounts, specs.Mount{Destination: base + "/secret", Type: "bind", Source: host.attack, Options: []string{"bind"}})
					mode := os.FileMode(0o666)
					v.spec.Linux.Devices = append(v.spec.Linux.Devices, specs.LinuxDevice{Path: base + "/null2", Type: "c", Major: 1, Minor: 3, FileMode: &mode},
						specs.LinuxDevice{Path: base + "/made2/null3", Type: "c", Major: 1, Minor: 3, FileMode: &mode})
					v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, base+"/dir", base+"/secret")
					v.spec.Linux.ReadonlyPaths = append(v.spec.Linux.ReadonlyPaths, base+"/dir")
					v.spec.Process.Cwd = base + "/made3"
				})
				v.run() // works or not
				v.untouched()
				// Without mounts of its own: the runtime's default devices and links go to where /dev leads.
				v.spec.Mounts, v.spec.Linux.Devices = nil, nil
				v.spec.Linux.MaskedPaths, v.spec.Linux.ReadonlyPaths = []string{"/" + dir + "/dir", "/" + dir + "/secret"}, []string{"/" + dir}
				v.write()
				v.run()
				v.untouched()
			})
		}
	}
}

// TestIntoProc: a link of the image leads a volume into /proc, past the rule for what may be mounted there
// (CVE-2019-16884). Succeeds against runc before 1.0.0-rc9 and a stub without that check.
func TestIntoProc(t *testing.T) {
	fake := filepath.Join(host.work, "fake")
	must(t, os.MkdirAll(fake+"/attr", 0o755))
	for link, dest := range map[string]string{"/proc": "/gate", "../proc": "/gate", "/proc/sys": "/gate", "/proc/self": "/gate/attr", "/": "/gate/proc/sys",
		"/proc/sys/kernel": "/gate/hostname", "/proc/fs": "/gate"} {
		for _, kind := range []string{"bind", "tmpfs"} {
			source := fake
			if dest == "/gate/hostname" {
				source = host.attack
			}
			v := newVictim(t, args("cat", "/proc/self/mountinfo"), func(v *victim) { v.link(link, "gate") },
				mounted(specs.Mount{Destination: dest, Type: kind, Source: source, Options: map[string][]string{"bind": {"bind"}}[kind]}))
			r := v.run()
			for _, line := range strings.Split(r.stdout, "\n") {
				f := strings.Fields(line)
				if len(f) > 4 && r.code == 0 && strings.HasPrefix(f[4], "/proc") && !strings.Contains(line, " - proc ") && !masked(v, f[4]) {
					t.Errorf("gate -> %s: %s on %s is mounted inside /proc: %s", link, kind, dest, line)
				}
			}
			if r.code != 0 && !strings.Contains(r.stderr, "proc") && dest != "/gate/hostname" {
				t.Errorf("gate -> %s: %s", link, r)
			}
		}
	}
}

func masked(v *victim, path string) bool {
	for _, p := range v.spec.Linux.MaskedPaths {
		if p == path {
			return true
		}
	}
	return false
}

// TestForgedProc: the image's own /proc and /sys are links or hold files of the attacker's; sysctls and labels must not be
// written through them (CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-52881). Succeeds against a stub that
// writes sysctls through the container's /proc.
func TestForgedProc(t *testing.T) {
	const sysctl, file = "net.ipv4.ip_unprivileged_port_start", "proc/sys/net/ipv4/ip_unprivileged_port_start"
	for name, forge := range map[string]func(v *victim){
		"a file":            func(v *victim) { v.file("bundle/rootfs/"+file, "forged", 0o644) },
		"a link outside":    func(v *victim) { v.file("bundle/rootfs/"+file, "", 0o644); v.link(v.outside+"/secret", file) },
		"a volume":          func(v *victim) { v.file("fake/sys/net/ipv4/ip_unprivileged_port_start", "forged", 0o644) },
		"proc a link":       func(v *victim) { v.link(v.outside, "proc") },
		"proc a magic link": func(v *victim) { v.link("/proc/self/root"+v.outside, "proc") },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, without("/proc"), forge, func(v *victim) {
				v.spec.Linux.Sysctl = map[string]string{sysctl: "777"}
				v.spec.Linux.MaskedPaths, v.spec.Linux.ReadonlyPaths = nil, nil
				if name == "a volume" {
					v.spec.Mounts = append(v.spec.Mounts, specs.Mount{Destination: "/proc", Type: "bind", Source: v.dir + "/fake", Options: []string{"bind"}})
				}
			})
			r := v.create()
			v.untouched()
			if r.code != 0 {
				return // refused: as good
			}
			out, err := exec.Command("nsenter", "--net=/proc/"+strconv.Itoa(v.pid())+"/ns/net", "cat", "/"+file).CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != "777" {
				t.Errorf("the sysctl went elsewhere: %s, %v", out, err)
			}
		})
	}
	for _, dir := range []string{"proc", "sys"} {
		for _, target := range []string{"/tmp", "tmp", "/proc/self/root/tmp", "../../../../../../tmp"} {
			v := newVictim(t, args("true"), func(v *victim) { v.link(target, dir) })
			if r := v.run(); r.code == 0 {
				t.Errorf("%s is mounted where the image's link to %s leads, and what protects it is not", dir, target)
			}
		}
	}
}

// TestForgedNull: the image's /dev/null is something else; what masks files must not be that (CVE-2025-31133). Succeeds
// against runc 1.1.5, and against a stub that does not look at the device number.
func TestForgedNull(t *testing.T) {
	for name, forge := range map[string]func(v *victim) error{
		"a link":         func(v *victim) error { v.link("/etc/forged", "dev/null"); return nil },
		"a link to proc": func(v *victim) error { v.link("/proc/sys/kernel/core_pattern", "dev/null"); return nil },
		"a file":         func(v *victim) error { return os.WriteFile(v.rootfs+"/dev/null", []byte("forged\n"), 0o666) },
		"a zero device": func(v *victim) error {
			return unix.Mknod(v.rootfs+"/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5)))
		},
		"a pipe": func(v *victim) error { return unix.Mkfifo(v.rootfs+"/dev/null", 0o666) },
		"a block device": func(v *victim) error {
			return unix.Mknod(v.rootfs+"/dev/null", unix.S_IFBLK|0o666, int(unix.Mkdev(1, 3)))
		},
		"a directory": func(v *victim) error { return os.Mkdir(v.rootfs+"/dev/null", 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, without("/dev"), func(v *victim) {
				v.file("bundle/rootfs/etc/forged", "forged\n", 0o666)
				v.file("bundle/rootfs/etc/masked", "unmasked\n", 0o666)
				v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/etc/masked")
				v.spec.Process.Args = []string{"sh", "-c", `head -c 20 /etc/masked & head -c 20 /proc/timer_list & test -c /etc/masked && echo device; wait`}
			})
			must(t, forge(v))
			r := v.do(call{args: v.with("run")})
			if r.code == 0 && (strings.Contains(r.stdout, "forged") || strings.Contains(r.stdout, "unmasked") || strings.Contains(r.stdout, "Timer") || strings.Contains(r.stdout, "\x00") || !strings.Contains(r.stdout, "device")) {
				t.Errorf("a masked path is not: %s", r)
			}
		})
	}
}

// TestForgedTerminal: what stands at /dev/pts and /dev/console is the image's or a volume's: the terminal must be a
// terminal, and /dev/console no place of the host (CVE-2025-52565).
func TestForgedTerminal(t *testing.T) {
	for name, forge := range map[string]func(v *victim){
		"files": func(v *victim) {
			v.file("bundle/rootfs/dev/pts/ptmx", "", 0o666)
			v.file("bundle/rootfs/dev/pts/0", "", 0o666)
		},
		"links": func(v *victim) { v.link(v.outside+"/secret", "dev/ptmx"); v.link("../.."+v.outside, "dev/pts") },
		"a full device": func(v *victim) {
			must(v.t, os.MkdirAll(v.rootfs+"/dev/pts", 0o755))
			must(v.t, unix.Mknod(v.rootfs+"/dev/pts/ptmx", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 7))))
		},
		"the host's ptmx": func(v *victim) {
			must(v.t, os.MkdirAll(v.rootfs+"/dev/pts", 0o755))
			must(v.t, unix.Mknod(v.rootfs+"/dev/pts/ptmx", unix.S_IFCHR|0o666, int(unix.Mkdev(5, 2))))
		},
		"a console elsewhere": func(v *victim) { v.link(v.outside+"/console", "dev/console") },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, without("/dev"), args("true"), forge, func(v *victim) { v.spec.Process.Terminal = true })
			v.create() // no --console-socket: refused before or after
			v.remove()
			sock := v.dir + "/console.sock"
			listener, err := net.Listen("unix", sock)
			must(t, err)
			defer listener.Close()
			r := v.rt("create", "--bundle", v.dir+"/bundle", "--console-socket", sock, v.id)
			if r.code == 0 && name != "a console elsewhere" {
				t.Errorf("a forged terminal was taken: %s", r)
			}
			v.untouched()
		})
	}
}

// TestForgedPasswd: HOME comes from a file that the container owns. Whatever it is, exec neither hangs, nor reads a
// file of the host.
func TestForgedPasswd(t *testing.T) {
	v := newVictim(t, capable(strongCaps)).up()
	v.file("outside/passwd", "root:x:0:0:root:/the-hosts:/bin/sh\n", 0o644)
	v.before = v.picture()
	path := v.rootfs + "/etc/passwd"
	for name, forge := range map[string]func() error{
		"none":        func() error { return nil },
		"a pipe":      func() error { return unix.Mkfifo(path, 0o644) },
		"a directory": func() error { return os.Mkdir(path, 0o755) },
		"a device":    func() error { return unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
		"zeros":       func() error { return os.Symlink("/dev/zero", path) },
		"outside":     func() error { return os.Symlink(v.outside+"/passwd", path) },
		"above":       func() error { return os.Symlink("../../../../../../.."+v.outside+"/passwd", path) },
		"a loop":      func() error { return os.Symlink("/etc/passwd", path) },
		"itself":      func() error { return os.Symlink("/proc/self/environ", path) },
		"a huge one":  func() error { must(t, os.WriteFile(path, nil, 0o644)); return os.Truncate(path, 1<<40) },
		"one line":    func() error { return os.WriteFile(path, []byte("root:x:0:0:root:/"+strings.Repeat("x", 3<<20)), 0o644) },
		"odd numbers": func() error {
			return os.WriteFile(path, []byte("a:x:-0:0::/a:\nb:x:0x0:0::/b:\nc:x: 0:0::/c:\nd:x:4294967296:0::/d:\ne:x:+0:0::/e:\n"), 0o644)
		},
	} {
		must(t, os.RemoveAll(path))
		must(t, forge())
		r := v.do(call{args: []string{"exec", v.id, "sh", "-c", "echo HOME=$HOME"}})
		if r.code != 0 || r.stdout != "HOME=/\n" {
			t.Errorf("%s: %s", name, r)
		}
	}
}

// TestMaskHoldsNothing: root of a container with CAP_SYS_ADMIN makes the empty file system of its masks writable, and keeps in it what
// no size of a mount bounds. Succeeds against a runtime whose masks have no bound of blocks.
func TestMaskHoldsNothing(t *testing.T) {
	v := newVictim(t, capable(strongCaps))
	v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, "/tmp")
	v.write()
	v.up()
	r := v.exec("sh", "-c", "mount -o remount,rw /tmp && head -c 8000000 /dev/zero >/tmp/x; stat -c %s /tmp/x 2>/dev/null || echo 0").ok(t)
	if n, err := strconv.Atoi(strings.TrimSpace(r.stdout)); err != nil || n > os.Getpagesize() {
		t.Errorf("a mask holds %q bytes: %s", r.stdout, r)
	}
}
