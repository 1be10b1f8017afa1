package netdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestIs: the identity of a device by what the kernel tells of it. 7 is the number of the host's namespace.
func TestIs(t *testing.T) {
	hardware := identity{Parent: "pci/0000:01:00.0", Perm: []byte{2, 0, 0, 0, 0, 1}, LinkNS: noNS}
	veth := identity{Kind: "veth", Link: 4, LinkNS: noNS}
	macvlan := identity{Kind: "macvlan", Link: 2, Address: []byte{1}, LinkNS: noNS}
	tunnel := identity{Kind: "wireguard", LinkNS: noNS}
	dummy := identity{Kind: "dummy", LinkNS: noNS}
	for _, c := range []struct {
		name     string
		was, now identity
		want     error
	}{
		{"hardware", hardware, hardware, nil},
		{"hardware with another address now", hardware, identity{Parent: hardware.Parent, Perm: hardware.Perm, Address: []byte{9}, LinkNS: noNS}, nil},
		{"other hardware", hardware, identity{Parent: "pci/0000:02:00.0", Perm: hardware.Perm, LinkNS: noNS}, errOther},
		{"another function of it", hardware, identity{Parent: hardware.Parent, Perm: []byte{2, 0, 0, 0, 0, 2}, LinkNS: noNS}, errOther},
		{"made with its address", hardware, identity{Kind: "ipip", Parent: hardware.Parent, Perm: hardware.Perm, LinkNS: noNS}, errOther},
		{"hardware without marks", identity{LinkNS: noNS}, identity{LinkNS: noNS}, errUnknown},
		{"veth", veth, identity{Kind: "veth", Link: 4, LinkNS: 7}, nil},
		{"another of the host's veths", veth, identity{Kind: "veth", Link: 6, LinkNS: 7}, errOther},
		{"veth whose other end is the neighbour's", veth, identity{Kind: "veth", Link: 4, LinkNS: noNS}, errOther},
		{"veth whose other end is elsewhere", veth, identity{Kind: "veth", Link: 4, LinkNS: 1}, errOther},
		{"veth whose other end was elsewhere", identity{Kind: "veth", Link: 4, LinkNS: 3}, identity{Kind: "veth", Link: 4, LinkNS: 3}, errUnknown},
		{"macvlan", macvlan, identity{Kind: "macvlan", Link: 2, Address: []byte{1}, LinkNS: 7}, nil},
		{"another on the same device", macvlan, identity{Kind: "macvlan", Link: 2, Address: []byte{2}, LinkNS: 7}, errOther},
		{"macvlan on the neighbour's device", macvlan, identity{Kind: "macvlan", Link: 2, Address: []byte{1}, LinkNS: noNS}, errOther},
		{"a veth as macvlan", macvlan, identity{Kind: "veth", Link: 2, Address: []byte{1}, LinkNS: 7}, errOther},
		{"wireguard of the host", tunnel, identity{Kind: "wireguard", Link: 5, LinkNS: 7}, nil},
		{"wireguard of the neighbour", tunnel, identity{Kind: "wireguard", LinkNS: noNS}, errUnknown},
		{"wireguard from elsewhere", tunnel, identity{Kind: "wireguard", Link: 5, LinkNS: 2}, errOther},
		{"a dummy", dummy, dummy, errUnknown},
		{"of a record without identity", identity{}, identity{Kind: "veth", Link: 4, LinkNS: 7}, errOther},
	} {
		if err := (link{index: 5, id: c.now}).is(link{index: 5, id: c.was}, 7); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestForgedDevice: who shares the container's namespace has put a device of his own in place of the one that was moved there, with
// its number and its name. It stays; and if it was brought before that was known, it goes back.
func TestForgedDevice(t *testing.T) {
	path := namespaces(t)
	m, err := prepare(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, shared := range []bool{true, false} {
		add(t, m.here, "one")
		moved, err := Move(map[string]specs.LinuxNetDevice{"one": {}}, path, shared, nil)
		if err != nil {
			t.Fatal(err)
		}
		d := moved.devices[0]
		remove(m.inside, "one")
		addAt(t, m.inside, "one", d.now.index)
		err = moved.Back()
		var stays *StaysError
		if has, _ := m.here.has("one"); has == shared || errors.As(err, &stays) != shared || shared && !OnlyStay(err) {
			t.Errorf("shared %v: one is on the host: %v, %v", shared, has, err)
		}
		if shared { // as if it had been put there after the first look
			now, _ := m.inside.link("one")
			if _, err := moved.fetch(d, now); !OnlyStay(err) {
				t.Errorf("fetched: %v", err)
			}
			for _, name := range []string{"one", passingName(d.was.index)} {
				if has, err := m.here.has(name); has || err != nil {
					t.Errorf("%s is on the host: %v", name, err)
				}
			}
			if has, err := m.inside.has("one"); !has || err != nil {
				t.Errorf("it did not go back: %v", err)
			}
		}
		moved.Close()
		remove(m.inside, "one")
		remove(m.here, "one")
	}
}

// TestBackKilled: a Back that was killed has left a device on the host under its passing name. The next one finishes; a device
// of another origin with such a name is left alone.
func TestBackKilled(t *testing.T) {
	path := namespaces(t)
	m, err := prepare(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, own := range []bool{true, false} {
		add(t, m.here, "one")
		var r *Record
		moved, err := Move(map[string]specs.LinuxNetDevice{"one": {}}, path, true, func(noted *Record) error { r = noted; r.Path = path; return nil })
		if err != nil {
			t.Fatal(err)
		}
		d := moved.devices[0]
		passing := passingName(d.was.index)
		if own {
			if _, err := moved.fetch(d, d.now); err != nil {
				t.Fatal(err)
			}
		} else {
			remove(m.inside, "one")
			add(t, m.here, passing)
		}
		moved.Close()
		if err := r.Back(); err != nil {
			t.Error(err)
		}
		for name, want := range map[string]bool{"one": own, passing: !own} {
			if has, err := m.here.has(name); has != want || err != nil {
				t.Errorf("own %v: %s is there: %v, want %v, %v", own, name, has, want, err)
			}
		}
		remove(m.here, "one")
		remove(m.here, passing)
	}
}

// TestBackKilledNamed: a Back that was killed has left a device on the host under its own name: the next one gives it its addresses and
// sets it up. One that is up is whole, and stays as it is.
func TestBackKilledNamed(t *testing.T) {
	path := namespaces(t)
	m, err := prepare(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	local := []byte{10, 99, 0, 1}
	given := []address{{family: unix.AF_INET, prefix: 24, local: local, attrs: []attribute{{unix.IFA_LOCAL, local}, {unix.IFA_ADDRESS, local}}}}
	for _, whole := range []bool{false, true} {
		add(t, m.here, "one")
		l, err := m.here.link("one")
		if err == nil {
			err = errors.Join(m.here.add(l.index, given), m.here.up(l.index))
		}
		if err != nil {
			t.Fatal(err)
		}
		var r *Record
		moved, err := Move(map[string]specs.LinuxNetDevice{"one": {}}, path, true, func(noted *Record) error { r = noted; r.Path = path; return nil })
		if err != nil {
			t.Fatal(err)
		}
		if l, err = moved.fetch(moved.devices[0], moved.devices[0].now); err == nil {
			err = m.here.rename(l.index, "one")
		}
		if err == nil && whole {
			err = m.here.up(l.index)
		}
		moved.Close()
		if err = errors.Join(err, r.Back()); err != nil {
			t.Fatal(err)
		}
		l, err = m.here.link("one")
		addresses, addressErr := m.here.addresses(l.index)
		if err != nil || addressErr != nil || !l.up || len(addresses) == 1 == whole {
			t.Errorf("whole %v: up %v, addresses %v: %v, %v", whole, l.up, addresses, err, addressErr)
		}
		remove(m.here, "one")
	}
}

// TestBackPair: both ends of a veth were moved. They come back together, also one that a neighbour has made, as he holds none of it
// then; and not if one end is his.
func TestBackPair(t *testing.T) {
	path := namespaces(t)
	m, err := prepare(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, c := range []struct {
		name   string
		change func(one, two int32)
		back   bool
	}{
		{"as they were", func(int32, int32) {}, true},
		{"another pair whose end is the neighbour's", func(one, two int32) {
			remove(m.inside, "one")
			addAt(t, m.inside, "one", one)
			addAt(t, m.inside, "two", two)
		}, false},
	} {
		for _, killed := range []bool{false, true} {
			add(t, m.here, "one")
			l, err := m.here.link("one")
			if err == nil {
				var other link
				if other, err = m.here.byIndex(l.id.Link); err == nil {
					err = m.here.rename(other.index, "two")
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			var r *Record
			moved, err := Move(map[string]specs.LinuxNetDevice{"one": {}, "two": {}}, path, true, func(noted *Record) error { r = noted; r.Path = path; return nil })
			if err != nil {
				t.Fatal(err)
			}
			c.change(moved.devices[0].now.index, moved.devices[1].now.index)
			if killed {
				err = r.Back()
			} else {
				err = moved.Back()
			}
			if (err == nil) != c.back || err != nil && !OnlyStay(err) {
				t.Errorf("%s, killed %v: %v", c.name, killed, err)
			}
			for _, name := range []string{"one", "two"} {
				if has, err := m.here.has(name); has != c.back || err != nil {
					t.Errorf("%s, killed %v: %s is on the host: %v, %v", c.name, killed, name, has, err)
				}
			}
			for _, name := range []string{"one", "two"} {
				remove(m.here, name)
				remove(m.inside, name)
			}
			moved.Close()
		}
	}
}

func TestOnlyStay(t *testing.T) {
	stays := fmt.Errorf("more: %w", &StaysError{"one", "", errOther})
	for err, want := range map[error]bool{
		stays: true, errors.Join(stays, stays): true, errors.Join(stays, unix.EIO): false, unix.EIO: false, errors.Join(errors.Join(stays)): true,
	} {
		if OnlyStay(err) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
}

// TestForgedAnswer: an answer that a process has sent, and not the kernel, is none.
func TestForgedAnswer(t *testing.T) {
	namespaces(t)
	c, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	forger, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer forger.close()
	answer := make([]byte, unix.NLMSG_HDRLEN+4)
	binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
	binary.NativeEndian.PutUint16(answer[4:], unix.NLMSG_ERROR)
	binary.NativeEndian.PutUint32(answer[8:], c.seq+1)
	eio := -int32(unix.EIO)
	binary.NativeEndian.PutUint32(answer[16:], uint32(eio))
	if err := unix.Sendto(forger.fd, answer, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: name.(*unix.SockaddrNetlink).Pid}); err != nil {
		t.Fatal(err)
	}
	if l, err := c.link("lo"); err != nil || l.name != "lo" {
		t.Errorf("%+v, %v", l, err)
	}
}
