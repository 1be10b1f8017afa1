package plan

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"rt/libcontainer/bundle"
	"rt/libcontainer/seccomp"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// violations of what must hold for every plan, whatever the configuration.
func violations(p *Plan) []string {
	var found []string
	complain := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	slotViolations(p, complain)
	treeViolations(p, complain)
	copyViolations(p, complain)
	stagingViolations(p, complain)
	orderViolations(programs(p, complain), complain)
	readonlyViolations(p, complain)
	textViolations(p, complain)
	return found
}

// readonlyViolations: nothing is made in a mount that is read-only already, but for what covers it.
func readonlyViolations(p *Plan, complain func(string, ...any)) {
	for i, it := range p.Items {
		s, ok := it.Step.(nsenter.ReadonlyMount)
		if !ok {
			continue
		}
		for j, later := range p.Items[i+1:] {
			at, covers := "", false
			switch s := later.Step.(type) {
			case nsenter.MountFS:
				at, covers = s.Target, true
			case nsenter.MountTree:
				at, covers = s.Target, true
			case nsenter.Mknod:
				at = s.Path
			case nsenter.Symlink:
				at = s.Path
			case nsenter.Mkdir:
				at = s.Path
			case nsenter.Console:
				at = "/dev/console"
			}
			if covers && (at == s.Target || strings.HasPrefix(s.Target, at+"/")) {
				break
			}
			if strings.HasPrefix(at, s.Target+"/") {
				complain("%s (step %d) comes after %s (step %d)", later.Step, i+1+j, s, i)
			}
		}
	}
}

// programs is a plan without the steps of an init that stays, if there is one.
func programs(p *Plan, complain func(string, ...any)) *Plan {
	for i, it := range p.Items {
		init, ok := it.Step.(nsenter.Init)
		if !ok {
			continue
		}
		end := i + 1 + init.Steps
		if end > len(p.Items) || i == 0 || p.Items[end-1].Step.Name() != "exec" {
			complain("step %d, init: %d steps of %d are the program's", i, init.Steps, len(p.Items))
			return p
		}
		without := *p
		without.Items = slices.Concat(p.Items[:i], p.Items[i+1:end])
		return &without
	}
	return p
}

// slotViolations: a step's slots are inputs of the plan, and no input is opened in vain.
func slotViolations(p *Plan, complain func(string, ...any)) {
	used := make([]int, len(p.Inputs))
	for i, it := range p.Items {
		v := reflect.ValueOf(it.Step)
		for j := range v.NumField() {
			if !v.Field(j).CanInterface() {
				continue
			}
			s, ok := v.Field(j).Interface().(nsenter.Slot)
			switch {
			case !ok || s == nsenter.NoSlot:
			case s < 0 || int(s) >= len(p.Inputs):
				complain("step %d, %s: slot %d of %d", i, it.Step.Name(), s, len(p.Inputs))
			default:
				used[s]++
			}
		}
	}
	for i, n := range used {
		// Nothing survives its step, but a tree that the stub opens is filled in by one step and used by another, and
		// its ids may be mapped by a third.
		most := 1
		if p.Inputs[i].Inside {
			most = 3
		}
		if n > most || n == 0 {
			complain("input %d, %s %s: used %d times", i, p.Inputs[i].Kind, p.Inputs[i].Path, n)
		}
	}
}

// treeViolations: no tree of the host's mounts is attached before its propagation is stated; with a user namespace all of them are
// opened where the kernel has locked them.
func treeViolations(p *Plan, complain func(string, ...any)) {
	user := false
	for i, it := range p.Items {
		stated := uint64(unix.MS_PRIVATE)
		switch s := it.Step.(type) {
		case nsenter.Clone:
			user = user || s.Flags&unix.CLONE_NEWUSER != 0
		case nsenter.Unshare:
			user = user || s.Flags&unix.CLONE_NEWUSER != 0
		case nsenter.JoinNS:
			user = user || s.Type == unix.CLONE_NEWUSER
		case nsenter.AttachRoot:
			stated = s.Propagation
		case nsenter.MountTree:
			stated = s.Place
		}
		if stated != unix.MS_PRIVATE && stated != unix.MS_SLAVE && stated != unix.MS_SHARED {
			complain("step %d, %s: propagation %#x", i, it.Step, stated)
		}
	}
	for i, in := range p.Inputs {
		if user && in.Kind == Tree && !in.Inside {
			complain("input %d, %s %s: opened outside of the user namespace", i, in.Kind, in.Path)
		}
	}
}

// copyViolations: members of a user namespace may enter each mount namespace that belongs to it, and mount there. So after a user
// namespace was joined nothing of the host's is opened by path in a mount namespace that is made then: the opener, which is in
// neither, does that. A copy of the host's mounts is made there only for a new container, and left by pivot_root.
func copyViolations(p *Plan, complain func(string, ...any)) {
	joined, opener, root := false, false, false
	for i, it := range p.Items {
		made := uint64(0)
		switch s := it.Step.(type) {
		case nsenter.JoinNS:
			joined = joined || s.Type == unix.CLONE_NEWUSER
		case nsenter.Opener:
			opener = true
			if joined {
				complain("step %d, %s: in a user namespace that was joined", i, s)
			}
		case nsenter.Unshare:
			made = s.Flags
		case nsenter.Clone:
			made = s.Flags
		case nsenter.AttachRoot:
			if root = true; joined && s.Tree == nsenter.NoSlot {
				complain("step %d, %s: opens the rootfs by path", i, s)
			}
		case nsenter.MountTree:
			if joined && s.Tree == nsenter.NoSlot {
				complain("step %d, %s: opens by path", i, s)
			}
		case nsenter.OpenTree:
			if joined && (!s.Below || !root) {
				complain("step %d, %s: where others may choose what that is", i, s)
			}
		}
		if made&unix.CLONE_NEWNS == 0 || !joined {
			continue
		}
		pivots := slices.ContainsFunc(p.Items[i:], func(it Item) bool { n := it.Step.Name(); return n == "pivot-root" || n == "move-root" })
		if !opener || !pivots {
			complain("step %d, %s: a copy of the host's mounts in a user namespace that was joined", i, it.Step)
		}
	}
}

// stagingViolations: the rootfs is mounted where the host's tree was left out, or on its own path. Hooks that come before the root is
// switched find the host's tree.
func stagingViolations(p *Plan, complain func(string, ...any)) {
	staged := false
	for i, it := range p.Items {
		switch s := it.Step.(type) {
		case nsenter.StagingRoot:
			staged = true
		case nsenter.AttachRoot:
			if s.Staged != staged {
				complain("step %d, %s: staged %v, the mount namespace is %v", i, s, s.Staged, staged)
			}
		case nsenter.MoveRoot:
			if staged {
				complain("step %d, %s: without the host's tree", i, s)
			}
		case nsenter.Sync:
			if staged && s.Point == nsenter.SyncHooks {
				complain("step %d, %s: without the host's tree", i, s)
			}
		}
	}
}

// before lists pairs of which the first, where both are there, must be done before the second.
var before = [...][2]string{
	{"join-namespace", "await-start"}, {"unshare", "await-start"}, {"clone", "setsid"},
	{"dumpable", "join-namespace"}, {"dumpable", "unshare"}, {"dumpable", "clone"},
	{"clone", "open-tree"}, {"open-tree", "set-ids"}, {"open-tree", "propagation"}, // by the rights of rt's user
	{"attach-root", "open-tree-below"}, {"open-tree-below", "pivot-root"}, {"open-tree-below", "move-root"},
	// The opener is in none of the namespaces that the container sees, and gone before anything of the image runs.
	{"opener", "join-namespace"}, {"opener", "unshare"}, {"opener", "clone"},
	// Where the host's tree is left out, that is before there is a user namespace, in which it would be locked.
	{"opener", "staging-root"}, {"staging-root", "join-namespace"}, {"staging-root", "unshare"}, {"staging-root", "clone"},
	{"opener", "request-tree"}, {"request-tree", "opener-end"}, {"map-tree", "opener-end"}, {"opener", "clone-root"}, {"clone-root", "clone"}, // locked by the copy
	{"opener-end", "pivot-root"}, {"opener-end", "move-root"}, {"opener-end", "find-executable"},
	{"clone", "join-cgroup"}, {"set-ids", "mount"}, {"set-ids", "keyring"}, {"keyring", "set-user"},
	{"drop-groups", "join-namespace"}, {"drop-groups", "unshare"}, {"drop-groups", "clone"},
	{"propagation", "attach-root"}, {"attach-root", "mount"}, {"attach-root", "bind"}, {"attach-root", "mkdir"},
	// Nothing of the host's tree is reached any more once the root has been switched.
	{"mount", "pivot-root"}, {"bind", "pivot-root"}, {"remount", "pivot-root"}, {"mknod", "pivot-root"},
	{"mount", "move-root"}, {"bind", "move-root"}, {"remount", "move-root"}, {"mknod", "move-root"},
	{"pivot-root", "console"}, {"pivot-root", "sysctl"}, {"pivot-root", "root-attributes"}, {"console", "root-attributes"},
	{"mkdir", "root-attributes"}, {"readonly-mount", "find-executable"},
	{"sysctl", "readonly-path"}, {"sysctl", "mask-path"}, // as sysctls lie below what is made read-only
	{"readonly-path", "find-executable"}, {"mask-path", "find-executable"},
	{"find-executable", "await-start"}, {"await-start", "close-fds"}, {"close-fds", "exec"},
	{"scheduler", "credentials"}, {"io-priority", "credentials"}, // while there are privileges
	{"bounding-set", "credentials"}, {"credentials", "no-new-privileges"}, {"no-new-privileges", "capabilities"},
	{"credentials", "capabilities"}, {"capabilities", "await-start"}, // given up before anybody waits
	{"credentials", "seccomp"}, {"capabilities", "seccomp"}, {"seccomp", "exec"}, // nothing can be pretended
	{"gate", "close-fds"}, {"set-user", "undumpable"}, {"undumpable", "clone"},
}

// anywhere are steps that no pair in before has: their place does not matter, or a rule of its own looks at it (exec-host, sync, take-root,
// label and capset in orderViolations, rlimit and chdir in rightsViolations, init in programs).
var anywhere = []string{"inputs", "symlink", "chown-stdio", "loopback-up", "hostname", "domainname", "memory-policy", "personality", "chdir-rootfs",
	"exec-host", "sync", "take-root", "label", "capset", "rlimit", "chdir", "init"}

// TestEveryStepHasItsPlace: each step of a golden plan is in before, once or anywhere.
func TestEveryStepHasItsPlace(t *testing.T) {
	known := slices.Concat(once, anywhere)
	for _, pair := range before {
		known = append(known, pair[:]...)
	}
	for _, s := range samples(t) {
		for _, it := range s.compile(t).Items {
			if name := it.Step.Name(); !slices.Contains(known, name) {
				t.Errorf("%s: no rule says where %s comes: add one to before", s.dir, name)
				known = append(known, name)
			}
		}
	}
}

// once are the steps that a plan has once at most.
var once = []string{"clone", "exec", "find-executable", "await-start", "close-fds", "seccomp", "credentials", "capabilities",
	"set-user", "undumpable", "set-ids", "keyring", "drop-groups", "bounding-set", "no-new-privileges", "pivot-root", "move-root",
	"chroot", "attach-root", "opener", "opener-end", "staging-root", "console", "setsid", "umask"}

func orderViolations(p *Plan, complain func(string, ...any)) {
	first, last, count := map[string]int{}, map[string]int{}, map[string]int{}
	for i, it := range p.Items {
		name := it.Step.Name()
		if s, ok := it.Step.(nsenter.OpenTree); ok && s.Below { // of what earlier steps have mounted
			name += "-below"
		}
		if count[name] == 0 {
			first[name] = i
		}
		last[name] = i
		count[name]++
	}
	for _, pair := range before {
		if a, b := pair[0], pair[1]; count[a] > 0 && count[b] > 0 && last[a] > first[b] {
			complain("%s (step %d) comes after %s (step %d)", a, last[a], b, first[b])
		}
	}
	for _, name := range once {
		if count[name] > 1 {
			complain("%d times %s", count[name], name)
		}
	}
	if count["clone"] != 1 || count["exec"]+count["exec-host"] != 1 || last["exec"]+last["exec-host"] != len(p.Items)-1 {
		complain("a plan clones once and ends in exec: %v", p.Steps())
	}
	ready := slices.IndexFunc(p.Items, func(it Item) bool { s, ok := it.Step.(nsenter.Sync); return ok && s.Point == nsenter.SyncReady })
	if ready >= 0 && ready < last["capabilities"] {
		complain("the container is created (step %d) with privileges (until step %d)", ready, last["capabilities"])
	}
	if s, ok := first["seccomp"]; ok {
		for _, it := range p.Items[s+1 : len(p.Items)-1] {
			if it.Step.Name() != "capset" || count["gate"] == 0 {
				complain("%s under the filter", it.Step)
			}
		}
	}
	if count["undumpable"] > 0 {
		joinViolations(p, complain)
	} else if count["set-user"] > 0 {
		complain("the process is not made undumpable")
	}
	dumpableViolations(p, complain)
	checkSync(p, complain)
}

// dumpableViolations: what joins a user namespace has its ids there before the clone, and is not dumpable after either, for who is in a
// pid namespace that it joins may trace it. A process that is to be dumpable has made its user namespace, and joins none.
func dumpableViolations(p *Plan, complain func(string, ...any)) {
	ids, dumpable := false, false
	for i, it := range p.Items {
		switch s := it.Step.(type) {
		case nsenter.Dumpable:
			dumpable = true
		case nsenter.SetIDs:
			ids = false
			if s.Dumpable && !dumpable {
				complain("step %d makes the process dumpable", i)
			}
		case nsenter.JoinNS:
			ids = ids || s.Type == unix.CLONE_NEWUSER
			if dumpable {
				complain("step %d, %s: by a process that is dumpable", i, s)
			}
		case nsenter.Clone:
			joins := slices.ContainsFunc(p.Items[:i], func(it Item) bool { s, ok := it.Step.(nsenter.JoinNS); return ok && s.Type == unix.CLONE_NEWPID })
			if ids && joins {
				complain("step %d: the clone comes before the ids of the user namespace", i)
			}
		}
	}
}

// joinViolations: what joins a container changes its ids, and leaves all of the host that the container could see, before the clone
// by which the container sees it. Right before it nobody can trace it any more.
func joinViolations(p *Plan, complain func(string, ...any)) {
	born := slices.IndexFunc(p.Items, func(it Item) bool { return it.Step.Name() == "clone" })
	if born < 1 || p.Items[born-1].Step.Name() != "undumpable" {
		complain("what comes before the clone is not that it cannot be traced")
	}
	var user nsenter.SetUser
	for i, it := range p.Items {
		name := it.Step.Name()
		if u, ok := it.Step.(nsenter.SetUser); ok {
			user = u
		}
		if ns, ok := it.Step.(nsenter.JoinNS); ok && ns.Type == unix.CLONE_NEWCGROUP { // by a process in the cgroup
			name = "join-cgroup"
		}
		switch name {
		case "drop-groups", "join-namespace", "label", "take-root", "chroot", "set-ids", "keyring", "set-user", "undumpable":
			if i > born {
				complain("%s (step %d) comes when the container sees the process (step %d)", name, i, born)
			}
		case "credentials": // the same once more, which changes nothing, and is looked at
			if !reflect.DeepEqual(it.Step, nsenter.Credentials(user)) {
				complain("step %d changes the ids of a process that joins: %v", i, it.Step)
			}
		}
		switch name {
		case "join-cgroup":
			if i < born {
				complain("%s (step %d) comes before the clone (step %d)", name, i, born)
			}
		}
	}
}

// checkSync: rt waits for these points, in this order.
func checkSync(p *Plan, complain func(string, ...any)) {
	var points []int
	for _, it := range p.Items {
		if s, ok := it.Step.(nsenter.Sync); ok {
			points = append(points, s.Point)
			if s.GoOn != (s.Point == nsenter.SyncExec) {
				complain("sync point %d: go on is %v", s.Point, s.GoOn)
			}
		}
	}
	order := []int{nsenter.SyncTime, nsenter.SyncMapIDs, nsenter.SyncCgroup, nsenter.SyncAffinity, nsenter.SyncNamespaces, nsenter.SyncHooks, nsenter.SyncReady, nsenter.SyncExec}
	at := 0
	for _, point := range points {
		next := slices.Index(order[at:], point)
		if next < 0 {
			complain("sync points %v", points)
			return
		}
		at += next + 1
	}
	if len(points) == 0 || points[len(points)-1] != nsenter.SyncExec {
		complain("the last sync point of %v is not the program", points)
	}
}

// textViolations: a line for each input, step and warning, and nothing that a terminal would act on.
func textViolations(p *Plan, complain func(string, ...any)) {
	text := p.Text()
	if got, want := strings.Count(text, "\n"), len(p.Inputs)+len(p.Items)+len(p.Warnings); got != want {
		complain("%d lines for %d things: %q", got, want, text)
	}
	for _, r := range text {
		if unicode.IsControl(r) && r != '\n' {
			complain("control character %q in %q", r, text)
			return
		}
	}
}

// A path of /proc is looked for in the mount there, which must not make /proc/../etc/shadow one that does not exist.
func TestProtectedPathsAreClean(t *testing.T) {
	spec := bundle.Normalise(&specs.Spec{Version: "1.2.0", Process: &specs.Process{Args: []string{"sh"}, Cwd: "/"}, Root: &specs.Root{Path: "r"},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}},
			MaskedPaths: []string{"/proc/../etc/shadow"}, ReadonlyPaths: []string{"/./proc//sys", "/link/../x"}}})
	p, err := Create(spec, Options{}, Facts{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range p.Items {
		switch s := it.Step.(type) {
		case nsenter.MaskPath:
			got = append(got, s.Path)
		case nsenter.ReadonlyPath:
			got = append(got, s.Path)
		}
	}
	if want := []string{"/proc/sys", "/link/../x", "/etc/shadow"}; !slices.Equal(got, want) {
		t.Errorf("protected: %q, wanted %q", got, want)
	}
}

// TestAfterStart: `rt start` numbers the steps that are left from the end, and knows no options or facts but those
// that it can see again. Its plan must be the tail of create's.
func TestAfterStart(t *testing.T) {
	for _, s := range samples(t) {
		if s.with.Plan != "" {
			continue
		}
		whole := s.compile(t)
		tail, err := AfterStart(s.spec, s.with.Options, s.with.Facts)
		if err != nil {
			t.Fatal(err)
		}
		got := whole.Items[len(whole.Items)-len(tail.Items):]
		for i := range tail.Items {
			if !reflect.DeepEqual(got[i], tail.Items[i]) {
				t.Errorf("%s: step %d from the end is %#v in create, %#v after start", s.dir, len(got)-i, got[i], tail.Items[i])
			}
		}
		if before := whole.Items[len(whole.Items)-len(tail.Items)-1].Step; before.Name() != "await-start" && s.with.Options.Await {
			t.Errorf("%s: start does not begin after await-start but after %s", s.dir, before)
		}
		// What start.go has: no options but that for an init, an empty filter for any, no facts but its own capabilities.
		opts := Options{Init: s.with.Options.Init}
		if s.with.Options.Filter != nil {
			opts.Filter = &seccomp.Program{}
		}
		known, err := AfterStart(s.spec, opts, Facts{Bounding: s.with.Facts.Bounding})
		if err != nil {
			t.Fatal(err)
		}
		if len(known.Items) != len(tail.Items) {
			t.Fatalf("%s: %d steps without options, %d with", s.dir, len(known.Items), len(tail.Items))
		}
		for i := range known.Items {
			a, b := known.Items[i], tail.Items[i]
			if a.Pointer != b.Pointer || a.Step.Name() != b.Step.Name() {
				t.Errorf("%s: step %d is %s without options, %s with", s.dir, i, a.Step, b.Step)
			}
		}
	}
}

// TestCallerFiles: the limit of rt's caller comes back before anybody can see the process as created, and before the program
// of exec and of a hook; process.rlimits comes after it.
func TestCallerFiles(t *testing.T) {
	own := specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 3, Hard: 4}
	spec := bundle.Normalise(&specs.Spec{
		Process: &specs.Process{Args: []string{"a"}, Cwd: "/", Rlimits: []specs.POSIXRlimit{own}},
		Root:    &specs.Root{Path: "/r"}, Linux: &specs.Linux{},
	})
	limits := func(p *Plan, err error) (order []string) {
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range p.Items {
			switch s := it.Step.(type) {
			case nsenter.Rlimit:
				order = append(order, fmt.Sprintf("%d:%d", s.Soft, s.Hard))
			case nsenter.Sync:
				order = append(order, fmt.Sprint(s.Point))
			}
		}
		return order
	}
	ready, exec := fmt.Sprint(nsenter.SyncReady), fmt.Sprint(nsenter.SyncExec)
	for files, want := range map[Limit][]string{{1, 2}: {"1:2"}, {2, 2}: nil, {}: nil, {8, 1 << 20}: {"8:1048576"}} {
		facts := Facts{Files: files}
		// What would keep the process from waiting comes after the wait.
		least := fmt.Sprintf("%d:%d", max(3, min(filesToWait, files.Hard)), max(4, min(filesToWait, files.Hard)))
		all := slices.Concat(want, []string{least, ready, exec, "3:4"})
		if got := limits(Create(spec, Options{Rootfs: "/r"}, facts)); !slices.Equal(got, all) {
			t.Errorf("create, %v: %q", files, got)
		}
		if got := limits(Exec(spec, Options{}, facts)); !slices.Equal(got, slices.Concat(want, []string{"3:4", exec})) {
			t.Errorf("exec, %v: %q", files, got)
		}
		if got := limits(StartHook(spec, specs.Hook{Path: "/h"}, Options{}, facts)); !slices.Equal(got, slices.Concat(want, []string{"3:4", exec})) {
			t.Errorf("hook, %v: %q", files, got)
		}
		if got := limits(CreateHook(spec, specs.Hook{Path: "/h"}, facts), nil); !slices.Equal(got, slices.Concat(want, []string{exec})) {
			t.Errorf("createContainer hook, %v: %q", files, got)
		}
	}
}

// TestProcessLimitOfExec: the limit on processes is in force when exec sets its user, and not when it clones.
func TestProcessLimitOfExec(t *testing.T) {
	spec := bundle.Normalise(&specs.Spec{
		Process: &specs.Process{Args: []string{"a"}, Cwd: "/", Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NPROC", Soft: 3, Hard: 4}}},
		Root:    &specs.Root{Path: "/r"}, Linux: &specs.Linux{},
	})
	for caller, want := range map[Limit]string{
		{100, 200}: "3:200 set-user 100:200 clone 3:4", {1, 2}: "2:2 set-user 1:2 clone 3:4",
	} {
		p, err := Exec(spec, Options{}, Facts{Namespace: unix.CLONE_NEWUSER, Processes: caller})
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, it := range p.Items {
			switch s := it.Step.(type) {
			case nsenter.Rlimit:
				order = append(order, fmt.Sprintf("%d:%d", s.Soft, s.Hard))
			case nsenter.SetUser, nsenter.Clone:
				order = append(order, s.Name())
			}
		}
		if got := strings.Join(order, " "); got != want {
			t.Errorf("%v: got %s, want %s", caller, got, want)
		}
	}
}

// TestRaisedLimitsOfUserNamespace: hard limits are raised before the user namespace is entered, and nothing before the program's
// limits lowers them.
func TestRaisedLimitsOfUserNamespace(t *testing.T) {
	spec := bundle.Normalise(&specs.Spec{
		Process: &specs.Process{Args: []string{"a"}, Cwd: "/", Rlimits: []specs.POSIXRlimit{
			{Type: "RLIMIT_NPROC", Soft: 50, Hard: 60}, {Type: "RLIMIT_NOFILE", Soft: 300, Hard: 400}}},
		Root: &specs.Root{Path: "/r"}, Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.UserNamespace}}},
	})
	facts := Facts{Namespace: unix.CLONE_NEWUSER, Files: Limit{100, 200}, Processes: Limit{1, 2}, Raised: []nsenter.Rlimit{
		{Type: "RLIMIT_NPROC", Number: unix.RLIMIT_NPROC, Soft: 1, Hard: 60}, {Type: "RLIMIT_NOFILE", Number: unix.RLIMIT_NOFILE, Soft: 200, Hard: 400}}}
	order := func(p *Plan, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, it := range p.Items {
			switch s := it.Step.(type) {
			case nsenter.Rlimit:
				order = append(order, fmt.Sprintf("%d:%d", s.Soft, s.Hard))
			case nsenter.JoinNS, nsenter.Clone, nsenter.SetUser:
				order = append(order, s.Name())
			}
		}
		return strings.Join(order, " ")
	}
	if got, want := order(Create(spec, Options{Rootfs: "/r"}, facts)), "1:60 200:400 clone 100:400 50:60 300:400"; got != want {
		t.Errorf("create: got %s, want %s", got, want)
	}
	want := "1:60 200:400 join-namespace 50:60 set-user 1:60 clone 100:400 50:60 300:400"
	if got := order(Exec(spec, Options{}, facts)); got != want {
		t.Errorf("exec: got %s, want %s", got, want)
	}
	if got := order(StartHook(spec, specs.Hook{Path: "/h"}, Options{}, facts)); got != want {
		t.Errorf("hook: got %s, want %s", got, want)
	}
}
