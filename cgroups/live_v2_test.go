package cgroups

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// pureV2 is a host where v2 has the controllers; tests/vm has one.
func pureV2(t *testing.T) *Host {
	t.Helper()
	h := liveHost(t)
	if h.Mode != V2 {
		t.Skip("this host is " + h.Mode.String() + ": its controllers are not in v2")
	}
	return h
}

func TestLimitsV2(t *testing.T) {
	c := cgroupFor(t, pureV2(t))
	create(t, c, `{"memory":{"limit":67108864,"reservation":33554432},
		"cpu":{"shares":1024,"quota":20000,"period":50000,"burst":1000,"cpus":"0","mems":"0"},"pids":{"limit":17},
		"hugepageLimits":[{"pageSize":"2MB","limit":4194304}],"unified":{"memory.high":"50331648"}}`)
	readBack(t, c, map[string]string{
		"v2/memory.max": "67108864", "v2/memory.low": "33554432", "v2/memory.high": "50331648",
		"v2/cpu.weight": "100", "v2/cpu.max": "20000 50000", "v2/cpu.max.burst": "1000",
		"v2/cpuset.cpus": "0", "v2/cpuset.mems": "0", "v2/pids.max": "17", "v2/hugetlb.2MB.max": "4194304",
	})
	for _, step := range []struct {
		config string
		want   map[string]string
	}{
		{`{"cpu":{"period":100000}}`, map[string]string{"v2/cpu.max": "20000 100000"}},
		{`{"cpu":{"quota":500,"period":10000,"burst":0}}`, nil}, // below the least quota of 1 ms: refused
		{`{"cpu":{"quota":2000,"burst":500}}`, map[string]string{"v2/cpu.max": "2000 100000", "v2/cpu.max.burst": "500"}},
		{`{"cpu":{"quota":40000,"burst":30000}}`, map[string]string{"v2/cpu.max": "40000 100000", "v2/cpu.max.burst": "30000"}},
		{`{"cpu":{"quota":-1}}`, map[string]string{"v2/cpu.max": "max 100000"}},
		{`{"cpu":{"idle":1}}`, map[string]string{"v2/cpu.idle": "1"}},
		{`{"cpu":{"idle":0,"shares":2}}`, map[string]string{"v2/cpu.idle": "0", "v2/cpu.weight": "1"}},
		{`{"memory":{"limit":-1}}`, map[string]string{"v2/memory.max": "max"}},
		{`{"pids":{"limit":-1}}`, map[string]string{"v2/pids.max": "max"}},
	} {
		_, err := c.Apply(parse(t, step.config))
		if step.want == nil && !errors.Is(err, unix.EINVAL) || step.want != nil && err != nil {
			t.Errorf("%s: %v", step.config, err)
		}
		readBack(t, c, step.want)
	}
	cmd := sh(t, c, "")
	_, err := c.Apply(parse(t, `{"memory":{"limit":4096,"checkBeforeUpdate":true}}`))
	if err == nil || !strings.Contains(err.Error(), `write memory.max "4096" (/linux/resources/memory/limit): rejecting memory limit 4096 <= usage `) {
		t.Errorf("checkBeforeUpdate: %v", err)
	}
	if err := c.Kill(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if sig := died(t, cmd); sig != syscall.SIGKILL {
		t.Errorf("died of %v", sig)
	}
}

// A parent with processes of its own cannot give controllers to its children: the error says so.
func TestParentWithProcesses(t *testing.T) {
	h := pureV2(t)
	parent := cgroupFor(t, h)
	create(t, parent, `{}`)
	cmd := sh(t, parent, "")
	child := Load(h, map[string]string{"": parent.BornDir() + "/child"})
	_, err := child.Create(parse(t, `{"pids":{"limit":5}}`))
	var hinted interface{ Hint() string }
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "controller pids is not available: /linux/resources/pids/limit cannot be applied") ||
		!errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), "a cgroup with processes of its own") {
		t.Errorf("%v", err)
	}
	if child.Exists() {
		t.Error("the child is left")
	}
	if _, err := child.Create(nil); err != nil {
		t.Errorf("without limits: %v", err)
	}
	if have, err := readFields(child.BornDir() + "/cgroup.controllers"); err != nil || slices.Contains(have, "memory") {
		t.Errorf("controllers %v %v", have, err)
	}
	if err := parent.Kill(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	died(t, cmd)
}
