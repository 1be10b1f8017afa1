package netdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Who may set up devices in a namespace can delete the one that was moved there and make another with its number, its name and
// its address, with the other end in his hands. Under the host's name and addresses it must not come to the host. So a device is
// brought back only if it has what nobody in that namespace can give to one of his: the bus and the address of a piece of hardware,
// or another end or a birthplace in the host's namespace.

// An identity is what tells a device from others.
type identity struct {
	Kind    string // of a device that was made ("veth", "macvlan"); "" for hardware
	Parent  string // hardware: bus and name of the device that it belongs to (Linux 5.14)
	Perm    []byte // hardware: its permanent address
	Link    int32  // the number of its other end, or of the device below it; 0 if there is none
	Address []byte // its address now
	LinkNS  int32  // in which namespace that is, by its number in the one where the device is; noNS if it is the same one
}

const noNS = -1

// attribute takes in one of a link's.
func (id *identity) attribute(kind uint16, value []byte) {
	text := func() string { return strings.TrimRight(string(value), "\x00") }
	switch kind {
	case unix.IFLA_LINKINFO:
		attributes(value, func(kind uint16, value []byte) {
			if kind == unix.IFLA_INFO_KIND {
				id.Kind = strings.TrimRight(string(value), "\x00")
			}
		})
	case unix.IFLA_PERM_ADDRESS:
		id.Perm = bytes.Clone(value)
	case unix.IFLA_ADDRESS:
		id.Address = bytes.Clone(value)
	case unix.IFLA_PARENT_DEV_NAME:
		id.Parent += "/" + text()
	case unix.IFLA_PARENT_DEV_BUS_NAME:
		id.Parent = text() + id.Parent
	case unix.IFLA_LINK:
		id.Link = number(value)
	case unix.IFLA_LINK_NETNSID:
		id.LinkNS = number(value)
	}
}

func number(value []byte) int32 {
	if len(value) < 4 {
		return 0
	}
	return int32(binary.NativeEndian.Uint32(value))
}

// errUnknown: nothing tells the device from one that another has made.
var errUnknown = errors.New("nothing tells it from a device that somebody else has made in its place")

// errOther: it is another device.
var errOther = errors.New("it is another device by now")

// is says whether a device, now in a namespace, is the one that was in the host's: nil, errOther or errUnknown. host is the
// number of the host's namespace in the one where the device is now, noNS if that is the host's.
func (l link) is(was link, host int32) error {
	a, b := was.id, l.id
	switch {
	case a.Kind != b.Kind:
		return errOther
	case a.Kind == "" && a.Parent == "" && len(a.Perm) == 0:
		return errUnknown
	case a.Kind == "":
		if a.Parent != b.Parent || !bytes.Equal(a.Perm, b.Perm) {
			return errOther
		}
		return nil
	case a.LinkNS != noNS: // its other end was elsewhere before
		return errUnknown
	}
	if b.LinkNS != host {
		if b.LinkNS == noNS && a.Link == 0 {
			return errUnknown // a dummy, a bridge, a tap: they have no other end, wherever they were made
		}
		return errOther
	}
	// A device without another end that was made in the host's namespace names itself there (a tunnel, wireguard).
	if a.Link != b.Link && !(a.Link == 0 && b.Link == l.index) {
		return errOther
	}
	// Several devices may lie on one (macvlan), some of them in this namespace; only one of them has the address.
	if a.Kind != "veth" && !bytes.Equal(a.Address, b.Address) {
		return errOther
	}
	return nil
}

// nsNumber is the number that a namespace has in the one that the socket is in, noNS if it has none there: a device there whose
// other end is in it would have given it one.
func (c *conn) nsNumber(ns *os.File) (int32, error) {
	id := int32(noNS)
	err := c.do(newRequest(unix.RTM_GETNSID, unix.NLM_F_ACK, make([]byte, unix.NLMSG_ALIGNTO)).fd(unix.NETNSA_FD, ns), func(msg []byte) {
		if len(msg) < unix.NLMSG_ALIGNTO {
			return
		}
		attributes(msg[unix.NLMSG_ALIGNTO:], func(kind uint16, value []byte) {
			if kind == unix.NETNSA_NSID {
				id = number(value)
			}
		})
	})
	if err != nil {
		return noNS, fmt.Errorf("ask for the number of the host's network namespace: %w", err)
	}
	return id, nil
}

// ours is the device with this number in the container's namespace, if it is the one that was taken from the host. Where nobody
// else can have been in the namespace, one that nothing tells from others is the one.
func (m *Moved) ours(d device, index int32) (link, error) {
	now, err := m.inside.byIndex(index) // first: it gives the host's namespace a number, if it has an end there
	if err != nil || !m.shared {
		return now, err
	}
	host, err := m.inside.nsNumber(m.host)
	if err != nil {
		return now, err
	}
	if host == noNS {
		host = noNS - 1 // no device has its other end there
	}
	return now, now.is(d.was, host)
}

// otherEnd is which device of a list is the other end of its first, both of them moved and both in the container's namespace; 0 if
// none is. Then neither tells where the other was made.
func (m *Moved) otherEnd(list []device) int {
	d := list[0]
	if !m.shared || d.home || d.was.id.Kind != "veth" {
		return 0
	}
	for i, e := range list[1:] {
		were := d.was.id.LinkNS == noNS && d.was.id.Link == e.was.index || e.was.id.LinkNS == noNS && e.was.id.Link == d.was.index
		if !were || e.home || e.was.id.Kind != "veth" {
			continue
		}
		a, err1 := m.inside.byIndex(d.now.index)
		b, err2 := m.inside.byIndex(e.now.index)
		if err1 == nil && err2 == nil && a.pairs(b) {
			return i + 1
		}
	}
	return 0
}

// pairs says whether two devices of one namespace are each other's ends.
func (l link) pairs(other link) bool {
	return l.id.Kind == "veth" && other.id.Kind == "veth" && l.id.LinkNS == noNS && other.id.LinkNS == noNS &&
		l.id.Link == other.index && other.id.Link == l.index
}

// backPair brings both ends of a pair back. With both of them on the host it is in nobody else's hands, whoever has made it.
func (m *Moved) backPair(d, e device) error {
	was1, err := m.inside.byIndex(d.now.index)
	if err != nil {
		return err
	}
	was2, err := m.inside.byIndex(e.now.index)
	if err != nil {
		return err
	}
	one, err := m.carry(d, was1)
	if err != nil {
		return err
	}
	two, err := m.carry(e, was2)
	if err == nil {
		one, err = m.here.byIndex(one.index) // now that its other end has moved, too
	}
	if err == nil && one.pairs(two) {
		return errors.Join(m.restore(d, one), m.restore(e, two))
	}
	if back := m.sendBack(one, was1); err != nil || back != nil {
		return errors.Join(err, back)
	}
	if err := m.sendBack(two, was2); err != nil {
		return err
	}
	return errors.Join(m.stays(d, errOther), m.stays(e, errOther))
}

// A StaysError says that a device stays in the container's namespace, for what is there may be another one by now. No later attempt
// would find out more.
type StaysError struct {
	Name, Path string // on the host; of the namespace
	Reason     error
}

func (e *StaysError) Error() string {
	where := "the container's network namespace"
	if e.Path != "" {
		where = "network namespace " + e.Path
	}
	return fmt.Sprintf("network device %s stays in %s: %v", e.Name, where, e.Reason)
}

func (e *StaysError) Unwrap() error { return e.Reason }

// stays makes an error about the identity of a device one that says that it stays.
func (m *Moved) stays(d device, err error) error {
	if err == errOther || err == errUnknown {
		return &StaysError{d.name, m.path, err}
	}
	return err
}

// OnlyStay says whether all that an error of Back tells is that devices stay where they are.
func OnlyStay(err error) bool {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range list.Unwrap() {
			if !OnlyStay(e) {
				return false
			}
		}
		return true
	}
	var stays *StaysError
	return errors.As(err, &stays)
}
