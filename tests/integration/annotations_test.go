package integration

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func annotation(name, value string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[name] = value
	}
}

// TestKeepOriginalGroups: an ordinary user's container keeps that user's groups, as Podman's --group-add keep-groups wants;
// those of the host's root stay outside.
func TestKeepOriginalGroups(t *testing.T) {
	t.Parallel()
	rtOnly(t, "`run.oci.keep_original_groups`")
	const groups = "Groups:\t64400 64401"
	keep := annotation("run.oci.keep_original_groups", "1")
	user := []string{"setpriv", "--reuid=64321", "--regid=64321", "--groups=64400,64401"}
	seen := func(c *container) string { return "Groups:\t" + value(c.proc("status"), "Groups") }
	for name, edits := range map[string][]func(*specs.Spec){
		"kept": {keep}, "kept, other groups asked for": {keep, func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{0} }},
	} {
		c := newRootless(t, edits...)
		c.prefix = user
		c.up()
		if got := seen(c); got != groups {
			t.Errorf("%s: init has %s", name, got)
		}
		c.execWith([]string{"--detach", "--pid-file", c.dir + "/exec.pid"}, "sleep", "900").ok()
		pid := mustAtoi(t, c.read("exec.pid"))
		if got := "Groups:\t" + value(procFile(t, pid, "status"), "Groups"); got != groups {
			t.Errorf("%s: exec has %s", name, got)
		}
	}
	// Root: with the annotation or without.
	c := newContainer(t, keep)
	c.prefix = []string{"setpriv", "--groups=64400"}
	c.create().ok().says("run.oci.keep_original_groups: ignored")
	c.start().ok()
	if got := value(c.proc("status"), "Groups"); strings.Contains(got, "64400") {
		t.Errorf("groups of the host's root are in a container: %s", got)
	}
}

// TestFailUnknownSyscall: a name that nobody knows in a profile is left out, or with the annotation refused.
func TestFailUnknownSyscall(t *testing.T) {
	t.Parallel()
	rtOnly(t, "`run.oci.seccomp_fail_unknown_syscall`")
	profile := func(names ...string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: names, Action: specs.ActErrno}}}
		}
	}
	const name = "run.oci.seccomp_fail_unknown_syscall"
	newContainer(t, args("true"), profile("mkdir", "no_such_call")).run().ok()
	newContainer(t, args("true"), profile("mkdir"), annotation(name, "1")).run().ok()
	newContainer(t, args("true"), profile("no_such_call"), annotation(name, "0")).run().ok()
	newContainer(t, profile("mkdir", "no_such_call"), annotation(name, "")).create().
		fails("unknown system call (/linux/seccomp/syscalls/0/names/1: no_such_call)", name).oneError()
}

// TestMountContextType: the option that carries linux.mountLabel. On a host without SELinux plan refuses the label, as create does; there the
// option is seen in plan.TestGolden alone.
func TestMountContextType(t *testing.T) {
	t.Parallel()
	rtOnly(t, "`run.oci.mount_context_type`")
	const name = "run.oci.mount_context_type"
	for _, kind := range []string{"context", "fscontext", "defcontext", "rootcontext"} {
		c := newContainer(t, annotation(name, kind))
		c.spec.Linux.MountLabel = "u:o:t:s0"
		c.write()
		result := c.rt("plan", "--format", "json", c.bundle)
		if !hasLSM(t, "selinux") {
			result.fails("SELinux is not enabled on this host (/linux/mountLabel)")
			continue
		}
		out := result.ok().stdout
		if n := strings.Count(out, `"Key": "`+kind+`"`); n < 3 {
			t.Errorf("%s: %d file systems have the option", kind, n)
		}
	}
	newContainer(t, annotation(name, "any")).create().fails(`/annotations/` + name + `: "any" is not context, fscontext, defcontext or rootcontext`).oneError()
}

// TestOtherAnnotations: what crun reads and rt does not has no effect: above all no file is written and no socket connected.
func TestOtherAnnotations(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("true"))
	names := []string{"run.oci.hooks.stdout", "run.oci.hooks.stderr", "run.oci.pidfd_receiver", "run.oci.seccomp.receiver", "run.oci.seccomp.plugins",
		"run.oci.seccomp_bpf_data", "run.oci.systemd.subgroup", "run.oci.delegate-cgroup", "run.oci.systemd.force_cgroup_v1", "run.oci.handler"}
	for i, name := range names {
		annotation(name, c.dir+"/out-"+string(rune('a'+i)))(c.spec)
	}
	c.hooks(specs.Hooks{CreateRuntime: []specs.Hook{c.hook("echo out; echo err >&2")}})
	c.run().ok()
	for i, name := range names {
		if exists(c.dir + "/out-" + string(rune('a'+i))) {
			t.Errorf("%s has made a file", name)
		}
	}
}
