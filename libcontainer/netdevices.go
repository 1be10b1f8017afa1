package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/netdev"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// moveNetDevices moves what linux.netDevices names into the network namespace that the new process is already in. They
// are brought back if the container does not come to be. Afterwards they share the fate of the namespace: the
// specification forbids to move them out.
func (s *setup) moveNetDevices(devices map[string]specs.LinuxNetDevice) error {
	if len(devices) == 0 {
		return nil
	}
	ns := "/proc/" + strconv.Itoa(s.c.Pid) + "/ns/net"
	var note func(*netdev.Record) error
	if path := bundle.JoinedNamespace(s.spec, specs.NetworkNamespace); path != "" { // one of the container's own ends with it, and the devices with that
		note = func(r *netdev.Record) error { r.Path = path; return s.c.noteNetDevices(r) }
	}
	shared := note != nil || bundle.JoinedNamespace(s.spec, specs.UserNamespace) != "" // whose root has rights in a new one, too
	moved, err := netdev.Move(devices, ns, shared, note)
	if moved == nil {
		return err
	}
	s.moved = moved
	s.undo.add(func() { s.bringBack(note != nil) })
	return err
}

// moveRestored moves the devices for a restored container. In a namespace that is given by path those of the container that was saved
// are still there.
func (s *setup) moveRestored() error {
	devices := s.spec.Linux.NetDevices
	if path := bundle.JoinedNamespace(s.spec, specs.NetworkNamespace); path != "" && len(devices) > 0 {
		var err error
		if devices, err = netdev.ToMove(devices, "/proc/"+strconv.Itoa(s.c.Pid)+"/ns/net"); err != nil {
			return err
		}
	}
	return s.moveNetDevices(devices)
}

// bringBack takes back moveNetDevices. What is not noted is in a namespace that ends now.
func (s *setup) bringBack(noted bool) {
	err := s.moved.Back()
	s.moved.Close()
	if noted && err != nil && !netdev.OnlyStay(err) {
		s.undo.result(err)
	} else if err != nil {
		s.c.rt.Warn("%v", err)
	}
}

// noteNetDevices writes down what a create that is killed leaves in a network namespace that outlives it.
func (c *container) noteNetDevices(r *netdev.Record) error {
	r.Boot = c.rt.BootID()
	data, err := json.Marshal(r)
	if err == nil {
		err = sys.ReplaceFile(filepath.Join(c.Dir, state.DevicesFile), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write journal of network devices: %w", err)
	}
	return nil
}

// keepNetDevices leaves the devices to the container, which is complete: those that are noted delete would bring back.
func (s *setup) keepNetDevices() error {
	if s.moved == nil {
		return nil
	}
	if err := unix.Unlink(filepath.Join(s.c.Dir, state.DevicesFile)); err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove journal of network devices: %w", err)
	}
	s.moved.Close()
	return nil
}

// returnNetDevices brings back what a create that was killed has moved. As long as that fails, it is still written down.
func (c *container) returnNetDevices() error {
	data, err := c.ReadFile(state.DevicesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if sys.Unseen(err) || state.Distrusted(err) {
		return fmt.Errorf("bring network devices back: %w", err)
	}
	var r netdev.Record
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		c.rt.Warn("bring network devices back: read %s: %v", state.DevicesFile, err) // which no other attempt would make readable
		return nil
	}
	if now := c.rt.BootID(); r.Boot != "" && now != "" && r.Boot != now {
		return nil // the namespace has ended with that boot
	}
	err = r.Back()
	if err != nil && netdev.OnlyStay(err) {
		c.rt.Warn("%v", err)
		return nil
	}
	return err
}
