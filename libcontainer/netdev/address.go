package netdev

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An address is one of a device, as the kernel told it: what is sent back is what came.
type address struct {
	family, prefix uint8
	flags          uint32
	local          []byte
	attrs          []attribute
}

type attribute struct {
	kind  uint16
	value []byte
}

// Flags of an address that its owner set; the others are the kernel's findings.
const configured = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

// addresses are those that outlive a move: permanent ones of global scope.
func (c *conn) addresses(index int32) (list []address, err error) {
	var m unix.IfAddrmsg
	r := newRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP, (*[unix.SizeofIfAddrmsg]byte)(unsafe.Pointer(&m))[:])
	err = c.do(r, func(msg []byte) {
		if len(msg) < unix.SizeofIfAddrmsg || int32(binary.NativeEndian.Uint32(msg[4:])) != index {
			return
		}
		a, scope := parseAddress(msg)
		if scope == unix.RT_SCOPE_UNIVERSE && a.flags&unix.IFA_F_PERMANENT != 0 {
			list = append(list, a)
		}
	})
	return list, err
}

// parseAddress reads a struct ifaddrmsg and its attributes.
func parseAddress(msg []byte) (a address, scope uint8) {
	a = address{family: msg[0], prefix: msg[1], flags: uint32(msg[2])}
	attributes(msg[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFA_FLAGS:
			if len(value) >= 4 {
				a.flags = binary.NativeEndian.Uint32(value)
			}
			return
		case unix.IFA_CACHEINFO, unix.IFA_LABEL: // no permanent address has an end; a label begins with the device's name
			return
		case unix.IFA_LOCAL:
			a.local = append([]byte(nil), value...)
		case unix.IFA_ADDRESS: // of the peer, if there is one
			if a.local == nil {
				a.local = append([]byte(nil), value...)
			}
		}
		a.attrs = append(a.attrs, attribute{kind, append([]byte(nil), value...)})
	})
	return a, msg[3]
}

// add gives a device its addresses, in their order: the first of a subnet is the one that is used (ip-address(8)).
func (c *conn) add(index int32, list []address) error {
	for _, a := range list {
		m := unix.IfAddrmsg{Family: a.family, Prefixlen: a.prefix, Index: uint32(index), Scope: unix.RT_SCOPE_UNIVERSE}
		r := newRequest(unix.RTM_NEWADDR, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE,
			(*[unix.SizeofIfAddrmsg]byte)(unsafe.Pointer(&m))[:])
		for _, t := range a.attrs {
			r.attr(t.kind, t.value)
		}
		r.attr(unix.IFA_FLAGS, binary.NativeEndian.AppendUint32(nil, a.flags&configured))
		if err := c.do(r, nil); err != nil {
			return fmt.Errorf("give it the address %s: %w", a, err)
		}
	}
	return nil
}

// String is for an error: no zeros are left out of an IPv6 address.
func (a address) String() string {
	parts, sep := make([]string, 0, 8), "."
	if len(a.local) == 4 {
		for _, b := range a.local {
			parts = append(parts, strconv.Itoa(int(b)))
		}
	} else {
		sep = ":"
		for i := 0; i+1 < len(a.local); i += 2 {
			parts = append(parts, fmt.Sprintf("%02x%02x", a.local[i], a.local[i+1]))
		}
	}
	return fmt.Sprintf("%s/%d", strings.Join(parts, sep), a.prefix)
}
