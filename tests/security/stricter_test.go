package security

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Images are restored with the configuration that the bundle has now. It may be stricter than the one that the processes had.

// lax is a container's process that has all that a configuration can leave it.
func lax(v *victim) {
	capable(strongCaps)(v)
	v.spec.Linux.MaskedPaths, v.spec.Linux.ReadonlyPaths = nil, nil
}

// unable has a process without capabilities that cannot get any.
func unable(v *victim) {
	capable(nil)(v)
	v.spec.Process.NoNewPrivileges = true
}

func unfiltered(v *victim) { v.spec.Linux.Seccomp = nil }

// TestRestoreStricterBundle: what the configuration forbids and the processes have is refused, and nothing of them has run or is left.
func TestRestoreStricterBundle(t *testing.T) {
	needsRealCriu(t)
	for name, c := range map[string]struct {
		before, after func(*victim)
		says          string
	}{
		"no_new_privs": {lax, func(v *victim) { v.spec.Process.NoNewPrivileges = true }, "/process/noNewPrivileges"},
		"bounding":     {lax, func(v *victim) { v.spec.Process.Capabilities.Bounding = engineCaps }, "CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_SYS_ADMIN, which is not configured (/process/capabilities/bounding)"},
		"capabilities": {lax, capable(nil), "/process/capabilities/bounding"},
		"permitted": {func(v *victim) { lax(v); v.spec.Process.NoNewPrivileges = true }, func(v *victim) {
			c := v.spec.Process.Capabilities
			c.Permitted, c.Effective = []string{"CAP_KILL"}, []string{"CAP_KILL"}
		}, "/process/capabilities/permitted"},
		"user":  {unable, asUser(1000), "/process/user/uid"},
		"group": {unable, func(v *victim) { v.spec.Process.User.GID = 7 }, "/process/user/gid"},
		"groups": {func(v *victim) { unable(v); v.spec.Process.User.AdditionalGids = []uint32{4, 5} },
			func(v *victim) { v.spec.Process.User.AdditionalGids = []uint32{4} }, "/process/user/additionalGids"},
		"filter":    {unfiltered, filtered(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}}}), "/linux/seccomp"},
		"masks":     {lax, func(v *victim) { v.spec.Linux.MaskedPaths = []string{"/not/there", "/proc/keys"} }, "/proc/keys is not masked (/linux/maskedPaths/1)"},
		"directory": {lax, func(v *victim) { v.spec.Linux.MaskedPaths = []string{"/sys/firmware"} }, "/sys/firmware is not masked (/linux/maskedPaths/0)"},
		"read-only": {lax, func(v *victim) { v.spec.Linux.ReadonlyPaths = []string{"/proc/sys"} }, "/proc/sys can be written to (/linux/readonlyPaths/0)"},
		"namespace": {func(v *victim) { sharing(v, specs.UTSNamespace) }, func(v *victim) {
			v.spec.Linux.Namespaces = append(v.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UTSNamespace})
		}, "init is not in the uts namespace that is configured"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, c.before, args("sh", "-c", "while :; do printf x >>/tmp/ran; busybox usleep 1000; done")).up()
			v.checkpoint("").ok(t)
			c.after(v)
			v.write()
			ran := func() int64 {
				info, err := os.Stat(v.rootfs + "/tmp/ran")
				must(t, err)
				return info.Size()
			}
			before := ran()
			r := v.restore("")
			if r.code == 0 || !strings.Contains(r.stderr, c.says) {
				t.Errorf("want %q: %v", c.says, r)
			}
			if r.code == 0 {
				v.remove()
			}
			if now := ran(); now != before {
				t.Errorf("the processes have run: %d bytes, %d before", now, before)
			}
			if left, _ := filepath.Glob("/sys/fs/cgroup/*/" + v.id); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if _, err := os.Lstat(v.dir + "/root/" + v.id); err == nil {
				t.Error("the container's directory is left")
			}
		})
	}
}

// sharing leaves the container without a namespace of a type.
func sharing(v *victim, kind specs.LinuxNamespaceType) {
	var kept []specs.LinuxNamespace
	for _, ns := range v.spec.Linux.Namespaces {
		if ns.Type != kind {
			kept = append(kept, ns)
		}
	}
	v.spec.Linux.Namespaces = kept
}

// TestRestoreGroupsOfTheCaller: CRIU leaves its own supplementary groups to a process that had none.
func TestRestoreGroupsOfTheCaller(t *testing.T) {
	needsRealCriu(t)
	v := newVictim(t).up()
	groups := func() string {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(v.pid()) + "/status")
		must(t, err)
		return status(t, string(text), "Groups")
	}
	before := groups()
	v.checkpoint("").ok(t)
	v.restore("").ok(t)
	if now := groups(); now != before {
		t.Errorf("groups %q, and %q before", now, before)
	}
}

// TestRestoreStricterLimits: limits and the OOM score of a stricter bundle are those of the restored processes, of init's child, too. What a
// process has lowered itself stays.
func TestRestoreStricterLimits(t *testing.T) {
	needsRealCriu(t)
	limits := func(hard uint64) func(*victim) {
		return func(v *victim) {
			v.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: hard, Hard: hard}, {Type: "RLIMIT_NPROC", Soft: 1000, Hard: 2000}}
		}
	}
	v := newVictim(t, unable, limits(900), args("sh", "-c", "ulimit -u 500; sleep 1000 & wait")).up()
	v.checkpoint("").ok(t)
	limits(300)(v)
	score := 500
	v.spec.Process.OOMScoreAdj = &score
	v.write()
	v.restore("").ok(t)
	pids := []int{v.pid()}
	eventually(t, "init's child", func() bool {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pids[0]) + "/task/" + strconv.Itoa(pids[0]) + "/children")
		must(t, err)
		child, err := strconv.Atoi(strings.TrimSpace(string(text)))
		pids = append(pids[:1], child)
		return err == nil
	})
	for _, pid := range pids {
		var files, processes unix.Rlimit
		must(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &files))
		must(t, unix.Prlimit(pid, unix.RLIMIT_NPROC, nil, &processes))
		if files.Cur != 300 || files.Max != 300 || processes.Cur != 500 || processes.Max != 500 {
			t.Errorf("process %d: files %v, want 300; processes %v, want 500", pid, files, processes)
		}
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/oom_score_adj")
		must(t, err)
		if string(text) != "500\n" {
			t.Errorf("process %d: OOM score %q, want 500", pid, text)
		}
	}
}
