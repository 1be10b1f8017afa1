package libcontainer

import (
	"strconv"

	"rt/libcontainer/netdev"
)

// moveNetDevices moves what linux.netDevices names into the network namespace that the new process is already in. They
// are brought back if the container does not come to be. Afterwards they share the fate of the namespace: the
// specification forbids to move them out. For the same reason the journal has nothing about them.
func (k *making) moveNetDevices() error {
	if len(k.spec.Linux.NetDevices) == 0 {
		return nil
	}
	moved, err := netdev.Move(k.spec.Linux.NetDevices, "/proc/"+strconv.Itoa(k.c.Pid)+"/ns/net")
	if err != nil {
		return err
	}
	k.moved = moved
	k.undo = append(k.undo, func() { moved.Back(); moved.Close() })
	return nil
}
