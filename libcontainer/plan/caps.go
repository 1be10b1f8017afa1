package plan

import (
	"fmt"

	"rt/nsenter"
)

// capNames in the order of linux/capability.h: a capability's number is its index.
var capNames = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// CapabilityNames are the capabilities that rt knows, by number.
func CapabilityNames() []string { return capNames[:] }

// capNumber is -1 for a name that rt does not know.
func capNumber(name string) int {
	for i, n := range capNames {
		if n == name {
			return i
		}
	}
	return -1
}

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
	return sets
}

// grantable is what rt can give: what it has, or all, as the first process of a user namespace has.
func (b *builder) grantable() uint64 {
	if b.has("user") {
		return ^uint64(0)
	}
	return b.facts.Bounding
}

func (b *builder) capMask(set string, names []string) uint64 {
	var mask uint64
	grantable := b.grantable()
	for i, name := range names {
		n := capNumber(name)
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
