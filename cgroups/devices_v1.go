package cgroups

import (
	"fmt"

	"rt/cgroups/translate"

	"golang.org/x/sys/unix"
)

// updateDevices changes a v1 devices cgroup that may be in use. From one list of allowed devices to another only
// the differences are written, what is new first: what both allow stays allowed all the time, what neither allows
// denied; and a cgroup with children, whose default cannot be changed (EINVAL), can be updated.
func (c *Cgroup) updateDevices(want *translate.DeviceState) error {
	dir := c.dirOf("devices")
	have, err := readDeviceState(dir)
	if err != nil {
		return err
	}
	if have.Allow || want.Allow {
		err = rewriteDevices(dir, want)
		if err != nil && !have.Allow {
			_ = rewriteDevices(dir, have)
		}
		return err
	}
	if err := changeDevices(dir, have, want); err != nil {
		_ = changeDevices(dir, want, have)
		return err
	}
	return nil
}

// changeDevices goes from one list of allowed devices to another.
func changeDevices(dir string, from, to *translate.DeviceState) error {
	for _, way := range []struct {
		file  string
		rules []string
	}{{"/devices.allow", to.Beyond(from)}, {"/devices.deny", from.Beyond(to)}} {
		for _, rule := range way.rules {
			if err := writeFile(dir+way.file, rule); err != nil {
				return fmt.Errorf("write %q (%s/devices): %w", rule, translate.Resources, err)
			}
		}
	}
	return nil
}

// rewriteDevices sets the default, which clears the exceptions, and then these.
func rewriteDevices(dir string, want *translate.DeviceState) error {
	for _, x := range want.Settings() {
		if err := writeFile(dir+"/"+x.File, x.Value); err != nil {
			return fmt.Errorf("write %s %q (%s): %w", x.File, x.Value, x.Pointer, err)
		}
	}
	return nil
}

// resetDevices does what writing `a` to devices.deny or devices.allow would, on a cgroup that has
// children, where the kernel refuses it (EINVAL): it takes the exceptions of a deny-by-default cgroup back
// one by one. The other default cannot be reached.
func resetDevices(dir string, allow bool) error {
	have, err := readDeviceState(dir)
	switch {
	case err != nil:
		return err
	case allow && have.Allow:
		return nil
	case allow || have.Allow:
		return fmt.Errorf("%s has child cgroups, so its default cannot be changed: %w", dir, unix.EINVAL)
	}
	return changeDevices(dir, have, &translate.DeviceState{})
}

// readDeviceState reads devices.list.
func readDeviceState(dir string) (*translate.DeviceState, error) {
	list, err := readFile(dir + "/devices.list")
	if err != nil {
		return nil, err
	}
	return translate.ParseDeviceList(list), nil
}
