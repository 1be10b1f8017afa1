package plan

import (
	"rt/libcontainer/bundle"
	"rt/nsenter"
)

// labels are written first of all that makes the process the user's: by one that is still outside through the host's procfs,
// and its child inherits them, by a new container's through one of its own. Where the container's procfs is masked, the stub could
// have none of its own in the container's user namespace. They take effect at execve; so does what becomes of them (apparmor(7),
// setexeccon(3)).
func (b *builder) labels(outside bool) {
	p := b.spec.Process
	if p == nil {
		return
	}
	if p.ApparmorProfile != "" && !b.facts.NoAppArmor {
		b.add("/process/apparmorProfile", nsenter.Label{Kind: "apparmor profile", File: "apparmor/exec",
			Value: p.ApparmorProfile, Text: "exec " + p.ApparmorProfile, Outside: outside})
	}
	if p.SelinuxLabel == "" {
		return
	}
	b.add("/process/selinuxLabel", nsenter.Label{Kind: "selinux label", File: "exec", Value: p.SelinuxLabel, Text: p.SelinuxLabel, Outside: outside})
	if !b.opts.NoNewKeyring {
		// The session keyring is the next key to be made; execve resets this (setkeycreatecon(3)).
		b.add("/process/selinuxLabel", nsenter.Label{Kind: "selinux label of keys", File: "keycreate", Value: p.SelinuxLabel, Text: p.SelinuxLabel, Outside: outside})
	}
}

// ownLabels are for a process that is labelled without an execve: an init that stays must not be less confined than
// the program, which may look into it.
func (b *builder) ownLabels() {
	p := b.spec.Process
	if p.ApparmorProfile != "" && !b.facts.NoAppArmor {
		b.add("/process/apparmorProfile", nsenter.Label{Kind: "apparmor profile", File: "apparmor/current",
			Value: p.ApparmorProfile, Text: "changeprofile " + p.ApparmorProfile})
	}
	if p.SelinuxLabel != "" {
		b.add("/process/selinuxLabel", nsenter.Label{Kind: "selinux label", File: "current", Value: p.SelinuxLabel, Text: p.SelinuxLabel})
	}
}

// label gives a new file system linux.mountLabel. What the kernel shares between containers, or labels by its own
// rules, keeps those; an mqueue is mounted by the kernel already, so that only its root can be labelled.
func (b *builder) label(step *nsenter.MountFS) {
	l, option := b.spec.Linux.MountLabel, bundle.MountContext(b.spec.Annotations)
	switch {
	case l == "", hasOption(step.Options, "context"), hasOption(step.Options, option):
	case step.Type == "mqueue":
		step.Label = l
	case step.Type == "proc", step.Type == "sysfs", step.Type == "cgroup", step.Type == "cgroup2":
	default:
		step.Options = append(step.Options, nsenter.Option{Key: option, Value: &l})
	}
}

func hasOption(options []nsenter.Option, key string) bool {
	for _, o := range options {
		if o.Key == key {
			return true
		}
	}
	return false
}
