package nsenter

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func ptr(s string) *string { return &s }

// samples has a step of every type, in the order of the kinds, with every field set to something that is not zero.
func samples() []Step {
	return []Step{
		TakeRoot{},
		Clone{Flags: 0x20000000, Kinds: "pid", Cgroup: 0},
		Sync{Point: SyncReady, GoOn: true, Mounts: true},
		OpenTree{Tree: 1, Path: "/t", Recursive: true, Below: true}, OpenTree{Path: "/r/a/t", Root: "/r/a"},
		SetIDs{UID: 1, GID: 2},
		Keyring{Keyring: "_ses.x"},
		LoopbackUp{},
		AttachRoot{Tree: NoSlot, Propagation: 1 << 18, Path: "/rootfs", Staged: true, HostAPI: []string{"/r/proc"}},
		MountFS{Type: "tmpfs", Target: "/t", Source: "s", Options: []Option{{"a", ptr("b")}, {"c", nil}, {"d", ptr("")}},
			Attrs: 6, Propagation: 7, Recursive: true, NoLinks: true, Keep: true, Tell: true, CopyUp: CopyMode, ByMount: true, Data: "d", Label: "l"},
		MountTree{Tree: 1, Target: "/t", Source: "/s", Set: 1, Clear: 2, Implied: 8, Back: 16, SetAll: 3, ClrAll: 4, Place: 5, Propagation: 6,
			PropagateAll: true, Recursive: true, NoLinks: true, Keep: true, Tell: true},
		Remount{Target: "/t", Set: 1, Clear: 2, Propagation: 3, Recursive: true, Superblock: true, Own: true, Options: []Option{{"a", nil}}},
		RootAttr{Set: 1, Propagation: 2, Recursive: true}, ReadonlyMount{Target: "/t"},
		Mkdir{Path: "/d", Mode: 0o755},
		Symlink{Path: "/l", Target: "t"},
		Mknod{Path: "/n", Mode: 0o20666, Dev: 0x103, UID: 4, GID: 5, HostNode: 2, Bind: true, HostPath: "/dev/null"},
		Console{Rows: 24, Cols: 80, UID: 7, DevConsole: true},
		Pivot{},
		MoveRoot{HostAPI: []string{"/proc", "/sys"}},
		Chroot{Dir: 0, Path: "/r"},
		Sysctl{Path: "kernel/x", Value: "1"},
		Label{Kind: "k", Value: "n", File: "exec", Text: "u:r:t:s0", Outside: true},
		ReadonlyPath{Path: "/p", Keep: true},
		MaskPath{Path: "/m", Label: "l"},
		ChownStdio{UID: 8, GID: 9},
		Chdir{Path: "/c", Retry: true}, ChdirRootfs{Path: "/r", Dev: 1 << 40, Ino: 1 << 50},
		FindExec{Arg: "sh", Candidates: []string{"/a/sh", "/b/sh"}},
		AwaitStart{Listener: 1},
		Seccomp{Program: []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}, Flags: 8, Notify: true, Send: true},
		Bounding{Keep: 0x20},
		Credentials{UID: 10, GID: 11, Groups: []uint32{12, 13, 0}, KeepGroups: true},
		Capabilities{Effective: 1, Permitted: 3, Inheritable: 5, Ambient: 1 << 40},
		Capset{Effective: 1, Permitted: 3, Inheritable: 5},
		CloseFds{First: 3},
		ExecHost{Args: []string{"a", "", "b c"}, Env: []string{"K=V"}}, Init{Steps: 7, Terminal: true}, Gate{FIFO: 2, Path: "/f"},
		Undo{Proc: 1}, Unmount{Target: "/a/b", Check: true, ID: 7},
		Opener{Inside: true}, RequestTree{Tree: 1, Path: "/src", Recursive: true, Map: 2, MapAll: true}, RequestTree{Path: "/r/src", Root: "/r"}, OpenerEnd{},
		JoinNS{File: 1, Type: 0x20000, Kind: "mount", Path: "/x"},
		Dumpable{},
		CgroupJoin{Tasks: 2, Path: "/t"},
		Unshare{Flags: 0x80, Kinds: "time"},
		Setsid{},
		Propagation{Flags: 0x4000},
		Hostname{Value: "h"},
		Domainname{Value: "d"},
		Umask{Mask: 0o27},
		Personality{Domain: 8},
		MemPolicy{Mode: 3, Nodes: []uint64{5, 1 << 63}},
		Scheduler{Policy: 1, Flags: 2, Nice: -3, Priority: 4, Runtime: 5, Deadline: 6, Period_: 7},
		IOPriority{Class: 2, Level: 3},
		Rlimit{Type: "RLIMIT_NOFILE", Number: 7, Soft: 10, Hard: 20},
		Undumpable{},
		DropGroups{},
		Inputs{Early: 1},
		NoNewPrivs{},
		HandOut{Listener: 1},
		StagingRoot{Sysfs: true},
		CloneRoot{HostAPI: []string{"/proc", "/sys"}}, MapTree{Tree: 1, Map: 2, All: true, Path: "/t"},
	}
}

// build compiles testdata/decode.c, which holds the stub's own decoder.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "decode")
	out, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-std=gnu11", "-fsanitize=address,undefined",
		"-fno-sanitize-recover=all", "-I.", "-o", program, "testdata/decode.c").CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return program
}

// The fuzz target is built by scripts/fuzz only, and must not fall behind.
func TestFuzzTargetBuilds(t *testing.T) {
	out, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-fsyntax-only", "-I.", "fuzz/plan_check.c").CombinedOutput()
	if err != nil {
		t.Errorf("gcc: %v\n%s", err, out)
	}
}

func decode(t *testing.T, program, mode string, plan []byte) string {
	t.Helper()
	cmd := exec.Command(program, mode)
	cmd.Stdin = bytes.NewReader(plan)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("decode %s: %v\n%s%s", mode, err, out, stderr.String())
	}
	return string(out)
}

func encode(t *testing.T, steps []Step, nfds int) []byte {
	t.Helper()
	data, err := Encode(steps, nfds)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// words are the strings of a decoded step: "=" and hex, or NULL.
func words(line string) []string {
	var out []string
	for _, f := range strings.Fields(line)[9:] {
		if text, ok := strings.CutPrefix(f, "="); ok {
			b, _ := hex.DecodeString(text)
			f = "=" + string(b)
		}
		out = append(out, f)
	}
	return out
}

// The two sides of the encoding: what Go writes is what C reads.
func TestBothSides(t *testing.T) {
	program := build(t)
	for name, test := range map[string]func(*testing.T, string){
		"constants": constantsAreTheHeaders, "every step": everyStepIsUnderstood, "limits": limits,
		"bad plans": badPlansAreRefused, "damaged plans": damagedPlans,
	} {
		t.Run(name, func(t *testing.T) { test(t, program) })
	}
}

func everyStepIsUnderstood(t *testing.T, program string) {
	steps := samples()
	lines := strings.Split(strings.TrimSpace(decode(t, program, "decode", encode(t, steps, 3))), "\n")
	if len(lines) != len(steps)+1 || lines[0] != fmt.Sprintf("plan %d 3", len(steps)) {
		t.Fatalf("%d lines, first %q", len(lines), lines[0])
	}
	last := 0
	for i, s := range steps {
		var r record
		s.encode(&r)
		if kind := int(r.kind); kind != last && kind != last+1 {
			t.Errorf("%T is kind %d, after %d", s, r.kind, last)
		}
		last = int(r.kind)
		want := fmt.Sprint(r.kind)
		for _, v := range r.a {
			want += fmt.Sprintf(" %x", v)
		}
		got := lines[i+1]
		if !strings.HasPrefix(got+" ", want+" ") {
			t.Errorf("%T: decoded %q, wanted %q", s, got, want)
			continue
		}
		var strs []string
		for _, p := range r.strs {
			if p == nil {
				strs = append(strs, "NULL")
			} else {
				text, _, _ := strings.Cut(*p, "\x00") // of data only the beginning is shown
				strs = append(strs, "="+text)
			}
		}
		if have := words(got); !reflect.DeepEqual(have, strs) {
			t.Errorf("%T: strings %q, wanted %q", s, have, strs)
		}
	}
	if last != kMapTree {
		t.Errorf("%d kinds of steps were tried, there are %d", last, kMapTree)
	}
}

// These say which argument of a step is which in C; the decoder alone cannot tell a mixed-up order.
func TestArguments(t *testing.T) {
	for _, c := range []struct {
		step Step
		want []uint64
	}{
		{MountTree{Tree: NoSlot, Place: 5, Propagation: 6, PropagateAll: true}, []uint64{noSlot, 0, 0, 0, 0, 5<<32 | 6, 2, 0}},
		{MountTree{Recursive: true, NoLinks: true}, []uint64{0, 0, 0, 0, 0, 0, 1, 1}},
		{MountTree{Clear: 2, Implied: 5, Back: 16, Tell: true}, []uint64{0, 0, 5<<32 | 2, 0, 0, 0, 0, 16<<32 | 2}},
		{ReadonlyMount{Target: "/t"}, []uint64{unix.MOUNT_ATTR_RDONLY, 0, 0, 0, 0, 2}},
		{MapTree{Tree: 3, Map: 4, All: true}, []uint64{3, 4, 1}},
		{Opener{Inside: true}, []uint64{1}},
		{OpenTree{Tree: 3, Below: true}, []uint64{3, 0, 1}},
		{RequestTree{Tree: 3, Map: NoSlot, Recursive: true}, []uint64{3, 1, noSlot, 0}},
		{RequestTree{Map: 2, MapAll: true}, []uint64{0, 0, 2, 1}},
		{JoinNS{File: 1, Type: 2}, []uint64{unix.SYS_SETNS, 1, 2, 0, 0, 0, 0, 1 << 8}},
		{CgroupJoin{Tasks: NoSlot}, []uint64{unix.SYS_WRITE, noSlot, 0, 1, 0, 0, 0, 1<<8 | 2}},
		{Umask{Mask: 0o22}, []uint64{unix.SYS_UMASK, 0o22, 0, 0, 0, 0, 0, 0}},
		{IOPriority{Class: 3, Level: 7}, []uint64{unix.SYS_IOPRIO_SET, 1, 0, 3<<13 | 7}},
		{Scheduler{Nice: -1}, []uint64{unix.SYS_SCHED_SETATTR, 0, 0, 0, 0, 0, 0, 2}},
		{Rlimit{Number: 7}, []uint64{unix.SYS_PRLIMIT64, 0, 7, 0, 0, 0, 0, 3}},
		{ExecHost{Args: []string{"a", "b"}, Env: []string{"c"}}, []uint64{3}},
		{Credentials{Groups: []uint32{1, 2}}, []uint64{0, 0, 0, 2}},
		{Sync{Point: SyncTime}, []uint64{SyncTime, 0}},
	} {
		var r record
		c.step.encode(&r)
		if got := r.a[:len(c.want)]; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%#v: arguments %x, wanted %x", c.step, got, c.want)
		}
	}
}

func constantsAreTheHeaders(t *testing.T, program string) {
	got := decode(t, program, "constants", nil)
	want := fmt.Sprintf("PLAN_MAGIC %d\nPLAN_VERSION %d\nNO_FD %d\nMAX_FDS %d\nK_END %d\nheader %d\nstep %d\nreply %d\ntext 16\n"+
		"R_PID %d\nR_SYNC %d\nR_FD %d\nR_ERROR %d\nR_LISTENER %d\n", planMagic, planVersion, noSlot, MaxFds, kMapTree+1,
		headerSize, recordSize, replySize, ReplyPid, ReplySync, ReplyFd, ReplyError, ReplyListener)
	if got != want {
		t.Errorf("stub.h says\n%s\nthe Go side\n%s", got, want)
	}
}

// names finds the first part of a source file that begin and end enclose, and in it the names that one matches.
func names(t *testing.T, file, begin, end, one string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(data), begin)
	part, _, ok2 := strings.Cut(part, end)
	if !ok || !ok2 {
		t.Fatalf("%s: no %q ... %q", file, begin, end)
	}
	var out []string
	for _, m := range regexp.MustCompile(one).FindAllStringSubmatch(part, -1) {
		out = append(out, strings.ToLower(strings.ReplaceAll(m[1], "_", "")))
	}
	return out
}

// The kinds are numbered by their place in two lists.
func TestKindsAreInTheSameOrder(t *testing.T) {
	header := names(t, "stub.h", "#define KINDS(X)", "#define KIND(", `\bX\((\w+),`)
	if len(header) != kMapTree {
		t.Fatalf("KINDS has %d names, wire.go %d", len(header), kMapTree)
	}
	if got := names(t, "wire.go", "const (", "= iota + 1", `\bk(\w+)`); len(got) == 0 || got[len(got)-1] != header[0] {
		t.Errorf("wire.go begins with %v, stub.h with %s", got, header[0])
	}
	if got := names(t, "wire.go", "= iota + 1", ")", `\bk(\w+)`); !reflect.DeepEqual(got, header[1:]) {
		t.Errorf("wire.go has %v\nstub.h %v", got, header[1:])
	}
}

func TestNULIsRefused(t *testing.T) {
	for _, s := range []Step{
		Hostname{"a\x00b"}, Mkdir{Path: "\x00"}, ExecHost{Args: []string{"a"}, Env: []string{"A=\x00"}},
		MountFS{Options: []Option{{"a", ptr("b\x00")}}}, FindExec{Candidates: []string{"x", "y\x00"}}, Symlink{Path: "a", Target: "b\x00c"},
	} {
		if _, err := Encode([]Step{Setsid{}, s}, 0); !errors.Is(err, errNUL) || !strings.HasPrefix(err.Error(), "step 1, "+s.Name()+": ") {
			t.Errorf("%#v: error %v", s, err)
		}
	}
}

func limits(t *testing.T, program string) {
	if _, err := Encode([]Step{Setsid{}}, MaxFds+1); err == nil {
		t.Error("too many descriptors were accepted")
	}
	if got := decode(t, program, "decode", encode(t, []Step{Setsid{}}, MaxFds)); !strings.HasPrefix(got, "plan 1 1000\n") {
		t.Errorf("as many descriptors as can be: %s", got)
	}
	// A step of n bytes of text and the plan's 24, the record's 80, an offset's 8 and the NUL: exactly 64 MiB, and more.
	most := strings.Repeat("x", 64<<20-24-80-8-1)
	if got := decode(t, program, "decode", encode(t, []Step{Keyring{most}}, 0)); !strings.HasPrefix(got, "plan 1 0\n") {
		t.Errorf("a plan of 64 MiB: %.40s", got)
	}
	if _, err := Encode([]Step{Keyring{most + "x"}}, 0); err == nil {
		t.Error("a plan of more than 64 MiB was accepted")
	}
}

func damagedTree(t *testing.T) []byte {
	data := encode(t, []Step{RequestTree{Map: NoSlot, Path: "x"}}, 2)
	binary.NativeEndian.PutUint32(data[headerSize+recordSize:], 0)
	return data
}

func badPlansAreRefused(t *testing.T, program string) {
	damaged := func(at int, v uint32) []byte {
		data := encode(t, []Step{Keyring{"abc"}, ExecHost{Args: []string{"x"}, Env: []string{"E=1"}}}, 2)
		binary.NativeEndian.PutUint32(data[at:], v)
		return data
	}
	const first, second = headerSize, headerSize + recordSize + 16
	for name, data := range map[string][]byte{
		"nothing":                    nil,
		"no step":                    encode(t, nil, 0),
		"other magic":                damaged(0, 1),
		"other version":              damaged(4, 2),
		"size of more":               damaged(8, 1<<20),
		"more steps":                 damaged(12, 3),
		"fewer steps":                damaged(12, 1),
		"no steps":                   damaged(12, 0),
		"1001 descriptors":           damaged(16, 1001),
		"kind 0":                     damaged(first, 0),
		"kind past the end":          damaged(first, kMapTree+1),
		"size 0":                     damaged(first+4, 0),
		"size not aligned":           damaged(first+4, recordSize+12),
		"size past the end":          damaged(first+4, 1<<30),
		"too few strings":            damaged(first+72, 0),
		"too many strings":           damaged(first+72, 1<<29),
		"string in the record":       damaged(first+80, 8),
		"string past the record":     damaged(first+80, recordSize+16),
		"NULL string":                damaged(first+80, 0),
		"string without its end":     damaged(first+92, 0x78787878),
		"environment at 0":           damaged(second+8, 0),
		"environment at 1":           damaged(second+8, 1),
		"environment past the end":   damaged(second+8, 4),
		"no NULL before environment": damaged(second+8, 3),
		"failure of no kind":         damaged(second+16, 2),
		"no program":                 damaged(second+80, 0),
		"slot past the end":          encode(t, []Step{JoinNS{File: 2}}, 2),
		"console slot":               encode(t, []Step{Mknod{HostNode: 7, HostPath: "x", Path: "y"}}, 7),
		"tree past the end":          encode(t, []Step{RequestTree{Tree: 2, Map: NoSlot}}, 2),
		"id map past the end":        encode(t, []Step{RequestTree{Map: 2}}, 2),
		"map of no slot":             encode(t, []Step{MapTree{Tree: 1, Map: 2}}, 2),
		"tree without a path":        damagedTree(t),
		"no candidate":               encode(t, []Step{FindExec{Arg: "x"}}, 0),
		"groups without their bytes": func() []byte {
			data := encode(t, []Step{Credentials{Groups: []uint32{1}}}, 0)
			binary.NativeEndian.PutUint64(data[headerSize+8+24:], 3)
			return data
		}(),
		"groups that overflow": func() []byte {
			data := encode(t, []Step{Credentials{Groups: []uint32{1}}}, 0)
			binary.NativeEndian.PutUint64(data[headerSize+8+24:], 1<<62)
			return data
		}(),
		"filter without its bytes": func() []byte {
			data := encode(t, []Step{Seccomp{Program: make([]byte, 8)}}, 0)
			binary.NativeEndian.PutUint64(data[headerSize+8:], 17)
			return data
		}(),
	} {
		if got := decode(t, program, "decode", data); got != "EBADMSG\n" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Every truncation is refused, and no change of a bit makes the decoder read or believe what is outside of a step.
func damagedPlans(t *testing.T, program string) {
	for name, steps := range map[string][]Step{"samples": samples(), "one": {Setsid{}}, "exec": {ExecHost{Args: []string{"a"}}}} {
		if got := decode(t, program, "damage", encode(t, steps, 3)); !strings.HasPrefix(got, "ok ") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
