package cri

import (
	"os"
	"strings"
	"testing"

	"k8s.io/cri-api/pkg/apis/runtime/v1"
)

// secured changes the security context of a container.
func secured(change func(*v1.LinuxContainerSecurityContext)) func(*v1.ContainerConfig) {
	return func(config *v1.ContainerConfig) { change(config.Linux.SecurityContext) }
}

func (c *container) process(field string) string {
	c.Helper()
	return c.sh("grep ^" + field + ": /proc/1/status | cut -f2-")
}

func TestUsers(t *testing.T) {
	p := connect(t).run("pod")
	c := p.start("ids", sleeper, secured(func(s *v1.LinuxContainerSecurityContext) {
		s.RunAsUser, s.RunAsGroup = &v1.Int64Value{Value: 1234}, &v1.Int64Value{Value: 5678}
		s.SupplementalGroups = []int64{42}
	}))
	p.is("ids", c.sh("echo $(id -u) $(id -g) $(id -G)"), "1234 5678 5678 42")
	p.is("capabilities", c.process("CapEff"), "0000000000000000")
	c = p.start("name", sleeper, secured(func(s *v1.LinuxContainerSecurityContext) { s.RunAsUsername = "user" }))
	p.has("id", c.sh("id"), "uid=1000(user) gid=1000(user)")
}

func TestCapabilities(t *testing.T) {
	p := connect(t).run("pod")
	with := func(name string, capabilities *v1.Capability) string {
		return p.start(name, sleeper, secured(func(s *v1.LinuxContainerSecurityContext) { s.Capabilities = capabilities })).process("CapEff")
	}
	p.is("by default", with("default", nil), "00000000a80425fb")
	p.is("with one more, one less", with("changed", &v1.Capability{AddCapabilities: []string{"SYS_ADMIN"}, DropCapabilities: []string{"MKNOD"}}), "00000000a02425fb")
	p.is("with one", with("one", &v1.Capability{AddCapabilities: []string{"NET_BIND_SERVICE"}, DropCapabilities: []string{"ALL"}}), "0000000000000400")
}

func TestReadOnlyRootAndNoNewPrivileges(t *testing.T) {
	p := connect(t).run("pod")
	c := p.start("strict", sleeper, secured(func(s *v1.LinuxContainerSecurityContext) { s.ReadonlyRootfs, s.NoNewPrivs = true, true }))
	output, _ := c.try("touch", "/x")
	c.has("the error", output, "Read-only file system")
	c.is("no_new_privs", c.process("NoNewPrivs"), 1)
	c.is("no_new_privs of exec", c.sh("grep NoNewPrivs /proc/self/status | cut -f2"), 1)
	c = p.start("lax", sleeper)
	c.sh("touch /x")
	c.is("no_new_privs", c.process("NoNewPrivs"), 0)
	paths := secured(func(s *v1.LinuxContainerSecurityContext) {
		s.MaskedPaths, s.ReadonlyPaths = []string{"/etc/passwd", "/home"}, []string{"/tmp"}
	})
	c = p.start("paths", sleeper, paths)
	c.is("a masked file and directory", c.sh("cat /etc/passwd; ls /home"), "")
	_, code := c.try("touch", "/tmp/x")
	c.is("exit code of a write to a read-only path", code, 1)
	c.sh("test -n \"$(cat /proc/kallsyms | head -c1)\"") // masks are those that were asked for, and no others
}

func TestSeccomp(t *testing.T) {
	p := connect(t).run("pod")
	with := func(name string, profile *v1.SecurityProfile) *container {
		return p.start(name, sleeper, secured(func(s *v1.LinuxContainerSecurityContext) { s.Seccomp = profile }))
	}
	file := scratch(t) + "/profile.json"
	profile := `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],
		"syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}`
	if err := os.WriteFile(file, []byte(profile), 0o644); err != nil {
		t.Fatal(err)
	}
	c := with("default", &v1.SecurityProfile{ProfileType: v1.SecurityProfile_RuntimeDefault})
	c.is("mode", c.process("Seccomp"), 2)
	output, _ := c.try("unshare", "-m", "true")
	c.has("the error", output, "Operation not permitted")
	c = with("none", &v1.SecurityProfile{ProfileType: v1.SecurityProfile_Unconfined})
	c.is("mode", c.process("Seccomp"), 0)
	c = with("file", &v1.SecurityProfile{ProfileType: v1.SecurityProfile_Localhost, LocalhostRef: file})
	output, _ = c.try("mkdir", "/x")
	c.has("the error", output, "No space left")
}

// TestPrivileged: all that containerd itself may do, which on some machines is not all that there is.
func TestPrivileged(t *testing.T) {
	p := connect(t).run("pod", func(config *v1.PodSandboxConfig) {
		config.Linux.SecurityContext.Privileged = true
		config.Linux.SecurityContext.Seccomp = nil
	})
	c := p.start("one", sleeper, secured(func(s *v1.LinuxContainerSecurityContext) { s.Privileged, s.Seccomp = true, nil }))
	text := must[[]byte](t, "status")(os.ReadFile("/proc/self/status"))
	_, rest, _ := strings.Cut(string(text), "CapEff:\t")
	host, _, _ := strings.Cut(rest, "\n")
	c.is("capabilities", c.process("CapEff"), host)
	c.is("seccomp", c.process("Seccomp"), 0)
	c.sh("mkdir /x && mount -t tmpfs tmpfs /x && test -c /dev/net/tun && : </dev/net/tun")
	c.sh("grep -q ' /sys sysfs rw' /proc/mounts && test -n \"$(head -c1 /proc/kallsyms)\"")
	c.sh("mknod /x/null c 1 3 && : >/x/null")
}
