package integration

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const allowedCPUs = "grep ^Cpus_allowed_list: /proc/self/status | cut -f2"

// allCPUs is what a process may use at most.
func allCPUs(t *testing.T) string {
	t.Helper()
	if runtime.NumCPU() < 2 {
		t.Skip("an affinity shows only on a machine with two CPUs")
	}
	var was, mask unix.CPUSet
	for i := range 1024 {
		mask.Set(i)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedGetaffinity(0, &was); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &was) }()
	if err := unix.SchedSetaffinity(0, &mask); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	return value(string(text), "Cpus_allowed_list")
}

// TestAffinityOfCaller: rt may be pinned to a CPU; neither the container nor a process of exec is.
func TestAffinityOfCaller(t *testing.T) {
	t.Parallel()
	all := allCPUs(t)
	c := newContainer(t, script(allowedCPUs))
	c.prefix = []string{"taskset", "-c", "0"}
	c.run().ok().prints(all)
	c.spec.Process.Args = []string{"sleep", "1000"}
	c.write()
	c.up()
	c.exec("sh", "-c", allowedCPUs).ok().prints(all)
	// The cgroup's cpuset still holds.
	limited := c.sibling(script(allowedCPUs), func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "1", Mems: "0"} })
	limited.prefix = c.prefix
	limited.run().ok().prints("1")
}

func TestExecCPUAffinity(t *testing.T) {
	t.Parallel()
	all := allCPUs(t)
	c := newContainer(t, script(allowedCPUs+" >/out; exec sleep 1000"), writable, func(s *specs.Spec) {
		s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "1"}
	})
	c.up()
	if got := strings.TrimSpace(c.awaitFile("b/rootfs/out")); got != all {
		t.Errorf("init runs on %s: the setting is not for it", got)
	}
	c.exec("sh", "-c", allowedCPUs).ok().prints("1") // that of the container's process
	for _, a := range []struct{ initial, final, want string }{
		{"", "", "1"}, {"1", "", "1"}, {"0", "", "0"}, {"", "1", "1"}, {"0", " 1 ", "1"}, {"0", "0-1,5000", all},
	} {
		if a.final == "" && a.want != all && kernelBefore(6, 2) {
			continue // there, a process that joins a cgroup gets all CPUs of its cpuset
		}
		if strings.Contains(a.final, "5000") && differs(t, "execCPUAffinity and memoryPolicy: CPUs and nodes") {
			continue
		}
		p := *c.spec.Process
		p.Args = []string{"sh", "-c", allowedCPUs}
		p.ExecCPUAffinity = &specs.CPUAffinity{Initial: a.initial, Final: a.final}
		data, err := json.Marshal(p)
		c.must(err)
		r := c.execWith([]string{"--process", c.file("process.json", string(data), 0o644)}).ok()
		if r.out() != a.want {
			t.Errorf("initial %q, final %q: on CPUs %s, wanted %s", a.initial, a.final, r.out(), a.want)
		}
	}
	for field, list := range map[string]string{"initial": "5000", "final": "5001-5003"} {
		p := c.file("process.json", `{"args":["true"],"cwd":"/","user":{"uid":0,"gid":0},"execCPUAffinity":{"`+field+`":"`+list+`"}}`, 0o644)
		c.execWith([]string{"--process", p}).exits(255).rtError("set CPU affinity to "+list+" (/process/execCPUAffinity/"+field+"): invalid argument",
			"none of these CPUs")
	}
	c.spec.Process.ExecCPUAffinity.Final = "0-x"
	c.sibling(func(s *specs.Spec) { s.Process = c.spec.Process }).create().
		fails().rtError(`/process/execCPUAffinity/final: "0-x": not a number or a range of numbers`)
}

func TestMemoryPolicy(t *testing.T) {
	t.Parallel()
	policy := "head -n1 /proc/self/numa_maps | cut -d' ' -f2"
	with := func(m specs.LinuxMemoryPolicy) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.MemoryPolicy = &m }
	}
	for want, m := range map[string]specs.LinuxMemoryPolicy{
		"default":       {Mode: specs.MpolDefault},
		"local":         {Mode: specs.MpolLocal},
		"bind:0":        {Mode: specs.MpolBind, Nodes: "0"},
		"bind=static:0": {Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}},
		"interleave:0":  {Mode: specs.MpolInterleave, Nodes: "0"},
		"prefer:0":      {Mode: specs.MpolPreferred, Nodes: "0"},
	} {
		newContainer(t, script(policy), with(m)).run().ok().prints(want)
	}
	c := newContainer(t, with(specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"})).up()
	c.exec("sh", "-c", policy).ok().prints("interleave:0")

	newContainer(t, with(specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "1023"})).create().
		fails("invalid argument").rtError("/linux/memoryPolicy", "set memory policy MPOL_BIND 1023")
	newContainer(t, with(specs.LinuxMemoryPolicy{Mode: "MPOL_BEST"})).create().
		fails().rtError(`/linux/memoryPolicy/mode: unknown memory policy "MPOL_BEST"`)
}
