package libcontainer

import (
	"fmt"
	"slices"
	"strings"

	"rt/internal/names"
	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// execProcess is the process that exec runs: that of a process.json, or the container's own with what the flags say.
func execProcess(own *specs.Process, o ExecOptions) (*specs.Process, error) {
	if o.Process != "" {
		p, err := bundle.LoadProcess(o.Process, own)
		if err != nil {
			return nil, err
		}
		p.Terminal = p.Terminal || o.Tty
		return p, nil
	}
	p := *own
	p.Args, p.Terminal, p.ConsoleSize = o.Args, o.Tty, nil
	if o.Cwd != "" {
		p.Cwd = o.Cwd
	}
	p.Env = append(append([]string(nil), p.Env...), o.Env...)
	if o.NoNewPrivs != nil {
		p.NoNewPrivileges = *o.NoNewPrivs
	}
	if o.AppArmor != "" {
		p.ApparmorProfile = o.AppArmor
	}
	if o.ProcessLabel != "" {
		p.SelinuxLabel = o.ProcessLabel
	}
	if o.User != "" {
		if err := setUser(&p.User, o.User); err != nil {
			return nil, err
		}
	}
	p.User.AdditionalGids = append(append([]uint32(nil), p.User.AdditionalGids...), o.Groups...)
	p.Capabilities = withCapabilities(p.Capabilities, o.Caps)
	return &p, nil
}

// setUser reads UID[:GID]. Anything else is an error and never an id (CVE-2026-30892).
func setUser(u *specs.User, text string) error {
	uid, gid, both := strings.Cut(text, ":")
	n, err := number(uid)
	if err != nil {
		return fmt.Errorf("bad uid: %w (--user)", err)
	}
	u.UID = uint32(n)
	if both {
		if n, err = number(gid); err != nil {
			return fmt.Errorf("bad gid: %w (--user)", err)
		}
		u.GID = uint32(n)
	}
	return nil
}

// number reads an id, before which a + may stand, as for runc.
func number(text string) (uint64, error) {
	if digits, ok := strings.CutPrefix(text, "+"); ok && digits != "" && digits[0] != '+' {
		text = digits
	}
	return names.Unsigned(text, 32)
}

// withCapabilities adds capabilities to the sets that grant them now. Never to the inheritable one: it would pass them on to programs that
// are not to have them (CVE-2022-29162). They become ambient only if the container has them in its inheritable set.
func withCapabilities(c *specs.LinuxCapabilities, add []string) *specs.LinuxCapabilities {
	if len(add) == 0 {
		return c
	}
	var n specs.LinuxCapabilities
	if c != nil {
		n = *c
	}
	for _, name := range add {
		name = strings.ToUpper(name)
		if !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		for _, set := range []*[]string{&n.Bounding, &n.Effective, &n.Permitted} {
			*set = withName(*set, name)
		}
		if slices.Contains(n.Inheritable, name) {
			n.Ambient = withName(n.Ambient, name)
		}
	}
	return &n
}

func withName(set []string, name string) []string {
	if slices.Contains(set, name) {
		return set
	}
	return append(slices.Clone(set), name)
}
