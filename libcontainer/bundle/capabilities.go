package bundle

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// capabilityNames are those of capabilities(7) up to Linux 6.18, sorted.
var capabilityNames = [...]string{
	"CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_AUDIT_WRITE", "CAP_BLOCK_SUSPEND", "CAP_BPF",
	"CAP_CHECKPOINT_RESTORE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER",
	"CAP_FSETID", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_KILL", "CAP_LEASE", "CAP_LINUX_IMMUTABLE",
	"CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_RAW", "CAP_PERFMON", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
	"CAP_SETUID", "CAP_SYSLOG", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_SYS_MODULE",
	"CAP_SYS_NICE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_WAKE_ALARM",
}

// capabilitySet has one bit for each of capabilityNames, in their order, not the kernel's.
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

func (c *checker) capabilitySet(names []string, ptr string) (set capabilitySet) {
	for i, name := range names {
		bit, ok := slices.BinarySearch(capabilityNames[:], name)
		if !ok {
			c.warn(at(ptr, i), "unknown capability %s is ignored", quote(name))
			continue
		}
		set |= 1 << bit
	}
	return set
}

func (c *checker) notGranted(names []string, allowed capabilitySet, ptr, field, why string) {
	for i, name := range names {
		if bit, ok := slices.BinarySearch(capabilityNames[:], name); ok && !allowed.has(bit) {
			c.warn(at(ptr, field, i), "%s cannot be granted: %s", name, why)
		}
	}
}
