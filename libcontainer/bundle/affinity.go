package bundle

import (
	"rt/internal/cpulist"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (c *checker) cpuAffinity(a *specs.CPUAffinity, ptr string) {
	if a == nil {
		return
	}
	c.list(a.Initial, ptr+"/initial", cpulist.MaxCPUs)
	c.list(a.Final, ptr+"/final", cpulist.MaxCPUs)
}

// list checks a list of CPUs or memory nodes and says whether it names any.
func (c *checker) list(list, ptr string, limit int) bool {
	mask, beyond, err := cpulist.Parse(list, limit)
	switch {
	case err != nil:
		c.fail(ptr, "%v", err)
	case beyond:
		c.warn(ptr, "numbers above %d are ignored: no kernel has them", limit-1)
	}
	return mask != nil
}

// memoryPolicy follows set_mempolicy(2).
func (c *checker) memoryPolicy(m *specs.LinuxMemoryPolicy) {
	const ptr = "/linux/memoryPolicy"
	if m == nil {
		return
	}
	before := c.errors
	nodes := c.list(m.Nodes, ptr+"/nodes", cpulist.MaxNodes)
	valid := c.errors == before
	switch m.Mode {
	case specs.MpolDefault, specs.MpolLocal:
		if nodes {
			c.fail(ptr+"/nodes", "%s takes no nodes", m.Mode)
		}
	case specs.MpolBind, specs.MpolInterleave, specs.MpolWeightedInterleave, specs.MpolPreferredMany:
		if !nodes && valid {
			c.fail(ptr+"/nodes", "%s needs at least one node", m.Mode)
		}
	case specs.MpolPreferred: // without nodes: the local one
	default:
		c.fail(ptr+"/mode", "unknown memory policy %s", quote(m.Mode))
	}
	c.memoryPolicyFlags(m.Flags, ptr)
}

func (c *checker) memoryPolicyFlags(flags []specs.MemoryPolicyFlagType, ptr string) {
	var static, relative bool
	for i, f := range flags {
		switch f {
		case specs.MpolFNumaBalancing:
		case specs.MpolFStaticNodes:
			static = true
		case specs.MpolFRelativeNodes:
			relative = true
		default:
			c.fail(at(ptr, "flags", i), "unknown memory policy flag %s", quote(f))
		}
	}
	if static && relative {
		c.fail(ptr+"/flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other")
	}
}
