package bundle

import (
	"cmp"
	"math"
	"os"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxMappings is UID_GID_MAP_MAX_EXTENTS of user_namespaces(7).
const maxMappings = 340

// idMappings checks linux.uidMappings and gidMappings against the user namespace they are for.
func (c *checker) idMappings(l *specs.Linux, ns namespaces) {
	for _, m := range [...]struct {
		field string
		list  []specs.LinuxIDMapping
	}{{"uidMappings", l.UIDMappings}, {"gidMappings", l.GIDMappings}} {
		ptr := "/linux/" + m.field
		switch {
		case len(m.list) == 0 && ns.makes(userNS):
			c.fail(ptr, "a new user namespace needs %s", m.field)
		case len(m.list) > 0 && !ns.has(userNS):
			c.failHint(`add {"type": "user"} to /linux/namespaces`, ptr, "%s need a user namespace", m.field)
		case len(m.list) > 0 && ns.joins(userNS):
			// Kubernetes and Podman give both. They cannot be applied: the namespace has its mappings already
			c.warn(ptr, "%s cannot change a user namespace that is joined: they must be what it has", m.field)
		}
		c.mappingList(m.list, ptr)
	}
}

// mappingList checks what the kernel's map_write does, which answers all of it with EINVAL.
func (c *checker) mappingList(list []specs.LinuxIDMapping, ptr string) {
	if len(list) > maxMappings {
		c.fail(ptr, "%d mappings are more than the kernel's limit of %d", len(list), maxMappings)
		return
	}
	sound := true
	for i, m := range list {
		if m.Size == 0 {
			c.fail(at(ptr, i, "size"), "size must not be 0")
			sound = false
		}
		sound = c.idRange(m.ContainerID, m.Size, place{ptr, i, "containerID"}) && sound
		sound = c.idRange(m.HostID, m.Size, place{ptr, i, "hostID"}) && sound
	}
	if !sound {
		return
	}
	c.overlap(list, ptr, "containerID", func(m specs.LinuxIDMapping) uint32 { return m.ContainerID })
	c.overlap(list, ptr, "hostID", func(m specs.LinuxIDMapping) uint32 { return m.HostID })
	if n := mapFileSize(list); n >= os.Getpagesize() {
		c.fail(ptr, "%d bytes of mappings are more than the kernel takes in one write", n)
	}
}

// place is a pointer that is built when it is needed.
type place struct {
	base  string
	index int
	field string
}

func (p place) pointer() string { return at(p.base, p.index, p.field) }

// idRange: the last number, (uid_t)-1, is no id, and a range does not wrap.
func (c *checker) idRange(first, size uint32, where place) bool {
	if uint64(first)+uint64(size) > math.MaxUint32 {
		c.fail(where.pointer(), "%d ids from %d on go beyond 4294967294", size, first)
		return false
	}
	return true
}

// overlap finds ranges that have an id in common on one of the two sides.
func (c *checker) overlap(list []specs.LinuxIDMapping, ptr, field string, first func(specs.LinuxIDMapping) uint32) {
	if len(list) < 2 {
		return
	}
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(first(list[a]), first(list[b])) })
	for k := 1; k < len(order); k++ {
		before, this := list[order[k-1]], list[order[k]]
		if first(before)+before.Size > first(this) {
			c.fail(at(ptr, order[k], field), "the ids from %d on are also in mapping %d", first(this), order[k-1])
		}
	}
}

// mapFileSize is the length of the text for /proc/pid/uid_map, which must be less than a page.
func mapFileSize(list []specs.LinuxIDMapping) (n int) {
	var b [16]byte
	for _, m := range list {
		for _, v := range [...]uint32{m.ContainerID, m.HostID, m.Size} {
			n += len(strconv.AppendUint(b[:0], uint64(v), 10)) + 1
		}
	}
	return n
}

// mappedUser: in a new user namespace, setresuid(2), setresgid(2) and setgroups(2) with an id that is
// not mapped are EINVAL. The mappings of a namespace that is joined are not known here.
func (c *checker) mappedUser(p *specs.Process, l *specs.Linux, ns namespaces) {
	if p == nil || !ns.makes(userNS) {
		return
	}
	if !mapped(l.UIDMappings, p.User.UID) {
		c.fail("/process/user/uid", "user id %d is not mapped in the user namespace", p.User.UID)
	}
	if !mapped(l.GIDMappings, p.User.GID) {
		c.fail("/process/user/gid", "group id %d is not mapped in the user namespace", p.User.GID)
	}
	for i, g := range p.User.AdditionalGids {
		if !mapped(l.GIDMappings, g) {
			c.fail(at("/process/user/additionalGids", i), "group id %d is not mapped in the user namespace", g)
		}
	}
}

// mapped is true for a list that is empty or too long: those are refused for that.
func mapped(list []specs.LinuxIDMapping, id uint32) bool {
	if len(list) == 0 || len(list) > maxMappings {
		return true
	}
	for _, m := range list {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return true
		}
	}
	return false
}
