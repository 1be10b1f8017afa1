package namespaces

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// created is a container whose init is a process of the host's.
func created(t *testing.T) (c *state.Container, o Options, warnings *[]string) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	warnings = new([]string)
	o.Warn = func(format string, args ...any) { *warnings = append(*warnings, format) }
	c = (&state.Root{Warn: o.Warn}).Container("c")
	if err := c.SetInit(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return c, o, warnings
}

// TestNamespacesAreCompared: one of another number, of any type, is refused; so is a mount namespace of the number and another id.
func TestNamespacesAreCompared(t *testing.T) {
	c, o, warnings := created(t)
	if err := Record(c); err != nil {
		t.Fatal(err)
	}
	open := func() error {
		f, err := OpenInit(c, bundle.Normalise(&specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace}}}}), o)
		if err == nil {
			f.Close()
		}
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	if len(c.Namespaces) < 7 {
		t.Errorf("recorded: %v", c.Namespaces)
	}
	for kind, inode := range c.Namespaces {
		c.Namespaces[kind] = inode + "0"
		if err := open(); err == nil || !strings.Contains(err.Error(), kind+" namespace: init is not in the one") {
			t.Errorf("%s: %v", kind, err)
		}
		c.Namespaces[kind] = inode
	}
	if c.MountNamespaceID != 0 {
		c.MountNamespaceID++
		if err := open(); err == nil || !strings.Contains(err.Error(), "mount namespace: init is not") {
			t.Errorf("another id: %v", err)
		}
	}
	if len(*warnings) > 0 {
		t.Errorf("warnings %q", *warnings)
	}
}

// TestNamespacesOfAnOlderRt: nothing recorded is a warning, and the pid namespace must be what the configuration says.
func TestNamespacesOfAnOlderRt(t *testing.T) {
	c, o, warnings := created(t)
	shared := bundle.Normalise(&specs.Spec{Linux: &specs.Linux{}})
	f, err := OpenInit(c, shared, o)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if len(*warnings) != 1 {
		t.Errorf("warnings %q", *warnings)
	}
	c.PrivatePid = true
	own := bundle.Normalise(&specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}}}})
	if _, err := OpenInit(c, own, o); err == nil || !strings.Contains(err.Error(), "pid namespace: init is not") {
		t.Errorf("a private pid namespace that is rt's own: %v", err)
	}
}

// TestInitFilesAreOfInit: a state whose pid another process has by now opens nothing of that.
func TestInitFilesAreOfInit(t *testing.T) {
	c, o, _ := created(t)
	own, err := sys.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	c.Pid, c.StartTime = own.Pid, own.Start-1 // in ticks of 10 ms: this process and the container's can have the same
	if f, err := OpenInit(c, bundle.Normalise(&specs.Spec{}), o); err == nil || !strings.Contains(sys.Cause(err).Error(), "no such process") {
		t.Errorf("opened of another process: %v", err)
		if err == nil {
			f.Close()
		}
	}
}
