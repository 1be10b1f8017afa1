package netdev

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"rt/internal/hint"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Record is what is needed to bring devices back when who has moved them is gone.
type Record struct {
	Path    string // of the network namespace that they were moved into
	Boot    string // the caller's name for this boot of the machine: the others below mean nothing in another
	From    nsID   // the namespace where they were
	To      nsID   // and where they went
	Devices []Noted
}

// An nsID names a namespace. Its inode is given to another as soon as it is gone; Cookie, which Linux has since 5.14, is not
// given again before the machine is. It is 0 where the kernel has none.
type nsID struct{ Dev, Ino, Cookie uint64 }

// Noted is a device before its move.
type Noted struct {
	Name      string // on the host
	As        string // what it is to be called in the container
	Index     int32  // its number on the host
	Keeps     bool   // it keeps its number, which nobody has in the container's namespace
	Taken     bool   // its name is that of another device there
	Up        bool
	Addresses []notedAddress
	Identity  identity
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

// idOf names a namespace by its file, and by a socket that is in it.
func idOf(f *os.File, c *conn) (nsID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nsID{}, fmt.Errorf("look at a network namespace: %w", err)
	}
	cookie, err := unix.GetsockoptUint64(c.fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil && err != unix.ENOPROTOOPT {
		return nsID{}, fmt.Errorf("ask for the cookie of a network namespace: %w", err)
	}
	return nsID{st.Dev, st.Ino, cookie}, nil
}

func (a nsID) is(b nsID) bool {
	return a.Dev == b.Dev && a.Ino == b.Ino && (a.Cookie == b.Cookie || a.Cookie == 0 || b.Cookie == 0)
}

// record looks at devices that are about to be moved. One that is not there is left to the move to complain about.
func (m *Moved) record(names []string, devices map[string]specs.LinuxNetDevice) (r *Record, err error) {
	r = &Record{}
	if r.From, err = idOf(m.host, m.here); err != nil {
		return nil, err
	}
	if r.To, err = idOf(m.ns, m.inside); err != nil {
		return nil, err
	}
	for _, name := range names {
		l, err := m.here.link(name)
		if errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at network device %s: %w", name, err)
		}
		addresses, err := m.here.addresses(l.index)
		if err != nil {
			return nil, fmt.Errorf("read addresses of network device %s: %w", name, err)
		}
		taken, err := m.inside.has(name)
		if err != nil {
			return nil, err
		}
		if _, err = m.inside.byIndex(l.index); err != nil && !errors.Is(err, unix.ENODEV) {
			return nil, err
		}
		r.Devices = append(r.Devices, Noted{
			Name: name, As: devices[name].Name, Index: l.index, Keeps: err != nil, Taken: taken, Up: l.up, Addresses: note(addresses),
			Identity: l.id,
		})
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
// them with it; another one in its place is not touched. As long as a device may be there that could not be looked for, or not
// be brought back, there is an error.
func (r *Record) Back() error {
	if gone, err := r.gone(); gone || err != nil {
		return err
	}
	m, err := prepare(r.Path)
	if err != nil {
		return err
	}
	defer m.Close()
	m.shared, m.path = true, r.Path
	from, err1 := idOf(m.host, m.here)
	to, err2 := idOf(m.ns, m.inside)
	switch err := errors.Join(err1, err2); {
	case err != nil:
		return err
	case !to.is(r.To):
		return nil
	}
	for i := range r.Devices {
		if err := m.find(&r.Devices[i], from.is(r.From)); err != nil {
			return fmt.Errorf("look for network device %s: %w", r.Devices[i].Name, err)
		}
	}
	if len(m.devices) > 0 && !from.is(r.From) {
		return hint.With(fmt.Errorf("bring network device %s back: rt is in another network namespace than it was", m.devices[0].name),
			"run rt in that one, or move the device out of "+r.Path)
	}
	return m.Back()
}

// gone says whether the namespace is no longer at its path, where there may be a plain file that it was mounted on.
func (r *Record) gone() (bool, error) {
	var st unix.Stat_t
	err := unix.Stat(r.Path, &st)
	switch err {
	case nil:
		return st.Dev != r.To.Dev || st.Ino != r.To.Ino, nil
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ESRCH:
		return true, nil
	}
	return false, fmt.Errorf("look at network namespace %s: %w", r.Path, err)
}

// find looks for a device that was moved. One that keeps its number has it with a name that it may have by then; any other is
// known by that name alone. home says that rt is where they were.
func (m *Moved) find(n *Noted, home bool) error {
	if home {
		if done, err := m.arrived(n); done || err != nil {
			return err
		}
	}
	now, err := m.lookFor(n)
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return err
	}
	d := n.device(now)
	if err == nil {
		_, err = m.ours(d, now.index)
	}
	// Another device that has the number only is none of rt's; one with the name too may be meant to pass for it.
	if err == nil || (err == errOther || err == errUnknown) && n.called(now.name) {
		m.devices = append(m.devices, d)
		return nil
	}
	if errors.Is(err, unix.ENODEV) || err == errOther || err == errUnknown {
		return nil
	}
	return err
}

// arrived finds a device that is on the host. A Back that was killed has left it under its passing name; or down, with its own name and
// some of its addresses or none.
func (m *Moved) arrived(n *Noted) (bool, error) {
	for _, name := range [...]string{n.Name, passingName(n.Index)} {
		l, err := m.here.link(name)
		if errors.Is(err, unix.ENODEV) {
			continue
		}
		d := n.device(l)
		known := err == nil && l.is(d.was, noNS) == nil
		if d.home = known && (name != n.Name || !l.up); d.home {
			m.devices = append(m.devices, d)
		}
		if err != nil || known || name == n.Name {
			return true, err
		}
	}
	return false, nil
}

// device is a device that was found again.
func (n *Noted) device(now link) device {
	return device{name: n.Name, was: link{index: n.Index, up: n.Up, id: n.Identity}, now: now, addresses: n.addresses()}
}

func (m *Moved) lookFor(n *Noted) (now link, err error) {
	if n.Keeps {
		return m.inside.byIndex(n.Index)
	}
	err = unix.ENODEV
	for _, name := range []string{passingName(n.Index), n.As, n.Name} {
		if name != "" && n.called(name) {
			if now, err = m.inside.link(name); !errors.Is(err, unix.ENODEV) {
				break
			}
		}
	}
	return now, err
}

// called says whether a device may have a name in the container's namespace: that it arrives with, or gets then.
func (n *Noted) called(name string) bool {
	before, after, pattern := strings.Cut(n.As, "%d")
	return name == passingName(n.Index) || name == n.Name && !n.Taken || n.As != "" && name == n.As ||
		pattern && strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
}
