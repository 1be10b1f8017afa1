package bundle

import (
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// netDevices: devices are moved into a network namespace of the container's own, so that there must be one, and no
// two of them may come to the same name.
func (c *checker) netDevices(devices map[string]specs.LinuxNetDevice, ns namespaces) {
	const ptr = "/linux/netDevices"
	if len(devices) == 0 {
		return
	}
	if !ns.has(networkNS) {
		c.fail(ptr, "moving network devices needs a network namespace")
	}
	names := make(map[string]string, len(devices))
	for _, host := range slices.Sorted(maps.Keys(devices)) {
		at := at(ptr, host)
		if why := badDeviceName(host); why != "" {
			c.fail(at, "%s is no name of a network device: %s", quote(host), why)
			continue
		}
		name := devices[host].Name
		if name == "" {
			name = host
		} else if why := badDeviceName(name); why != "" {
			c.fail(at+"/name", "%s is no name of a network device: %s", quote(name), why)
			continue
		}
		if !isPattern(name) {
			if strings.Contains(name, "%") && devices[host].Name != "" {
				c.fail(at+"/name", "%s is no name of a network device: %%d, once, stands for a number, and nothing else follows a %%", quote(name))
			}
			if other, taken := names[name]; taken {
				c.fail(at, "two devices would be called %s in the container: this one and %s", quote(name), quote(other))
			}
			names[name] = host
		}
	}
}

// isPattern says whether the kernel chooses the number in a name.
func isPattern(name string) bool {
	return strings.Count(name, "%") == 1 && strings.Contains(name, "%d")
}

// badDeviceName follows the kernel's dev_valid_name.
func badDeviceName(s string) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > 15: // IFNAMSIZ with the final NUL
		return "it is longer than 15 bytes"
	case s == "." || s == "..":
		return "it is a directory's"
	case strings.ContainsAny(s, "/: \t\n\v\f\r"):
		return "it has a slash, a colon or a blank"
	}
	return ""
}
