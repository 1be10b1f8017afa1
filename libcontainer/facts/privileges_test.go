package facts

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestOwnCapabilities(t *testing.T) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "CapPrm:\t")
	hex, _, _ := strings.Cut(after, "\n")
	want, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	if got := capabilities(); got != want {
		t.Errorf("%#x, want %#x", got, want)
	}
}

func TestCheckPrivileges(t *testing.T) {
	user, net := specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/n"}
	joined := specs.LinuxNamespace{Type: specs.UserNamespace, Path: "/u"}
	admin := Privileges{Caps: 1 << unix.CAP_SYS_ADMIN}
	for name, c := range map[string]struct {
		p    Privileges
		ns   []specs.LinuxNamespace
		want string
	}{
		"root":                 {admin, nil, ""},
		"root joins":           {admin, []specs.LinuxNamespace{user, net}, ""},
		"nobody":               {Privileges{}, nil, "(/linux/namespaces)"},
		"new":                  {Privileges{}, []specs.LinuxNamespace{user}, ""},
		"joined":               {Privileges{}, []specs.LinuxNamespace{joined, net}, ""},
		"new, and one that is": {Privileges{}, []specs.LinuxNamespace{user, net}, "(/linux/namespaces/1/path)"},
	} {
		err := c.p.Check(bundle.Normalise(&specs.Spec{Linux: &specs.Linux{Namespaces: c.ns}}))
		if (err == nil) != (c.want == "") || err != nil && !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
