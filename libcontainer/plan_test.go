package libcontainer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rt/libcontainer/bundle"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"
	"rt/libcontainer/state"

	"golang.org/x/sys/unix"
)

// planRoot names the directory of a child that TestPlanIsWhatCreateSends runs with other privileges.
const planRoot = "RT_TEST_PLAN_ROOT"

// TestPlanIsWhatCreateSends: for every golden configuration and under each set of privileges, the plan of `rt plan` is the
// one that create has compiled when it sends it to the stub, or both fail for the same reason. What cannot be known before
// (id, keyring) has a placeholder. tests/integration TestStubHasPlan looks at what the stub of a real create has.
func TestPlanIsWhatCreateSends(t *testing.T) {
	if dir := os.Getenv(planRoot); dir != "" {
		comparePlans(t, dir)
		return
	}
	if os.Geteuid() != 0 {
		comparePlans(t, t.TempDir())
		return
	}
	all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1 << 20}}
	one := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
	}
	const user = 54321
	for _, c := range []struct {
		name string
		drop []uintptr // capabilities
		uid  int       // owner of the directory
		attr syscall.SysProcAttr
	}{
		{name: "root"},
		{name: "root without CAP_SYS_ADMIN", drop: []uintptr{unix.CAP_SYS_ADMIN}},
		{name: "root without CAP_SYS_PTRACE", drop: []uintptr{unix.CAP_SYS_PTRACE}},
		{name: "root without CAP_SYS_RESOURCE", drop: []uintptr{unix.CAP_SYS_RESOURCE}},
		{name: "root without CAP_SETGID", drop: []uintptr{unix.CAP_SETGID}},
		{name: "root of a user namespace", attr: syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true}},
		{name: "root of a user namespace with its mounts", attr: syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: all, GidMappings: all}},
		{name: "root of a user namespace of one user", uid: user, attr: syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: one(user), GidMappings: one(user), Credential: &syscall.Credential{NoSetGroups: true}}},
		{name: "an ordinary user", uid: user, attr: syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user, Groups: []uint32{user + 1}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("/tmp", "rt-plan-") // which the user can reach
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			if err := os.Chown(dir, c.uid, c.uid); err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(dir, "test")
			text, err := os.ReadFile("/proc/self/exe")
			if err == nil {
				err = errors.Join(os.WriteFile(program, text, 0o755), os.Chmod(program, 0o755))
			}
			if err == nil {
				err = os.CopyFS(filepath.Join(dir, "golden"), os.DirFS("plan/testdata"))
			}
			if err == nil {
				err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error { return os.Lchown(path, c.uid, c.uid) })
			}
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, "-test.run=^TestPlanIsWhatCreateSends$", "-test.count=1")
			cmd.Dir, cmd.SysProcAttr = dir, &c.attr
			cmd.Env = []string{planRoot + "=" + dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "XDG_RUNTIME_DIR=" + dir, "NOTIFY_SOCKET=" + dir + "/notify.sock"}
			out, err := withoutCapabilities(c.drop, cmd.CombinedOutput)
			if err != nil || !strings.Contains(string(out), "compared ") {
				t.Errorf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// withoutCapabilities calls f, whose children lack capabilities.
func withoutCapabilities(drop []uintptr, f func() ([]byte, error)) (out []byte, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and so the thread ends with this goroutine
		for _, capability := range drop {
			if err = unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
				return
			}
		}
		out, err = f()
	}()
	<-done
	return out, err
}

// comparePlans compares both plans of each golden configuration.
func comparePlans(t *testing.T, dir string) {
	golden := "plan/testdata"
	if dir == os.Getenv(planRoot) {
		golden = filepath.Join(dir, "golden")
	}
	configs, err := filepath.Glob(golden + "/*/config.json")
	if err != nil || len(configs) < 80 {
		t.Fatalf("%d configurations, %v", len(configs), err)
	}
	agent, err := net.Listen("unix", filepath.Join(dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	plans := 0
	for _, config := range configs {
		if comparePlan(t, dir, filepath.Dir(config), agent.Addr().String()) {
			plans++
		}
	}
	fmt.Printf("compared %d configurations, of which %d have a plan here\n", len(configs), plans)
}

func comparePlan(t *testing.T, dir, golden, agent string) (compiled bool) {
	name := filepath.Base(golden)
	o := CreateOptions{Bundle: filepath.Join(dir, "bundles", name), HandOverOptions: HandOverOptions{ConsoleSocket: "/console"}}
	if err := os.MkdirAll(o.Bundle+"/rootfs/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(golden + "/config.json")
	if err == nil {
		raw = bytes.ReplaceAll(raw, []byte("/run/agent.sock"), []byte(agent)) // create looks for the agent
		err = os.WriteFile(o.Bundle+"/config.json", raw, 0o644)
	}
	if err == nil {
		err = os.WriteFile(o.Bundle+"/rootfs/etc/passwd", []byte("root:x:0:0::/root:\n"), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	var with struct{ Options plan.Options }
	if text, err := os.ReadFile(golden + "/with.json"); err == nil {
		if err := json.Unmarshal(text, &with); err != nil {
			t.Fatal(err)
		}
	}
	if spec, err := bundle.Decode(raw); err == nil && !spec.Process.Terminal {
		o.ConsoleSocket = ""
	}
	o.NoPivot, o.NoNewKeyring, o.Init = with.Options.NoPivot, with.Options.NoNewKeyring, with.Options.Init
	var warned []string
	r := &Runtime{Root: state.Root{Dir: filepath.Join(dir, "root"), Warn: func(format string, args ...any) { warned = append(warned, fmt.Sprintf(format, args...)) }}}
	planned, planErr := r.Plan(o)
	plannedWarnings := warned
	warned = nil
	sent, keyring, sentErr := r.compileAsCreate(o)
	want, got := textOf(sent, sentErr), textOf(planned, planErr)
	if keyring != "" {
		want = strings.ReplaceAll(want, keyring, facts.KeyringPlaceholder(placeholderID))
	}
	if got != want {
		g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
		i := 0
		for i < min(len(g), len(w))-1 && g[i] == w[i] {
			i++
		}
		t.Errorf("%s: line %d of what rt plan prints is\n\t%s\nand create sends\n\t%s", name, i, g[i], w[i])
	}
	for _, w := range plannedWarnings {
		if !slices.Contains(warned, w) {
			t.Errorf("%s: rt plan warns %s, and create does not", name, w)
		}
	}
	return sentErr == nil
}

// compileAsCreate does what create does up to the plan, and undoes it.
func (r *Runtime) compileAsCreate(o CreateOptions) (p *plan.Plan, keyring string, err error) {
	k := r.plannedCreation(o)
	for _, step := range []func() error{k.begin, k.load, k.check, k.describe, k.place.Reserve, k.place.Intend, k.copyConfig, k.makeEarly, k.compile} {
		if err = step(); err != nil {
			break
		}
	}
	if k.c != nil {
		keyring = k.c.Keyring
	}
	if err == nil {
		if loaded, _ := bundle.Decode(k.b.Raw); !reflect.DeepEqual(loaded, k.spec) {
			err = fmt.Errorf("create has changed the configuration: %+v", k.spec)
		}
	}
	_ = k.fail(errors.New("it was only a test"))
	return k.plan, keyring, err
}

func textOf(p *plan.Plan, err error) string {
	if err != nil {
		return err.Error()
	}
	text, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return err.Error()
	}
	return p.Text() + string(text)
}
