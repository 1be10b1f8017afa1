package netdev

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ToMove leaves out the devices that an earlier container has taken to the network namespace at path, which has outlived it: rt's own
// namespace has no such device any more, and that one has a device of the name that was asked for.
func ToMove(devices map[string]specs.LinuxNetDevice, path string) (map[string]specs.LinuxNetDevice, error) {
	m, err := prepare(path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	left := map[string]specs.LinuxNetDevice{}
	for name, d := range devices {
		there, err := m.isThere(name, d.Name)
		if err != nil {
			return nil, fmt.Errorf("look for network device %s (/linux/netDevices/%s): %w", name, name, err)
		}
		if !there {
			left[name] = d
		}
	}
	return left, nil
}

func (m *Moved) isThere(name, as string) (bool, error) {
	if here, err := m.here.has(name); here || err != nil {
		return false, err
	}
	if as == "" {
		as = name
	}
	return m.inside.has(as)
}
