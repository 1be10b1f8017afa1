package plan

import (
	"fmt"

	"rt/internal/names"
	"rt/nsenter"
)

type capSets struct {
	bounding uint64
	nsenter.Capabilities
}

// capabilities turns names into masks. What the kernel does not know or rt cannot grant is warned about and left
// out: config.md says that a runtime should not fail for it.
func (b *builder) capabilities() *capSets {
	c := b.spec.Process.Capabilities
	if c == nil {
		// None configured means none granted (config.md, capabilities).
		return &capSets{}
	}
	sets := &capSets{
		bounding: b.capMask("bounding", c.Bounding),
		Capabilities: nsenter.Capabilities{
			Effective:   b.capMask("effective", c.Effective),
			Permitted:   b.capMask("permitted", c.Permitted),
			Inheritable: b.capMask("inheritable", c.Inheritable),
			Ambient:     b.capMask("ambient", c.Ambient),
		},
	}
	// What the kernel would refuse (capset(2), capabilities(7)); bundle.Check has warned about it.
	sets.Effective &= sets.Permitted
	sets.Inheritable &= sets.bounding
	sets.Ambient &= sets.Permitted & sets.Inheritable
	if b.facts.NoAmbient && !b.has("user") { // a process that enters a user namespace begins with the default securebits
		sets.Ambient = b.noAmbient(sets.Ambient, c.Ambient)
	}
	return sets
}

// noAmbient warns, in runc's words, of each ambient capability that the caller's securebits forbid.
func (b *builder) noAmbient(mask uint64, list []string) uint64 {
	for i, name := range list {
		if n := names.Capability(name); n >= 0 && mask>>n&1 == 1 {
			b.warn("/process/capabilities/ambient/%d: can't raise ambient capability %s: the caller's securebits forbid it (SECBIT_NO_CAP_AMBIENT_RAISE)", i, name)
		}
	}
	return 0
}

// grantable is what rt can give: what it has, or all, as the first process of a user namespace has.
func (b *builder) grantable() uint64 {
	if b.has("user") {
		return ^uint64(0)
	}
	return b.facts.Bounding
}

func (b *builder) capMask(set string, list []string) uint64 {
	var mask uint64
	grantable := b.grantable()
	for i, name := range list {
		n := names.Capability(name)
		at := fmt.Sprintf("/process/capabilities/%s/%d", set, i)
		switch {
		case n < 0:
			b.warn("%s: unknown capability %q is ignored", at, name)
		case grantable>>n&1 == 0:
			b.warn("%s: %s cannot be granted, for rt does not have it", at, name)
		default:
			mask |= 1 << n
		}
	}
	return mask
}
