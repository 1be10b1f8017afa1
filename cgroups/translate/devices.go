package translate

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// The v1 devices cgroup is a default (allow or deny) with a list of exceptions. Its rules as the kernel
// applies them one by one (security/device_cgroup.c) have two traps: `a` ignores the numbers and the access
// that follow it, and a rule against the default only changes an exception with exactly its numbers, so
// that "deny c 1:3" after "allow c *:*" is taken and does nothing. Hence the rules are played through here,
// the resulting state is what is written, and what a v1 cgroup cannot express is an error.

// anyNumber is the wildcard "*".
const anyNumber = -1

// deviceKey names an exception.
type deviceKey struct {
	kind         byte // 'b' or 'c'
	major, minor int64
}

// access is a set of r, w, m.
type access uint8

const (
	accessRead access = 1 << iota
	accessWrite
	accessMknod
	accessAll = accessRead | accessWrite | accessMknod
)

// DeviceState is a v1 devices cgroup: a default and the exceptions to it.
type DeviceState struct {
	Allow      bool // the default
	exceptions map[deviceKey]access
}

// defaultDevices are allowed in every container that is not allowed everything: mknod of any node, the
// devices of config-linux.md ("Default Devices"), terminals (ptmx and /dev/pts/*) and, as in runc and crun, tun.
func defaultDevices() map[deviceKey]access {
	return map[deviceKey]access{
		{'c', anyNumber, anyNumber}: accessMknod,
		{'b', anyNumber, anyNumber}: accessMknod,
		{'c', 1, 3}:                 accessAll, // null
		{'c', 1, 5}:                 accessAll, // zero
		{'c', 1, 7}:                 accessAll, // full
		{'c', 1, 8}:                 accessAll, // random
		{'c', 1, 9}:                 accessAll, // urandom
		{'c', 5, 0}:                 accessAll, // tty
		{'c', 5, 2}:                 accessAll, // ptmx
		{'c', 10, 200}:              accessAll, // net/tun
		{'c', 136, anyNumber}:       accessAll, // pts/*
	}
}

// Devices translates linux.resources.devices for v1. Everything is denied until a rule says otherwise; the rules are applied in
// the order given, and a rule for all devices starts anew. After the last one the default devices are allowed, as with runc:
// Docker's "deny c 10:229 rwm" takes away no node of it, and the usual first rule, "deny all", leaves a usable container. So a rule that denies a
// default device has no effect.
func Devices(rules []specs.LinuxDeviceCgroup) (*DeviceState, []Setting, error) {
	var s settings
	state := s.devices(rules)
	list, _, err := s.result()
	return state, list, err
}

func (s *settings) devices(rules []specs.LinuxDeviceCgroup) *DeviceState {
	state, pointers := s.playDevices(rules)
	s.deviceState(*state, pointers)
	return state
}

// playDevices is the state after all rules, for both versions. The pointers are those of who asked for an exception.
func (s *settings) playDevices(rules []specs.LinuxDeviceCgroup) (*DeviceState, map[deviceKey]string) {
	state := &DeviceState{exceptions: map[deviceKey]access{}}
	pointers := map[deviceKey]string{}
	for i, rule := range rules {
		pointer := Resources + "/devices/" + strconv.Itoa(i)
		keys, acc, all := s.deviceRule(pointer, rule)
		if all {
			state.Allow = rule.Allow
			clear(state.exceptions)
			clear(pointers)
			continue
		}
		for _, key := range keys {
			if !state.apply(rule.Allow, key, acc) {
				s.fail(pointer, "cannot be expressed in a devices cgroup: an earlier rule for *:* or a whole major covers %s", key)
			}
			pointers[key] = pointer
		}
	}
	defaults := DeviceState{exceptions: defaultDevices()}
	for _, key := range defaults.sortedKeys() {
		if !state.apply(true, key, defaults.exceptions[key]) {
			s.fail(Resources+"/devices", "cannot be expressed in a devices cgroup: a rule for *:* or a whole major denies %s, which every container has", key)
		}
	}
	return state, pointers
}

// deviceRule parses a rule. all says that it is for every device and access; else it is for each of keys.
func (s *settings) deviceRule(pointer string, r specs.LinuxDeviceCgroup) (keys []deviceKey, acc access, all bool) {
	acc, ok := parseAccess(r.Access)
	if !ok {
		s.fail(pointer+"/access", "invalid access %q: none of r, w and m is in it", r.Access)
	}
	number := func(p *int64, field string) int64 {
		if p == nil {
			return anyNumber
		}
		// runc and engines write the wildcard as -1 as well.
		if *p < anyNumber || *p > 1<<32-1 {
			s.fail(pointer+"/"+field, "invalid device number %d", *p)
		}
		return *p
	}
	major, minor := number(r.Major, "major"), number(r.Minor, "minor")
	switch r.Type {
	case "c", "b":
		return []deviceKey{{r.Type[0], major, minor}}, acc, false
	case "a", "":
		if acc == accessAll && major == anyNumber && minor == anyNumber {
			return nil, acc, true
		}
		// The kernel would take `a 1:3 r` for everything.
		return []deviceKey{{'c', major, minor}, {'b', major, minor}}, acc, false
	}
	s.fail(pointer+"/type", "invalid device type %q (a, b or c)", r.Type)
	return nil, acc, false
}

// parseAccess ignores other letters, as runc does.
func parseAccess(text string) (access, bool) {
	var acc access
	for _, letter := range text {
		switch letter {
		case 'r':
			acc |= accessRead
		case 'w':
			acc |= accessWrite
		case 'm':
			acc |= accessMknod
		}
	}
	return acc, acc != 0
}

func (a access) String() string {
	text := ""
	for i, letter := range "rwm" {
		if a&(1<<i) != 0 {
			text += string(letter)
		}
	}
	return text
}

func (k deviceKey) String() string {
	number := func(n int64) string {
		if n == anyNumber {
			return "*"
		}
		return itoa(n)
	}
	return string(k.kind) + " " + number(k.major) + ":" + number(k.minor)
}

// covers says that every device of k is one of outer's.
func (outer deviceKey) covers(k deviceKey) bool {
	return outer.kind == k.kind && (outer.major == anyNumber || outer.major == k.major) &&
		(outer.minor == anyNumber || outer.minor == k.minor)
}

// meets says that some device belongs to both.
func (k deviceKey) meets(other deviceKey) bool {
	same := func(a, b int64) bool { return a == b || a == anyNumber || b == anyNumber }
	return k.kind == other.kind && same(k.major, other.major) && same(k.minor, other.minor)
}

// apply plays one rule. false: a wider exception stands against it, and a v1 cgroup has no exceptions from
// exceptions. A denial takes narrower exceptions with it; to runc, which leaves that to the kernel, it has no effect on them. What is
// allowed again must be what was denied, as with runc.
func (d *DeviceState) apply(allow bool, key deviceKey, acc access) bool {
	if allow != d.Allow {
		d.exceptions[key] |= acc
		return true
	}
	for other, has := range d.exceptions {
		switch {
		case has&acc == 0 || !key.meets(other):
		case other == key, !allow && key.covers(other):
			if d.exceptions[other] &^= acc; d.exceptions[other] == 0 {
				delete(d.exceptions, other)
			}
		case other.covers(key):
			return false
		case !allow: // they overlap
			return false
		}
	}
	return true
}

func (d *DeviceState) sortedKeys() []deviceKey {
	return slices.SortedFunc(maps.Keys(d.exceptions), func(a, b deviceKey) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.major, b.major), cmp.Compare(a.minor, b.minor))
	})
}

// Settings set the default, which clears the exceptions, and then these.
func (d *DeviceState) Settings() []Setting {
	var s settings
	s.deviceState(*d, nil)
	return s.list
}

// Beyond are the rules, as a devices cgroup takes them, for what d has as exceptions and other has not.
func (d *DeviceState) Beyond(other *DeviceState) (rules []string) {
	for _, key := range d.sortedKeys() {
		if acc := d.exceptions[key] &^ other.exceptions[key]; acc != 0 {
			rules = append(rules, key.String()+" "+acc.String())
		}
	}
	return rules
}

// deviceState writes a state: the default first, which clears the exceptions, then these, sorted.
func (s *settings) deviceState(d DeviceState, pointers map[deviceKey]string) {
	const at = Resources + "/devices"
	reset, except := "devices.deny", "devices.allow"
	if d.Allow {
		reset, except = except, reset
	}
	s.add("devices", reset, at, "a")
	for _, key := range d.sortedKeys() {
		s.add("devices", except, cmp.Or(pointers[key], at), key.String()+" "+d.exceptions[key].String())
	}
}

// ParseDeviceList reads what devices.list of v1 says. The exceptions to a default of allow are not in it.
func ParseDeviceList(list string) *DeviceState {
	state := &DeviceState{exceptions: map[deviceKey]access{}}
	for line := range strings.SplitSeq(list, "\n") {
		fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ':' })
		if len(fields) != 4 {
			continue
		}
		if fields[0] == "a" { // how the kernel shows a default of allow, whatever its exceptions
			return &DeviceState{Allow: true}
		}
		number := func(text string) int64 {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				return n
			}
			return anyNumber
		}
		acc, _ := parseAccess(fields[3])
		state.exceptions[deviceKey{fields[0][0], number(fields[1]), number(fields[2])}] |= acc
	}
	return state
}

// DeniesDevices says that rules take away more than file permissions do: without privileges a process cannot make
// device nodes and opens those that file permissions give it. "Deny all", as engines write it first, and what is
// allowed after that add nothing to it; a rule that denies some device does.
func DeniesDevices(rules []specs.LinuxDeviceCgroup) bool {
	var s settings
	for _, r := range rules {
		if _, _, all := s.deviceRule("", r); !all && !r.Allow {
			return true
		}
	}
	return false
}
