package bundle

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Check returns everything that is wrong with the configuration and can be told without looking at the
// host, in the order of the document. A container must not be made of one that has a Problem which is
// not a warning; Join makes an error of them.
func (b *Bundle) Check() []Problem {
	c := new(checker)
	s := b.Spec
	if s == nil {
		c.fail("", "there is no configuration")
		return c.done()
	}
	if c.counts(s); c.errors > 0 {
		return c.done() // the rest would take as long as create
	}
	if mayHoldNUL(b.Raw) {
		c.noNUL(reflect.ValueOf(s), "")
	}
	if !utf8.Valid(b.Raw) { // RFC 8259 section 8.1; what is a path on disk may not be one any more
		c.warn("", "the file is not UTF-8: U+FFFD stands for each byte that is not")
	}
	l := s.Linux
	ns := c.namespaces(l)

	c.version(s.Version)
	c.process(s.Process, "/process")
	c.root(s.Root, ns)
	c.hostname("hostname", s.Hostname, ns)
	c.hostname("domainname", s.Domainname, ns)
	c.mounts(s.Mounts, ns)
	c.hooks(s.Hooks)
	c.annotations(s.Annotations)
	c.linux(l, ns)
	c.mappedUser(s.Process, l, ns)
	c.otherPlatforms(s)
	return c.done()
}

// linux checks the linux section, but for the namespaces, which the others depend on.
func (c *checker) linux(l *specs.Linux, ns namespaces) {
	c.idMappings(l, ns)
	c.timeOffsets(l.TimeOffsets, ns)
	c.sysctls(l.Sysctl, ns)
	c.label(l.MountLabel, "/linux/mountLabel")
	c.devices(l.Devices)
	c.resources(l.Resources)
	c.seccomp(l.Seccomp)
	c.rootfsPropagation(l.RootfsPropagation, ns)
	c.restrictedPaths("/linux/maskedPaths", l.MaskedPaths, ns)
	c.restrictedPaths("/linux/readonlyPaths", l.ReadonlyPaths, ns)
	c.personality(l.Personality)
	c.memoryPolicy(l.MemoryPolicy)
	c.netDevices(l.NetDevices, ns)
	c.intelRdt(l.IntelRdt)
}

func (c *checker) version(v string) {
	switch {
	case v == "":
		c.fail("/ociVersion", "ociVersion must not be empty")
	case !isVersion(v):
		c.fail("/ociVersion", "%s is not a version of the form 1.2.3", quote(v))
	case !strings.HasPrefix(v, "1."):
		c.fail("/ociVersion", "version %s of the specification is not supported: must be 1.0.0 or later, and before 2.0.0", short(v))
	}
}

// isVersion follows semver.org 2.0.0: three numbers without leading zeros, then optionally a
// pre-release after "-" and build metadata after "+".
func isVersion(v string) bool {
	v, build, hasBuild := strings.Cut(v, "+")
	v, pre, hasPre := strings.Cut(v, "-")
	if hasBuild && !isVersionSuffix(build) || hasPre && !isVersionSuffix(pre) {
		return false
	}
	numbers := strings.Split(v, ".")
	for _, n := range numbers {
		if n == "" || len(n) > 1 && n[0] == '0' || strings.Trim(n, "0123456789") != "" {
			return false
		}
	}
	return len(numbers) == 3
}

func isVersionSuffix(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			if part[i] != '-' && !isAlnum(part[i]) {
				return false
			}
		}
	}
	return true
}

func (c *checker) root(r *specs.Root, ns namespaces) {
	if r == nil {
		c.fail("/root", "root must be specified")
		return
	}
	if r.Path == "" {
		c.fail("/root/path", "path of the root filesystem must not be empty")
	}
	if r.Readonly && !ns.has(mountNS) {
		c.failHint(addMountNS, "/root/readonly", "unable to make rootfs read-only without a private MNT namespace: the host's tree would change")
	}
}

// maxHostname is __NEW_UTS_LEN, for sethostname(2) and setdomainname(2) alike.
const maxHostname = 64

func (c *checker) hostname(field, name string, ns namespaces) {
	if name == "" {
		return
	}
	if !ns.has(utsNS) {
		c.failHint(`add {"type": "uts"} to /linux/namespaces`, at("", field), "unable to set %s without a private UTS namespace", field)
	}
	if len(name) > maxHostname {
		c.fail(at("", field), "%d bytes is longer than the kernel's limit of %d", len(name), maxHostname)
	}
}

// InitAnnotation asks for what `rt create --init` does: "true" or "false".
const InitAnnotation = "io.rt.init"

// Annotations of crun that have an effect; docs/annotations.md.
const (
	KeepOriginalGroups = "run.oci.keep_original_groups"
	FailUnknownSyscall = "run.oci.seccomp_fail_unknown_syscall"
	MountContextType   = "run.oci.mount_context_type"
)

// MountContext is the mount option by which linux.mountLabel becomes a new file system's (mount(8), context).
func MountContext(a map[string]string) string {
	if v, ok := a[MountContextType]; ok {
		return v
	}
	return "context"
}

func isMountContext(s string) bool {
	return s == "context" || s == "fscontext" || s == "defcontext" || s == "rootcontext"
}

func (c *checker) annotations(a map[string]string) {
	if _, ok := a[""]; ok {
		c.fail("/annotations/", "the name of an annotation must not be empty")
	}
	if v, ok := a[InitAnnotation]; ok && v != "true" && v != "false" {
		c.fail(at("/annotations", InitAnnotation), "%s is neither true nor false", quote(v))
	}
	if v := MountContext(a); !isMountContext(v) {
		c.fail(at("/annotations", MountContextType), "%s is not context, fscontext, defcontext or rootcontext", quote(v))
	}
}

func (c *checker) otherPlatforms(s *specs.Spec) {
	ignored := func(field string, set bool) {
		if set {
			c.warn(at("", field), "is for another platform, and ignored")
		}
	}
	ignored("solaris", s.Solaris != nil)
	ignored("windows", s.Windows != nil)
	ignored("vm", s.VM != nil)
	ignored("zos", s.ZOS != nil)
	ignored("freebsd", s.FreeBSD != nil)
}

// sorted returns a map's keys in an order that does not change from run to run.
func sorted[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}
