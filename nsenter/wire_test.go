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

// A sample is a step, and what C must see: the name of its kind, and each argument that is not 0, in hexadecimal.
type sample struct {
	step Step
	want string
}

// samples has a step of every type. Each argument of each kind is in one of them.
func samples() []sample {
	return []sample{
		{JoinNS{File: 1, Type: 0x20000, Kind: "mount", Path: "/x"}, "join_namespace file=1 type=20000"},
		{TakeRoot{}, "take_root"},
		{Clone{Flags: 0x20000000, Kinds: "pid", Cgroup: 2}, "clone cgroup=2 flags=20000000"},
		{CgroupJoin{Tasks: 2, Path: "/t"}, "join_cgroup tasks=2"}, {CgroupJoin{Tasks: NoSlot}, "join_cgroup tasks=ffffffff"},
		{Keyring{Keyring: "_ses.x"}, "keyring"},
		{LoopbackUp{}, "loopback_up"},
		{Inputs{Early: 1}, "inputs"},
		{Sync{Point: SyncReady, GoOn: true}, "sync point=5 go_on=1"}, {Sync{Point: SyncTime, Heed: true}, "sync point=2 heed=1"}, {Sync{Mounts: true}, "sync mounts=1"},
		{Unshare{Flags: 0x80, Kinds: "time"}, call(unix.SYS_UNSHARE, 1, "arg1=80")},
		{Dumpable{}, call(unix.SYS_PRCTL, 1, "arg1=4 arg2=1")}, {Undumpable{}, call(unix.SYS_PRCTL, 1, "arg1=4")},
		{DropGroups{}, call(unix.SYS_SETGROUPS, 1, "")}, {Setsid{}, call(unix.SYS_SETSID, 1, "")},
		{Hostname{Value: "host"}, call(unix.SYS_SETHOSTNAME, 5, "arg2=4 data=1")}, {Domainname{Value: "dom"}, call(unix.SYS_SETDOMAINNAME, 4, "arg2=3 data=1")},
		{Propagation{Flags: 0x4000}, call(unix.SYS_MOUNT, 2, "arg4=4000 data=2")},
		{Umask{Mask: 0o27}, call(unix.SYS_UMASK, 1, "arg1=17")}, {Personality{Domain: 8}, call(unix.SYS_PERSONALITY, 1, "arg1=8")},
		{MemPolicy{Mode: 3, Nodes: []uint64{5, 1 << 63}}, call(unix.SYS_SET_MEMPOLICY, 17, "arg1=3 arg3=81 data=2")},
		{Scheduler{Policy: 1, Flags: 2, Nice: -3, Priority: 4, Runtime: 5, Deadline: 6, Period_: 7}, call(unix.SYS_SCHED_SETATTR, 49, "data=2")},
		{IOPriority{Class: 2, Level: 3}, call(unix.SYS_IOPRIO_SET, 1, "arg1=1 arg3=4003")},
		{Rlimit{Type: "RLIMIT_NOFILE", Number: 7, Soft: 10, Hard: 20}, call(unix.SYS_PRLIMIT64, 17, "arg2=7 data=3")},
		{raw{}, "call number=1f arg1=1 arg2=2 arg3=3 arg4=4 arg5=5 arg6=6 data=6 size=2"},
		{OpenTree{Tree: 1, Path: "/t", Recursive: true}, "open_tree tree=1 recursive=1"}, {OpenTree{Path: "/r/a/t", Root: "/r/a", Below: true}, "open_tree below=1"},
		{Opener{Inside: true}, "opener inside=1"},
		{RequestTree{Tree: 1, Path: "/src", Recursive: true, Map: 2}, "request_tree tree=1 userns=2 recursive=1"},
		{RequestTree{Path: "/r/src", Root: "/r", Map: NoSlot, MapAll: true}, "request_tree userns=ffffffff map_all=1"},
		{MapTree{Tree: 1, Map: 2, All: true, Path: "/t"}, "map_tree tree=1 userns=2 all=1"},
		{OpenerEnd{}, "opener_end"},
		{StagingRoot{Sysfs: true}, "staging_root sysfs=1"},
		{AttachRoot{Tree: 2, Propagation: 1 << 18, Path: "/rootfs", Shared: true}, "attach_root tree=2 propagation=40000 shared=1"},
		{AttachRoot{Staged: true, HostAPI: []string{"/r/proc"}}, "attach_root staged=1"},
		{Pivot{}, "pivot"}, {CloneRoot{HostAPI: []string{"/proc", "/sys"}}, "clone_root"}, {MoveRoot{HostAPI: []string{"/proc", "/sys"}}, "move_root"},
		{Chroot{Dir: 2, Path: "/r"}, "chroot directory=2"},
		{MountFS{Type: "tmpfs", Target: "/t", Source: "s", Options: []Option{{"a", ptr("b")}, {"c", nil}, {"d", ptr("")}},
			Attrs: 6, Propagation: 7, Recursive: true, CopyUp: CopyMode, ByMount: true, Data: "d", Label: "l"},
			"mount_fs attributes=6 propagation=7 recursive=1 copy_up=4 by_mount=1"},
		{MountFS{NoLinks: true, Keep: true}, "mount_fs no_links=1 keep=1"}, {MountFS{ReadonlyFS: true, Tell: true}, "mount_fs readonly=1 tell=1"},
		{MountTree{Tree: 1, Target: "/t", Source: "/s", Set: 1, Clear: 2, Implied: 8, Back: 16, SetAll: 3, ClrAll: 4, Place: 5, Propagation: 6},
			"mount_tree tree=1 set=1 clear=2 implied=8 back=10 set_all=3 clear_all=4 place=5 propagation=6"},
		{MountTree{PropagateAll: true}, "mount_tree propagate_all=1"}, {MountTree{NoLinks: true, Tell: true}, "mount_tree no_links=1 tell=1"},
		{MountTree{Keep: true, Private: true}, "mount_tree keep=1 own=1"},
		{Remount{Target: "/t", Set: 1, Clear: 2, Propagation: 3, Recursive: true, Options: []Option{{"a", nil}}}, "remount set=1 clear=2 propagation=3 recursive=1"},
		{Remount{Superblock: true}, "remount superblock=1"}, {Remount{Own: true}, "remount own=1"},
		{RootAttr{Set: 1, Propagation: 2, Recursive: true}, "remount set=1 propagation=2 recursive=1"},
		{ReadonlyMount{Target: "/t"}, "remount set=1 own=1 if_there=1"},
		{ReadonlyPath{Path: "/p", Keep: true}, "readonly_path keep=1"}, {MaskPath{Path: "/m", Label: "l"}, "mask_path"},
		{Mkdir{Path: "/d", Mode: 0o755}, "mkdir mode=1ed"}, {Symlink{Path: "/l", Target: "t", Must: true}, "symlink must=1"},
		{Mknod{Path: "/n", Mode: 0o20666, Dev: unix.Mkdev(0x123, 0x45678), UID: 4, GID: 5, HostNode: 2, HostPath: "/dev/null"},
			"mknod host_node=2 mode=21b6 major=123 minor=45678 uid=4 gid=5"},
		{Mknod{Bind: true}, "mknod bind=1"},
		{Console{Rows: 24, Cols: 80, UID: 7, DevConsole: true}, "console rows=18 columns=50 uid=7 dev_console=1"},
		{Sysctl{Path: "kernel/x", Value: "1"}, "proc_write"}, {Label{Kind: "k", Value: "n", File: "exec", Text: "u:r:t:s0", Outside: true}, "proc_write outside=1"},
		{Undo{Proc: 1}, "undo proc=1"}, {Unmount{Target: "/a/b", Check: true, ID: 1 << 40}, "unmount id=10000000000 check=1"},
		{ChownStdio{UID: 8, GID: 9}, "chown_stdio uid=8"},
		{Chdir{Path: "/c", Retry: true}, "chdir retry=1"}, {ChdirRootfs{Path: "/r", Dev: 1 << 40, Ino: 1 << 50}, "chdir is_rootfs=1 device=10000000000 inode=4000000000000"},
		{CloseFds{First: 3}, "close_fds first=3"},
		{SetIDs{UID: 1, GID: 2, Dumpable: true}, "set_ids uid=1 gid=2 dumpable=1"},
		{Bounding{Keep: 1 << 40}, "bounding keep=10000000000"},
		{Credentials{UID: 10, GID: 11, Groups: []uint32{12, 13, 0}, KeepGroups: true}, "credentials uid=a gid=b groups=1 count=3"},
		{Credentials{TryGroups: true}, "credentials groups=2"}, {SetUser{UID: 10}, "credentials uid=a keep_capabilities=1"},
		{NoNewPrivs{}, "no_new_privs"},
		{Capabilities{Effective: 1, Permitted: 3, Inheritable: 5, Ambient: 1 << 40}, "capabilities effective=1 permitted=3 inheritable=5 ambient=10000000000"},
		{Capset{Effective: 1, Permitted: 3, Inheritable: 5}, "capabilities effective=1 permitted=3 inheritable=5 only_set=1"},
		{FindExec{Arg: "sh", Candidates: []string{"/a/sh", "/b/sh"}}, "find_exec"},
		{HandOut{Listener: 1}, "hand_out listener=1"}, {AwaitStart{Listener: 1}, "await_start listener=1"},
		{Init{Steps: 7, Terminal: true}, "init steps=7 terminal=1"},
		{Seccomp{Program: []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}, Flags: 8, Notify: true}, "seccomp size=8 flags=8 notify=1"}, {Seccomp{Program: []byte{}, Send: true}, "seccomp send=1"},
		{Gate{FIFO: 2, Path: "/f"}, "gate fifo=2"},
		{ExecHost{Args: []string{"a", "", "b c"}, Env: []string{"K=V"}}, "exec environment=4"},
		{Exec{[]string{"a"}, nil, Failure{OwnEnd: true, But: unix.ENOSYS}}, "exec environment=2 own_end=1 but=26"},
	}
}

// call is what C must see of the system call number with size bytes of data.
func call(number uintptr, size int, rest string) string {
	return strings.TrimSpace(fmt.Sprintf("call number=%x %s", number, rest)) + fmt.Sprintf(" size=%x", size)
}

// raw is a system call with all arguments.
type raw struct{ Setsid }

func (raw) encode(r *record) { r.callWith("x", 6, "ioctl", 0x1f, 1, 2, 3, 4, 5, 6) }

func steps(list []sample) (steps []Step) {
	for _, s := range list {
		steps = append(steps, s.step)
	}
	return steps
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
func words(strs string) []string {
	var out []string
	for _, f := range strings.Fields(strs) {
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
	list := samples()
	lines := strings.Split(strings.TrimSpace(decode(t, program, "decode", encode(t, steps(list), 3))), "\n")
	if len(lines) != len(list)+1 || lines[0] != fmt.Sprintf("plan %d 3", len(list)) {
		t.Fatalf("%d lines, first %q", len(lines), lines[0])
	}
	check, err := os.ReadFile("wire.c")
	if err != nil {
		t.Fatal(err)
	}
	seen, filled := map[string]bool{}, map[string]bool{}
	for i, s := range list {
		args, strs, _ := strings.Cut(lines[i+1], " |")
		name, _, _ := strings.Cut(args, " ")
		seen[name] = true
		got := name
		for _, arg := range strings.Fields(args)[1:] {
			field := name + "." + arg[:strings.Index(arg, "=")]
			filled[field] = filled[field] || !strings.HasSuffix(arg, "=0")
			if !strings.HasSuffix(arg, "=0") {
				got += " " + arg
			}
		}
		if got != s.want {
			t.Errorf("%T: C sees %q, want %q", s.step, got, s.want)
		}
		var r record
		s.step.encode(&r)
		if r.data && !strings.Contains(string(check), "case K_"+name+": *size") {
			t.Errorf("%T: its first string is data, whose size wire.c (has_data) does not check for %s", s.step, name)
		}
		var want []string
		for _, p := range r.strs {
			if p == nil {
				want = append(want, "NULL")
			} else {
				text, _, _ := strings.Cut(*p, "\x00") // of data only the beginning is shown
				want = append(want, "="+text)
			}
		}
		if have := words(strs); !reflect.DeepEqual(have, want) {
			t.Errorf("%T: strings %q, want %q", s.step, have, want)
		}
	}
	for _, kind := range kindsOfHeader(t) {
		if !seen[kind] {
			t.Errorf("steps.h has the kind %s: no sample is of it", kind)
		}
	}
	for field, ok := range filled {
		if !ok {
			t.Errorf("%s is 0 in every sample: no Go step sets it", field)
		}
	}
}

// kindsOfHeader are the names in the list KINDS.
func kindsOfHeader(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile("steps.h")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\tX\((\w+),`).FindAllSubmatch(text, -1) {
		names = append(names, string(m[1]))
	}
	if len(names) != kinds {
		t.Fatalf("found %d kinds in steps.h, want %d", len(names), kinds)
	}
	return names
}

// TestSamplesAreOfEveryStep: each type that has a function encode for a plan is in samples.
func TestSamplesAreOfEveryStep(t *testing.T) {
	sampled := map[string]bool{}
	for _, s := range samples() {
		sampled[reflect.TypeOf(s.step).Name()] = true
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	encodes := regexp.MustCompile(`(?m)^func \((?:\w+ )?(\w+)\) encode\(r \*record\)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range encodes.FindAllSubmatch(text, -1) {
			if !sampled[string(m[1])] {
				t.Errorf("%s: no sample of step %s in wire_test.go", file, m[1])
			}
		}
	}
}

func constantsAreTheHeaders(t *testing.T, program string) {
	got := decode(t, program, "constants", nil)
	want := fmt.Sprintf("PLAN_MAGIC %d\nPLAN_VERSION %d\nMAX_FDS %d\nheader %d\nstep %d\nreply %d\ntext 16\n"+
		"R_PID %d\nR_SYNC %d\nR_FD %d\nR_ERROR %d\nR_LISTENER %d\n", planMagic, planVersion, MaxFds,
		headerSize, recordSize, replySize, ReplyPid, ReplySync, ReplyFd, ReplyError, ReplyListener)
	if got != want {
		t.Errorf("stub.h says\n%s\nthe Go side\n%s", got, want)
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
	changed := func(s Step, at int, v uint32) []byte { // at: of the arguments
		data := encode(t, []Step{s}, 0)
		binary.NativeEndian.PutUint32(data[headerSize+8+at:], v)
		return data
	}
	const first, second = headerSize, headerSize + recordSize + 16
	for name, data := range map[string][]byte{
		"nothing":                       nil,
		"no step":                       encode(t, nil, 0),
		"other magic":                   damaged(0, 1),
		"other version":                 damaged(4, planVersion+1),
		"size of more":                  damaged(8, 1<<20),
		"more steps":                    damaged(12, 3),
		"fewer steps":                   damaged(12, 1),
		"no steps":                      damaged(12, 0),
		"1001 descriptors":              damaged(16, 1001),
		"kind 0":                        damaged(first, 0),
		"kind past the end":             damaged(first, kinds+1),
		"size 0":                        damaged(first+4, 0),
		"size not aligned":              damaged(first+4, recordSize+12),
		"size past the end":             damaged(first+4, 1<<30),
		"too few strings":               damaged(first+72, 0),
		"too many strings":              damaged(first+72, 1<<29),
		"string in the record":          damaged(first+80, 8),
		"string past the record":        damaged(first+80, recordSize+16),
		"NULL string":                   damaged(first+80, 0),
		"string without its end":        damaged(first+92, 0x78787878),
		"environment at 0":              damaged(second+8, 0),
		"environment at 1":              damaged(second+8, 1),
		"environment past the end":      damaged(second+8, 4),
		"no NULL before environment":    damaged(second+8, 3),
		"failure of no kind":            damaged(second+12, 2),
		"no program":                    damaged(second+80, 0),
		"slot past the end":             encode(t, []Step{JoinNS{File: 2}}, 2),
		"console slot":                  encode(t, []Step{Mknod{HostNode: 7, HostPath: "x", Path: "y"}}, 7),
		"tree past the end":             encode(t, []Step{RequestTree{Tree: 2, Map: NoSlot}}, 2),
		"id map past the end":           encode(t, []Step{RequestTree{Map: 2}}, 2),
		"map of no slot":                encode(t, []Step{MapTree{Tree: 1, Map: 2}}, 2),
		"tree without a path":           damagedTree(t),
		"no candidate":                  encode(t, []Step{FindExec{Arg: "x"}}, 0),
		"groups without their bytes":    changed(Credentials{Groups: []uint32{1}}, 12, 3),
		"groups that overflow":          changed(Credentials{Groups: []uint32{1}}, 12, 1<<29),
		"filter without its bytes":      changed(Seccomp{Program: make([]byte, 8)}, 0, 24),
		"filter of half an instruction": changed(Seccomp{Program: make([]byte, 8)}, 0, 4),
		"call without its data":         changed(Umask{}, 60, 9),
		"call with a seventh pointer":   changed(Umask{}, 56, 7),
	} {
		if got := decode(t, program, "decode", data); got != "EBADMSG\n" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Every truncation is refused, and no change of a bit makes the decoder read or believe what is outside of a step.
func damagedPlans(t *testing.T, program string) {
	for name, steps := range map[string][]Step{"samples": steps(samples()), "one": {Setsid{}}, "exec": {ExecHost{Args: []string{"a"}}}} {
		if got := decode(t, program, "damage", encode(t, steps, 3)); !strings.HasPrefix(got, "ok ") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
