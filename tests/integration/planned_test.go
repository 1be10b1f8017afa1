package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rt/libcontainer"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestStubHasPlan: what the stub of a container that waits for start has in its memory is the plan that `rt plan` prints, byte for
// byte: the encoding of the steps with the id and the keyring's name in the place of their placeholders.
func TestStubHasPlan(t *testing.T) {
	rtOnly(t, "plan --exec")
	if os.Geteuid() != 0 {
		t.Skip("the memory of a process that is not dumpable is for root")
	}
	const notify = "NOTIFY_SOCKET=/run/no-such-socket" // of rt, and of this process that compiles the same plan
	t.Setenv("NOTIFY_SOCKET", "/run/no-such-socket")
	userns := func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
		s.Linux.GIDMappings = s.Linux.UIDMappings
	}
	limits := func(s *specs.Spec) { // above those of this process, which only the host's root may raise
		var own unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NPROC, &own); err != nil {
			t.Fatal(err)
		}
		s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_NPROC", Soft: 1000, Hard: own.Max/2 + 1000})
		s.Process.User.AdditionalGids = []uint32{7, 8}
	}
	for _, c := range []struct {
		name  string
		flags []string
		edits []func(*specs.Spec)
	}{
		{"default", nil, nil},
		{"user namespace", nil, []func(*specs.Spec){userns, limits, mounted("/run", "tmpfs", "tmpfs")}},
		{"init", []string{"--init"}, []func(*specs.Spec){limits}},
		{"no-pivot", []string{"--no-pivot"}, nil},
		{"no keyring, mounts", []string{"--no-new-keyring"}, []func(*specs.Spec){mounted("/tmp/made", "tmpfs", "tmpfs"), writable}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newContainer(t, c.edits...)
			o := libcontainer.CreateOptions{Bundle: k.bundle}
			for _, flag := range c.flags {
				o.Init, o.NoPivot, o.NoNewKeyring = o.Init || flag == "--init", o.NoPivot || flag == "--no-pivot", o.NoNewKeyring || flag == "--no-new-keyring"
			}
			r := &libcontainer.Runtime{Root: state.Root{Dir: k.root, Warn: t.Logf}}
			planned, err := r.Plan(o)
			k.must(err)
			var text bytes.Buffer
			e := json.NewEncoder(&text)
			e.SetIndent("", "  ")
			k.must(e.Encode(planned))
			env := []string{notify}
			if got := k.do(call{args: slices.Concat([]string{"plan", "--format", "json"}, c.flags, []string{k.bundle}), env: env}).ok().stdout; got != text.String() {
				t.Fatalf("rt plan prints\n%s\nwant\n%s", got, &text)
			}
			k.do(call{args: k.with("create", c.flags...), env: env}).ok()
			want, err := nsenter.Encode(k.named(planned), len(planned.Inputs))
			k.must(err)
			if got := k.stubPlan(); !bytes.Equal(got, want) {
				t.Errorf("the stub has a plan of %d bytes, want %d:\n%q\nwant\n%q", len(got), len(want), got, want)
			}
		})
	}
}

// named are a plan's steps with this container's names for the placeholders.
func (c *container) named(p *plan.Plan) []nsenter.Step {
	var s struct{ Keyring string }
	text, err := os.ReadFile(filepath.Join(c.root, c.id, "state.json"))
	c.must(err)
	c.must(json.Unmarshal(text, &s))
	names := strings.NewReplacer("_ses.ID.RANDOM", s.Keyring, "/ID/", "/"+c.id+"/")
	steps := make([]nsenter.Step, len(p.Items))
	for i, it := range p.Items {
		step := reflect.New(reflect.TypeOf(it.Step)).Elem()
		step.Set(reflect.ValueOf(it.Step))
		for n := range step.NumField() {
			if f := step.Field(n); f.Kind() == reflect.String {
				f.SetString(names.Replace(f.String()))
			}
		}
		steps[i] = step.Interface().(nsenter.Step)
	}
	return steps
}

// stubPlan is the file with the plan that the container's process has mapped.
func (c *container) stubPlan() []byte {
	c.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", c.pid())
	maps, err := os.ReadFile(proc + "maps")
	c.must(err)
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "/memfd:rt-plan") {
			var from, to uint64
			_, err := fmt.Sscanf(line, "%x-%x ", &from, &to)
			c.must(err)
			got, err := os.ReadFile(fmt.Sprintf("%smap_files/%x-%x", proc, from, to))
			c.must(err)
			return got
		}
	}
	c.t.Fatalf("the stub has no plan mapped:\n%s", maps)
	return nil
}

// TestPlanOfSocketActivation: rt plan counts the descriptors that its caller hands to it, as create does.
func TestPlanOfSocketActivation(t *testing.T) {
	rtOnly(t, "plan --exec")
	c := newContainer(t)
	c.prefix = []string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=2; export LISTEN_PID LISTEN_FDS; exec "$@" 3</dev/null 4</dev/null`, "sh"}
	text := c.rt("plan", c.bundle).ok().stdout
	for _, want := range []string{"close descriptors from 5", "LISTEN_FDS"} {
		if !strings.Contains(text+c.rt("plan", "--format", "json", c.bundle).ok().stdout, want) {
			t.Errorf("no %q:\n%s", want, text)
		}
	}
}
