package bundle

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestExecCPUAffinity(t *testing.T) {
	for _, c := range []struct {
		a    specs.CPUAffinity
		want string
	}{
		{specs.CPUAffinity{}, ""},
		{specs.CPUAffinity{Initial: "0-3,7", Final: "1030"}, ""},
		{specs.CPUAffinity{Initial: "7-0"}, `/process/execCPUAffinity/initial: "7-0": the range ends before it begins`},
		{specs.CPUAffinity{Final: "0,,1"}, ""},
		{specs.CPUAffinity{Final: "8192"}, ""},
		{specs.CPUAffinity{Final: ","}, `/process/execCPUAffinity/final: ",": no number`},
		{specs.CPUAffinity{Final: "65536"}, `/process/execCPUAffinity/final: "65536": larger than 65535`},
	} {
		p := &specs.Process{Args: []string{"sh"}, Cwd: "/", ExecCPUAffinity: &c.a}
		have := ""
		if err := Join(CheckProcess(p, "/process")); err != nil {
			have = err.Error()
		}
		if have != c.want {
			t.Errorf("%+v: %q, wanted %q", c.a, have, c.want)
		}
	}
}

func TestMemoryPolicy(t *testing.T) {
	type flags = []specs.MemoryPolicyFlagType
	const p = "/linux/memoryPolicy"
	for _, c := range []struct {
		m    specs.LinuxMemoryPolicy
		want string
	}{
		{specs.LinuxMemoryPolicy{Mode: specs.MpolDefault}, ""},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolPreferred}, ""},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0-1", Flags: flags{specs.MpolFStaticNodes}}, ""},
		{specs.LinuxMemoryPolicy{}, p + `/mode: unknown memory policy ""`},
		{specs.LinuxMemoryPolicy{Mode: "MPOL_BEST", Nodes: "0"}, p + `/mode: unknown memory policy "MPOL_BEST"`},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolLocal, Nodes: "0"}, p + "/nodes: MPOL_LOCAL takes no nodes"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind}, p + "/nodes: MPOL_BIND needs at least one node"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "x"}, p + `/nodes: "x": not a number or a range of numbers`},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0,1024"}, ""},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "65536"}, p + `/nodes: "65536": larger than 65535`},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: flags{"MPOL_F_X"}}, p + `/flags/0: unknown memory policy flag "MPOL_F_X"`},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: flags{specs.MpolFStaticNodes, specs.MpolFRelativeNodes}},
			p + "/flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other"},
	} {
		k := new(checker)
		k.memoryPolicy(&c.m)
		have := ""
		if err := Join(k.done()); err != nil {
			have = err.Error()
		}
		if have != c.want {
			t.Errorf("%+v: %q, wanted %q", c.m, have, c.want)
		}
	}
}
