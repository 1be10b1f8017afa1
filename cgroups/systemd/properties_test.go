package systemd

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"rt/cgroups/translate"
	"rt/internal/dbus"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// show writes properties as NAME=VALUE, in their order.
func show(list []Property) string {
	var parts []string
	for _, p := range list {
		parts = append(parts, p.Name+"="+showValue(p.Value))
	}
	return strings.Join(parts, " ")
}

func showValue(v dbus.Value) string {
	var items []dbus.Value
	switch v := v.(type) {
	case dbus.Array:
		items = v.Items
	case dbus.Struct:
		items = v
	default:
		if v == infinity {
			return "infinity"
		}
		return fmt.Sprint(v)
	}
	parts := make([]string, len(items))
	for i, item := range items {
		parts[i] = showValue(item)
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func resources(t *testing.T, text string) *specs.LinuxResources {
	t.Helper()
	var r specs.LinuxResources
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// TestQuota: the value that systemd writes into the file, by its own formula: the percentage times the period, 1 ms at least.
func TestQuota(t *testing.T) {
	for _, c := range []struct {
		quota  int64
		period uint64
		want   int64
	}{
		{500000, 900000, 504000}, {25500, 50000, 25500}, {12600, 50000, 13000}, {33333, 0, 34000}, {33333, 100000, 34000},
		{1000, 99999, 1000}, {10000, 999999, 9999}, {1000, 1000000, 10000}, {-1, 100000, -1}, {0, 0, 0},
		{math.MaxInt64, 100000, math.MaxInt64}, {1000, math.MaxUint64, 1000},
	} {
		got := Quota(c.quota, c.period)
		if got != c.want {
			t.Errorf("%d/%d: %d, want %d", c.quota, c.period, got, c.want)
		}
		if again := Quota(got, c.period); again != got {
			t.Errorf("%d/%d: %d, and of that %d", c.quota, c.period, got, again)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		v1               bool
		r, present, want string
		version          int
	}{
		{r: `{}`, want: ""},
		{r: `{"memory":{"limit":100,"reservation":50,"swap":300}}`, want: "MemoryMax=100 MemorySwapMax=200 MemoryLow=50"},
		{r: `{"memory":{"limit":-1,"swap":-1}}`, want: "MemoryMax=infinity MemorySwapMax=infinity"},
		{r: `{"pids":{"limit":20}}`, want: "TasksMax=20"},
		{r: `{"pids":{"limit":-1}}`, want: "TasksMax=infinity"},
		{r: `{"pids":{"limit":0}}`, want: "TasksMax=1"},
		{r: `{"cpu":{"shares":1024,"cpus":"0-1,9","mems":"0"}}`, want: "AllowedCPUs=[3,2] AllowedMemoryNodes=[1] CPUWeight=100"},
		{r: `{"cpu":{"cpus":"0-7:1/2"}}`, want: ""},
		{r: `{"cpu":{"idle":1}}`, version: 252, want: "CPUWeight=0"},
		{r: `{"cpu":{"idle":1}}`, version: 251, want: ""},
		{r: `{"cpu":{"idle":0,"shares":2}}`, version: 252, want: "CPUWeight=1"},
		{r: `{"cpu":{"quota":25500,"period":50000}}`, want: "CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=510000"},
		{r: `{"cpu":{"quota":33333,"period":100000}}`, want: "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=340000"},
		{r: `{"cpu":{"quota":50000}}`, want: "CPUQuotaPerSecUSec=500000"},
		{r: `{"cpu":{"quota":50000}}`, present: "max 20000", want: "CPUQuotaPeriodUSec=20000 CPUQuotaPerSecUSec=2500000"},
		{r: `{"cpu":{"period":20000}}`, present: "10000 100000", want: "CPUQuotaPeriodUSec=20000 CPUQuotaPerSecUSec=500000"},
		{r: `{"cpu":{"period":20000}}`, want: "CPUQuotaPeriodUSec=20000 CPUQuotaPerSecUSec=infinity"},
		{r: `{"cpu":{"quota":-1}}`, want: "CPUQuotaPerSecUSec=infinity"},
		{r: `{"cpu":{"quota":-1,"period":100000}}`, want: "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=infinity"},
		{r: `{"blockIO":{"weight":10}}`, want: "IOWeight=1"},
		{r: `{"blockIO":{"weight":1000,"weightDevice":[{"major":8,"minor":0,"weight":20}]}}`, want: "IOWeight=10000"},
		// Properties for what unified says; what is said twice is as unified says, what systemd has not is left out.
		{r: `{"memory":{"limit":100},"unified":{"memory.max":"max","memory.high":"7","memory.min":"3","memory.oom.group":"1"}}`,
			want: "MemoryMax=infinity MemoryHigh=7 MemoryMin=3"},
		{r: `{"unified":{"cpu.max":"1000 2000","cpu.weight":"7","pids.max":"max","cpuset.cpus":"8","io.weight":"default 20\n8:0 3"}}`,
			want: "CPUWeight=7 AllowedCPUs=[0,1] IOWeight=20 TasksMax=infinity CPUQuotaPeriodUSec=2000 CPUQuotaPerSecUSec=500000"},
		{r: `{"unified":{"cpu.weight":"0","io.weight":"x","memory.max":"1G","hugetlb.2MB.max":"0","cpu.max":""}}`, want: ""},

		{v1: true, r: `{"memory":{"limit":100,"swap":300},"pids":{"limit":5}}`, want: "MemoryLimit=100 TasksMax=5"},
		{v1: true, r: `{"memory":{"limit":-1}}`, want: "MemoryLimit=infinity"},
		{v1: true, r: `{"cpu":{"shares":512,"quota":50000,"period":100000}}`,
			want: "CPUShares=512 CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=500000"},
		{v1: true, r: `{"cpu":{"quota":50000}}`, present: "25000", want: "CPUQuotaPeriodUSec=25000 CPUQuotaPerSecUSec=2000000"},
		{v1: true, r: `{"cpu":{"quota":-1}}`, want: "CPUQuotaPerSecUSec=infinity"},
		{v1: true, r: `{"blockIO":{"weight":300}}`, want: "BlockIOWeight=300"},
	} {
		of := translate.V2
		if c.v1 {
			of = translate.V1
		}
		settings, _, err := of(resources(t, c.r))
		if err != nil {
			t.Errorf("%s: %v", c.r, err)
			continue
		}
		got := show(Limits(settings, func(string) string { return c.present }, c.version))
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.r, got, c.want)
		}
	}
}

func TestDevices(t *testing.T) {
	const usual = "[char-136,rwm]"
	for _, c := range []struct{ rules, want string }{
		{`[{"allow":false,"access":"rwm"}]`, "DeviceAllow=[[block-*,m],[char-*,m],[/dev/char/1:3,rwm],[/dev/char/1:5,rwm]," +
			"[/dev/char/1:7,rwm],[/dev/char/1:8,rwm],[/dev/char/1:9,rwm],[/dev/char/5:0,rwm],[/dev/char/5:2,rwm]," +
			"[/dev/char/10:200,rwm]," + usual + "] DevicePolicy=strict"},
		{`[{"allow":true,"access":"rwm"}]`, "DeviceAllow=[] DevicePolicy=auto"},
		{`[{"allow":true,"access":"rwm"},{"allow":false,"type":"c","major":1,"minor":3,"access":"r"}]`, "DeviceAllow=[] DevicePolicy=auto"},
		{`[{"allow":false,"access":"rwm"},{"allow":true,"type":"b","minor":3,"access":"r"}]`, "DeviceAllow=[] DevicePolicy=auto"},
		{`[{"allow":false,"access":"rwm"},{"allow":true,"type":"b","major":8,"access":"r"}]`, "[block-8,r]"},
		{`[{"allow":false,"access":"rwm"},{"allow":true,"type":"b","major":8,"minor":1,"access":"rw"}]`, "[/dev/block/8:1,rw]"},
	} {
		_, settings, err := translate.Devices(resources(t, `{"devices":`+c.rules+`}`).Devices)
		if err != nil {
			t.Fatal(err)
		}
		got := show(Devices(settings))
		if got != c.want && !(c.want[0] == '[' && strings.Contains(got, c.want) && strings.HasSuffix(got, "strict")) {
			t.Errorf("%s\n got %s\nwant %s", c.rules, got, c.want)
		}
	}
	if got := show(Devices([]translate.Setting{{}})); got != "DeviceAllow=[] DevicePolicy=auto" {
		t.Errorf("no rules that could be expressed: %s", got)
	}
}

func TestBase(t *testing.T) {
	const accounting = "MemoryAccounting=true CPUAccounting=true IOAccounting=true TasksAccounting=true DefaultDependencies=false"
	for _, c := range []struct {
		u    Unit
		v2   bool
		want string
	}{
		{Unit{"a.scope", "b.slice"}, true, "Description=d Slice=b.slice Delegate=true PIDs=[7] " + accounting},
		{Unit{"a-b.slice", "a.slice"}, true, "Description=d Wants=[a.slice] " + accounting},
		{Unit{"a.scope", "b.slice"}, false, "Description=d Slice=b.slice Delegate=true PIDs=[7] " +
			strings.Replace(accounting, "IO", "BlockIO", 1)},
	} {
		if got := show(Base(c.u, "d", 7, c.v2)); got != c.want {
			t.Errorf("%v\n got %s\nwant %s", c.u, got, c.want)
		}
	}
}

// The names of the files that systemd 252 makes, in the order of ls: see Sorted.
func TestSorted(t *testing.T) {
	var list []Property
	for _, name := range strings.Fields("TasksMax MemoryMax DevicePolicy CPUQuotaPeriodUSec CPUQuotaPerSecUSec DeviceAllow AllowedCPUs CPUWeight") {
		list = append(list, Property{name, dbus.Bool(true)})
	}
	want := "AllowedCPUs CPUQuotaPerSecUSec CPUQuotaPeriodUSec CPUWeight DeviceAllow DevicePolicy MemoryMax TasksMax"
	if got := strings.ReplaceAll(show(Sorted(list)), "=true", ""); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
