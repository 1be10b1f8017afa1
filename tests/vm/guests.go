package main

import (
	"fmt"
	"strings"
)

// A guest is one kind of machine.
type guest struct {
	name, about string
	kernel      string
	disk        bool     // Debian with systemd as PID 1; else busybox in memory
	user        bool     // as an ordinary user in a delegated cgroup
	append      string   // to the kernel's command line
	env         []string // for the tests
	only        string   // which tests it is for, "" for all
	quick       string   // which of them `make test` runs, "" for none
}

// tests are those that this run wants: a regular expression.
func (g *guest) tests(o options) string {
	switch {
	case o.quick:
		return g.quick
	case o.run != "":
		return o.run
	}
	return g.only
}

// v1Layout makes systemd mount the v1 hierarchies. Kernel 6.12 of Debian lacks the v1 memory and cpuset controllers.
const v1Layout = "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1"

func guests() []guest {
	return []guest{
		{name: "v2", about: "Linux 6.12, busybox, cgroup v2, root", kernel: "6.12", quick: quickTests},
		{name: "systemd", about: "Linux 6.12, systemd, cgroup v2, root, file driver", kernel: "6.12", disk: true},
		{name: "systemd-driver", about: "Linux 6.12, systemd, cgroup v2, root, --systemd-cgroup", kernel: "6.12", disk: true,
			env: []string{"RT_SYSTEMD_CGROUP=1"}},
		{name: "user", about: "Linux 6.12, systemd, cgroup v2, an ordinary user, delegated cgroup", kernel: "6.12", disk: true, user: true},
		{name: "v1", about: "Linux 6.1, systemd, cgroup v1, root, file driver", kernel: "6.1", disk: true, append: v1Layout},
		{name: "selinux", about: "Linux 6.12, busybox, cgroup v2, root, SELinux", kernel: "6.12", append: "security=selinux selinux=1 enforcing=0",
			only: selinuxTests, quick: selinuxTests},
	}
}

// selinuxTests: the first of them loads a policy and has it enforced.
const selinuxTests = "^Test(SELinux|NoLSM|Binary|Lifecycle|ExecProcess)$"

// quickTests are what differs on cgroup v2, and a little of everything else.
const quickTests = "^Test(Binary|Lifecycle|Kill|KillPaused|ExecDetach|ExecProcess|UserNamespace|ForegroundTerminal|PidsLimitWorks|" +
	"MemoryLimitWorks|MemoryHogIsKilled|ForkBomb|SmallestPidsLimits|TinyLimits|NestedCgroupsPath|RelativeCgroupsPath|Cgroup2Mount|" +
	"DefaultDevices|DeviceAccess|DeviceRuleVerdicts|UpdateFlags|UpdateIsWhole|EventsOOM|EventsStats|ExecWhereInitWent|CgroupOwner|LimitWithoutController|" +
	"Delegated|OwnCgroupOnly|RootlessRanges|FrozenMakesNoProgress|NetDeviceBack|Scheduler|" +
	"LimitsV2|DevicesEnforcedV2|ParentWithProcesses|CreateJoinDestroy|Freeze|KillForking|Killed)$"

func guestNames() (names []string) {
	for _, g := range guests() {
		names = append(names, g.name)
	}
	return names
}

// choose finds the named guests, in the order of guests.
func choose(names string, quick bool) (chosen []guest, err error) {
	want := map[string]bool{}
	for _, name := range strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' }) {
		want[name] = true
	}
	all := len(want) == 0
	for _, g := range guests() {
		if (all || want[g.name]) && (!quick || g.quick != "") {
			chosen = append(chosen, g)
		}
		delete(want, g.name)
	}
	for name := range want {
		return nil, fmt.Errorf("no guest %q: %s", name, strings.Join(guestNames(), ", "))
	}
	return chosen, nil
}
