package bundle

import (
	"math"
	"path"
	"reflect"
	"strings"
	"unicode"

	"rt/internal/names"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// CheckProcess checks a process object by itself: that of config.json, with pointer "/process", or a
// process.json, with pointer "". Whether its ids are mapped in the container's user namespace it cannot tell.
func CheckProcess(p *specs.Process, pointer string) []Problem {
	c := new(checker)
	if c.processCounts(p, pointer); c.errors > 0 {
		return c.done()
	}
	c.noNUL(reflect.ValueOf(p), pointer)
	c.process(p, pointer)
	return c.done()
}

func (c *checker) process(p *specs.Process, ptr string) {
	if p == nil {
		c.fail(ptr, "process property must not be empty")
		return
	}
	if len(p.Args) == 0 {
		c.fail(ptr+"/args", "args must not be empty")
	}
	switch {
	case p.Cwd == "":
		c.fail(ptr+"/cwd", "Cwd property must not be empty")
	case !path.IsAbs(p.Cwd):
		c.fail(ptr+"/cwd", "Cwd must be an absolute path")
	}
	c.env(p.Env, ptr)
	c.user(&p.User, ptr+"/user")
	c.capabilities(p.Capabilities, ptr+"/capabilities")
	c.rlimits(p.Rlimits, ptr+"/rlimits")
	c.consoleSize(p, ptr)
	c.scheduler(p.Scheduler, ptr+"/scheduler")
	c.ioPriority(p.IOPriority, ptr+"/ioPriority")
	c.cpuAffinity(p.ExecCPUAffinity, ptr+"/execCPUAffinity")
	if o := p.OOMScoreAdj; o != nil && (*o < -1000 || *o > 1000) { // proc(5), /proc/pid/oom_score_adj
		c.fail(ptr+"/oomScoreAdj", "%d is not from -1000 to 1000", *o)
	}
	if p.CommandLine != "" {
		c.warn(ptr+"/commandLine", "is for another platform, and ignored")
	}
	c.label(p.ApparmorProfile, ptr+"/apparmorProfile")
	c.label(p.SelinuxLabel, ptr+"/selinuxLabel")
}

// label: the kernel takes a page of a security attribute, cuts off what is more, and spaces and newlines at the ends.
func (c *checker) label(text, ptr string) {
	switch {
	case len(text) > 4000:
		c.fail(ptr, "%d bytes are more than the kernel takes", len(text))
	case strings.TrimSpace(text) != text || strings.ContainsFunc(text, unicode.IsControl):
		c.fail(ptr, "%s must not begin or end with a space, nor hold control characters", quote(text))
	}
}

// env names the variable by its index only: what is malformed may be a secret.
func (c *checker) env(env []string, ptr string) {
	for i, v := range env {
		switch strings.IndexByte(v, '=') {
		case -1:
			c.fail(at(ptr, "env", i), "invalid environment variable: missing '='")
		case 0:
			c.fail(at(ptr, "env", i), "invalid environment variable: name cannot be empty")
		}
	}
}

const (
	noID      = math.MaxUint32 // (uid_t)-1 means "leave as it is" to setresuid(2): the process would stay root
	maxUmask  = 0o777          // umask(2)
	maxGroups = 65536          // NGROUPS_MAX
)

func (c *checker) user(u *specs.User, ptr string) {
	if u.UID == noID {
		c.fail(ptr+"/uid", "4294967295 is not a user id")
	}
	if u.GID == noID {
		c.fail(ptr+"/gid", "4294967295 is not a group id")
	}
	for i, g := range u.AdditionalGids {
		if g == noID {
			c.fail(at(ptr, "additionalGids", i), "4294967295 is not a group id")
		}
	}
	if n := len(u.AdditionalGids); n > maxGroups {
		c.fail(ptr+"/additionalGids", "%d groups are more than the kernel's limit of %d", n, maxGroups)
	}
	if u.Umask != nil && *u.Umask > maxUmask {
		c.warn(ptr+"/umask", "%d is larger than 511, octal 0777: the kernel takes octal %04o (umask is decimal in JSON: octal 022 is 18)",
			*u.Umask, *u.Umask&maxUmask)
	}
	if u.Username != "" {
		c.warn(ptr+"/username", "is for another platform, and ignored")
	}
}

func (c *checker) consoleSize(p *specs.Process, ptr string) {
	if p.ConsoleSize == nil || !p.Terminal { // "Runtimes MUST ignore consoleSize if terminal is false"
		return
	}
	// struct winsize of TIOCSWINSZ is 16 bits wide: a larger number would come out as another
	if h := p.ConsoleSize.Height; h > math.MaxUint16 {
		c.fail(ptr+"/consoleSize/height", "%d is larger than 65535", h)
	}
	if w := p.ConsoleSize.Width; w > math.MaxUint16 {
		c.fail(ptr+"/consoleSize/width", "%d is larger than 65535", w)
	}
}

func (c *checker) rlimits(limits []specs.POSIXRlimit, ptr string) {
	var seen [16]bool
	for i := range limits {
		l := &limits[i]
		n := names.Rlimit(l.Type)
		switch {
		case n < 0:
			c.fail(at(ptr, i, "type"), "wrong rlimit value: %s", printable(short(l.Type)))
			continue
		case seen[n]:
			c.fail(at(ptr, i, "type"), "%s is given more than once", l.Type)
		}
		seen[n] = true
		if l.Soft > l.Hard { // setrlimit(2): EINVAL
			c.fail(at(ptr, i, "soft"), "soft limit %d of %s is above its hard limit %d", l.Soft, l.Type, l.Hard)
		}
	}
}
