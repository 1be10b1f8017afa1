package integration

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestDeviceRuleVerdicts: what a list of rules allows is what it allows with runc, on cgroup v1 and v2 alike. A verdict is for
// making a node, reading and writing: of null (1:3, a default device), kmsg (1:11), and 1:2, which has no driver, r and w for reading and
// writing alone, m for making a node.
func TestDeviceRuleVerdicts(t *testing.T) {
	needRoot(t, "device nodes are made")
	const deny, allow = `{"allow":false,"access":"rwm"}`, `{"allow":true,"access":"rwm"}`
	rule := func(allow bool, kind, numbers, access string) string {
		major, minor, _ := strings.Cut(numbers, ":")
		if minor == "*" {
			minor = "-1"
		}
		if major == "*" {
			major = "-1"
		}
		return fmt.Sprintf(`{"allow":%v,"type":%q,"major":%s,"minor":%s,"access":%q}`, allow, kind, major, minor, access)
	}
	yes := func(numbers, access string) string { return rule(true, "c", numbers, access) }
	no := func(numbers, access string) string { return rule(false, "c", numbers, access) }
	for _, c := range []struct {
		name  string
		rules []string
		want  string // of null, kmsg, 1:2; or "error"
		runc  string // where it differs, and why
	}{
		{name: "no rules", want: "rwm m m"},
		{name: "deny all", rules: []string{deny}, want: "rwm m m"},
		{name: "allow all", rules: []string{allow}, want: "rwm rwm rwm"},
		{name: "allow all and one again", rules: []string{allow, yes("1:11", "r")}, want: "rwm rwm rwm"},
		{name: "as Docker denies fuse and gives it", rules: []string{deny, no("1:11", "rwm"), yes("1:11", "rw")}, want: "rwm rwm m"},
		{name: "as Docker gives it for reading", rules: []string{deny, no("1:11", "rwm"), yes("1:11", "r")}, want: "rwm rm m"},
		{name: "one that is denied only", rules: []string{deny, no("1:11", "rwm")}, want: "rwm m m"},
		{name: "allowed, then denied", rules: []string{deny, yes("1:11", "rwm"), no("1:11", "w")}, want: "rwm rm m"},
		{name: "a default device is denied", rules: []string{deny, no("1:3", "rwm")}, want: "rwm m m"},
		{name: "deny all comes later", rules: []string{yes("1:11", "rw"), deny}, want: "rwm m m"},
		{name: "allow all, deny one", rules: []string{allow, no("1:11", "rwm")}, want: "rwm  rwm"},
		{name: "allow all, deny writing", rules: []string{allow, no("1:11", "w")}, want: "rwm rm rwm"},
		{name: "allow all, deny a default device", rules: []string{allow, no("1:3", "rwm")}, want: "rwm rwm rwm"},
		{name: "allow all, deny one, allow it for reading", rules: []string{allow, no("1:11", "rwm"), yes("1:11", "r")}, want: "rwm r rwm"},
		{name: "a whole major", rules: []string{deny, yes("1:*", "r")}, want: "rwm rm rm"},
		{name: "a hole in a whole major", rules: []string{deny, yes("1:*", "r"), no("1:11", "r")}, want: "error"},
		{name: "a hole in all, of mknod", rules: []string{deny, yes("*:*", "m"), no("1:11", "rwm")}, want: "error"},
		{name: "a major with a default device is denied", rules: []string{allow, no("1:*", "rwm")}, want: "error"},
		{name: "a wider denial", rules: []string{deny, yes("1:11", "rw"), no("1:*", "rw")}, want: "rwm m m", runc: "rwm rwm m"}, // which has no effect there
		{name: "of type a, with numbers", rules: []string{deny, rule(true, "a", "1:11", "r")}, want: "rwm rm m", runc: "rwm rwm rwm"},
		{name: "other access of the same device", rules: []string{deny, yes("1:11", "r"), yes("1:11", "w")}, want: "rwm rwm m"},
		{name: "access by two rules", rules: []string{deny, yes("1:11", "r"), yes("1:*", "w")}, want: "rwm -rwm wm"}, // not both at once
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newContainer(t, func(s *specs.Spec) {
				s.Linux.Resources.Devices = nil
				if err := json.Unmarshal([]byte("["+strings.Join(c.rules, ",")+"]"), &s.Linux.Resources.Devices); err != nil {
					t.Fatal(err)
				}
				s.Process.Args = []string{"sh", "-c", `may() { ! sh -c ": $1 /n$2" 2>&1 | grep -q 'not permitted'; }
					for n in 3 11 2; do
						made=; mknod /tmp/$n c 1 $n 2>/dev/null && made=m
						r=; may '<' $n && r=r
						w=; may '>>' $n && w=w
						both=; [ "$r$w" != rw ] || may '<>' $n || both=-
						printf '%s%s%s%s ' "$both" "$r" "$w" "$made"
					done`}
				s.Mounts = append(s.Mounts, specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"})
			}, writable, capable("CAP_MKNOD", "CAP_SYS_RAWIO", "CAP_SYSLOG", "CAP_DAC_OVERRIDE"))
			for _, n := range []uint32{3, 11, 2} { // which the container may not be allowed to make
				v.must(unix.Mknod(filepath.Join(v.rootfs, fmt.Sprint("n", n)), unix.S_IFCHR|0o666, int(unix.Mkdev(1, n))))
			}
			r := v.run()
			want := c.want
			if c.runc != "" && differs(t, "resources.devices: the default devices") {
				want = c.runc
			}
			got := strings.TrimRight(r.stdout, " \n")
			if r.code != 0 {
				got = "error"
			}
			if got != strings.TrimRight(want, " ") {
				t.Errorf("%v: got %q, want %q\n%s", c.rules, got, want, r)
			}
		})
	}
}
