package netdev

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Record is what is needed to bring devices back when who has moved them is gone.
type Record struct {
	Path    string // of the network namespace that they were moved into
	From    nsID   // the namespace where they were
	To      nsID   // and where they went
	Devices []Noted
}

// An nsID names a namespace while it exists: nsfs gives its inode to no other.
type nsID struct{ Dev, Ino uint64 }

// Noted is a device before its move.
type Noted struct {
	Name      string // on the host
	As        string // what it is to be called in the container
	Index     int32  // its number on the host
	Keeps     bool   // it keeps its number, which nobody has in the container's namespace
	Up        bool
	Addresses []notedAddress
}

type notedAddress struct {
	Family, Prefix uint8
	Flags          uint32
	Local          []byte
	Attrs          []notedAttribute
}

type notedAttribute struct {
	Kind  uint16
	Value []byte
}

func idOf(f *os.File) (nsID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nsID{}, fmt.Errorf("look at a network namespace: %w", err)
	}
	return nsID{st.Dev, st.Ino}, nil
}

// record looks at devices that are about to be moved. One that is not there is left to the move to complain about.
func (m *Moved) record(names []string, devices map[string]specs.LinuxNetDevice) (r *Record, err error) {
	r = &Record{}
	if r.From, err = idOf(m.host); err != nil {
		return nil, err
	}
	if r.To, err = idOf(m.ns); err != nil {
		return nil, err
	}
	for _, name := range names {
		l, err := m.here.link(name)
		if err != nil {
			continue
		}
		addresses, err := m.here.addresses(l.index)
		if err != nil {
			return nil, fmt.Errorf("read addresses of network device %s: %w", name, err)
		}
		_, taken := m.inside.byIndex(l.index)
		r.Devices = append(r.Devices, Noted{name, devices[name].Name, l.index, errors.Is(taken, unix.ENODEV), l.up, note(addresses)})
	}
	return r, nil
}

func note(list []address) (noted []notedAddress) {
	for _, a := range list {
		n := notedAddress{Family: a.family, Prefix: a.prefix, Flags: a.flags, Local: a.local}
		for _, x := range a.attrs {
			n.Attrs = append(n.Attrs, notedAttribute{x.kind, x.value})
		}
		noted = append(noted, n)
	}
	return noted
}

func (n *Noted) addresses() (list []address) {
	for _, x := range n.Addresses {
		a := address{family: x.Family, prefix: x.Prefix, flags: x.Flags, local: x.Local}
		for _, y := range x.Attrs {
			a.attrs = append(a.attrs, attribute{y.Kind, y.Value})
		}
		list = append(list, a)
	}
	return list
}

// Back brings the devices back that are in the namespace now and not where they were. A namespace that is gone has taken
// them with it; another one in its place is not touched.
func (r *Record) Back() error {
	m, err := prepare(r.Path)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer m.Close()
	from, err1 := idOf(m.host)
	to, err2 := idOf(m.ns)
	switch err := errors.Join(err1, err2); {
	case err != nil:
		return err
	case from != r.From:
		return errors.New("rt is in another network namespace than they were")
	case to != r.To:
		return nil
	}
	for i := range r.Devices {
		m.find(&r.Devices[i])
	}
	m.Back()
	return nil
}

// find looks for a device that was moved: under the name that it arrives with, or the one that it then gets.
func (m *Moved) find(n *Noted) {
	if there, err := m.here.has(n.Name); err != nil || there {
		return
	}
	now, err := m.inside.byIndex(n.Index)
	if !n.Keeps || err != nil {
		for _, name := range []string{n.Name, fmt.Sprintf("rt-%d", n.Index), n.As} {
			if now, err = m.inside.link(name); name != "" && err == nil {
				break
			}
		}
	}
	if err == nil {
		m.devices = append(m.devices, device{name: n.Name, was: link{n.Index, n.Up}, now: now, addresses: n.addresses()})
	}
}
