package bundle

import (
	"rt/internal/names"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// capabilitySet has one bit for each capability, at its number.
type capabilitySet uint64

func (s capabilitySet) has(bit int) bool { return s&(1<<bit) != 0 }

// capabilities only ever warns: what is unknown or cannot be granted must not fail the container
// (config.md, "Linux Process").
func (c *checker) capabilities(caps *specs.LinuxCapabilities, ptr string) {
	if caps == nil {
		return
	}
	bounding := c.capabilitySet(caps.Bounding, ptr+"/bounding")
	permitted := c.capabilitySet(caps.Permitted, ptr+"/permitted")
	inheritable := c.capabilitySet(caps.Inheritable, ptr+"/inheritable")
	c.capabilitySet(caps.Effective, ptr+"/effective")
	c.capabilitySet(caps.Ambient, ptr+"/ambient")

	// capset(2), capabilities(7): each of these is EPERM for the whole call
	c.notGranted(caps.Effective, permitted, ptr, "effective", "it is not in permitted")
	c.notGranted(caps.Inheritable, bounding, ptr, "inheritable", "it is not in bounding")
	c.notGranted(caps.Ambient, permitted&inheritable, ptr, "ambient", "it is not in both permitted and inheritable")
}

func (c *checker) capabilitySet(list []string, ptr string) (set capabilitySet) {
	for i, name := range list {
		bit := names.Capability(name)
		if bit < 0 {
			c.warn(at(ptr, i), "unknown capability %s is ignored", quote(name))
			continue
		}
		set |= 1 << bit
	}
	return set
}

func (c *checker) notGranted(list []string, allowed capabilitySet, ptr, field, why string) {
	for i, name := range list {
		if bit := names.Capability(name); bit >= 0 && !allowed.has(bit) {
			if field == "ambient" { // runc's words
				c.warn(at(ptr, field, i), "can't raise ambient capability %s: %s", name, why)
				continue
			}
			c.warn(at(ptr, field, i), "%s cannot be granted: %s", name, why)
		}
	}
}
