package cgroups

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"rt/cgroups/translate"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Device programs attach to any v2 hierarchy, a hybrid host's included.

const denyAllRule = `{"allow":false,"access":"rwm"}`

// opens runs a script in the cgroup that tries to open devices and says which it could.
func opens(t *testing.T, c *Cgroup, script string) string {
	t.Helper()
	out := t.TempDir() + "/out"
	sh(t, c, `try() { if (eval "$2") 2>/dev/null; then echo "$1 yes"; else echo "$1 no"; fi; }
		{ `+script+`; } >`+out+`; echo ready; exec sleep 300`)
	return strings.Join(strings.Fields(read(t, out)), " ")
}

func TestDevicesEnforcedV2(t *testing.T) {
	c := cgroupFor(t, onlyV2(t))
	create(t, c, `{"devices":[`+denyAllRule+`,{"allow":true,"type":"c","major":1,"minor":11,"access":"w"}]}`)
	dir := t.TempDir()
	got := opens(t, c, `try zero ": </dev/zero"; try random-read ": </dev/urandom"; try random-write ": >/dev/urandom"
		try mem ": </dev/mem"; try mknod "mknod `+dir+`/mem c 1 1"; try kmsg-read ": </dev/kmsg"; try kmsg-write ": >/dev/kmsg"`)
	if want := "zero yes random-read yes random-write yes mem no mknod yes kmsg-read no kmsg-write yes"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := len(deviceProgramsOf(t, c)); n != 1 {
		t.Errorf("%d programs", n)
	}
	if _, err := c.Apply(parse(t, `{"unified":{"cgroup.max.descendants":"70"}}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Apply(parse(t, `{"devices":[{"allow":true,"access":"rwm"}]}`)); err != nil {
		t.Fatal(err)
	}
	if n := len(deviceProgramsOf(t, c)); n != 0 {
		t.Errorf("%d programs where everything is allowed", n)
	}
	if got := opens(t, c, `try mem ": </dev/kmsg"`); got != "mem yes" {
		t.Errorf("everything allowed: %s", got)
	}
	create(t, Load(c.host, map[string]string{"": c.BornDir() + "/none"}), `{"devices":[{"allow":true,"access":"rwm"}]}`)
}

func deviceProgramsOf(t *testing.T, c *Cgroup) []uint32 {
	t.Helper()
	f, err := openFile(c.BornDir(), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	ids, err := attachedPrograms(f.fd)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// An update replaces the program in one step: a process that tries all the time to open what both lists deny
// never can, and one that opens what both allow always can.
func TestDevicesReplacedAtomically(t *testing.T) {
	c := cgroupFor(t, onlyV2(t))
	lists := []*specs.LinuxResources{
		parse(t, `{"devices":[`+denyAllRule+`,{"allow":true,"type":"b","major":7,"access":"rwm"}]}`),
		parse(t, `{"devices":[`+denyAllRule+`,{"allow":true,"type":"b","major":8,"access":"rwm"}]}`),
	}
	if _, err := c.Create(lists[0]); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir() + "/out"
	cmd := sh(t, c, `echo ready; n=0; while :; do if (: </dev/kmsg) 2>/dev/null; then echo open; fi; (: </dev/zero) || echo closed; n=$((n+1)); echo $n >`+out+`.n; done >`+out+` 2>&1`)
	rounds := func() int {
		text, _ := readShort(out + ".n")
		n, _ := strconv.Atoi(text)
		return n
	}
	deadline := time.Now().Add(10 * time.Minute)
	updates := 0
	for (rounds() < 150 || updates < 50) && time.Now().Before(deadline) {
		updates++
		if _, err := c.Apply(lists[updates%2]); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if text := read(t, out); text != "" || updates < 50 || rounds() < 50 {
		t.Errorf("after %d updates, %d rounds: %s", updates, rounds(), text)
	}
	if n := len(deviceProgramsOf(t, c)); n != 1 {
		t.Errorf("%d programs", n)
	}
}

// Somebody else's program, as systemd attaches one to a unit, stays, and both must agree.
func TestDevicesBesideOthers(t *testing.T) {
	c := cgroupFor(t, onlyV2(t))
	create(t, c, `{}`)
	foreign := attachForeign(t, c.BornDir(), unix.BPF_F_ALLOW_MULTI, 1, 9) // denies urandom
	for range 3 {
		if _, err := c.Apply(parse(t, `{"devices":[`+denyAllRule+`]}`)); err != nil {
			t.Fatal(err)
		}
		if ids := deviceProgramsOf(t, c); len(ids) != 2 || !slices.Contains(ids, foreign) {
			t.Errorf("programs %v, want %d and one more", ids, foreign)
		}
	}
	if got := opens(t, c, `try zero ": </dev/zero"; try urandom ": </dev/urandom"`); got != "zero yes urandom no" {
		t.Error(got)
	}
}

func TestDevicesForbiddenByAncestor(t *testing.T) {
	parent := cgroupFor(t, onlyV2(t))
	if err := os.Mkdir(parent.BornDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	attachForeign(t, parent.BornDir(), 0, 1, 9)
	c := Load(parent.host, map[string]string{"": parent.BornDir() + "/child"})
	_, err := c.Create(nil)
	var hinted interface{ Hint() string }
	if !errors.Is(err, unix.EPERM) || !strings.HasPrefix(err.Error(), "attach device program to ") || !errors.As(err, &hinted) {
		t.Errorf("%v", err)
	}
	if c.Exists() {
		t.Error("the cgroup is left")
	}
}

// attachForeign attaches a nameless program that denies one character device, and gives its id.
func attachForeign(t *testing.T, dir string, flags uint32, major, minor int64) uint32 {
	t.Helper()
	d := translate.ParseDeviceList(fmt.Sprintf("c %d:%d rwm", major, minor))
	d.Allow = true // all but that one
	p, err := loadProgram(d.Program(), "foreign")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	f, err := openFile(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if err := attachProgram(f.fd, p, nil, flags); err != nil {
		t.Fatal(err)
	}
	ids, err := attachedPrograms(f.fd)
	if err != nil || len(ids) == 0 {
		t.Fatal(ids, err)
	}
	return ids[len(ids)-1]
}

// The verifier takes long lists, and no resource limit stands in the way.
func TestDevicesManyRulesWithoutMemlock(t *testing.T) {
	c := cgroupFor(t, onlyV2(t))
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &unix.Rlimit{}, &old); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &old, nil) }()
	var rules []specs.LinuxDeviceCgroup
	for n := range int64(2000) {
		major := n % 500
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: n%3 != 0, Type: "c", Major: &major, Minor: &n, Access: [...]string{"r", "w", "rw", "m", "rm", "wm", "rwm"}[n%7]})
	}
	if _, err := c.Create(&specs.LinuxResources{Devices: rules}); err != nil {
		t.Fatal(err)
	}
	if got := opens(t, c, `try zero ": </dev/zero"`); got != "zero yes" {
		t.Error(got)
	}
}

// Without the privilege to load programs: which lists can go without one.
func TestDevicesUnprivileged(t *testing.T) {
	for config, want := range map[string]bool{
		`[]`: false, `[` + denyAllRule + `]`: false, `[{"allow":true,"access":"rwm"}]`: false,
		`[` + denyAllRule + `,{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"}]`:                   false,
		`[{"allow":true,"access":"rwm"},{"allow":false,"type":"b","major":8,"minor":0,"access":"w"}]`:          true,
		`[` + denyAllRule + `,{"allow":true,"type":"c","access":"r"},{"allow":false,"type":"c","access":"m"}]`: true,
	} {
		if got := translate.DeniesDevices(parse(t, `{"devices":`+config+`}`).Devices); got != want {
			t.Errorf("%s: needs a program: %v", config, got)
		}
	}
}

func BenchmarkDeviceProgram(b *testing.B) {
	h := onlyV2(b)
	c := cgroupFor(b, h)
	create(b, c, `{}`)
	for b.Loop() {
		f, _, err := loadDevices(nil)
		if err == nil {
			err = f.attach(c.BornDir(), false)
		}
		if err != nil {
			b.Fatal(err)
		}
		f.close()
	}
}

// The kernel writes no further than the structure that it is given; Linux 6.17 to 7.1 write the revision behind a shorter one.
func TestQueryIsNotOverrun(t *testing.T) {
	c := cgroupFor(t, onlyV2(t))
	create(t, c, `{"devices":[`+denyAllRule+`]}`)
	f, err := openFile(c.BornDir(), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	var ids [64]uint32
	var memory struct {
		attr   query
		behind [64]byte
	}
	memory.attr = query{target: uint32(f.fd), attachType: unix.BPF_CGROUP_DEVICE, count: uint32(len(ids)), ids: pointer64{unsafe.Pointer(&ids)}}
	for i := range memory.behind {
		memory.behind[i] = 0xa5
	}
	if _, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&memory.attr), unsafe.Sizeof(memory.attr)); err != nil {
		t.Fatal(err)
	}
	for i, b := range memory.behind {
		if b != 0xa5 {
			t.Fatalf("byte %d behind the structure is %#x, want it as it was", i, b)
		}
	}
	// A kernel that has been mended writes nothing there in any case.
	if f, ok := reflect.TypeFor[query]().FieldByName("revision"); !ok || f.Offset != 56 || unsafe.Sizeof(query{}) != 64 {
		t.Errorf("the revision is at %d of %d bytes, want 56 of 64 (linux/bpf.h)", f.Offset, unsafe.Sizeof(query{}))
	}
	if memory.attr.count != 1 {
		t.Errorf("%d programs, want 1", memory.attr.count)
	}
}
