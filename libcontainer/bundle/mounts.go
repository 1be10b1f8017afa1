package bundle

import (
	"path"
	"strings"

	"rt/internal/names"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// mounts checks config.md, "Mounts".
func (c *checker) mounts(list []specs.Mount, ns namespaces) {
	if len(list) > 0 && !ns.has(mountNS) {
		c.withoutNamespace(list)
	}
	for i := range list {
		c.mount(&list[i], i, ns)
	}
}

// withoutNamespace refuses all mounts, with runc's words for those that it refuses: what it makes read-only at the end.
func (c *checker) withoutNamespace(list []specs.Mount) {
	for i := range list {
		m := &list[i]
		if (m.Type == "tmpfs" || path.Clean(m.Destination) == "/dev") && readonly(m) {
			c.failHint(addMountNS, at("/mounts", i, "options"), "unable to make %s read-only without a private MNT namespace", printable(short(m.Destination)))
			return
		}
	}
	c.failHint(addMountNS, "/mounts", "mounts need a mount namespace: without one the host's tree would change")
}

// readonly says whether the last of the options ro and rw is ro.
func readonly(m *specs.Mount) (ro bool) {
	for _, o := range m.Options {
		if word := names.MountOption(o); word.Kind == names.Attr {
			ro = (ro || word.Set&unix.MOUNT_ATTR_RDONLY != 0) && word.Clear&unix.MOUNT_ATTR_RDONLY == 0
		}
	}
	return ro
}

func (c *checker) mount(m *specs.Mount, i int, ns namespaces) {
	has := c.mountOptions(m, i)
	switch {
	case has.bind && m.Source == "":
		c.fail(at("/mounts", i, "source"), "a bind mount needs a source")
	case has.bind || has.remount:
	case m.Type == "":
		c.fail(at("/mounts", i, "type"), "type must not be empty, but for a bind mount")
	}
	c.destination(m, i, has.bind)
	c.mountMappings(m, i, has, ns)
}

// mountHas is what the options of one mount say together.
type mountHas struct{ bind, remount, idmap, mapping bool }

func (c *checker) mountOptions(m *specs.Mount, i int) (has mountHas) {
	has.bind = m.Type == "bind" // what else could it be
	for _, o := range m.Options {
		switch names.MountOption(o).Kind {
		case names.Bind:
			has.bind = true
		case names.Remount:
			has.remount = true
		case names.IDMap:
			has.idmap = true
			has.mapping = has.mapping || strings.Contains(o, "=")
		}
	}
	var propagation uint64
	for j, o := range m.Options {
		word := names.MountOption(o)
		switch {
		case o == "":
			c.warn(at("/mounts", i, "options", j), "an empty option is ignored")
		case word.Kind == names.Data && has.bind:
			// mount(2) ignores data with MS_BIND: the author believes in an option that has no effect
			c.fail(at("/mounts", i, "options", j), "bind mounts cannot have any filesystem-specific options applied: %s", quote(o))
		case word.Kind == names.CopyUp && m.Type != "tmpfs":
			c.fail(at("/mounts", i, "options", j), "tmpcopyup is for mounts of type tmpfs")
		case word.Kind == names.IDMap:
			if _, err := names.MapOf(o); err != nil {
				c.fail(at("/mounts", i, "options", j), "%s", printable(short(err.Error())))
			}
		case word.Kind == names.Propagation:
			p := word.Set &^ unix.MS_REC
			if propagation != 0 && propagation != p && !(propagation == unix.MS_SLAVE && p == unix.MS_SHARED) {
				// slave, then shared is both at once (mount_namespaces(7), "slave-and-shared")
				c.fail(at("/mounts", i, "options", j), "%s contradicts the propagation given before it", o)
			}
			propagation = p
		}
	}
	return has
}

func (c *checker) destination(m *specs.Mount, i int, bind bool) {
	if m.Destination == "" {
		c.fail(at("/mounts", i, "destination"), "destination must not be empty")
		return
	}
	dest := m.Destination
	if !path.IsAbs(dest) {
		c.warn(at("/mounts", i, "destination"), "%s is not an absolute path: it is taken from /", quote(dest))
		dest = "/" + dest
	}
	dest = path.Clean(dest)
	switch {
	case dest == "/":
		c.fail(at("/mounts", i, "destination"), "a mount on / would hide the root filesystem")
	case dest == "/proc" && !isProc(m, bind):
		c.fail(at("/mounts", i, "destination"), "%s cannot be mounted because it is not of type proc", quote(m.Destination))
	case len(dest) > len("/proc/") && dest[:len("/proc/")] == "/proc/" && !procFile(dest):
		c.failHint("below /proc only the files that lxcfs emulates can be mounted on", at("/mounts", i, "destination"),
			"%s cannot be mounted because it is inside /proc", quote(m.Destination))
	}
}

// isProc: whatever stands at /proc receives the writes of security labels and sysctls, so it must be a
// procfs (CVE-2019-16884). Of the bind mounts only that of the host's own is known to be one.
func isProc(m *specs.Mount, bind bool) bool {
	if bind {
		return path.Clean(m.Source) == "/proc"
	}
	return m.Type == "proc"
}

// procFile: the exceptions are what lxcfs emulates, and two files that checkpointing and FIPS mode need.
// They are plain values: nothing that the runtime writes goes through them.
func procFile(dest string) bool {
	switch dest {
	case "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
		"/proc/loadavg", "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid",
		"/proc/sys/crypto/fips_enabled":
		return true
	}
	return false
}

func (c *checker) mountMappings(m *specs.Mount, i int, has mountHas, ns namespaces) {
	uids, gids := len(m.UIDMappings) > 0, len(m.GIDMappings) > 0
	if uids != gids {
		c.fail(at("/mounts", i), "uidMappings and gidMappings must be given together")
	}
	if has.mapping && (uids || gids) {
		c.fail(at("/mounts", i, "options"), "there are two mappings, an option and uidMappings or gidMappings")
	}
	if has.idmap && !has.mapping && !uids && !gids && !ns.has(userNS) {
		c.fail(at("/mounts", i, "options"), "an id-mapped mount needs uidMappings and gidMappings, or a user namespace")
	}
	if uids {
		c.mappingList(m.UIDMappings, at("/mounts", i, "uidMappings"))
	}
	if gids {
		c.mappingList(m.GIDMappings, at("/mounts", i, "gidMappings"))
	}
}
