package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"rt/libcontainer/bundle"
)

func readSpec(t *testing.T, dir string) (text string, s *specs.Spec) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return string(b), s
}

func TestSpec(t *testing.T) {
	dir := t.TempDir()
	if r := rt(&fake{}, "spec", "--bundle", dir); r != (result{}) {
		t.Fatalf("%+v", r)
	}
	text, _ := readSpec(t, dir)
	want := "{\n\t\"ociVersion\": \"1.3.0\",\n\t\"process\": {\n\t\t\"terminal\": true,\n\t\t\"user\": {\n\t\t\t\"uid\": 0,\n\t\t\t\"gid\": 0\n\t\t},\n"
	if !strings.HasPrefix(text, want) || !strings.HasSuffix(text, "}\n") {
		t.Errorf("layout: %s", text)
	}
	for _, flags := range [][]string{{"spec", "-b", dir}, {"spec", "--rootless", "-b", dir}} {
		if r := rt(&fake{}, flags...); r != (result{1, "", "rt: File config.json exists. Remove it first\n"}) {
			t.Errorf("%+v", r)
		}
	}
	if again, _ := readSpec(t, dir); again != text {
		t.Error("config.json was changed")
	}
}

func TestSpecCurrentDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	if r := rt(&fake{}, "spec"); r != (result{}) {
		t.Fatalf("%+v", r)
	}
	readSpec(t, ".")
}

// A link that leads nowhere is a config.json that exists: its target must not be written.
func TestSpecDanglingLink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "elsewhere")
	if err := os.Symlink(target, filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if r := rt(&fake{}, "spec", "-b", dir); r.code != 1 {
		t.Errorf("%+v", r)
	}
	if _, err := os.Lstat(target); err == nil {
		t.Error("the target was written")
	}
}

func TestDefaultSpecGolden(t *testing.T) {
	s := bundle.Example(false)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ociVersion":"1.3.0","process":{"terminal":true,"user":{"uid":0,"gid":0},"args":["sh"],` +
		`"env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","TERM=xterm"],"cwd":"/",` +
		`"capabilities":{"bounding":["CAP_AUDIT_WRITE","CAP_KILL","CAP_NET_BIND_SERVICE"],` +
		`"effective":["CAP_AUDIT_WRITE","CAP_KILL","CAP_NET_BIND_SERVICE"],"permitted":["CAP_AUDIT_WRITE","CAP_KILL","CAP_NET_BIND_SERVICE"]},` +
		`"rlimits":[{"type":"RLIMIT_NOFILE","hard":1024,"soft":1024}],"noNewPrivileges":true},` +
		`"root":{"path":"rootfs","readonly":true},"hostname":"rt","mounts":[` +
		`{"destination":"/proc","type":"proc","source":"proc"},` +
		`{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},` +
		`{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]},` +
		`{"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=65536k"]},` +
		`{"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]},` +
		`{"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]},` +
		`{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["nosuid","noexec","nodev","relatime","ro"]}],` +
		`"linux":{"resources":{"devices":[{"allow":false,"access":"rwm"}]},` +
		`"namespaces":[{"type":"pid"},{"type":"network"},{"type":"ipc"},{"type":"uts"},{"type":"mount"}],` +
		`"maskedPaths":["/proc/acpi","/proc/asound","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list",` +
		`"/proc/timer_stats","/proc/sched_debug","/sys/firmware","/proc/scsi"],` +
		`"readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]}}`
	if string(text) != want {
		t.Errorf("\n got %s\nwant %s", text, want)
	}
	ns := bundle.Example(true).Linux.Namespaces
	if ns[len(ns)-1].Type != specs.CgroupNamespace || len(ns) != 6 {
		t.Errorf("on cgroup v2: %v", ns)
	}
}

// The bundle that rt spec starts must have nothing that rt check complains of.
func TestDefaultSpecIsClean(t *testing.T) {
	for _, flags := range [][]string{{"spec"}, {"spec", "--rootless"}} {
		dir := t.TempDir()
		if r := rt(&fake{}, append(flags, "-b", dir)...); r != (result{}) {
			t.Fatalf("%+v", r)
		}
		b, err := bundle.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range append(b.Check(), bundle.UnknownFields(b.Raw)...) {
			t.Errorf("%q: %s: %s", flags, p.Pointer, p.Text)
		}
	}
}

func TestRootlessSpec(t *testing.T) {
	s := bundle.Example(false)
	bundle.MakeRootless(s, 1000, 100)
	if s.Linux.UIDMappings[0] != (specs.LinuxIDMapping{HostID: 1000, Size: 1}) || s.Linux.GIDMappings[0] != (specs.LinuxIDMapping{HostID: 100, Size: 1}) {
		t.Errorf("%+v %+v", s.Linux.UIDMappings, s.Linux.GIDMappings)
	}
	var got []string
	for _, ns := range s.Linux.Namespaces {
		got = append(got, string(ns.Type))
	}
	if strings.Join(got, " ") != "pid ipc uts mount user" {
		t.Errorf("namespaces %q", got)
	}
}

// What runc spec writes, apart from the differences of docs/cli.md.
func TestSpecIsRuncs(t *testing.T) {
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("runc is not installed: nothing to compare with")
	}
	for _, rootless := range []bool{false, true} {
		t.Run("rootless "+strconv.FormatBool(rootless), func(t *testing.T) {
			args := []string{"spec"}
			if rootless {
				args = append(args, "--rootless")
			}
			theirs, ours := t.TempDir(), t.TempDir()
			if out, err := exec.Command(runc, append(args, "-b", theirs)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if r := rt(&fake{}, append(args, "-b", ours)...); r != (result{}) {
				t.Fatalf("%+v", r)
			}
			_, want := readSpec(t, theirs)
			_, got := readSpec(t, ours)
			want.Version, want.Hostname = got.Version, got.Hostname
			want.Process.Capabilities.Ambient = nil // runc before 1.2 has them, without the inheritable set they need
			if !reflect.DeepEqual(got, want) {
				a, _ := json.MarshalIndent(got, "", " ")
				b, _ := json.MarshalIndent(want, "", " ")
				t.Errorf("ours %s\nrunc's %s", a, b)
			}
		})
	}
}
