package cgroups

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// In a user namespace bpf(2) is not permitted. What is asked for decides whether that is an error: this test runs
// itself there.
func TestDevicesInUserNamespace(t *testing.T) {
	const inside = "RT_TEST_IN_USER_NAMESPACE"
	if os.Getenv(inside) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if !unprivileged() {
		t.Fatal("the process is thought to be the host's root")
	}
	for _, c := range []struct {
		name, config, warning string
		err                   error
	}{
		{name: "nothing asked for", config: `[]`},
		{name: "everything allowed", config: `[{"allow":true,"access":"rwm"}]`},
		{name: "the usual list", config: `[` + denyAllRule + `,{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"}]`, warning: "/linux/resources/devices: not enforced: "},
		{name: "one device denied", config: `[{"allow":false,"type":"c","major":1,"minor":3,"access":"w"}]`, err: unix.EPERM},
	} {
		f, warning, err := loadDevices(parse(t, `{"devices":`+c.config+`}`).Devices)
		var hinted interface{ Hint() string }
		if !errors.Is(err, c.err) || !strings.HasPrefix(warning, c.warning) || (warning == "") != (c.warning == "") || err != nil && !errors.As(err, &hinted) {
			t.Errorf("%s: warning %q, error %v", c.name, warning, err)
		}
		if f != nil && f.program != nil {
			t.Errorf("%s: a program was loaded", c.name)
		}
	}
}
