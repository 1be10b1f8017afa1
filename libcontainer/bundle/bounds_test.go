package bundle

import (
	"fmt"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// As many as rt takes are no error of their count; one more is, at the list's pointer, and it is the only error.
func TestBounds(t *testing.T) {
	names := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint("net.x", i)] = "1"
		}
		return m
	}
	for _, c := range []struct {
		pointer string
		most    int
		fill    func(s *specs.Spec, n int)
	}{
		{"/mounts", maxMounts, func(s *specs.Spec, n int) { s.Mounts = make([]specs.Mount, n) }},
		{"/process/capabilities/bounding", maxCapabilities, func(s *specs.Spec, n int) { s.Process.Capabilities.Bounding = make([]string, n) }},
		{"/process/capabilities/ambient", maxCapabilities, func(s *specs.Spec, n int) { s.Process.Capabilities.Ambient = make([]string, n) }},
		{"/process/rlimits", maxShort, func(s *specs.Spec, n int) { s.Process.Rlimits = make([]specs.POSIXRlimit, n) }},
		{"/hooks/poststop", maxHooks, func(s *specs.Spec, n int) { s.Hooks = &specs.Hooks{Poststop: make([]specs.Hook, n)} }},
		{"/linux/namespaces", maxShort, func(s *specs.Spec, n int) { s.Linux.Namespaces = make([]specs.LinuxNamespace, n) }},
		{"/linux/devices", maxDevices, func(s *specs.Spec, n int) { s.Linux.Devices = make([]specs.LinuxDevice, n) }},
		{"/linux/maskedPaths", maxPaths, func(s *specs.Spec, n int) { s.Linux.MaskedPaths = make([]string, n) }},
		{"/linux/readonlyPaths", maxPaths, func(s *specs.Spec, n int) { s.Linux.ReadonlyPaths = make([]string, n) }},
		{"/linux/sysctl", maxLimits, func(s *specs.Spec, n int) { s.Linux.Sysctl = names(n) }},
		{"/linux/resources/devices", maxDeviceRules, func(s *specs.Spec, n int) { s.Linux.Resources.Devices = make([]specs.LinuxDeviceCgroup, n) }},
		{"/linux/resources/unified", maxLimits, func(s *specs.Spec, n int) { s.Linux.Resources.Unified = names(n) }},
		{"/linux/resources/hugepageLimits", maxLimits, func(s *specs.Spec, n int) { s.Linux.Resources.HugepageLimits = make([]specs.LinuxHugepageLimit, n) }},
		{"/linux/resources/blockIO", maxLimits, func(s *specs.Spec, n int) {
			s.Linux.Resources.BlockIO = &specs.LinuxBlockIO{ThrottleReadBpsDevice: make([]specs.LinuxThrottleDevice, n)}
		}},
	} {
		for _, n := range []int{c.most, c.most + 1} {
			s := Normalise(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}, Linux: &specs.Linux{Resources: &specs.LinuxResources{}}})
			c.fill(s, n)
			problems := (&Bundle{Spec: s}).Check()
			var found []Problem
			for _, p := range problems {
				if strings.Contains(p.Text, "that rt takes") {
					found = append(found, p)
				}
			}
			if n == c.most && len(found) > 0 {
				t.Errorf("%s, %d: %v", c.pointer, n, found)
			}
			if n > c.most && (len(problems) != 1 || len(found) != 1 || found[0].Pointer != c.pointer || found[0].Warning) {
				t.Errorf("%s, %d: %v", c.pointer, n, problems)
			}
		}
	}
}

func TestBoundsOfParts(t *testing.T) {
	if p := CheckProcess(&specs.Process{Capabilities: &specs.LinuxCapabilities{Effective: make([]string, maxCapabilities+1)}}, ""); len(p) != 1 || p[0].Pointer != "/capabilities/effective" {
		t.Errorf("process.json: %v", p)
	}
	if p := CheckResources(&specs.LinuxResources{Devices: make([]specs.LinuxDeviceCgroup, maxDeviceRules+1)}); len(p) != 1 || p[0].Pointer != "/devices" {
		t.Errorf("resources: %v", p)
	}
	list := "[{}" + strings.Repeat(",{}", maxMounts) + "]"
	for _, decode := range []func([]byte, *specs.Spec) ([]specs.Mount, []Problem, error){DecodeMounts, DecodeDestinations} {
		if _, p, err := decode([]byte(list), Normalise(&specs.Spec{})); err != nil || len(p) != 1 || !strings.Contains(p[0].Text, "4097 mounts") {
			t.Errorf("mounts add: %v %v", p, err)
		}
	}
}
