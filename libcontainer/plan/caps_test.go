package plan

import (
	"fmt"
	"strings"
	"testing"

	"rt/libcontainer/bundle"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestCapabilityRules: what capset(2) and prctl(2) would refuse is left out, what nobody knows or rt lacks is warned about.
func TestCapabilityRules(t *testing.T) {
	kill, raw, both := uint64(1)<<unix.CAP_KILL, uint64(1)<<unix.CAP_NET_RAW, []string{"CAP_KILL", "CAP_NET_RAW"}
	one := []string{"CAP_KILL"}
	for name, c := range map[string]struct {
		caps    *specs.LinuxCapabilities
		granted uint64
		want    capSets
		warns   string
	}{
		"none":      {nil, everything, capSets{}, ""},
		"unknown":   {&specs.LinuxCapabilities{Bounding: []string{"CAP_NEXT", "CAP_KILL", "cap_kill", "KILL"}}, everything, capSets{bounding: kill}, "CAP_NEXT cap_kill KILL"},
		"lacking":   {&specs.LinuxCapabilities{Bounding: both}, kill, capSets{bounding: kill}, "CAP_NET_RAW"},
		"effective": {&specs.LinuxCapabilities{Effective: both, Permitted: one}, everything, capSets{0, nsenter.Capabilities{Effective: kill, Permitted: kill}}, ""},
		"inheritable": {&specs.LinuxCapabilities{Bounding: one, Inheritable: both, Permitted: both}, everything,
			capSets{kill, nsenter.Capabilities{Permitted: kill | raw, Inheritable: kill}}, ""},
		"ambient without inheritable": {&specs.LinuxCapabilities{Bounding: both, Permitted: both, Ambient: both}, everything,
			capSets{kill | raw, nsenter.Capabilities{Permitted: kill | raw}}, ""},
		"ambient without permitted": {&specs.LinuxCapabilities{Bounding: both, Permitted: one, Inheritable: both, Ambient: both}, everything,
			capSets{kill | raw, nsenter.Capabilities{Permitted: kill, Inheritable: kill | raw, Ambient: kill}}, ""},
	} {
		sets, warnings := compileCaps(c.caps, c.granted)
		if sets != c.want {
			t.Errorf("%s: %+v, want %+v", name, sets, c.want)
		}
		if names := strings.Fields(c.warns); len(warnings) != len(names) {
			t.Errorf("%s: %q", name, warnings)
		} else {
			for i, n := range names {
				if !strings.Contains(warnings[i], n) {
					t.Errorf("%s: %q lacks %s", name, warnings[i], n)
				}
			}
		}
	}
}

func compileCaps(caps *specs.LinuxCapabilities, granted uint64) (capSets, []string) {
	b := &builder{spec: bundle.Normalise(&specs.Spec{Process: &specs.Process{Capabilities: caps}}), facts: Facts{Bounding: granted}}
	sets := b.capabilities()
	return *sets, b.Warnings
}

// TestNoAmbient: securebits of the caller that forbid ambient capabilities are a warning for each, but in a user namespace.
func TestNoAmbient(t *testing.T) {
	list := []string{"CAP_KILL", "CAP_CHOWN"}
	b := &builder{facts: Facts{Bounding: ^uint64(0), NoAmbient: true}, spec: bundle.Normalise(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{
		Bounding: list, Permitted: list, Inheritable: list, Ambient: append(list, "CAP_FOWNER")}}})}
	sets := b.capabilities()
	if sets.Ambient != 0 || sets.Inheritable != 1<<unix.CAP_KILL|1<<unix.CAP_CHOWN || len(b.Warnings) != 2 ||
		!strings.Contains(b.Warnings[1], "/process/capabilities/ambient/1: can't raise ambient capability CAP_CHOWN: ") {
		t.Errorf("%+v %q", sets, b.Warnings)
	}
	b.Warnings, b.spec.Linux = nil, &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.UserNamespace}}}
	if sets := b.capabilities(); sets.Ambient != sets.Inheritable || b.Warnings != nil {
		t.Errorf("in a user namespace: %+v %q", sets, b.Warnings)
	}
}

// TestCapabilitiesInUserNamespace: there its first process has them all, whatever rt has.
func TestCapabilitiesInUserNamespace(t *testing.T) {
	b := &builder{spec: bundle.Normalise(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Permitted: []string{"CAP_SYS_ADMIN"}}},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.UserNamespace}}}})}
	if sets := b.capabilities(); sets.Permitted != 1<<unix.CAP_SYS_ADMIN || b.Warnings != nil {
		t.Error(fmt.Sprint(sets, b.Warnings))
	}
}
