package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hasLSM says whether the kernel runs a security module; securityfs is mounted for the question if need be.
func hasLSM(t *testing.T, name string) bool {
	t.Helper()
	list, err := os.ReadFile("/sys/kernel/security/lsm")
	if os.IsNotExist(err) {
		on, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled")
		return name == "apparmor" && strings.HasPrefix(string(on), "Y") || name == "selinux" && exists("/sys/fs/selinux/policyvers")
	}
	for _, l := range strings.Split(strings.TrimSpace(string(list)), ",") {
		if l == name {
			return true
		}
	}
	return false
}

func needLSM(t *testing.T, name string) {
	t.Helper()
	if !hasLSM(t, name) {
		t.Skipf("this kernel does not run %s", name)
	}
	if _, err := exec.LookPath("apparmor_parser"); err != nil && name == "apparmor" {
		t.Skip("no apparmor_parser on this host to load a profile with")
	}
}

// attrFile is what Podman looks for in an error about a security attribute.
var attrFile = regexp.MustCompile("`/proc/[a-z0-9-].+/attr.*`")

func confined(profile string) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Process.ApparmorProfile = profile }
}

func labelled(process, mounts string) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Process.SelinuxLabel, s.Linux.MountLabel = process, mounts }
}

// TestNoLSM: what the host cannot apply is refused by name, in create and exec, before anything is made.
func TestNoLSM(t *testing.T) {
	t.Parallel()
	if !hasLSM(t, "apparmor") {
		newContainer(t, confined("docker-default")).create().fails()
	}
	if !hasLSM(t, "selinux") {
		newContainer(t, labelled("u:r:t:s0", "")).create().fails()
	}
	rtOnly(t, "`/proc/.../attr/exec` in backquotes")
	if !hasLSM(t, "apparmor") {
		if r := newContainer(t, confined("docker-default")).create().fails("AppArmor is not enabled on this host"); !attrFile.MatchString(r.stderr) {
			t.Errorf("Podman does not know this error: %s", r.stderr)
		}
		c := newContainer(t, confined("unconfined")).up()
		c.execWith([]string{"--apparmor", "x"}, "true").exits(255).says("AppArmor is not enabled on this host")
		hook := func(s *specs.Spec) { s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/true"}}} }
		newContainer(t, confined("unconfined"), hook).up() // start reads the configuration anew
		if r := c.rt("check", newContainer(t, confined("x")).bundle); !strings.Contains(r.stdout+r.stderr, "/process/apparmorProfile") {
			t.Errorf("check: %s", r)
		}
	}
	if !hasLSM(t, "selinux") {
		if r := newContainer(t, labelled("u:r:t:s0", "")).create().fails("SELinux is not enabled on this host"); !attrFile.MatchString(r.stderr) {
			t.Errorf("Podman does not know this error: %s", r.stderr)
		}
		newContainer(t, labelled("", "u:o:t:s0")).create().fails("SELinux is not enabled on this host").oneError()
		newContainer(t).up().execWith([]string{"--process-label", "u:r:t:s0"}, "true").exits(255).says("SELinux is not enabled on this host")
	}
}

// loadProfile loads an AppArmor profile that is unloaded when the test ends.
func loadProfile(t *testing.T, name, rules string, flags ...string) {
	t.Helper()
	text := "profile " + name + " flags=(attach_disconnected,mediate_deleted) {\n" + rules + "\n}\n"
	parser := func(args ...string) {
		t.Helper()
		cmd := exec.Command("apparmor_parser", append(append(args, "-K"), flags...)...)
		cmd.Stdin = strings.NewReader(text)
		output(t, cmd)
	}
	parser("-r")
	t.Cleanup(func() { parser("-R") })
}

// output runs a tool that has to work.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := orphans.Start(cmd)
	if err == nil {
		err = orphans.Wait(cmd)
	}
	if err != nil {
		t.Fatalf("%s: %v: %s", cmd.Path, err, &out)
	}
	return out.String()
}

const liberal = "file, capability, network, signal, ptrace, mount, umount, unix,"

func TestAppArmor(t *testing.T) {
	needRoot(t, "a profile is loaded")
	needLSM(t, "apparmor")
	loadProfile(t, "rt-test-one", liberal+" deny /etc/passwd r,")
	loadProfile(t, "rt-test-two", liberal+" deny /etc/group r,")
	current := "cat /proc/self/attr/current; cat /etc/passwd > /dev/null 2>&1 && echo passwd; cat /etc/group > /dev/null 2>&1 && echo group; true"
	for name, make := range map[string]func(*testing.T, ...func(*specs.Spec)) *container{"host ids": newContainer, "user namespace": newMapped} {
		t.Run(name, func(t *testing.T) {
			for _, nnp := range []bool{true, false} {
				c := make(t, confined("rt-test-one"), func(s *specs.Spec) { s.Process.NoNewPrivileges = nnp }).up()
				if got := strings.TrimSpace(c.proc("attr/current")); got != "rt-test-one (enforce)" {
					t.Errorf("init is %q", got)
				}
				if got := c.sh(current); got != "rt-test-one (enforce)\ngroup" {
					t.Errorf("exec says %q", got)
				}
				file := []string{"--process", c.file("process.json", `{"args":["cat","/proc/self/attr/current"],"cwd":"/","env":["PATH=/bin"]}`, 0o644)}
				if got := c.execWith(file).ok().out(); got != "rt-test-one (enforce)" {
					t.Errorf("exec --process without a profile is %q", got)
				}
				if got := c.execWith([]string{"--apparmor", "rt-test-two"}, "sh", "-c", current).ok().out(); got != "rt-test-two (enforce)\npasswd" {
					t.Errorf("exec --apparmor says %q", got)
				}
				c.execWith([]string{"--apparmor", "rt-test-none"}, "true").exits(255).says("profile not loaded")
				c.delete("--force").ok()
			}
		})
	}
	under := newContainer(t, confined("rt-test-one")).up("--init")
	if got := under.sh("cat /proc/1/attr/current /proc/2/attr/current"); got != "rt-test-one (enforce)\nrt-test-one (enforce)" {
		t.Errorf("an init and its program are %q", got)
	}
	if r := newContainer(t, confined("rt-test-none")).create().fails("profile not loaded").oneError(); !attrFile.MatchString(r.stderr) {
		t.Errorf("Podman does not know this error: %s", r.stderr)
	}
	// A name that only the kernel can judge.
	newContainer(t, confined("rt-test-one//&rt-test-none")).create().fails("apply apparmor profile").oneError()
	c := newContainer(t, confined("rt-test-one//&rt-test-two")).up()
	if got := c.sh(current); got != "rt-test-one//&rt-test-two (enforce)" {
		t.Errorf("stacked: %q", got)
	}
	if got := strings.TrimSpace(newContainer(t, confined("unconfined")).up().proc("attr/current")); got != "unconfined" {
		t.Errorf("unconfined is %q", got)
	}
}

// TestAppArmorNamespace: an rt in a policy namespace, as a system container gives it, finds the profiles there.
func TestAppArmorNamespace(t *testing.T) {
	needRoot(t, "a namespace of policies is made")
	needLSM(t, "apparmor")
	ns := "/sys/kernel/security/apparmor/policy/namespaces/rt-test"
	if err := os.Mkdir(ns, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(ns); err != nil {
			t.Error(err)
		}
	})
	loadProfile(t, "rt-test-inner", liberal+" deny /etc/passwd r,", "-n", "rt-test")
	c := newContainer(t, confined("rt-test-inner"))
	c.prefix = []string{"sh", "-c", `echo "exec :rt-test:unconfined" > /proc/self/attr/apparmor/exec && exec "$@"`, "sh"}
	c.up()
	if got := strings.TrimSpace(c.proc("attr/current")); got != ":rt-test:rt-test-inner (enforce)" {
		t.Errorf("seen from outside: %q", got)
	}
	if got := c.sh("cat /proc/self/attr/current; cat /etc/passwd > /dev/null 2>&1 && echo passwd; true"); got != "rt-test-inner (enforce)" {
		t.Errorf("seen inside: %q", got)
	}
	c.delete("--force").ok()
}

// loadPolicy loads testdata/selinux.cil where no policy is loaded yet. It stays until the machine is switched off.
func loadPolicy(t *testing.T) {
	t.Helper()
	needLSM(t, "selinux")
	if current, _ := os.ReadFile("/proc/self/attr/current"); bytes.Contains(current, []byte(":")) {
		if !bytes.Contains(current, []byte("u:r:sys_t")) {
			t.Skipf("this kernel has a SELinux policy that is not the test's: %s", current)
		}
		return
	}
	policy := filepath.Join(t.TempDir(), "policy")
	output(t, exec.Command("secilc", "-M", "true", "-o", policy, "-f", "/dev/null", "testdata/selinux.cil"))
	data, err := os.ReadFile(policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		path string
		text []byte
	}{{"/sys/fs/selinux/load", data}, {"/sys/fs/selinux/enforce", []byte("1")}} {
		if err := os.WriteFile(f.path, f.text, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSELinux(t *testing.T) {
	loadPolicy(t)
	const process, mounts = "u:r:cont_t:s0:c1,c2", "u:object_r:contfile_t:s0:c1,c2"
	for name, make := range map[string]func(*testing.T, ...func(*specs.Spec)) *container{"host ids": newContainer, "user namespace": newMapped} {
		t.Run(name, func(t *testing.T) {
			c := make(t, labelled(process, mounts), mounted("/tmp", "tmpfs", "tmpfs", "tmpcopyup", "ro"), func(s *specs.Spec) {
				s.Linux.MaskedPaths = []string{"/sys/firmware"}
			}).up()
			if got := strings.Trim(c.proc("attr/current"), "\x00\n"); got != process {
				t.Errorf("init is %q", got)
			}
			if got := strings.Trim(c.exec("cat", "/proc/self/attr/current").ok().stdout, "\x00\n"); got != process {
				t.Errorf("exec is %q", got)
			}
			file := []string{"--process", c.file("process.json", `{"args":["cat","/proc/self/attr/current"],"cwd":"/","env":["PATH=/bin"]}`, 0o644)}
			if got := strings.Trim(c.execWith(file).ok().stdout, "\x00\n"); got != process {
				t.Errorf("exec --process without a label is %q", got)
			}
			other := "u:r:cont_t:s0:c3"
			if got := strings.Trim(c.execWith([]string{"--process-label", other}, "cat", "/proc/self/attr/current").ok().stdout, "\x00\n"); got != other {
				t.Errorf("exec --process-label is %q", got)
			}
			for _, path := range []string{"/tmp", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/ptmx", "/sys/firmware"} {
				if got := labelOf(t, "/proc/"+pidText(c.pid())+"/root"+path); got != mounts {
					t.Errorf("%s is %q", path, got)
				}
			}
			for _, path := range []string{"/proc", "/sys", "/bin"} {
				if got := labelOf(t, "/proc/"+pidText(c.pid())+"/root"+path); got == mounts {
					t.Errorf("%s has the mounts' label", path)
				}
			}
			c.file("b/rootfs/secret", "secret\n", 0o644)
			c.exec("cat", "/secret").ok().prints("secret")
			c.must(unix.Setxattr(filepath.Join(c.rootfs, "secret"), "security.selinux", []byte("u:object_r:secret_t:s0"), 0))
			c.exec("cat", "/secret").fails("Permission denied")
			c.execWith([]string{"--process-label", "u:r:none_t:s0"}, "true").exits(255).says("the loaded policy does not know it")
			c.delete("--force").ok()
		})
	}
	under := newContainer(t, labelled(process, "")).up("--init")
	if got := strings.Trim(under.proc("attr/current"), "\x00\n"); got != process {
		t.Errorf("an init is %q", got)
	}
	newContainer(t, labelled("nonsense", "")).create().fails("the loaded policy does not know it").oneError()
	newContainer(t, labelled("", "u:object_r:none_t:s0")).create().fails("the loaded policy does not know it").oneError()
}

func labelOf(t *testing.T, path string) string {
	t.Helper()
	buf := make([]byte, 256)
	n, err := unix.Getxattr(path, "security.selinux", buf)
	if err != nil {
		t.Errorf("label of %s: %v", path, err)
		return ""
	}
	return strings.TrimRight(string(buf[:n]), "\x00")
}
