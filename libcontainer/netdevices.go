package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"rt/internal/sys"
	"rt/libcontainer/netdev"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// moveNetDevices moves what linux.netDevices names into the network namespace that the new process is already in. They
// are brought back if the container does not come to be. Afterwards they share the fate of the namespace: the
// specification forbids to move them out.
func (k *making) moveNetDevices() error {
	if len(k.spec.Linux.NetDevices) == 0 {
		return nil
	}
	ns := "/proc/" + strconv.Itoa(k.c.Pid) + "/ns/net"
	var note func(*netdev.Record) error
	if path := joinedNetwork(k.spec); path != "" { // one of the container's own ends with it, and the devices with that
		note = func(r *netdev.Record) error { r.Path = path; return k.c.noteNetDevices(r) }
	}
	moved, err := netdev.Move(k.spec.Linux.NetDevices, ns, note)
	if err != nil {
		return err
	}
	k.moved = moved
	k.undo = append(k.undo, func() { moved.Back(); moved.Close() })
	return nil
}

func joinedNetwork(spec *specs.Spec) string {
	for _, ns := range spec.Linux.Namespaces {
		if ns.Type == specs.NetworkNamespace {
			return ns.Path
		}
	}
	return ""
}

// noteNetDevices writes down what a create that is killed leaves in a network namespace that outlives it.
func (c *container) noteNetDevices(r *netdev.Record) error {
	r.Boot = c.rt.bootID()
	data, err := json.Marshal(r)
	if err == nil {
		err = writeAtomic(filepath.Join(c.dir, devicesFile), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write journal of network devices: %w", err)
	}
	return nil
}

// keepMoved: the container has come to be, and the devices stay.
func (k *making) keepMoved() {
	if k.moved != nil {
		_ = unix.Unlink(filepath.Join(k.c.dir, devicesFile))
		k.moved.Close()
	}
}

// returnNetDevices brings back what a create that was killed has moved.
func (c *container) returnNetDevices() {
	data, err := sys.ReadFile(filepath.Join(c.dir, devicesFile), maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var r netdev.Record
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if now := c.rt.bootID(); r.Boot != "" && now != "" && r.Boot != now {
		return // the namespace has ended with that boot
	}
	if err == nil {
		err = r.Back()
	}
	if err != nil {
		c.rt.Warn("bring network devices back: %v", err)
	}
}
