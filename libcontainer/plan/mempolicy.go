package plan

import (
	"fmt"
	"strings"

	"rt/internal/cpulist"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// memoryPolicies are in the order of their numbers, linux/mempolicy.h.
var memoryPolicies = [...]specs.MemoryPolicyModeType{
	specs.MpolDefault, specs.MpolPreferred, specs.MpolBind, specs.MpolInterleave, specs.MpolLocal,
	specs.MpolPreferredMany, specs.MpolWeightedInterleave, // Linux 5.15, 6.9
}

var memoryPolicyFlags = [...]struct {
	name specs.MemoryPolicyFlagType
	flag uint32
}{
	{specs.MpolFNumaBalancing, unix.MPOL_F_NUMA_BALANCING},
	{specs.MpolFRelativeNodes, unix.MPOL_F_RELATIVE_NODES},
	{specs.MpolFStaticNodes, unix.MPOL_F_STATIC_NODES},
}

// MemoryPolicies and MemoryPolicyFlags are what `rt features` lists.
func MemoryPolicies() (modes, flags []string) {
	for _, m := range memoryPolicies {
		modes = append(modes, string(m))
	}
	for _, f := range memoryPolicyFlags {
		flags = append(flags, string(f.name))
	}
	return modes, flags
}

// memoryPolicy comes after the cgroup is joined: nodes are looked at within its cpuset.
func (b *builder) memoryPolicy() error {
	m := b.spec.Linux.MemoryPolicy
	if m == nil {
		return nil
	}
	step := nsenter.MemPolicy{Text: strings.TrimSpace(string(m.Mode) + " " + m.Nodes)}
	known := false
	for i, name := range memoryPolicies {
		if name == m.Mode {
			step.Mode, known = uint32(i), true
		}
	}
	if !known {
		return fmt.Errorf("/linux/memoryPolicy/mode: unknown memory policy %q", m.Mode)
	}
	for i, name := range m.Flags {
		flag := memoryPolicyFlag(name)
		if flag == 0 {
			return fmt.Errorf("/linux/memoryPolicy/flags/%d: unknown memory policy flag %q", i, name)
		}
		step.Mode |= flag
	}
	var err error
	if step.Nodes, _, err = cpulist.Parse(m.Nodes, cpulist.MaxNodes); err != nil {
		return fmt.Errorf("/linux/memoryPolicy/nodes: %w", err)
	}
	b.add("/linux/memoryPolicy", step)
	return nil
}

func memoryPolicyFlag(name specs.MemoryPolicyFlagType) uint32 {
	for _, f := range memoryPolicyFlags {
		if f.name == name {
			return f.flag
		}
	}
	return 0
}
