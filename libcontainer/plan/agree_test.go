package plan

import (
	"fmt"
	"slices"
	"testing"

	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestProcessAgrees: every word for a process that bundle takes, plan can translate.
func TestProcessAgrees(t *testing.T) {
	check := func(p specs.Process) (bundleErr, planErr error) {
		p.Args, p.Cwd = []string{"sh"}, "/"
		_, planErr = AfterStart(bundle.Normalise(&specs.Spec{Process: &p}), Options{}, Facts{})
		return bundle.Join(bundle.CheckProcess(&p, "/process")), planErr
	}
	policies := []specs.LinuxSchedulerPolicy{specs.SchedOther, specs.SchedFIFO, specs.SchedRR, specs.SchedBatch,
		specs.SchedISO, specs.SchedIdle, specs.SchedDeadline, "", "SCHED_X", "sched_rr"}
	for _, policy := range policies {
		s := specs.Scheduler{Policy: policy}
		switch policy {
		case specs.SchedFIFO, specs.SchedRR:
			s.Priority = 1
		case specs.SchedDeadline:
			s.Runtime, s.Deadline, s.Period = 1<<20, 1<<21, 1<<22
		}
		b, p := check(specs.Process{Scheduler: &s})
		if (b == nil) != (p == nil) {
			t.Errorf("policy %q: bundle %v, plan %v", policy, b, p)
		}
	}
	flags := []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
		specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax, "", "SCHED_FLAG_X"}
	for _, flag := range flags {
		b, p := check(specs.Process{Scheduler: &specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 1 << 20, Deadline: 1 << 21,
			Period: 1 << 22, Flags: []specs.LinuxSchedulerFlag{flag}}})
		if b == nil && p != nil {
			t.Errorf("flag %q: bundle takes it, plan says %v", flag, p)
		}
	}
	for _, class := range []specs.IOPriorityClass{specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE, "", "IOPRIO_CLASS_NONE"} {
		b, p := check(specs.Process{IOPriority: &specs.LinuxIOPriority{Class: class}})
		if (b == nil) != (p == nil) {
			t.Errorf("class %q: bundle %v, plan %v", class, b, p)
		}
	}
}

// TestSysctlsAgree: bundle decides by the name what plan will write. Were the two to read a name differently, a
// forbidden one could pass.
func TestSysctlsAgree(t *testing.T) {
	for _, key := range []string{"net.ipv4.ip_forward", "net/ipv4/ip_forward", "net.ipv4.conf.eth0/100.rp_filter",
		"kernel/msgmax", "fs.mqueue.msg_max", "net/x/../../kernel/core_pattern", "net.x.//.kernel", "kernel.core_pattern",
		"net/../kernel/panic", "net..ipv4", "/net/x", "user.max_x", "net.ä/b"} {
		spec := bundle.Normalise(&specs.Spec{
			Version: "1.2.0", Process: &specs.Process{Args: []string{"sh"}, Cwd: "/"}, Root: &specs.Root{Path: "r"},
			Linux: &specs.Linux{Sysctl: map[string]string{key: "1"}, Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}}},
		})
		if bundle.Join((&bundle.Bundle{Spec: spec}).Check()) != nil {
			continue
		}
		path := SysctlPath(key)
		if !slices.ContainsFunc([]string{"net/", "fs/mqueue/", "kernel/msg"}, func(p string) bool { return len(path) > len(p) && path[:len(p)] == p }) ||
			slices.Contains(splitPath(path), "..") {
			t.Errorf("%q passed as %q", key, path)
		}
	}
}

func splitPath(p string) []string {
	var parts []string
	for at, i := 0, 0; i <= len(p); i++ {
		if i == len(p) || p[i] == '/' {
			parts = append(parts, p[at:i])
			at = i + 1
		}
	}
	return parts
}

func TestNamespaces(t *testing.T) {
	for kind, want := range map[specs.LinuxNamespaceType]struct {
		flag uint64
		file string
	}{
		specs.PIDNamespace: {unix.CLONE_NEWPID, "pid"}, specs.NetworkNamespace: {unix.CLONE_NEWNET, "net"},
		specs.MountNamespace: {unix.CLONE_NEWNS, "mnt"}, specs.IPCNamespace: {unix.CLONE_NEWIPC, "ipc"},
		specs.UTSNamespace: {unix.CLONE_NEWUTS, "uts"}, specs.UserNamespace: {unix.CLONE_NEWUSER, "user"},
		specs.CgroupNamespace: {unix.CLONE_NEWCGROUP, "cgroup"}, specs.TimeNamespace: {unix.CLONE_NEWTIME, "time"},
		"nonsense": {0, "nonsense"},
	} {
		if flag, file := NamespaceFlag(kind), NamespaceFile(kind); flag != want.flag || file != want.file {
			t.Errorf("%s: %#x %s", kind, flag, file)
		}
	}
	if last := nsTypes[len(nsTypes)-1].kind; last != specs.UserNamespace {
		t.Errorf("%s is joined last, not user", last)
	}
}

func ExampleSysctlPath() {
	fmt.Println(SysctlPath("net.ipv4.conf.eth0/100.forwarding"))
	// Output: net/ipv4/conf/eth0.100/forwarding
}
