// Package netdev moves network devices into a container's network namespace, by route netlink (rtnetlink(7)), from
// outside: config-linux.md, "Network Devices".
package netdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"rt/internal/hint"
	"rt/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A link is a device in one namespace.
type link struct {
	index int32
	name  string
	up    bool
	id    identity
}

// link looks a device up by its name.
func (c *conn) link(name string) (link, error) {
	return c.find(linkRequest(unix.RTM_GETLINK, 0, 0, 0).text(unix.IFLA_IFNAME, name))
}

// byIndex looks a device up by its number.
func (c *conn) byIndex(index int32) (link, error) {
	return c.find(linkRequest(unix.RTM_GETLINK, index, 0, 0))
}

func (c *conn) find(r *request) (l link, err error) {
	err = c.do(r, func(msg []byte) {
		if len(msg) < unix.SizeofIfInfomsg {
			return
		}
		l.id.LinkNS = noNS
		l.index = int32(binary.NativeEndian.Uint32(msg[4:]))
		l.up = binary.NativeEndian.Uint32(msg[8:])&unix.IFF_UP != 0
		attributes(msg[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) {
			if kind == unix.IFLA_IFNAME {
				l.name = strings.TrimRight(string(value), "\x00")
			}
			l.id.attribute(kind, value)
		})
	})
	return l, err
}

func (c *conn) has(name string) (bool, error) {
	_, err := c.link(name)
	if errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	return err == nil, err
}

// move sends a device to another namespace under a name that is free there.
func (c *conn) move(index int32, to *os.File, name string) error {
	return c.do(linkRequest(unix.RTM_SETLINK, index, 0, 0).fd(unix.IFLA_NET_NS_FD, to).text(unix.IFLA_IFNAME, name), nil)
}

func (c *conn) rename(index int32, name string) error {
	return c.do(linkRequest(unix.RTM_SETLINK, index, 0, 0).text(unix.IFLA_IFNAME, name), nil)
}

func (c *conn) setAddress(index int32, hardware []byte) error {
	return c.do(linkRequest(unix.RTM_SETLINK, index, 0, 0).attr(unix.IFLA_ADDRESS, hardware), nil)
}

func (c *conn) up(index int32) error {
	return c.do(linkRequest(unix.RTM_SETLINK, index, unix.IFF_UP, unix.IFF_UP), nil)
}

// A Moved is what has been moved into a container's network namespace, and can be brought back.
type Moved struct {
	host, ns     *os.File
	here, inside *conn
	devices      []device
	shared       bool   // others may be in the container's namespace
	path         string // of the container's namespace, for messages, if it is shared
}

type device struct {
	name      string // on the host
	was, now  link
	addresses []address
	home      bool // it has come to the host, under its passing name
}

// Move moves the devices into the network namespace at path, in the order of their names. Close the result, after Back if it,
// or what follows, has failed: on error too there is one, unless nothing was moved.
// shared says that others may be in that namespace; then only what can be told from a device of theirs is brought back. note,
// which may be nil, is told what is needed to bring them back after a crash, before anything is moved.
func Move(devices map[string]specs.LinuxNetDevice, path string, shared bool, note func(*Record) error) (*Moved, error) {
	m, err := prepare(path)
	if err != nil {
		return nil, err
	}
	m.shared = shared
	names := make([]string, 0, len(devices))
	for name := range devices {
		names = append(names, name)
	}
	slices.Sort(names)
	if note != nil {
		r, err := m.record(names, devices)
		if err == nil {
			err = note(r)
			m.path = r.Path
		}
		if err != nil {
			m.Close()
			return nil, err
		}
	}
	for _, name := range names {
		if err := m.take(name, devices[name].Name); err != nil {
			return m, fmt.Errorf("move network device %s (/linux/netDevices/%s): %w", name, name, err)
		}
	}
	return m, nil
}

func prepare(path string) (m *Moved, err error) {
	m = &Moved{}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	if m.host, err = sys.OpenKernelFile("/proc/thread-self/ns/net", unix.O_RDONLY); err != nil {
		return m, err
	}
	if m.ns, err = sys.OpenNamespace(path); err != nil {
		return m, err
	}
	var a, b unix.Stat_t
	if unix.Fstat(int(m.host.Fd()), &a) == nil && unix.Fstat(int(m.ns.Fd()), &b) == nil && a.Ino == b.Ino && a.Dev == b.Dev {
		return m, errors.New("move network devices (/linux/netDevices): the container is in rt's own network namespace")
	}
	if m.here, err = open(); err != nil {
		return m, err
	}
	m.inside, err = openIn(m.ns)
	return m, err
}

// take moves one device. It arrives under its own name, or a passing one where that is taken, so that it can be
// found; then it gets the name that was asked for, which may be a pattern.
func (m *Moved) take(name, as string) error {
	if as == "" {
		as = name
	}
	d := device{name: name}
	var err error
	if d.was, err = m.here.link(name); err != nil {
		return err
	}
	if d.addresses, err = m.here.addresses(d.was.index); err != nil {
		return fmt.Errorf("read addresses: %w", err)
	}
	if taken, err := m.inside.has(as); err != nil {
		return err
	} else if taken {
		return fmt.Errorf("there is a device %s in the container's network namespace: %w", as, unix.EEXIST)
	}
	passing := name
	if taken, err := m.inside.has(name); err != nil {
		return err
	} else if taken {
		passing = passingName(d.was.index)
	}
	if err := m.here.move(d.was.index, m.ns, passing); err != nil {
		if errors.Is(err, unix.EINVAL) {
			err = hint.With(err, "the kernel does not let this kind of device leave its network namespace")
		}
		return err
	}
	d.now.name = passing
	m.devices = append(m.devices, d) // from here on it is to be brought back, whatever fails
	there := &m.devices[len(m.devices)-1].now
	if d.now, err = m.inside.link(passing); err != nil {
		return err
	}
	if _, err := m.ours(d, d.now.index); err != nil && err != errUnknown {
		return err
	}
	*there = d.now
	return m.settle(d, passing, as)
}

func passingName(index int32) string { return fmt.Sprintf("rt-%d", index) }

func (m *Moved) settle(d device, passing, as string) error {
	if as != passing {
		if err := m.inside.rename(d.now.index, as); err != nil {
			return fmt.Errorf("rename it to %s: %w", as, err)
		}
	}
	if err := m.inside.add(d.now.index, d.addresses); err != nil {
		return err
	}
	if err := m.inside.up(d.now.index); err != nil {
		return fmt.Errorf("set it up: %w", err)
	}
	return nil
}

// Back takes the devices back to where they were, with their names and addresses. The error is of all that did not come back
// whole, some of which may stay for good (OnlyStay). A device that is gone by now is none of them.
func (m *Moved) Back() error {
	var failed []error
	note := func(d device, err error) {
		var stays *StaysError
		switch {
		case err == nil, errors.Is(err, unix.ENODEV):
		case errors.As(err, &stays):
			failed = append(failed, err)
		default:
			failed = append(failed, fmt.Errorf("bring network device %s back: %w", d.name, err))
		}
	}
	for list := m.devices; len(list) > 0; list = list[1:] {
		if i := m.otherEnd(list); i > 0 {
			note(list[0], m.backPair(list[0], list[i]))
			list = slices.Delete(slices.Clone(list), i, i+1)
			continue
		}
		note(list[0], m.back(list[0]))
	}
	m.devices = nil
	return errors.Join(failed...)
}

func (m *Moved) back(d device) error {
	l, err := d.now, error(nil)
	if !d.home {
		if l, err = m.retrieve(d); err != nil {
			return err
		}
	}
	return m.restore(d, l)
}

// restore gives a device that is on the host what it had.
func (m *Moved) restore(d device, l link) error {
	if was := d.was.id.Address; m.shared && len(was) > 0 && !bytes.Equal(l.id.Address, was) { // somebody has changed it there
		if err := m.here.setAddress(l.index, was); err != nil {
			return fmt.Errorf("give it its hardware address: %w", err)
		}
	}
	if err := m.here.rename(l.index, d.name); err != nil {
		return fmt.Errorf("rename it from %s: %w", l.name, err)
	}
	if err := m.here.add(l.index, d.addresses); err != nil {
		return err
	}
	if d.was.up {
		return m.here.up(l.index)
	}
	return nil
}

// retrieve looks for a device in the container's namespace and moves it to the host.
func (m *Moved) retrieve(d device) (link, error) {
	index := d.now.index
	if index == 0 { // it could not be looked at when it had arrived
		l, err := m.inside.link(d.now.name)
		if err != nil {
			return l, err
		}
		index = l.index
	}
	now, err := m.ours(d, index)
	if err != nil {
		return now, m.stays(d, err)
	}
	return m.fetch(d, now)
}

// fetch moves a device to the host under a passing name, down and without addresses, and looks at it again: between the first
// look and the move another may have taken its number. Such a one goes back.
func (m *Moved) fetch(d device, now link) (link, error) {
	l, err := m.carry(d, now)
	if err == nil && m.shared {
		err = l.is(d.was, noNS)
	}
	if err == errOther || err == errUnknown {
		if back := m.sendBack(l, now); back != nil {
			return l, back
		}
	}
	return l, m.stays(d, err)
}

// carry moves a device to the host under its passing name.
func (m *Moved) carry(d device, now link) (link, error) {
	passing := passingName(d.was.index)
	for _, name := range []string{d.name, passing} {
		if taken, err := m.here.has(name); err != nil {
			return now, err
		} else if taken {
			return now, fmt.Errorf("there is a device %s on the host: %w", name, unix.EEXIST)
		}
	}
	if err := m.inside.move(now.index, m.host, passing); err != nil {
		return now, err
	}
	return m.here.link(passing)
}

// sendBack moves another device than was expected back, under the name that it had.
func (m *Moved) sendBack(l, was link) error {
	if err := m.here.move(l.index, m.ns, was.name); err != nil {
		return fmt.Errorf("another device has come in its place and is called %s now: move it back: %w", l.name, err)
	}
	return nil
}

// Close leaves the devices where they are; a Back that comes later, too.
func (m *Moved) Close() {
	if m == nil {
		return
	}
	m.devices = nil
	for _, f := range []*os.File{m.host, m.ns} {
		if f != nil {
			f.Close()
		}
	}
	for _, c := range []*conn{m.here, m.inside} {
		if c != nil {
			c.close()
		}
	}
}

// LoopbackUp brings up lo in the network namespace at path.
func LoopbackUp(path string) error {
	ns, err := sys.OpenNamespace(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	c, err := openIn(ns)
	if err != nil {
		return err
	}
	defer c.close()
	lo, err := c.link("lo")
	if err == nil {
		err = c.up(lo.index)
	}
	if err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	return nil
}
