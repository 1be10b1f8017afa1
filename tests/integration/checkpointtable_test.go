package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What a process and a container have, before a dump and after a restore: a table of facts, in which what differs is explained by a
// row of docs/checkpoint.md.

// facts are what the host sees of a container. A key is SUBJECT or SUBJECT DETAIL.
func (c *container) facts() map[string]string {
	c.t.Helper()
	f := map[string]string{}
	pid := c.pid()
	dir := "/proc/" + pidText(pid) + "/"
	file := func(name string) string {
		data, err := os.ReadFile(dir + name)
		if err != nil && !os.IsNotExist(err) && !errors.Is(err, unix.EINVAL) { // EINVAL: no LSM has a label
			c.t.Fatal(err)
		}
		return strings.TrimSpace(string(data))
	}
	status := file("status")
	for _, name := range []string{"Name", "Umask", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters",
		"SigBlk", "SigIgn", "SigCgt", "Cpus_allowed", "Mems_allowed", "THP_enabled", "Threads"} {
		f["status "+name] = value(status, name)
	}
	for _, name := range []string{"limits", "oom_score_adj", "timens_offsets", "uid_map", "gid_map", "setgroups", "personality", "coredump_filter", "timerslack_ns",
		"loginuid", "cmdline", "environ", "attr/current"} {
		f["file "+name] = file(name)
	}
	for _, name := range []string{"cwd", "exe", "root"} {
		f["link "+name] = readlink(c.t, dir+name)
	}
	attr, err := unix.SchedGetAttr(pid, 0)
	c.must(err)
	attr.Size = 0
	f["scheduler"] = fmt.Sprintf("%+v", *attr)
	io, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(pid), 0)
	f["ioPriority"] = fmt.Sprint(io, errno)
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		f["namespace "+kind] = "the host's"
		if readlink(c.t, dir+"ns/"+kind) != readlink(c.t, "/proc/self/ns/"+kind) {
			f["namespace "+kind] = "its own"
		}
	}
	c.mountFacts(f, file("mountinfo"))
	c.descriptorFacts(f, pid)
	c.cgroupFacts(f)
	c.containerFacts(f)
	return f
}

// mountFacts: point, root, flags, propagation and type of each mount, without numbers.
func (c *container) mountFacts(f map[string]string, text string) {
	c.t.Helper()
	at := map[string]int{}
	for _, line := range strings.Split(text, "\n") {
		own, fs, _ := strings.Cut(line, " - ")
		fields, of := strings.Fields(own), strings.Fields(fs)
		propagation := regexp.MustCompile(`:\d+`).ReplaceAllString(strings.Join(fields[6:], " "), "")
		at[fields[4]]++
		key := fmt.Sprintf("mount %s #%d", fields[4], at[fields[4]])
		f[key] = strings.ReplaceAll(strings.Join([]string{fields[3], fields[5], propagation, of[0], of[2]}, " "), c.id, "ID")
		f[key] = strings.ReplaceAll(f[key], c.dir, "DIR")
	}
}

func (c *container) descriptorFacts(f map[string]string, pid int) {
	c.t.Helper()
	dir := "/proc/" + pidText(pid)
	list, err := os.ReadDir(dir + "/fd")
	c.must(err)
	for _, fd := range list {
		link := strings.ReplaceAll(readlink(c.t, dir+"/fd/"+fd.Name()), c.dir, "DIR")
		link = regexp.MustCompile(`\d+`).ReplaceAllString(link, "N")
		f["descriptor "+fd.Name()] = link + " " + value(readFile(c.t, dir+"/fdinfo/"+fd.Name()), "flags")
	}
}

// cgroupFacts: limits and device rules of the container's cgroup, on v1 or v2.
func (c *container) cgroupFacts(f map[string]string) {
	c.t.Helper()
	for _, l := range [][2]string{{"memory", "memory.limit_in_bytes"}, {"memory", "memory.max"}, {"pids", "pids.max"}, {"cpu", "cpu.shares"}, {"cpu", "cpu.weight"},
		{"cpu", "cpu.cfs_quota_us"}, {"cpu", "cpu.max"}, {"cpuset", "cpuset.cpus"}, {"devices", "devices.list"}} {
		for _, dir := range c.cgroupDirs() {
			if data, err := os.ReadFile(filepath.Join(dir, l[1])); err == nil {
				f["cgroup "+l[1]] = strings.TrimSpace(string(data))
			}
		}
	}
	if len(c.cgroupDirs()) == 0 {
		c.t.Error("the container has no cgroup")
	}
	r := c.exec("sh", "-c", "head -c1 /dev/zero | wc -c; head -c1 /dev/mem 2>&1; mknod /tmp/loop-control c 10 237 && cat /tmp/loop-control 2>&1; rm -f /tmp/loop-control; true")
	f["cgroup devices"] = r.stdout + r.stderr
}

// containerFacts are what rt says and does, and what a process that exec starts sees and has.
func (c *container) containerFacts(f map[string]string) {
	c.t.Helper()
	var state map[string]any
	c.must(json.Unmarshal([]byte(c.rt("state", c.id).ok().stdout), &state))
	for name, v := range state {
		f["state "+name] = strings.ReplaceAll(fmt.Sprint(v), c.id, "ID")
	}
	inside := c.exec("sh", "-c", `grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)' /proc/self/status; id; umask; ulimit -n; hostname; cat /proc/self/oom_score_adj
		for n in net/ipv4/ip_unprivileged_port_start kernel/shmmax kernel/msgmax kernel/domainname fs/mqueue/msg_max; do echo $n $(cat /proc/sys/$n); done
		for n in net user uts ipc pid mnt cgroup time; do test "$(readlink /proc/self/ns/$n)" = "$(readlink /proc/1/ns/$n)" && echo "namespace $n is init's"; done
		for p in /proc/keys /proc/timer_list /sys/firmware; do echo $p $(stat -c %F:%t:%T $p); done
		touch /proc/sys/x /x 2>&1; cat /tmp/file; stat -c %A:%u:%g /tmp/file; stat -f -c %T /dev/shm`)
	for line := range strings.SplitSeq(inside.stdout, "\n") {
		if name, ok := strings.CutSuffix(line, " is init's"); ok {
			f["exec "+name] = "init's"
		} else {
			f["exec"] += line + "\n"
		}
	}
	f["exec"] += inside.stderr
	for verb, args := range map[string][]string{"pause": {"pause", c.id}, "update": {"update", "--pids-limit", "60", c.id}, "ps": {"ps", c.id}} {
		f[verb] = strconv.Itoa(c.rt(args...).code)
		if verb == "pause" {
			f["resume"] = strconv.Itoa(c.rt("resume", c.id).code)
		}
	}
	c.rt("update", "--pids-limit", "50", c.id).ok()
}

// explained are the keys that docs/checkpoint.md has a row about: `KEY`, or `KEY*` for all that begin with it.
func explained(t *testing.T) (keys []string) {
	t.Helper()
	_, table, ok := strings.Cut(readFile(t, "../../docs/checkpoint.md"), "\n## What differs after a restore?\n")
	if !ok {
		t.Fatal("docs/checkpoint.md: no table of differences")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		keys = append(keys, row[1])
	}
	return keys
}

// rich is a container that has something of everything.
func rich(s *specs.Spec) {
	umask, adj, limit, pids, shares := uint32(0o27), 321, int64(96<<20), int64(50), uint64(512)
	p := s.Process
	p.User.Umask, p.OOMScoreAdj = &umask, &adj
	p.User.AdditionalGids = []uint32{7, 8}
	p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 300, Hard: 400}, {Type: "RLIMIT_CORE", Soft: 1, Hard: 2}}
	p.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}
	p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
	s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
	s.Linux.Resources.CPU = &specs.LinuxCPU{Shares: &shares}
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"personality"}, Action: specs.ActErrno}}}
	s.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "77", "kernel.shmmax": "123456789", "fs.mqueue.msg_max": "11"}
	s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/sys/firmware")
	s.Domainname = "rt.example"
	namespace(specs.CgroupNamespace, "")(s)
	mounted("/tmp", "tmpfs", "tmpfs", "mode=1777", "nosuid")(s)
	mounted("/vol", "bind", "vol", "rbind", "ro", "nodev", "rprivate")(s)
	script(`umask 27; echo text >/tmp/file; exec 5>>/tmp/file 6</tmp/file; trap '' USR2; while :; do usleep 100000; done`)(s)
}

// TestCheckpointTable compares the facts in three ways of going through a checkpoint.
func TestCheckpointTable(t *testing.T) {
	needsCriu(t)
	if why := criuNetworks(); why != "" {
		t.Skip(why)
	}
	rows := explained(t)
	for name, way := range map[string]struct {
		edit      func(*specs.Spec)
		elsewhere bool
	}{
		"the same":       {edit: func(*specs.Spec) {}},
		"user namespace": {edit: func(s *specs.Spec) { mapped(s); s.Process.Scheduler = nil }}, // the owner of the new user namespace may not raise it
		"another id":     {edit: func(*specs.Spec) {}, elsewhere: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, rich, networked(t), way.edit)
			c.file("b/vol/x", "volume", 0o644)
			c.file("b/rootfs/vol/x", "covered", 0o644)
			c.upOwned()
			eventually(t, "what the process does first", func() bool { return c.exec("sh", "-c", "cat /proc/1/fdinfo/6").code == 0 })
			before := c.facts()
			after := c
			if way.elsewhere {
				c.save().ok()
				after = c.sibling(rich, networked(t))
				after.file("b/vol/x", "volume", 0o644)
				after.file("b/rootfs/vol/x", "covered", 0o644)
				after.do(viaCriu(criuProgram(), call{args: after.with("restore", "-d", "--image-path", c.images())})).ok()
			} else {
				c.save().ok()
				c.back().ok()
			}
			compareFacts(t, before, after.facts(), rows)
		})
	}
}

func compareFacts(t *testing.T, before, after map[string]string, rows []string) {
	t.Helper()
	var keys []string
	for key := range before {
		keys = append(keys, key)
	}
	for key := range after {
		if _, there := before[key]; !there {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		is := slices.ContainsFunc(rows, func(row string) bool {
			prefix, all := strings.CutSuffix(row, "*")
			return row == key || all && strings.HasPrefix(key, prefix)
		})
		if before[key] != after[key] && !is {
			t.Errorf("%s:\nbefore %q\nafter  %q\n(no row of docs/checkpoint.md explains it)", key, before[key], after[key])
		}
	}
}
