package plan

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"rt/internal/names"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// rightsViolations: what the image supplies (program, startContainer hook, init) runs with the configured user, capabilities,
// bounding set, no_new_privs, filter and limits, all of which are in force before its execve.
func rightsViolations(p *Plan, spec *specs.Spec, opts Options, facts Facts) []string {
	var found []string
	complain := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	grantable := facts.Bounding
	if spec.Linux != nil && slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace }) {
		grantable = ^uint64(0)
	}
	programs, staying := 0, -1
	for i, it := range p.Items {
		switch s := it.Step.(type) {
		case nsenter.ExecHost:
			complain("step %d: a program with the rights of the host: %s", i, s)
		case nsenter.Init:
			staying = i + 1 + s.Steps
		case nsenter.Exec:
			programs++
			wantRights(p.Items[:i], spec, opts, facts, grantable, complain)
		}
	}
	if programs != 1 {
		complain("%d programs", programs)
	}
	if staying > len(p.Items) {
		complain("init: its steps are beyond the plan")
	} else if staying > 0 {
		wantInit(p.Items[staying:], spec, grantable, complain)
	}
	return found
}

// wantRights looks for the last step of each kind, so that none takes back what another has done.
func wantRights(before []Item, spec *specs.Spec, opts Options, facts Facts, grantable uint64, complain func(string, ...any)) {
	last := map[string]nsenter.Step{}
	limits := map[int]nsenter.Rlimit{}
	for _, it := range before {
		last[it.Step.Name()] = it.Step
		if l, ok := it.Step.(nsenter.Rlimit); ok {
			limits[l.Number] = l
		}
	}
	user := nsenter.Credentials{UID: spec.Process.User.UID, GID: spec.Process.User.GID, Groups: spec.Process.User.AdditionalGids, TryGroups: facts.KeepGroups}
	if facts.OriginalGroups {
		user.Groups, user.KeepGroups, user.TryGroups = nil, true, false
	}
	if !reflect.DeepEqual(last["credentials"], user) {
		complain("user: %#v, want %#v", last["credentials"], user)
	}
	var c specs.LinuxCapabilities
	if spec.Process.Capabilities != nil {
		c = *spec.Process.Capabilities
	}
	bounding, permitted := capBits(c.Bounding)&grantable, capBits(c.Permitted)&grantable
	if b, ok := last["bounding-set"].(nsenter.Bounding); !ok || b.Keep != bounding {
		complain("bounding set: %v, want %#x", last["bounding-set"], bounding)
	}
	extra := uint64(0)
	if opts.Filter != nil && !spec.Process.NoNewPrivileges {
		extra = 1 << unix.CAP_SYS_ADMIN // until execve, which goes by the other sets
	}
	caps, ok := last["capabilities"].(nsenter.Capabilities)
	if !ok || caps.Permitted != permitted|extra || caps.Effective&^permitted != 0 || caps.Inheritable&^bounding != 0 ||
		caps.Ambient&^(permitted&caps.Inheritable) != 0 || caps.Inheritable&^capBits(c.Inheritable) != 0 || caps.Ambient&^capBits(c.Ambient) != 0 {
		complain("capabilities: %#v, want permitted %#x", last["capabilities"], permitted|extra)
	}
	if s, ok := last["capset"].(nsenter.Capset); ok && (s.Permitted&^(permitted|extra) != 0 || s.Inheritable != caps.Inheritable) {
		complain("capset: %#v", s)
	}
	if _, ok := last["no-new-privileges"]; ok != spec.Process.NoNewPrivileges {
		complain("no_new_privs: %v, want %v", ok, spec.Process.NoNewPrivileges)
	}
	filter, ok := last["seccomp"].(nsenter.Seccomp)
	if ok != (opts.Filter != nil) || ok && !bytes.Equal(filter.Program, opts.Filter.Bytes()) {
		complain("filter: %v, want %v", ok, opts.Filter != nil)
	}
	for _, l := range spec.Process.Rlimits {
		want := nsenter.Rlimit{Type: l.Type, Number: names.Rlimit(l.Type), Soft: l.Soft, Hard: l.Hard}
		if limits[want.Number] != want {
			complain("limit: %v, want %v", limits[want.Number], want)
		}
	}
	if _, ok := last["close-fds"]; !ok {
		complain("descriptors stay open")
	}
}

// wantInit: an init that stays has labels, no_new_privs, no capability that the program has not, and its own filter.
func wantInit(own []Item, spec *specs.Spec, grantable uint64, complain func(string, ...any)) {
	for len(own) > 0 && own[0].Step.Name() == "label" {
		own = own[1:]
	}
	if len(own) != 3 {
		complain("init has %d steps of its own", len(own))
		return
	}
	caps, ok := own[1].Step.(nsenter.Capabilities)
	var most uint64
	if c := spec.Process.Capabilities; c != nil {
		most = capBits(c.Bounding) & capBits(c.Permitted) & grantable & (1 << unix.CAP_KILL)
	}
	if !ok || caps.Permitted&^most != 0 || caps.Effective&^most != 0 || caps.Inheritable|caps.Ambient != 0 {
		complain("init has %#v, the program %#x", own[1].Step, most)
	}
	f, ok := own[2].Step.(nsenter.Seccomp)
	if own[0].Step != (nsenter.NoNewPrivs{}) || !ok || !bytes.Equal(f.Program, initFilter()) || f.Notify {
		complain("init is not confined: %v", own)
	}
}

func capBits(list []string) (mask uint64) {
	for _, name := range list {
		if n := names.Capability(name); n >= 0 {
			mask |= 1 << n
		}
	}
	return mask
}

// givesRights says whether rightsViolations must notice that a step is missing. It also looks at each limit, by its value.
func givesRights(s nsenter.Step) bool {
	switch s.(type) {
	case nsenter.Bounding, nsenter.Credentials, nsenter.Capabilities, nsenter.NoNewPrivs, nsenter.Seccomp, nsenter.CloseFds:
		return true
	}
	return false
}

// TestEveryRightIsLookedAt: each step by which a program gets its rights is one of givesRights, or known to need no look.
func TestEveryRightIsLookedAt(t *testing.T) {
	others := []string{"rlimit", "chdir", "capset", "exec"}
	r := nsenter.Rights{Limits: make([]nsenter.Rlimit, 1), LateLimits: make([]nsenter.Rlimit, 1), Bounding: 1, User: nsenter.Credentials{UID: 1}, Cwd: "/",
		NoNewPrivs: true, Caps: nsenter.Capabilities{Effective: 1}, Filter: &nsenter.Seccomp{}, Waits: true, Failure: nsenter.Failure{OwnEnd: true}}
	for v, i := reflect.ValueOf(r), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("set Rights.%s here, for its step to be looked at", v.Type().Field(i).Name)
		}
	}
	for _, s := range r.Program(nil, []string{"a"}, nil) {
		if !givesRights(s) && !slices.Contains(others, s.Name()) {
			t.Errorf("%s is a step of Rights.Program: look for it in wantRights, and name it in givesRights", s.Name())
		}
	}
}

// TestRightsAreMissed: the rule above notices each step that is left out.
func TestRightsAreMissed(t *testing.T) {
	for _, s := range samples(t) {
		if s.with.Plan == "create-hook" {
			continue
		}
		p := s.compile(t)
		if !slices.ContainsFunc(p.Items, func(it Item) bool { return it.Step.Name() == "exec" }) {
			continue
		}
		missed := 0
		for i, it := range p.Items {
			if !givesRights(it.Step) {
				continue
			}
			less := Plan{Inputs: p.Inputs, Items: slices.Concat(p.Items[:i], p.Items[i+1:])}
			if len(rightsViolations(&less, s.spec, s.with.Options, s.with.Facts)) == 0 {
				t.Errorf("%s: nobody misses %s", s.dir, it.Step)
			}
			missed++
		}
		if missed < 3 {
			t.Errorf("%s: %d steps give rights", s.dir, missed)
		}
	}
}

// TestInitFilter: an init's filter can be compiled for this machine, and allows none of what it was a way around.
func TestInitFilter(t *testing.T) {
	if n := len(initFilter()) / 8; n < 10 || n > 60 {
		t.Errorf("%d instructions", n)
	}
	for _, name := range []string{"execve", "open", "openat", "mkdirat", "unshare", "mount", "clone", "clone3", "ptrace", "mmap", "mprotect", "write", "prctl"} {
		if slices.Contains(initCalls[:], name) {
			t.Errorf("init may call %s", name)
		}
	}
}
