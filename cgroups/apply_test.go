package cgroups

import (
	"cmp"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rt/cgroups/translate"

	"golang.org/x/sys/unix"
)

// contents are all files of a cgroup that hold a setting.
func contents(t *testing.T, c *Cgroup) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range c.Dirs() {
		files, err := filepath.Glob(dir + "/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			st, err := os.Stat(file)
			// What is 0 to 1 second old, such as a pressure, is not a setting.
			if err != nil || st.IsDir() || st.Mode().Perm()&0o222 == 0 || strings.Contains(file, "pressure") || strings.HasSuffix(file, ".peak") {
				continue
			}
			if text, err := readFile(file); err == nil {
				all[file] = text
			}
		}
	}
	return all
}

func compareContents(t *testing.T, before, after map[string]string) {
	t.Helper()
	for file, text := range before {
		if after[file] != text && !strings.HasSuffix(file, "devices.list") {
			t.Errorf("%s: %q, was %q", file, after[file], text)
		}
	}
	for file := range before {
		if strings.HasSuffix(file, "devices.list") {
			was, is := strings.Split(before[file], "\n"), strings.Split(after[file], "\n")
			slices.Sort(was)
			slices.Sort(is)
			if !slices.Equal(was, is) {
				t.Errorf("%s: %q, was %q", file, is, was)
			}
		}
	}
}

const noSuchDisk = `"throttleReadBpsDevice":[{"major":4095,"minor":77,"rate":1000}]`

// An update of which the kernel refuses one value changes nothing.
func TestApplyIsAtomic(t *testing.T) {
	v1 := func(t *testing.T) *Host { return onlyV1(t) }
	v2 := func(t *testing.T) *Host { return pureV2(t) }
	major, minor, _ := strings.Cut(cmp.Or(blockDevice(t), "4095:7"), ":")
	disk := `{"major":` + major + `,"minor":` + minor
	throttled := `"blockIO":{"throttleWriteBpsDevice":[` + disk + `,"rate":77777}]},`
	if major == "4095" { // the guest in memory has no disk
		throttled = ""
	}
	base := `{"memory":{"limit":67108864,"swap":134217728,"reservation":33554432},"cpu":{"shares":512,"quota":20000,"period":50000,"cpus":"0","mems":"0"},
		"pids":{"limit":17},` + throttled + `"devices":[` + denyAllRule + `]}`
	for _, c := range []struct {
		name, config string
		host         func(*testing.T) *Host
		err          error
	}{
		{"v1 everything, then a disk that is not there", `{"memory":{"limit":8388608,"swap":16777216,"reservation":4194304,"swappiness":5,"disableOOMKiller":true},
			"cpu":{"shares":300,"quota":3000,"period":30000,"burst":1000,"cpus":"0-1"},"pids":{"limit":5},
			"blockIO":{"throttleWriteBpsDevice":[` + disk + `,"rate":5555}],"throttleReadIOPSDevice":[` + disk + `,"rate":333}],` + noSuchDisk + `}}`, v1, unix.ENODEV},
		{"v1 growing", `{"memory":{"limit":268435456,"swap":536870912},"cpu":{"quota":90000,"period":100000},"blockIO":{` + noSuchDisk + `}}`, v1, unix.ENODEV},
		{"v1 no limits", `{"memory":{"limit":-1},"cpu":{"quota":-1},"pids":{"limit":-1},"blockIO":{` + noSuchDisk + `}}`, v1, unix.ENODEV},
		{"v1 a bad cpu list after nothing", `{"cpu":{"cpus":"4000","shares":4}}`, v1, nil},
		{"v1 burst above quota", `{"cpu":{"shares":77,"quota":1000,"burst":2000}}`, v1, unix.EINVAL},
		{"v1 idle", `{"cpu":{"idle":1},"blockIO":{` + noSuchDisk + `}}`, v1, unix.ENODEV},
		{"v1 file that is not there", `{"pids":{"limit":5},"hugepageLimits":[{"pageSize":"3MB","limit":1}]}`, v1, nil},
		{"v1 device rules that cannot be", `{"pids":{"limit":5},"devices":[{"allow":true,"type":"c","access":"r"},{"allow":false,"type":"c","major":1,"minor":4,"access":"r"}]}`, v1, nil},
		{"v2 everything, then a disk that is not there", `{"memory":{"limit":8388608,"swap":16777216,"reservation":4194304},
			"cpu":{"shares":300,"quota":3000,"period":30000,"burst":1000},"pids":{"limit":5},
			"blockIO":{"throttleWriteBpsDevice":[` + disk + `,"rate":5555}],"throttleReadIOPSDevice":[` + disk + `,"rate":333}],` + noSuchDisk + `}}`, v2, unix.ENODEV},
		{"v2 idle, and a value that is none", `{"cpu":{"idle":1},"unified":{"memory.high":"soon"}}`, v2, unix.EINVAL},
		{"v2 file that is not there", `{"pids":{"limit":5},"unified":{"memory.hi":"5"}}`, v2, unix.ENOENT},
		{"v2 unified", `{"pids":{"limit":5},"unified":{"memory.high":"40000000","memory.oom.group":"1","memory.min":"4096","pids.max":"many"}}`, v2, unix.EINVAL},
		{"v2 device rules with an error", `{"pids":{"limit":5},"devices":[{"allow":true,"type":"c","access":"x"}]}`, v2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cg := cgroupFor(t, c.host(t))
			create(t, cg, base)
			before := contents(t, cg)
			_, err := cg.Apply(parse(t, c.config))
			if err == nil || c.err != nil && !errors.Is(err, c.err) || !strings.Contains(err.Error(), "/linux/resources/") || strings.Contains(err.Error(), "restore") {
				t.Errorf("error %v", err)
			}
			compareContents(t, before, contents(t, cg))
		})
	}
}

// In a v1 devices cgroup only what differs is written, so that children are no obstacle and what is allowed before
// and after never is denied.
func TestApplyDevicesV1(t *testing.T) {
	cg := cgroupFor(t, onlyV1(t))
	create(t, cg, `{"devices":[`+denyAllRule+`,{"allow":true,"type":"b","major":7,"access":"rw"}]}`)
	list := cg.dirOf("devices") + "/devices.list"
	if err := os.Mkdir(cg.dirOf("devices")+"/child", 0o755); err != nil {
		t.Fatal(err)
	}
	before := map[string]string{list: read(t, list)}
	if _, err := cg.Apply(parse(t, `{"pids":{"limit":9}}`)); err != nil {
		t.Fatal(err)
	}
	compareContents(t, before, map[string]string{list: read(t, list)})
	for config, want := range map[string]map[string]string{
		`[` + denyAllRule + `,{"allow":true,"type":"b","major":7,"access":"r"},{"allow":true,"type":"c","major":10,"minor":229,"access":"rwm"}]`: {"b 7:* r": "", "c 10:229 rwm": ""},
		`[` + denyAllRule + `]`: {},
		`[` + denyAllRule + `,{"allow":true,"type":"c","major":1,"minor":11,"access":"rwm"},{"allow":false,"type":"c","major":1,"minor":11,"access":"w"}]`: {"c 1:11 rm": ""},
	} {
		if _, err := cg.Apply(parse(t, `{"devices":`+config+`}`)); err != nil {
			t.Fatal(err)
		}
		changes := maps.Clone(want)
		wanted := rulesWith(changes)
		for rule, to := range want {
			if to == "" && !slices.Contains(defaultRules(), rule) {
				wanted = append(wanted, rule)
			}
		}
		compareContents(t, map[string]string{list: strings.Join(wanted, "\n")}, map[string]string{list: read(t, list)})
	}
	// A change of the default is refused with children, and leaves the list as it was.
	before = map[string]string{list: read(t, list)}
	if _, err := cg.Apply(parse(t, `{"devices":[{"allow":true,"access":"rwm"}]}`)); !errors.Is(err, unix.EINVAL) {
		t.Errorf("allow all: %v", err)
	}
	compareContents(t, before, map[string]string{list: read(t, list)})
	if err := os.Remove(cg.dirOf("devices") + "/child"); err != nil {
		t.Fatal(err)
	}
	for _, config := range []string{`[{"allow":true,"access":"rwm"}]`, `[` + denyAllRule + `]`} {
		_, err := cg.Apply(parse(t, `{"devices":`+config+`}`))
		// The child is one until an RCU grace period is over.
		for deadline := time.Now().Add(2 * time.Minute); err != nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			_, err = cg.Apply(parse(t, `{"devices":`+config+`}`))
		}
		if err != nil {
			t.Errorf("%s: %v", config, err)
		}
	}
	compareContents(t, map[string]string{list: strings.Join(defaultRules(), "\n")}, map[string]string{list: read(t, list)})
}

// defaultRules is what a deny-by-default cgroup gets.
func defaultRules() []string {
	state, _ := translate.ParseDevices(nil)
	return state.Beyond(&translate.DeviceState{})
}

// rulesWith are the default rules with some replaced, or taken out ("").
func rulesWith(change map[string]string) []string {
	var out []string
	for _, rule := range defaultRules() {
		if to, ok := change[rule]; ok {
			if to != "" {
				out = append(out, to)
			}
			continue
		}
		out = append(out, rule)
	}
	return out
}
