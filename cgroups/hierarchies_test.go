package cgroups

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Controllers that hardly any host mounts, two of them on one hierarchy: all are joined, a hierarchy of two has one
// directory and one join, and a named hierarchy of somebody else's is left alone.
func TestMoreHierarchies(t *testing.T) {
	devices := onlyV1(t).V1["devices"]
	h := mounted(t, "net_cls,net_prio", "perf_event", "none,name=rt-test")
	named := h.V1["none,name=rt-test"]
	delete(h.V1, "none,name=rt-test")
	h.V1["net_cls"], h.V1["net_prio"], h.V1["devices"] = h.V1["net_cls,net_prio"], h.V1["net_cls,net_prio"], devices
	delete(h.V1, "net_cls,net_prio")
	c := cgroupFor(t, h)
	if n := len(c.TaskFiles()); n != 3 {
		t.Errorf("%d files to join by, want 3: %v", n, c.TaskFiles())
	}
	create(t, c, `{"network":{"classID":7,"priorities":[{"name":"lo","priority":3}]}}`)
	readBack(t, c, map[string]string{"net_cls/net_cls.classid": "7"})
	cmd := sh(t, c, "")
	name := "/" + filepath.Base(c.dirOf("net_cls"))
	lines := strings.Split(read(t, "/proc/"+strconv.Itoa(cmd.Process.Pid)+"/cgroup"), "\n")
	for _, controllers := range []string{"net_cls,net_prio", "perf_event", "devices"} {
		if !slices.ContainsFunc(lines, func(line string) bool {
			_, rest, _ := strings.Cut(line, ":")
			return rest == controllers+":"+name || controllers == "net_cls,net_prio" && rest == "net_prio,net_cls:"+name
		}) {
			t.Errorf("not in %s:\n%s", controllers, strings.Join(lines, "\n"))
		}
	}
	if exists(named + name) {
		t.Error("a directory in the named hierarchy")
	}
	if err := errors.Join(c.Kill(unix.SIGKILL), c.Destroy()); err != nil {
		t.Error(err)
	}
	died(t, cmd)
}

// A limit of a controller that the host lacks is an error, and nothing is left; without the limit the container runs.
func TestMissingHierarchies(t *testing.T) {
	h := onlyV1(t)
	c := cgroupFor(t, &Host{Mode: V1, Root: h.Root, V1: map[string]string{"devices": h.V1["devices"], "pids": h.V1["pids"]}})
	_, err := c.Create(parse(t, `{"memory":{"limit":4194304}}`))
	if err == nil || err.Error() != "controller memory is not available: /linux/resources/memory/limit cannot be applied" || c.Exists() {
		t.Errorf("%v, exists %v", err, c.Exists())
	}
	create(t, c, `{"pids":{"limit":5}}`)
	if _, err := c.Apply(parse(t, `{"pids":{"limit":6},"cpu":{"shares":5}}`)); err == nil || !strings.Contains(err.Error(), "controller cpu is not available") {
		t.Error(err)
	}
	readBack(t, c, map[string]string{"pids/pids.max": "5"})
}

func TestJoinWith(t *testing.T) {
	c := cgroupFor(t, pureV2(t))
	create(t, c, `{}`)
	init, other := sh(t, c, ""), sh(t, c, "")
	dirs := map[string]string{"": c.BornDir() + "/init"}
	if err := os.Mkdir(dirs[""], 0o755); err != nil {
		t.Fatal(err)
	}
	inner := Load(c.host, dirs)
	for _, cmd := range []int{init.Process.Pid, other.Process.Pid} {
		if err := inner.Join(cmd); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeFile(c.BornDir()+"/cgroup.subtree_control", "+pids"); err != nil {
		t.Fatal(err)
	}
	if err := c.Join(other.Process.Pid); !errors.Is(err, unix.EBUSY) {
		t.Errorf("join: %v", err)
	}
	dirOf := func(pid int, anywhere bool) func() (string, error) {
		return func() (string, error) {
			text, err := readFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
			if err != nil {
				return "", err
			}
			return c.DirOfInit(text, anywhere)
		}
	}
	if err := c.JoinWith(other.Process.Pid, dirOf(init.Process.Pid, false)); err != nil {
		t.Error(err)
	}
	// Only the host's root follows an init that is somewhere else.
	if err := c.JoinWith(other.Process.Pid, dirOf(os.Getpid(), false)); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "is not below "+c.BornDir()) {
		t.Errorf("join with a stranger: %v", err)
	}
}

func TestDirOfInit(t *testing.T) {
	c := Load(&Host{Mode: V2, Unified: "/m"}, map[string]string{"": "/m/a/b"})
	for _, x := range []struct {
		text     string
		anywhere bool
		want     string
	}{
		{"0::/a/b/c", false, "/m/a/b/c"}, {"0::/a/b/c", true, "/m/a/b/c"}, {"1:name=systemd:/x\n0::/a/b/c\n", false, "/m/a/b/c"},
		{"0::/a/b", false, ""}, {"0::/a/bc", false, ""}, {"0::/x", false, ""}, {"0::/", false, ""},
		{"0::/x", true, "/m/x"}, {"0::/", true, "/m"}, {"0::/../x", true, ""}, {"0::/a/b/../../..", true, ""}, {"0::/../../a/b/c", false, ""},
		{"0::x", true, ""}, {"", true, ""}, {"5:pids:/x", true, ""},
	} {
		if got, err := c.DirOfInit(x.text, x.anywhere); got != x.want || (err == nil) != (x.want != "") {
			t.Errorf("%q, anywhere %v: %q, %v, want %q", x.text, x.anywhere, got, err, x.want)
		}
	}
	if got, err := Load(&Host{}, map[string]string{"": "/m/a"}).DirOfInit("0::/x", true); err == nil {
		t.Errorf("without a v2 hierarchy: %q", got)
	}
}

func TestDelegate(t *testing.T) {
	c := cgroupFor(t, onlyV2(t))
	create(t, c, `{}`)
	list := filepath.Join(t.TempDir(), "delegate")
	writeTestFile(t, list, "cgroup.procs\nmemory.none\ncgroup.threads\n../x\n")
	if err := c.delegate(1234, list); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint32{"": 1234, "cgroup.procs": 1234, "cgroup.threads": 1234, "cgroup.subtree_control": 0, "cgroup.freeze": 0} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(c.BornDir(), name), &st); err != nil || st.Uid != want {
			t.Errorf("%q: owner %d %v, want %d", name, st.Uid, err, want)
		}
	}
	if err := c.delegate(1235, list+"-none"); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(c.BornDir()+"/cgroup.subtree_control", &st); err != nil || st.Uid != 1235 {
		t.Errorf("without the kernel's list: owner %d %v", st.Uid, err)
	}
}

// An update can ask for a controller that the container was made without.
func TestApplyEnables(t *testing.T) {
	h := liveHost(t)
	if have, err := readFields(h.Unified + "/cgroup.controllers"); err != nil || !slices.Contains(have, "hugetlb") {
		t.Skip("hugetlb is not in cgroup v2 here")
	}
	c := cgroupFor(t, h)
	create(t, c, `{}`)
	if _, err := c.Apply(parse(t, `{"hugepageLimits":[{"pageSize":"2MB","limit":2097152}]}`)); err != nil {
		t.Fatal(err)
	}
	readBack(t, c, map[string]string{"v2/hugetlb.2MB.max": "2097152"})
}
