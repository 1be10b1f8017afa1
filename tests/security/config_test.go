package security

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Configurations: what an engine passes on from its users.

// TestVolumeOverProc: CVE-2019-16884 without any link.
func TestVolumeOverProc(t *testing.T) {
	for _, dest := range []string{"/proc", "/proc/", "//proc", "/x/../proc", "/proc/.", "proc", "/proc/self", "/proc/self/attr", "/proc/sys", "/proc/1/attr/exec",
		"/proc/sys/kernel/../kernel", "/proc/cpuinfo/../sys"} {
		v := newVictim(t, args("true"), mounted(specs.Mount{Destination: dest, Type: "bind", Source: host.work, Options: []string{"rbind"}}))
		if r := v.run(); r.code == 0 || !strings.Contains(r.stderr, "proc") {
			t.Errorf("%s: %s", dest, r)
		}
	}
}

// TestNulBytes: a NUL in any text would end it early in the kernel: what was checked is not what is done (CVE-2021-43784
// and its like). All of them are refused, in words, and nothing is left.
func TestNulBytes(t *testing.T) {
	const nul = "x\x00y"
	for name, edit := range map[string]func(s *specs.Spec){
		"args":        func(s *specs.Spec) { s.Process.Args = []string{"true", nul} },
		"program":     func(s *specs.Spec) { s.Process.Args = []string{"/bin/true\x00"} },
		"env":         func(s *specs.Spec) { s.Process.Env = []string{"A=" + nul} },
		"cwd":         func(s *specs.Spec) { s.Process.Cwd = "/\x00" },
		"root":        func(s *specs.Spec) { s.Root.Path = "rootfs\x00" },
		"hostname":    func(s *specs.Spec) { s.Hostname = nul },
		"destination": func(s *specs.Spec) { s.Mounts[1].Destination = "/dev\x00/x" },
		"source":      func(s *specs.Spec) { s.Mounts[1].Source = nul },
		"type":        func(s *specs.Spec) { s.Mounts[1].Type = "tmpfs\x00" },
		"option":      func(s *specs.Spec) { s.Mounts[1].Options = []string{"mode=755\x00,suid"} },
		"masked":      func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/proc/kcore\x00"} },
		"readonly":    func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{"/proc/sys\x00"} },
		"namespace":   func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "/proc/self/ns/net\x00" },
		"sysctl":      func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1\x00"} },
		"sysctl name": func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward\x00": "1"} },
		"cgroup":      func(s *specs.Spec) { s.Linux.CgroupsPath += "\x00/../x" },
		"device": func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x\x00", Type: "c", Major: 1, Minor: 3}}
		},
		"hook": func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/true\x00"}}} },
	} {
		v := newVictim(t, args("true"))
		edit(v.spec)
		v.write()
		if r := v.run(); r.code != 1 || !strings.Contains(r.stderr, "NUL") {
			t.Errorf("%s: %s", name, r)
		}
	}
	v := newVictim(t).up()
	for _, p := range []string{`{"args":["true\u0000"],"cwd":"/"}`, `{"args":["true"],"cwd":"/\u0000"}`, `{"args":["true"],"cwd":"/","env":["A=\u0000"]}`} {
		v.file("process.json", p, 0o644)
		if r := v.rt("exec", "--process", v.dir+"/process.json", v.id); r.code != 255 || !strings.Contains(r.stderr, "NUL") {
			t.Errorf("%s: %s", p, r)
		}
	}
}

// TestExecUser: what is no number is nobody, never root (CVE-2026-30892). Succeeds against runc 1.1.5, to which 4294967296 is
// root. +0 is a number, 0.
func TestExecUser(t *testing.T) {
	v := newVictim(t).up()
	for _, user := range []string{"", " ", "-1", "0x0", "00x", "4294967296", "18446744073709551616", "1:", ":1", ":", "1:2:3", "root", " 0", "0 ", "+", "+-0", "++0", "1e3", "1.0", "1:-1", "1:x", "x:1",
		"1000:4294967296"} {
		r := v.rt("exec", "--user", user, v.id, "id")
		if user == "" && r.code == 0 {
			continue // as if it were not given
		}
		if r.code == 0 {
			t.Errorf("--user %q runs as %s", user, r.stdout)
		}
	}
	if r := v.rt("exec", "--user", "1000:1001", v.id, "id").ok(t); !strings.Contains(r.stdout, "uid=1000 gid=1001") {
		t.Error(r)
	}
}

// TestInheritableCapabilities: exec --cap grants, but does not make inheritable (CVE-2022-29162, CVE-2022-27650), nor does
// anything else that was not asked to.
func TestInheritableCapabilities(t *testing.T) {
	v := newVictim(t).up()
	for _, flags := range [][]string{nil, {"--cap", "CAP_NET_ADMIN"}, {"--cap", "CAP_SYS_ADMIN", "--user", "1000"}} {
		r := v.rt(append(append([]string{"exec"}, flags...), v.id, "grep", "CapInh\\|CapAmb", "/proc/self/status")...).ok(t)
		if strings.Count(r.stdout, "0000000000000000") != 2 {
			t.Errorf("%v: %s", flags, r)
		}
	}
}

// TestCgroupOfTheHost: without a cgroup namespace, a writable mount of type cgroup shows the container's own cgroup of v1 and no
// way to another (CVE-2023-25809). On v2 root's container sees the host's hierarchy then, and writes to it only where the mount is
// writable; with a namespace it sees its own.
func TestCgroupOfTheHost(t *testing.T) {
	if hostOnV2() {
		readonlyHierarchy(t)
	}
	v := newVictim(t, capable(engineCaps), writableCgroup, args("sh", "-c", `for f in $(find /sys/fs/cgroup -name cgroup.procs); do cat $f; done
		find /sys/fs/cgroup -name release_agent; find /sys/fs/cgroup -maxdepth 3 -name "rt-*"; mkdir /sys/fs/cgroup/memory/../../../escape; true`))
	r := v.run()
	if r.code != 0 {
		t.Fatal(r)
	}
	for _, line := range strings.Fields(r.stdout) {
		if strings.Contains(line, "release_agent") || strings.Contains(line, "rt-") {
			t.Errorf("the container sees %s", line)
		}
	}
}

// hostOnV2 says that the host's hierarchy is v2 alone.
func hostOnV2() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// writableCgroup lets the container write to its own cgroup. On v2 that takes a namespace.
func writableCgroup(v *victim) {
	mounted(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup"})(v)
	if hostOnV2() {
		v.spec.Linux.Namespaces = append(v.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
}

// readonlyHierarchy: what a container sees of the host's cgroups by a read-only mount, it cannot write to.
func readonlyHierarchy(t *testing.T) {
	t.Helper()
	v := newVictim(t, capable(engineCaps), mounted(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}}),
		args("sh", "-c", `cd /sys/fs/cgroup && test -e cgroup.subtree_control || exit 9; mkdir escape && echo made; mount -o remount,rw /sys/fs/cgroup && echo remounted
			for f in $(find . -name cgroup.procs); do echo 0 >$f && echo moved; done; echo ended`))
	if r := v.run(); r.stdout != "ended\n" {
		t.Errorf("by a read-only mount: %s", r)
	}
}

// TestHooksThatDoNotListen: a hook that does not read its standard input, or reads half of it, neither ends nor stops rt,
// whatever the size of the state that it is sent.
func TestHooksThatDoNotListen(t *testing.T) {
	v := newVictim(t, args("true"), func(v *victim) {
		v.spec.Annotations = map[string]string{"big": strings.Repeat("x", 2<<20)}
		half := specs.Hook{Path: "/usr/bin/head", Args: []string{"head", "-c", "10"}}
		deaf, closed := specs.Hook{Path: "/bin/true"}, specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "exec <&-; exec sleep 0.1"}}
		v.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{deaf, half, closed}, Poststart: []specs.Hook{deaf, half, closed}, Poststop: []specs.Hook{deaf, half, closed}}
	})
	v.run().ok(t)
}

// TestUnsafeAnnotations: features names the annotations that must not come from who is not trusted with the host
// (CVE-2024-3154), and none of them is taken for a systemd property when the systemd driver is not used.
func TestUnsafeAnnotations(t *testing.T) {
	v := newVictim(t, args("true"), func(v *victim) {
		v.spec.Annotations = map[string]string{"org.systemd.property.ExecStart": "'/bin/touch " + v.outside + "/made'", "run.oci.handler": "krun", "org.criu.config": v.outside + "/secret"}
	})
	v.run().ok(t)
	var f struct {
		Unsafe []string `json:"potentiallyUnsafeConfigAnnotations"`
	}
	must(t, json.Unmarshal([]byte(v.rt("features").ok(t).stdout), &f))
	t.Logf("features: %v", f.Unsafe)
	if _, err := os.Stat(v.outside + "/made"); err == nil {
		t.Error("an annotation was executed")
	}
}

// TestCgroupTricks: a container that may write to its cgroup makes a tree of cgroups that is deeper than a path is long,
// and freezes itself. It can be ended and deleted all the same, and nothing is left.
func TestCgroupTricks(t *testing.T) {
	for name, script := range map[string]string{
		"deep":   `n=$(printf %0200d 0); for h in /sys/fs/cgroup/pids /sys/fs/cgroup/memory /sys/fs/cgroup; do cd $h || continue; i=0; while test $i -lt 40 && mkdir $n && cd $n; do i=$((i+1)); done; done; cd /; echo ready >/tmp/ready; exec sleep 1000`,
		"wide":   `for h in /sys/fs/cgroup/pids /sys/fs/cgroup; do i=0; while test $i -lt 500; do mkdir $h/c$i; i=$((i+1)); done; done; echo ready >/tmp/ready; exec sleep 1000`,
		"frozen": `echo ready >/tmp/ready; for f in $(find /sys/fs/cgroup -name freezer.state) ; do echo FROZEN >$f; done; for f in $(find /sys/fs/cgroup -name cgroup.freeze); do echo 1 >$f; done; exec sleep 1000`,
		"moved":  `for h in /sys/fs/cgroup/pids /sys/fs/cgroup/memory /sys/fs/cgroup; do mkdir $h/in; echo 1 >$h/in/cgroup.procs; done; sleep 1000 & echo ready >/tmp/ready; sleep 1000`,
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, writableCgroup, args("sh", "-c", script))
			v.up()
			eventually(t, "the trick", func() bool { _, err := os.Stat(v.rootfs + "/tmp/ready"); return err == nil })
			v.rt("state", v.id).ok(t)
			v.rt("delete", "--force", v.id).ok(t)
			if left := v.left(); len(left) > 0 {
				t.Errorf("left behind: %.300v", left)
			}
		})
	}
}

// TestDeepCgroups: a container can make a tree of cgroups so deep that no limit on open files of rt's caller is enough for a descriptor
// in each part of it that a path can reach.
func TestDeepCgroups(t *testing.T) {
	v := newVictim(t, args("sleep", "1000"))
	v.up()
	dirs := cgroupDirs(v.spec.Linux.CgroupsPath)
	if len(dirs) == 0 {
		t.Fatal("no cgroup of the container")
	}
	at, err := unix.Open(dirs[0], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	name := strings.Repeat("x", 250)
	for range 2_000 {
		must(t, unix.Mkdirat(at, name, 0o755))
		below, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		unix.Close(at)
		at = below
	}
	unix.Close(at)
	v.file("few", fmt.Sprintf("#!/bin/sh\nulimit -n 200\nexec %s \"$@\"\n", host.rt), 0o755)
	r := v.do(call{args: []string{"delete", "--force", v.id}, exe: v.dir + "/few"})
	if left := v.left(); r.code != 0 || len(left) > 0 {
		t.Errorf("%s\nleft: %.300v", r, left)
	}
}

// TestConfigWithoutLinux: a configuration may leave the section out, or set it to null. Nothing may come of it that is no error of
// rt's own words: no trace, and no directory that stays.
func TestConfigWithoutLinux(t *testing.T) {
	for name, edit := range map[string]func(map[string]any){
		"left out": func(c map[string]any) { delete(c, "linux") },
		"null":     func(c map[string]any) { c["linux"] = nil },
		"empty":    func(c map[string]any) { c["linux"] = map[string]any{} },
	} {
		v := newVictim(t, args("true"), func(v *victim) {
			v.spec.Mounts, v.spec.Hostname, v.spec.Root.Readonly = nil, "", false // which need namespaces
		})
		var c map[string]any
		old, err := os.ReadFile(v.dir + "/bundle/config.json")
		must(t, err)
		must(t, json.Unmarshal(old, &c))
		edit(c)
		data, err := json.Marshal(c)
		must(t, err)
		v.file("bundle/config.json", string(data), 0o644)
		for _, args := range [][]string{{"check", v.dir + "/bundle"}, {"plan", v.dir + "/bundle"}, v.with("run"), v.with("create"), {"start", v.id}, {"delete", "--force", v.id}} {
			if r := v.rt(args...); r.code != 0 || strings.Contains(r.stderr, "goroutine") {
				t.Errorf("%s: %s", name, r)
			}
		}
	}
}

// TestManyOfEach: a configuration with more of one thing than any container needs costs rt a moment and few lines, and then is an
// error; or it runs.
func TestManyOfEach(t *testing.T) {
	many := func(n int, one func(i int)) {
		for i := range n {
			one(i)
		}
	}
	for name, edit := range map[string]func(s *specs.Spec){
		"mounts": func(s *specs.Spec) {
			many(60_000, func(i int) {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: fmt.Sprint("/m", i), Type: "tmpfs", Source: "t"})
			})
		},
		"devices": func(s *specs.Spec) {
			many(200_000, func(i int) {
				s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: fmt.Sprint("/dev/x", i), Type: "c", Major: 1, Minor: 3})
			})
		},
		"device rules": func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{}
			many(100_000, func(i int) {
				major, minor := int64(i%4000), int64(i/4000)
				s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: i%2 == 0, Type: "c", Major: &major, Minor: &minor, Access: "rw"})
			})
		},
		"masks": func(s *specs.Spec) {
			many(400_000, func(i int) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, fmt.Sprint("/proc/none", i)) })
		},
		"capabilities": func(s *specs.Spec) {
			many(800_000, func(i int) {
				s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, fmt.Sprint("CAP_", i))
			})
		},
		"capabilities that few know": func(s *specs.Spec) {
			many(200, func(i int) {
				s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, fmt.Sprint("CAP_", i))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("true"))
			edit(v.spec)
			v.write()
			r := v.run()
			if r.code != 0 && !strings.Contains(r.stderr, "that rt takes") || name == "capabilities that few know" && r.code != 0 {
				t.Errorf("want an error of their number: %s", r)
			}
			if lines := strings.Count(r.stderr, "\n"); lines > 25 {
				t.Errorf("%d lines, %d bytes of messages", lines, len(r.stderr))
			}
		})
	}
}
