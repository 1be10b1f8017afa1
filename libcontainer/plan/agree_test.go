package plan

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// words are the string literals in one declaration of a file of package bundle, which keeps its tables to itself.
func words(t *testing.T, file, name string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../bundle/"+file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	collect := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				s, _ := strconv.Unquote(lit.Value)
				found = append(found, s)
			}
			return true
		})
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == name {
				collect(d.Body)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && v.Names[0].Name == name {
					collect(v)
				}
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s is not in %s any more: what took its place?", name, file)
	}
	return found
}

// mountProblems is what bundle says about a bind mount with one option more.
func mountProblems(option string) error {
	spec := &specs.Spec{
		Version: "1.2.0", Process: &specs.Process{Args: []string{"sh"}, Cwd: "/"}, Root: &specs.Root{Path: "r"},
		Linux:  &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.UserNamespace, Path: "/u"}}},
		Mounts: []specs.Mount{{Destination: "/a", Source: "/b", Options: []string{"bind", option}}},
	}
	if option == "tmpcopyup" {
		spec.Mounts[0] = specs.Mount{Destination: "/a", Type: "tmpfs", Options: []string{option}}
	}
	return bundle.Join((&bundle.Bundle{Spec: spec}).Check())
}

// TestOptionsAgree: what bundle takes for a mount's own option is not handed to a file system by plan, and the other
// way round.
func TestOptionsAgree(t *testing.T) {
	theirs := words(t, "options.go", "kindOfOption")
	if len(theirs) < 50 {
		t.Errorf("only %d options: %q", len(theirs), theirs)
	}
	for _, name := range theirs {
		_, known := findOption(name)
		if supported := mountProblems(name) == nil; known != supported {
			t.Errorf("%s: bundle supports it: %v, plan knows it: %v", name, supported, known)
		}
	}
	for _, name := range MountOptions() {
		if !slices.Contains(theirs, name) {
			t.Errorf("plan knows %s, bundle does not", name)
		}
		if err := mountProblems(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// capabilityNumbers are linux/capability.h's, by name.
var capabilityNumbers = map[string]int{
	"CAP_AUDIT_CONTROL": unix.CAP_AUDIT_CONTROL, "CAP_AUDIT_READ": unix.CAP_AUDIT_READ, "CAP_AUDIT_WRITE": unix.CAP_AUDIT_WRITE,
	"CAP_BLOCK_SUSPEND": unix.CAP_BLOCK_SUSPEND, "CAP_BPF": unix.CAP_BPF, "CAP_CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE,
	"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH,
	"CAP_FOWNER": unix.CAP_FOWNER, "CAP_FSETID": unix.CAP_FSETID, "CAP_IPC_LOCK": unix.CAP_IPC_LOCK, "CAP_IPC_OWNER": unix.CAP_IPC_OWNER,
	"CAP_KILL": unix.CAP_KILL, "CAP_LEASE": unix.CAP_LEASE, "CAP_LINUX_IMMUTABLE": unix.CAP_LINUX_IMMUTABLE,
	"CAP_MAC_ADMIN": unix.CAP_MAC_ADMIN, "CAP_MAC_OVERRIDE": unix.CAP_MAC_OVERRIDE, "CAP_MKNOD": unix.CAP_MKNOD,
	"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "CAP_NET_BROADCAST": unix.CAP_NET_BROADCAST,
	"CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_PERFMON": unix.CAP_PERFMON, "CAP_SETFCAP": unix.CAP_SETFCAP, "CAP_SETGID": unix.CAP_SETGID,
	"CAP_SETPCAP": unix.CAP_SETPCAP, "CAP_SETUID": unix.CAP_SETUID, "CAP_SYSLOG": unix.CAP_SYSLOG, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
	"CAP_SYS_BOOT": unix.CAP_SYS_BOOT, "CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT, "CAP_SYS_MODULE": unix.CAP_SYS_MODULE,
	"CAP_SYS_NICE": unix.CAP_SYS_NICE, "CAP_SYS_PACCT": unix.CAP_SYS_PACCT, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE,
	"CAP_SYS_RAWIO": unix.CAP_SYS_RAWIO, "CAP_SYS_RESOURCE": unix.CAP_SYS_RESOURCE, "CAP_SYS_TIME": unix.CAP_SYS_TIME,
	"CAP_SYS_TTY_CONFIG": unix.CAP_SYS_TTY_CONFIG, "CAP_WAKE_ALARM": unix.CAP_WAKE_ALARM,
}

func TestCapabilityNumbers(t *testing.T) {
	if len(capNames) != len(capabilityNumbers) || len(capNames) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d capabilities, %d in capability.h, the last one is %d", len(capNames), len(capabilityNumbers), unix.CAP_LAST_CAP)
	}
	for name, want := range capabilityNumbers {
		if got := capNumber(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	for _, name := range []string{"", "CAP_", "cap_kill", "KILL", "CAP_KILL "} {
		if n := capNumber(name); n != -1 {
			t.Errorf("%q is %d", name, n)
		}
	}
	theirs := words(t, "capabilities.go", "capabilityNames")
	ours := slices.Sorted(slices.Values(CapabilityNames()))
	if !slices.Equal(theirs, ours) {
		t.Errorf("bundle has %v\nplan has %v", theirs, ours)
	}
}

func TestRlimitNumbers(t *testing.T) {
	numbers := map[string]int{
		"RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_STACK": unix.RLIMIT_STACK,
		"RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_RSS": unix.RLIMIT_RSS, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
		"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS,
		"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE,
		"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
	}
	theirs := words(t, "process.go", "rlimitIndex")
	if len(theirs) != len(numbers) {
		t.Errorf("bundle has %d: %v", len(theirs), theirs)
	}
	for _, name := range theirs {
		if got, ok := rlimitNumber(name); !ok || got != numbers[name] {
			t.Errorf("%s: %d %v, want %d", name, got, ok, numbers[name])
		}
	}
	for _, name := range []string{"", "RLIMIT_", "NOFILE", "rlimit_nofile", "RLIMIT_NOFILE2"} {
		if n, ok := rlimitNumber(name); ok {
			t.Errorf("%q is %d", name, n)
		}
	}
}

// TestProcessAgrees: every word for a process that bundle takes, plan can translate.
func TestProcessAgrees(t *testing.T) {
	check := func(p specs.Process) (bundleErr, planErr error) {
		p.Args, p.Cwd = []string{"sh"}, "/"
		_, planErr = AfterStart(&specs.Spec{Process: &p}, Options{}, Facts{})
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
		spec := &specs.Spec{
			Version: "1.2.0", Process: &specs.Process{Args: []string{"sh"}, Cwd: "/"}, Root: &specs.Root{Path: "r"},
			Linux: &specs.Linux{Sysctl: map[string]string{key: "1"}, Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}}},
		}
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
