package translate

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// defaultRules is what a deny-by-default cgroup gets, as runc's containers show it in devices.list.
func defaultRules() []string {
	return []string{"b *:* m", "c *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm",
		"c 5:0 rwm", "c 5:2 rwm", "c 10:200 rwm", "c 136:* rwm"}
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

func TestDeviceSettings(t *testing.T) {
	const denyAll = `{"allow":false,"access":"rwm"}`
	for _, c := range []struct {
		name, config string
		reset        string // the file that gets "a"
		want         []string
		err          string
	}{
		{name: "none", config: `[]`, reset: "devices.deny", want: defaultRules()},
		{name: "runc spec", config: `[` + denyAll + `]`, reset: "devices.deny", want: defaultRules()},
		{name: "explicit a", config: `[{"allow":false,"type":"a","major":-1,"minor":-1,"access":"mwr"}]`, reset: "devices.deny", want: defaultRules()},
		{name: "privileged", config: `[` + denyAll + `,{"allow":true,"type":"a","access":"rwm"}]`, reset: "devices.allow"},
		{name: "privileged but one", config: `[{"allow":true,"access":"rwm"},{"allow":false,"type":"b","major":8,"minor":0,"access":"w"}]`,
			reset: "devices.allow", want: []string{"b 8:0 w"}},
		{name: "a later denial of a default device has no effect", config: `[` + denyAll + `,{"allow":false,"type":"c","major":10,"minor":200,"access":"rw"}]`,
			reset: "devices.deny", want: defaultRules()},
		{name: "fuse", config: `[` + denyAll + `,{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]`,
			reset: "devices.deny", want: slices.Insert(defaultRules(), 10, "c 10:229 rw")},
		{name: "added and taken back", config: `[{"allow":true,"type":"b","major":7,"access":"rw"},{"allow":false,"type":"b","major":7,"access":"rw"}]`,
			reset: "devices.deny", want: defaultRules()},
		{name: "a wider denial takes narrower ones", config: `[{"allow":true,"type":"b","major":7,"minor":1,"access":"rw"},{"allow":false,"type":"b","major":7,"access":"w"}]`,
			reset: "devices.deny", want: slices.Insert(defaultRules(), 1, "b 7:1 r")},
		{name: "a wider denial, and the default devices", config: `[{"allow":false,"type":"c","major":1,"access":"rwm"}]`, reset: "devices.deny", want: defaultRules()},
		{name: "all but a node", config: `[{"allow":true,"access":"rwm"},{"allow":false,"type":"b","major":8,"minor":0,"access":"rwm"}]`,
			reset: "devices.allow", want: []string{"b 8:0 rwm"}},
		{name: "all but a default device", config: `[{"allow":true,"access":"rwm"},{"allow":false,"type":"c","major":1,"minor":3,"access":"rwm"}]`, reset: "devices.allow"},
		{name: "all but what has a default device", config: `[{"allow":true,"access":"rwm"},{"allow":false,"type":"c","major":1,"access":"rwm"}]`,
			err: "/linux/resources/devices: cannot be expressed"},
		{name: "hole", config: `[{"allow":true,"type":"b","access":"r"},{"allow":false,"type":"b","major":8,"minor":0,"access":"r"}]`,
			err: "/linux/resources/devices/1: cannot be expressed"},
		{name: "overlap is a hole too", config: `[{"allow":true,"type":"b","major":8,"access":"r"},{"allow":false,"type":"b","minor":0,"access":"r"}]`,
			err: "/linux/resources/devices/1: cannot be expressed"},
		// The kernel would take "a *:* m" for everything.
		{name: "a with less than all", config: `[` + denyAll + `,{"allow":true,"type":"a","access":"r"}]`, reset: "devices.deny",
			want: rulesWith(map[string]string{"b *:* m": "b *:* rm", "c *:* m": "c *:* rm"})},
		{name: "other letters are ignored", config: `[` + denyAll + `,{"allow":true,"type":"c","major":10,"minor":229,"access":"rwa"}]`,
			reset: "devices.deny", want: slices.Insert(defaultRules(), 10, "c 10:229 rw")},
		{name: "access", config: `[{"allow":true,"type":"c","access":"xa"}]`, err: "/linux/resources/devices/0/access"},
		{name: "no access", config: `[{"allow":false}]`, err: "/linux/resources/devices/0/access"},
		{name: "type", config: `[{"allow":true,"type":"u","access":"r"}]`, err: "/linux/resources/devices/0/type"},
		{name: "number", config: `[{"allow":true,"type":"c","major":-2,"access":"r"}]`, err: "/linux/resources/devices/0/major"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, list, err := Devices(parse(t, `{"devices":`+c.config+`}`).Devices)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if list[0].File != c.reset || list[0].Value != "a" {
				t.Errorf("starts with %s %q", list[0].File, list[0].Value)
			}
			var got []string
			for _, s := range list[1:] {
				got = append(got, s.Value)
				if (s.File == "devices.allow") != (c.reset == "devices.deny") || s.Controller != "devices" {
					t.Errorf("%s %q after %s", s.File, s.Value, c.reset)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestDevicePointers(t *testing.T) {
	_, list, err := Devices(parse(t, `{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"b","major":7,"minor":1,"access":"r"}]}`).Devices)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		want := "/linux/resources/devices"
		if s.Value == "b 7:1 r" {
			want += "/1"
		}
		if s.Pointer != want {
			t.Errorf("%q: pointer %s, want %s", s.Value, s.Pointer, want)
		}
	}
}

// allows says whether the written settings allow a device, as the kernel evaluates them.
func allows(list []Setting, kind byte, major, minor int64, acc access) bool {
	allow := list[0].File == "devices.allow"
	for _, s := range list[1:] {
		fields := strings.Fields(s.Value)
		majorText, minorText, _ := strings.Cut(fields[1], ":")
		has, _ := parseAccess(fields[2])
		if fields[0][0] == kind && (majorText == "*" || majorText == itoa(major)) && (minorText == "*" || minorText == itoa(minor)) &&
			(allow && has&acc != 0 || !allow && acc&^has == 0) {
			return !allow
		}
	}
	return allow
}

// For every device of a small world, the settings say the same as the model.
func FuzzDevices(f *testing.F) {
	f.Add([]byte{0, 0, 0, 7, 1, 1, 2, 3, 0, 2, 0, 1})
	f.Add([]byte{1, 0, 0, 7, 0, 1, 5, 2})
	numbers := []int64{anyNumber, 1, 3, 5, 7, 8, 10, 200}
	f.Fuzz(func(t *testing.T, data []byte) {
		var rules []specs.LinuxDeviceCgroup
		for len(data) >= 4 && len(rules) < 12 {
			major, minor := numbers[data[1]%8], numbers[data[2]%8]
			acc := access(data[3] & 7)
			if acc == 0 {
				acc = accessAll
			}
			rules = append(rules, specs.LinuxDeviceCgroup{Allow: data[0]&1 != 0, Type: []string{"a", "c", "b"}[data[0]/2%3], Major: &major, Minor: &minor, Access: acc.String()})
			data = data[4:]
		}
		_, list, err := Devices(rules)
		if err != nil {
			t.Skip() // not expressible, and said so
		}
		for _, kind := range []byte("cb") {
			for _, major := range numbers[1:] {
				for _, minor := range numbers[1:] {
					for acc := accessRead; acc <= accessAll; acc++ {
						want := verdict(rules, kind, major, minor, acc)
						if got := allows(list, kind, major, minor, acc); got != want {
							t.Fatalf("%c %d:%d %v: allowed %v, want %v by %+v", kind, major, minor, acc, got, want, rules)
						}
					}
				}
			}
		}
	})
}

// verdict is a model: of each exception, which is one type with one pair of numbers, and each letter the last rule decides that has
// just these numbers, or denies all that it covers. The default devices are allowed by rules that come last.
func verdict(rules []specs.LinuxDeviceCgroup, kind byte, major, minor int64, acc access) bool {
	type rule struct {
		allow bool
		key   deviceKey
		acc   access
	}
	byDefault, list := false, []rule{}
	for _, r := range rules {
		has, _ := parseAccess(r.Access)
		if r.Type == "a" && *r.Major == anyNumber && *r.Minor == anyNumber && has == accessAll {
			byDefault, list = r.Allow, nil
			continue
		}
		for _, k := range []byte("cb") {
			if r.Type == "a" || r.Type[0] == k {
				list = append(list, rule{r.Allow, deviceKey{k, *r.Major, *r.Minor}, has})
			}
		}
	}
	for key, has := range defaultDevices() {
		list = append(list, rule{true, key, has})
	}
	exception := func(key deviceKey) (has access) {
		for _, letter := range []access{accessRead, accessWrite, accessMknod} {
			for _, r := range slices.Backward(list) {
				if r.acc&letter != 0 && (r.key == key || !byDefault && !r.allow && r.key.covers(key)) {
					if r.allow != byDefault {
						has |= letter
					}
					break
				}
			}
		}
		return has
	}
	for _, r := range list {
		if !r.key.covers(deviceKey{kind, major, minor}) {
			continue
		}
		if has := exception(r.key); byDefault && has&acc != 0 || !byDefault && acc&^has == 0 {
			return !byDefault
		}
	}
	return byDefault
}
