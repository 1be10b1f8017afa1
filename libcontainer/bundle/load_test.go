package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// config makes a bundle with this config.json.
func config(t testing.TB, raw []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLoad(t *testing.T) {
	raw := read(t, "docker.json")
	dir, err := filepath.EvalSymlinks(config(t, raw))
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(link)
	for _, given := range []string{dir, link, "", ".", dir + "/../" + filepath.Base(dir) + "/"} {
		b, err := Load(given)
		if err != nil {
			t.Errorf("%q: %v", given, err)
			continue
		}
		if b.Dir != dir || !bytes.Equal(b.Raw, raw) || b.Spec.Hostname != "4f0cba1f5b5e" {
			t.Errorf("%q: loaded from %s, hostname %s", given, b.Dir, b.Spec.Hostname)
		}
		if found := b.Check(); len(found) != 0 {
			t.Errorf("%q: %+v", given, found)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	empty, fifo, folder, huge, dangling := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	err := errors.Join(
		syscall.Mkfifo(filepath.Join(fifo, "config.json"), 0o600),
		os.Mkdir(filepath.Join(folder, "config.json"), 0o700),
		os.WriteFile(filepath.Join(huge, "config.json"), nil, 0o600),
		os.Truncate(filepath.Join(huge, "config.json"), 100<<20),
		os.Symlink("nowhere", filepath.Join(dangling, "config.json")),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, text string
		is        error
	}{
		{empty, "JSON specification file config.json not found", os.ErrNotExist},
		{dangling, "JSON specification file config.json not found", os.ErrNotExist},
		{empty + "/nowhere", `open bundle "` + empty + `/nowhere": no such file or directory`, os.ErrNotExist},
		{filepath.Join(huge, "config.json"), "open " + huge + "/config.json/config.json: not a directory", syscall.ENOTDIR},
		{"a\x00b", `open bundle "a\x00b": invalid argument`, syscall.EINVAL},
		{fifo, "open " + fifo + "/config.json: not a regular file", nil},
		{folder, "open " + folder + "/config.json: not a regular file", nil},
		{huge, "read " + huge + "/config.json: more than the limit of 16 MiB", nil},
		{config(t, nil), "decode config.json: line 1 column 1 (byte 0): the file is empty", io.ErrUnexpectedEOF},
	} {
		b, err := Load(c.dir)
		if b != nil || err == nil || err.Error() != c.text || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%q: bundle %v, error %v, want %s", c.dir, b, err, c.text)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct{ raw, text string }{
		{"", "line 1 column 1 (byte 0): the file is empty"},
		{" \n\t", "line 1 column 1 (byte 0): the file is empty"},
		{"null", "line 1 column 1 (byte 0): the document must be an object"},
		{"[]", "line 1 column 1 (byte 0): is an array, must be an object"},
		{"5", "line 1 column 1 (byte 0): is a number, must be an object"},
		{"{", "line 1 column 2 (byte 1): the document ends too early: is the file truncated?"},
		{"{\n \"process\": {\"args\": [\"sh\"", "line 2 column 27 (byte 28): the document ends too early: is the file truncated?"},
		{"{}\n{}", "line 2 column 1 (byte 3): invalid character '{' after top-level value"},
		{"{} x", "line 1 column 4 (byte 3): invalid character 'x' after top-level value"},
		{"{\n  'a': 1}", "line 2 column 3 (byte 4): invalid character '\\'' looking for beginning of object key string"},
		{"{\"hostname\": \"a\x00b\"}", "line 1 column 16 (byte 15): invalid character '\\x00' in string literal"},
		{"\xef\xbb\xbf{}", "line 1 column 1 (byte 0): the file starts with a byte order mark, which JSON does not have (RFC 8259 section 8.1)"},
		{`{"process":{"args":"sh"}}`, "line 1 column 23 (byte 22): /process/args: is a string, must be an array"},
		{`{"process":{"args":["a",["b"]]}}`, "line 1 column 25 (byte 24): /process/args/1: is an array, must be a string"},
		{`{"process":{"args":["a",7]}}`, "line 1 column 25 (byte 24): /process/args/1: is a number, must be a string"},
		{`{"process":{"user":{"uid":-1}}}`, "line 1 column 28 (byte 27): /process/user/uid: is a number -1, must be a whole number from 0 to 4294967295"},
		{`{"process":{"user":{"gid":4294967296}}}`, "line 1 column 36 (byte 35): /process/user/gid: is a number 4294967296, must be a whole number from 0 to 4294967295"},
		{`{"process":{"user":{"uid":"0"}}}`, "line 1 column 29 (byte 28): /process/user/uid: is a string, must be a whole number from 0 to 4294967295"},
		{`{"process":{"oomScoreAdj":1.5}}`, "line 1 column 29 (byte 28): /process/oomScoreAdj: is a number 1.5, must be a whole number from -9223372036854775808 to 9223372036854775807"},
		{`{"process":{"terminal":"yes"}}`, "line 1 column 28 (byte 27): /process/terminal: is a string, must be true or false"},
		{"{\"mounts\":[{},{\n\"options\":{\"a\":1}}]}", "line 2 column 11 (byte 26): /mounts/1/options: is an object, must be an array"},
		{`{"linux":{"sysctl":{"a/b":1}}}`, "line 1 column 27 (byte 26): /linux/sysctl/a~1b: is a number, must be a string"},
		{`{"annotations":["x"]}`, "line 1 column 16 (byte 15): /annotations: is an array, must be an object"},
		{`{"windows":{"layerFolders":"x"}}`, "line 1 column 30 (byte 29): /windows/layerFolders: is a string, must be an array"},
		{`{"root":true}`, "line 1 column 12 (byte 11): /root: is a bool, must be an object"},
		{`{"linux":{"resources":{"blockIO":{"weightDevice":[{"major":"x"}]}}}}`, "line 1 column 62 (byte 61): /linux/resources/blockIO/weightDevice/0/major: is a string, must be a whole number from -9223372036854775808 to 9223372036854775807"},
		{strings.Repeat(`{"a":`, 20000), "line 1 column 50001 (byte 50000): invalid character '{' exceeded max depth"},
	} {
		s, err := Decode([]byte(c.raw))
		var e *DecodeError
		if s != nil || !errors.As(err, &e) || err.Error() != "decode config.json: "+c.text {
			t.Errorf("%.80s:\n got %v\nwant decode config.json: %s", c.raw, err, c.text)
		}
	}
	if _, err := Decode([]byte(`{"process":`)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("truncated: %v", err)
	}
	var cause *json.UnmarshalTypeError
	if _, err := DecodeProcess([]byte(`{"cwd":1}`)); !errors.As(err, &cause) || err.Error() != "decode process.json: line 1 column 8 (byte 7): /cwd: is a number, must be a string" {
		t.Errorf("process.json: %v", err)
	}
}

// Decode gives what encoding/json makes of the plain type, but that a missing linux is an empty one.
func TestDecodeIsEncodingJSON(t *testing.T) {
	foreign := `{"windows":{"layerFolders":["x"]},"solaris":{"milestone":"m"},"vm":{"kernel":{"path":"/k"}},` +
		`"zos":{"namespaces":[{"type":"pid"}]},"FreeBSD":{"jail":{"host":"new"}},"hostname":"h"}`
	for _, raw := range [][]byte{read(t, "docker.json"), read(t, "default.json"), []byte(foreign), []byte(`{"windows":null}`), []byte("{}")} {
		var want specs.Spec
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		Normalise(&want)
		if got, err := Decode(raw); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%.60s: %v, got %+v\nwant %+v", raw, err, got, want)
		}
	}
}

// A document cut anywhere is an error that says so; so is one with anything after its end.
func TestTruncatedAnywhere(t *testing.T) {
	raw := bytes.TrimSpace(read(t, "default.json"))
	for n := range raw {
		if _, err := Decode(raw[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if _, err := Decode(append(raw, " \n"...)); err != nil {
		t.Errorf("white space at the end: %v", err)
	}
	if _, err := Decode(append(raw, 0)); err == nil {
		t.Error("a NUL byte at the end is no error")
	}
}

func TestLoadProcess(t *testing.T) {
	const raw = `{"user":{"uid":5,"gid":6},"args":["ls"],"cwd":"/"}`
	file := filepath.Join(t.TempDir(), "p.json")
	fifo := file + ".fifo"
	if err := errors.Join(os.WriteFile(file, []byte(raw), 0o600), syscall.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(fifo, []byte(raw), 0) }()
	for _, path := range []string{file, fifo} {
		p, err := LoadProcess(path, nil)
		if err != nil || p.User.UID != 5 || p.Args[0] != "ls" {
			t.Errorf("%s: %+v, %v", path, p, err)
		}
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	for path, text := range map[string]string{
		file + "x":  "open " + file + "x: no such file or directory",
		"/dev/null": "open /dev/null: not a regular file or a pipe",
		"/dev":      "open /dev: not a regular file or a pipe",
	} {
		if _, err := LoadProcess(path, nil); err == nil || err.Error() != text {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := LoadProcess(file+"x", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not os.ErrNotExist: %v", err)
	}
}

// A pipe that never ends is cut off at the limit.
func TestEndlessPipe(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for err == nil { // until the reader is gone
			_, err = f.Write(make([]byte, 1<<16))
		}
	}()
	if _, err := LoadProcess(fifo, nil); err == nil || !strings.HasSuffix(err.Error(), ": more than the limit of 16 MiB") {
		t.Errorf("got %v", err)
	}
	<-done
}

func TestCheckProcess(t *testing.T) {
	p, err := DecodeProcess([]byte(`{"args":[],"cwd":"x","env":["A"],"oomScoreAdj":1001,"capabilities":{"bounding":["X"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `/args: args must not be empty; /cwd: Cwd must be an absolute path; /env/0: invalid environment variable: missing '='; ` +
		"/oomScoreAdj: 1001 is not from -1000 to 1000"
	if err := Join(CheckProcess(p, "")); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	p, err = DecodeProcess([]byte(`{"args":["a"],"cwd":"/\u0000"}`))
	if err != nil {
		t.Fatal(err)
	}
	if found := CheckProcess(p, "/process"); len(found) != 1 || found[0].Pointer != "/process/cwd" {
		t.Errorf("NUL: %+v", found)
	}
	if found := CheckProcess(nil, ""); len(found) != 1 || found[0].Text != "process property must not be empty" {
		t.Errorf("nil: %+v", found)
	}
}

func TestCheckID(t *testing.T) {
	for _, id := range []string{"a", "0", "A.b-c_d+e", "...", "-x", "_", strings.Repeat("x", 255)} {
		if err := CheckID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for id, text := range map[string]string{
		"": `""`, ".": `"."`, "..": `".."`, "../x": `"../x"`, "a/b": `"a/b"`, "/": `"/"`, "a b": `"a b"`, "a\x00": `"a\x00"`,
		"é": `"é"`, "a\n": `"a\n"`, "\x1b[31m": `"\x1b[31m"`, "a:b": `"a:b"`, "%": `"%"`, "\xff": `"\xff"`,
		strings.Repeat("x", 256): `"` + strings.Repeat("x", 128) + `..."`,
	} {
		if err := CheckID(id); err == nil || err.Error() != "invalid container ID format: "+text {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestUnknownFields(t *testing.T) {
	raw := `{
		"ociVersion": "1.0.0", "extra": {"process": {"x": [[1], {}]}}, "Hostname": "h", "hostname": "i",
		"process": {"arg": ["x"], "user": {"uid": 1e1000}, "capabilities": {"bounding": []}},
		"mounts": [{}, {"dest": "/"}], "annotations": {"any": "thing", "any": "twice"},
		"linux": {"resources": {"blockIO": {"weightDevice": [{"major": 1, "mayor": 2}]}, "unified": {"x": "y"}}, "a/b~c": null}
	}`
	var got []string
	for _, p := range UnknownFields([]byte(raw)) {
		if p.Warning != strings.Contains(p.Text, "unknown") {
			t.Errorf("%+v: a warning?", p)
		}
		got = append(got, p.Pointer+": "+p.Text)
	}
	want := []string{
		`/extra: unknown property "extra" is ignored`,
		`/Hostname: is spelt hostname in the specification, where names are case-sensitive`,
		`/hostname: "hostname" is given more than once`,
		`/process/arg: unknown property "arg" is ignored`,
		`/mounts/1/dest: unknown property "dest" is ignored`,
		`/annotations/any: "any" is given more than once`,
		`/linux/resources/blockIO/weightDevice/0/mayor: unknown property "mayor" is ignored`,
		`/linux/a~1b~0c: unknown property "a/b~c" is ignored`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, broken := range []string{"", "{", `{"a":`, "[[", "null", `{"process":{"x":{"y":[`} {
		UnknownFields([]byte(broken)) // must return
	}
	if _, err := Decode([]byte(`{"extra":1,"process":{"user":{"x":2}}}`)); err != nil {
		t.Errorf("Decode refuses unknown fields: %v", err)
	}
}

// Hostile documents, each of which makes one check do as much as it can: the time is linear in the size,
// and the message bounded.
func TestHostileDocuments(t *testing.T) {
	const size = 1 << 18
	fill := func(prefix, item, suffix string) []byte {
		n := (size - len(prefix) - len(suffix)) / (len(item) + 1)
		return []byte(prefix + strings.Repeat(item+",", n-1) + item + suffix)
	}
	docs := map[string][]byte{
		"mounts":     fill(`{"mounts":[`, `{}`, `]}`),
		"namespaces": fill(`{"linux":{"namespaces":[`, `{}`, `]}}`),
		"devices":    fill(`{"linux":{"devices":[`, `{"path":"/a","type":"p"}`, `]}}`),
		"mappings":   fill(`{"linux":{"namespaces":[{"type":"user"}],"uidMappings":[`, `{}`, `]}}`),
		"rlimits":    fill(`{"process":{"rlimits":[`, `{}`, `]}}`),
		"gids":       fill(`{"process":{"user":{"additionalGids":[`, `4294967295`, `]}}}`),
		"env":        fill(`{"process":{"env":[`, `"\u0000"`, `]}}`),
		"options":    fill(`{"mounts":[{"options":["idmap",`, `"tmpcopyup"`, `]}]}`),
		"long":       []byte(`{"ociVersion":"` + strings.Repeat("x", size-20) + `"}`),
		"deep":       []byte(strings.Repeat("[", size)),
		"wrong":      fill(`{"annotations":{"a":[`, `{"a":1}`, `]}}`),
		"unknown":    fill(`{"a":1,`, `"aa":1`, `}`),
	}
	for name, raw := range docs {
		start := time.Now()
		b := &Bundle{Raw: raw}
		var err error
		b.Spec, err = Decode(raw)
		decoded := time.Now()
		if err == nil {
			if found := b.Check(); len(found) > 2*maxProblems+2 {
				t.Errorf("%s: %d problems", name, len(found))
			}
		}
		checked := time.Now()
		UnknownFields(raw)
		t.Logf("%s: decode %v, check %v, unknown fields %v", name, decoded.Sub(start), checked.Sub(decoded), time.Since(checked))
		if d := time.Since(start); d > slow {
			t.Errorf("%s took %v", name, d)
		}
		if text := Join(b.Check()).Error(); len(text) > 100_000 {
			t.Errorf("%s: a message of %d bytes", name, len(text))
		}
	}
}

// TestOneSpelling: of two spellings of a name encoding/json takes the last one. A document with a name that is spelt otherwise, or
// is there twice, is refused.
func TestOneSpelling(t *testing.T) {
	dir := t.TempDir()
	load := func(raw string) error {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(dir)
		return err
	}
	if err := load(`{"process":{"args":["a"],"cwd":"/"},"unknown":{"Process":1,"process":2}}`); err != nil {
		t.Error(err)
	}
	for raw, want := range map[string]string{
		`{"process":{"args":["a"]},"PROCESS":{"args":["b"]}}`: "/PROCESS: is spelt process in the specification",
		`{"proce\u017f\u017f":{"args":["b"]}}`:                "is spelt process in the specification",
		`{"process":{"args":["a"]},"process":{}}`:             `/process: "process" is given more than once`,
		`{"process":{"args":["a"],"Args":["b"]}}`:             "/process/Args: is spelt args",
		`{"linux":{"SECCOMP":null}}`:                          "/linux/SECCOMP: is spelt seccomp",
		`{"annotations":{"a":"b","a":"c"}}`:                   `/annotations/a: "a" is given more than once`,
	} {
		if err := load(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
	if _, err := DecodeProcess([]byte(`{"args":["a"],"noNewPrivileges":true,"NONEWPRIVILEGES":false}`)); err == nil {
		t.Error("a process.json with two spellings is taken")
	}
}

// TestInherit: what confines the container's process holds for one whose process.json leaves it out, and only that.
func TestInherit(t *testing.T) {
	own := `{"args":["own"],"cwd":"/own","env":["OWN=1"],"terminal":true,"user":{"uid":1,"gid":2,"umask":63,"additionalGids":[3]},"selinuxLabel":"l","apparmorProfile":"p","noNewPrivileges":true,
		"capabilities":{"bounding":["CAP_CHOWN"]},"rlimits":[{"type":"RLIMIT_NOFILE","soft":7,"hard":8}],"oomScoreAdj":300,
		"scheduler":{"policy":"SCHED_OTHER","nice":5},"ioPriority":{"class":"IOPRIO_CLASS_IDLE","priority":0},"execCPUAffinity":{"initial":"0"}}`
	container, err := DecodeProcess([]byte(own))
	if err != nil {
		t.Fatal(err)
	}
	load := func(raw string) *specs.Process {
		file := filepath.Join(t.TempDir(), "process.json")
		if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := LoadProcess(file, container)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	want := *container
	want.Args, want.Cwd, want.Env, want.Terminal, want.Capabilities = []string{"x"}, "/", nil, false, nil
	want.User = specs.User{UID: 0, GID: 0, Umask: container.User.Umask}
	if got := load(`{"args":["x"],"cwd":"/"}`); !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	other := strings.NewReplacer(`"l"`, `"m"`, `"p"`, `"q"`, "63", "18", "300", "-300", `"soft":7`, `"soft":6`, `"nice":5`, `"nice":1`, `IDLE`, `BE`, `"initial":"0"`, `"initial":"1"`,
		`"noNewPrivileges":true`, `"noNewPrivileges":false`).Replace(own)
	alone, err := DecodeProcess([]byte(other))
	if err != nil {
		t.Fatal(err)
	}
	if got := load(other); !reflect.DeepEqual(got, alone) {
		t.Errorf("got %+v, want %+v", got, alone)
	}
}
