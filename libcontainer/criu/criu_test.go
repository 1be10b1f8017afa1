package criu

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The messages in hexadecimal were written by the bindings that CRIU 3.17 comes with (pycriu.rpc_pb2).

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sorted are a message's fields without their order, which has no meaning; those of nested messages as well.
func sorted(t *testing.T, data []byte, nested ...int) []string {
	t.Helper()
	var list []string
	err := fields(data, func(field int, n uint64, b []byte) error {
		switch {
		case b == nil:
			list = append(list, fmt.Sprintf("%d=%d", field, n))
		case slices.Contains(nested, field):
			list = append(list, fmt.Sprintf("%d={%s}", field, strings.Join(sorted(t, b), " ")))
		default:
			list = append(list, fmt.Sprintf("%d=%q", field, b))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestRequests(t *testing.T) {
	all := &Options{
		ImagesDirFd: 5, WorkDirFd: 6, LogFile: "dump.log", LogLevel: 4, ConfigFile: "/etc/criu/runc.conf", Pid: 4242, Root: "/r",
		LeaveRunning: true, ExtUnixSk: true, TCPEstablished: true, TCPSkipInFlight: true, TCPClose: true, EvasiveDevices: true,
		ShellJob: true, FileLocks: true, LinkRemap: true, TrackMem: true, AutoDedup: true, LazyPages: true, RstSibling: true,
		ParentImg: "../p", PageServer: &PageServer{"127.0.0.1", 27277}, StatusFd: 9, ManageCgroup: CgroupModes()["soft"],
		CgroupRoots: []Pair{{"", "/c"}}, FreezeCgroup: "/f", ExtMounts: []Pair{{"/vol", "/vol"}}, External: []string{"net[1]:extRootNetNS"},
		InheritFd: []Inherited{{"pipe:[7]", 4}}, JoinNS: []Pair{{"ipc", "/n"}}, EmptyNS: unix.CLONE_NEWNET, NetworkLock: LockNFTables,
		LSMProfile: "apparmor:x", LSMMountContext: "ctx",
	}
	for name, c := range map[string]struct {
		request request
		want    string
	}{
		"dump": {request{kind: Dump, opts: all}, "080112de0108051092211801200128013001380140014804520864756d702e6c6f675a0f0a093132372e302e302e31108dd50160016a022f72" +
			"72042e2e2f707801800101880106900101ba010c0a042f766f6c12042f766f6cc00101ca01060a0012022f63d00101da010c0a08706970653a5b375d1004900203" +
			"aa02136e65745b315d3a657874526f6f744e65744e53b0028080808004ba02090a0369706312022f6ee202022f66f002018003018803099003019a03132f657463" +
			"2f637269752f72756e632e636f6e66a00301aa030a61707061726d6f723a78fa0303637478800402"},
		"restore": {request{kind: Restore, opts: &Options{ImagesDirFd: 3, LogLevel: 4}}, "08021212080348046001c00101900200b00200900301"},
		"notify":  {request{kind: notify, done: true}, "08061801"},
		"feature": {request{kind: featureCheck, keepOpen: true, features: Features{true, true}}, "080920012a0408011001"},
		"version": {request{kind: versionCheck, keepOpen: true}, "080a2001"},
	} {
		got, want := sorted(t, c.request.encode(), 2, 5), sorted(t, unhex(t, c.want), 2, 5)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestResponses(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want response
	}{
		"restore": {"080210012202084d", response{kind: Restore, success: true, pid: 77}},
		"notify":  {"080610012a140a1073657475702d6e616d65737061636573104e", response{kind: notify, success: true, notify: Notification{Script: "setup-namespaces", Pid: 78}}},
		"failure": {"0801100038fdffffffffffffffff014a114572726f722028782e633a31293a206e6f", response{kind: Dump, errno: -3, message: "Error (x.c:1): no"}},
		"feature": {"080910014206080110001801", response{kind: featureCheck, success: true, features: Features{MemTrack: true}}},
		"version": {"080a10015217080310111a0976332e31372d616263200132044e616d65", response{kind: versionCheck, success: true, version: 31701}},
		"unknown": {"080510013204100118045803", response{kind: 5, success: true}},
		"fixed":   {"08011001f10100000000000000000d00000000", response{kind: Dump, success: true}},
	} {
		var got response
		if err := got.decode(unhex(t, c.data)); err != nil || got != c.want {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, c.want)
		}
	}
	for _, bad := range []string{"", "08", "0801", "1001", "ff", "08ffffffffffffffffffff01", "0a05", "0801100122ff", "00", "0b", "08011001220108", "0801100112ffffffffffffffffff01"} {
		if err := new(response).decode(unhex(t, bad)); !errors.Is(err, errBadMessage) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if v := Version(31701).String(); v != "3.17.1" {
		t.Error(v)
	}
}

// FuzzResponse: whatever comes, the decoder ends with a value or its one error, and holds no more text than it may.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{"080210012202084d", "080610012a140a1073657475702d6e616d65737061636573104e", "0801100038fdffffffffffffffff014a02786e",
		"080910014206080110001801", "080a10015217080310111a0976332e31372d616263200132044e616d65"} {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r response
		err := r.decode(data)
		if err != nil && !errors.Is(err, errBadMessage) {
			t.Error(err)
		}
		if len(r.message) > most || len(r.notify.Script) > most {
			t.Error("too long")
		}
	})
}

func TestDescriptors(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, descriptorsFile)
	for _, name := range []string{path, filepath.Join(dir, "."+descriptorsFile)} {
		if err := os.Symlink(outside, name); err != nil {
			t.Fatal(err)
		}
	}
	d, err := OpenDirectory(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.ReadDescriptors(); err == nil {
		t.Error("a link was followed")
	}
	want := []string{"pipe:[1]", "", "file[1a:3e3b]"}
	if got, err := d.ReadAccess(); got != nil || err != nil {
		t.Errorf("access that was not written: %q, %v", got, err)
	}
	access := []string{"r", "", "rw"}
	if err := d.WriteDescriptors(want, access); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadAccess(); err != nil || !slices.Equal(got, access) {
		t.Errorf("%q, %v", got, err)
	}
	if text, _ := os.ReadFile(outside); string(text) != "as it was" {
		t.Errorf("a file outside was written: %q", text)
	}
	if got, err := d.ReadDescriptors(); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	for text, want := range map[string][]string{
		`["/dev/null","pipe:[12]","x pipe:[1]"]`:     {"", "pipe:[12]", ""},
		`["extRootNetNS","pipe:[1]\n","socket:[3]"]`: {"", "", "socket:[3]"},
		`[]`:            {},
		`["","","",""]`: nil,
		`{}`:            nil,
		`["` + strings.Repeat("x", maxDescriptors) + `"]`: nil,
		``: nil,
		`["pipe:[123456789012345678901]","file[:1]","file[123456789:1]"] `: {"", "", ""},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := d.ReadDescriptors()
		if (err == nil) != (want != nil) || !slices.Equal(got, want) {
			t.Errorf("%.40q: %q, %v", text, got, err)
		}
	}
	_ = os.Remove(path)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadDescriptors(); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a FIFO: %v", err)
	}
}

func TestOpenDirectory(t *testing.T) {
	at := filepath.Join(t.TempDir(), "a/b")
	if _, err := OpenDirectory(at, false); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	d, err := OpenDirectory(at, true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if st, _ := os.Stat(at); st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", st.Mode())
	}
	if err := d.Reopen(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(os.Rename(at, at+"2"), os.Mkdir(at, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := d.Reopen(); !errors.Is(err, unix.ESTALE) {
		t.Errorf("another directory in its place: %v", err)
	}
}

func TestExcerpt(t *testing.T) {
	long := "(00.5) Error (x.c:9): " + strings.Repeat("ö", 400)
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"a\nb\n\n", []string{"a", "b"}},
		{"1\n2\n3\n4\n5\n", []string{"2", "3", "4", "5"}},
		{"(00.1) x\n(00.2) Error (a.c:1): no\n(00.3) y\n", []string{"(00.2) Error (a.c:1): no"}},
		{strings.Repeat("(00.1) Error (a.c:1): n\n", 9), slices.Repeat([]string{"(00.1) Error (a.c:1): n"}, 4)},
		{"\xff\n", []string{"?"}},
		{strings.Repeat("x\n", quotedTail) + "(1) Error (z.c:1): end", []string{"(1) Error (z.c:1): end"}},
	} {
		if got := excerptOf(t, c.text); !slices.Equal(got, c.want) {
			t.Errorf("%.30q: %q", c.text, got)
		}
	}
	if got := excerptOf(t, long); len(got) != 1 || len(got[0]) > quotedChars+4 || !strings.HasSuffix(got[0], " ...") {
		t.Errorf("a long line: %q", got)
	}
}

func excerptOf(t *testing.T, text string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return excerpt(f)
}

func TestErrorText(t *testing.T) {
	e := &Error{Type: notify, Errno: 0}
	if e.Error() != "criu failed: type NOTIFY errno 0" { // as runc has it
		t.Error(e)
	}
	e = &Error{Type: Dump, Errno: 3, Message: "no\n", Log: "/i/dump.log", Excerpt: []string{"a", "b"}}
	if e.Error() != "criu failed: type DUMP errno 3: no; log file: /i/dump.log; a; b" {
		t.Error(e)
	}
	if s := RequestType(99).String() + RequestType(-1).String(); s != "UNKNOWNUNKNOWN" {
		t.Error(s)
	}
}

func TestTextIsBounded(t *testing.T) {
	var m message
	m.int(1, int(Dump))
	m.uint(2, 0)
	m.bytes(9, bytes.Repeat([]byte("x"), 2*most))
	var r response
	if err := r.decode(m); err != nil || len(r.message) != most {
		t.Errorf("%v, %d bytes", err, len(r.message))
	}
}
