package bundle

import (
	"path"
	"strings"

	"rt/internal/names"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// restrictedPaths checks linux.maskedPaths and linux.readonlyPaths.
func (c *checker) restrictedPaths(ptr string, list []string, ns namespaces) {
	if len(list) > 0 && !ns.has(mountNS) {
		c.failHint(addMountNS, ptr, "unable to restrict sys entries without a private MNT namespace")
	}
	for i, p := range list {
		if !path.IsAbs(p) {
			c.fail(at(ptr, i), "%s must be an absolute path", quote(p))
		}
	}
}

func (c *checker) rootfsPropagation(p string, ns namespaces) {
	if p == "" {
		return
	}
	if names.MountOption(p).Kind != names.Propagation {
		c.fail("/linux/rootfsPropagation", "unknown mount propagation %s", quote(p))
	}
	if !ns.has(mountNS) {
		c.failHint(addMountNS, "/linux/rootfsPropagation", "a mount propagation needs a mount namespace: without one the host's tree would change")
	}
}

func (c *checker) hooks(h *specs.Hooks) {
	//lint:ignore SA1019 deprecated for those who write a config.json, not for a runtime
	c.hookList("/hooks/prestart", h.Prestart)
	c.hookList("/hooks/createRuntime", h.CreateRuntime)
	c.hookList("/hooks/createContainer", h.CreateContainer)
	c.hookList("/hooks/startContainer", h.StartContainer)
	c.hookList("/hooks/poststart", h.Poststart)
	c.hookList("/hooks/poststop", h.Poststop)
}

func (c *checker) hookList(ptr string, list []specs.Hook) {
	for i := range list {
		h := &list[i]
		switch {
		case h.Path == "":
			c.fail(at(ptr, i, "path"), "path of a hook must not be empty")
		case !path.IsAbs(h.Path):
			c.fail(at(ptr, i, "path"), "%s must be an absolute path", quote(h.Path))
		}
		if h.Timeout != nil && *h.Timeout <= 0 {
			c.fail(at(ptr, i, "timeout"), "%d seconds: a timeout must be greater than zero", *h.Timeout)
		}
	}
}

// CheckRdt checks linux.intelRdt by itself.
func CheckRdt(r *specs.LinuxIntelRdt) []Problem {
	c := new(checker)
	c.intelRdt(r)
	return c.done()
}

// intelRdt: closID is the name of a directory below the root of resctrl, or "/" for the root itself.
func (c *checker) intelRdt(r *specs.LinuxIntelRdt) {
	if r == nil {
		return
	}
	if id := r.ClosID; id == "." || id == ".." || id != "/" && strings.Contains(id, "/") || ownOfResctrl(id) {
		c.fail("/linux/intelRdt/closID", "%s is not the name of a directory", quote(id))
	}
	if strings.Contains(r.L3CacheSchema, "\n") {
		c.fail("/linux/intelRdt/l3CacheSchema", "must not contain a newline")
	}
	if s := r.MemBwSchema; s != "" && (!strings.HasPrefix(s, "MB:") || strings.Contains(s, "\n")) {
		c.fail("/linux/intelRdt/memBwSchema", "must start with MB: and not contain a newline")
	}
	for i, s := range r.Schemata {
		if strings.Contains(s, "\n") {
			c.fail(at("/linux/intelRdt/schemata", i), "must not contain a newline")
		}
	}
}

// ownOfResctrl are the names that the file system has for itself in its root.
func ownOfResctrl(name string) bool {
	return name == "info" || name == "mon_groups" || name == "mon_data"
}
