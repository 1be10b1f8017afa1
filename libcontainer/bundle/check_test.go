package bundle

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// merge is RFC 7386: objects are merged, null removes, all else replaces.
func merge(into, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	o, ok := into.(map[string]any)
	if !ok {
		o = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(o, k)
		} else {
			o[k] = merge(o[k], v)
		}
	}
	return o
}

// patched is testdata/base.json with a merge patch.
func patched(t testing.TB, patch string) []byte {
	t.Helper()
	var base, p any
	for raw, into := range map[string]*any{string(read(t, "base.json")): &base, patch: &p} {
		d := json.NewDecoder(strings.NewReader(raw))
		d.UseNumber() // 64 bits
		if err := d.Decode(into); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
	}
	raw, err := json.Marshal(merge(base, p))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func check(t testing.TB, raw []byte) []Problem {
	t.Helper()
	s, err := Decode(raw)
	if err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	b := &Bundle{Raw: raw, Spec: s}
	problems := b.Check()
	if again := b.Check(); !reflect.DeepEqual(problems, again) {
		t.Errorf("a second Check differs:\n%v\n%v", problems, again)
	}
	return problems
}

func userNSWith(uids, gids string) string {
	return `{"linux":{"namespaces":[{"type":"user"},{"type":"mount"}],"uidMappings":` + uids + `,"gidMappings":` + gids + `}}`
}

// A rule is one thing that Check finds: bad has it, exactly once and at pointer; good is as close to bad
// as can be and clean.
type rule struct{ bad, pointer, text, good string }

func TestRules(t *testing.T) {
	for _, list := range [][]rule{documentRules, processRules, mountRules, linuxRules, resourceRules, seccompRules} {
		for _, r := range list {
			t.Run(strings.TrimPrefix(r.pointer, "/"), func(t *testing.T) {
				found := check(t, patched(t, r.bad))
				if len(found) != 1 || found[0].Pointer != r.pointer || !strings.Contains(found[0].Text, strings.TrimPrefix(r.text, "warning: ")) {
					t.Errorf("%s:\n got %+v\nwant %s: %s", r.bad, found, r.pointer, r.text)
				} else if found[0].Warning != strings.HasPrefix(r.text, "warning: ") {
					t.Errorf("%s: Warning is %v", r.bad, found[0].Warning)
				}
				if clean := check(t, patched(t, r.good)); len(clean) != 0 {
					t.Errorf("%s is not clean: %+v", r.good, clean)
				}
			})
		}
	}
}

func TestRealConfigsAreClean(t *testing.T) {
	for _, name := range []string{"base.json", "default.json", "rootless.json", "docker.json"} {
		found := slices.DeleteFunc(check(t, read(t, name)), func(p Problem) bool {
			return strings.HasPrefix(p.Pointer, "/process/capabilities/ambient/") && name == "rootless.json"
		})
		if len(found) != 0 {
			t.Errorf("%s: %+v", name, found)
		}
		if unknown := UnknownFields(read(t, name)); len(unknown) != 0 {
			t.Errorf("%s: unknown fields: %+v", name, unknown)
		}
	}
}

// runc before 1.2 wrote ambient capabilities that no kernel grants: they are warned of, and no error.
func TestDefaultOfOldRunc(t *testing.T) {
	found := check(t, read(t, "default-ambient.json"))
	var pointers []string
	for _, p := range found {
		pointers = append(pointers, p.Pointer)
	}
	want := []string{"/process/capabilities/ambient/0", "/process/capabilities/ambient/1", "/process/capabilities/ambient/2"}
	if !slices.Equal(pointers, want) || Join(found) != nil {
		t.Errorf("got %+v, want warnings at %v", found, want)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	err := Join(check(t, patched(t, `{
		"ociVersion": "2.0.0", "process": {"args": [], "cwd": "srv"}, "hostname": "h", "domainname": "d",
		"linux": {"namespaces": [{"type": "mount"}], "maskedPaths": ["/ok", "proc"], "personality": {"domain":"LINUX","flags":["x"]}}
	}`)))
	want := strings.Join([]string{
		"/ociVersion: version 2.0.0 of the specification is not supported: must be 1.0.0 or later, and before 2.0.0",
		"/process/args: args must not be empty",
		"/process/cwd: Cwd must be an absolute path",
		"/hostname: unable to set hostname without a private UTS namespace",
		"/domainname: unable to set domainname without a private UTS namespace",
		`/linux/maskedPaths/1: "proc" must be an absolute path`,
	}, "; ")
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if hint := err.(Errors).Hint(); hint != `add {"type": "uts"} to /linux/namespaces` {
		t.Errorf("hint %q", hint)
	}
	if Join(nil) != nil || Join([]Problem{{Text: "x", Warning: true}}) != nil {
		t.Error("warnings alone are an error")
	}
}

func TestWarningsCannotHideAnError(t *testing.T) {
	mounts := strings.Repeat(`{"destination":"a","type":"tmpfs"},`, 4000) + `{"destination":"/a"}`
	found := check(t, patched(t, `{"mounts":[`+mounts+`]}`))
	if len(found) != maxProblems+2 {
		t.Errorf("%d problems are listed", len(found))
	}
	if err := Join(found); err == nil || !strings.HasPrefix(err.Error(), "/mounts/4000/type: ") {
		t.Errorf("the error is %v", err)
	}
	many := check(t, patched(t, `{"linux":{"maskedPaths":[`+strings.Repeat(`"x",`, 500)+`"x"]}}`))
	if len(many) != maxProblems+1 || many[maxProblems].Text != "401 more errors are not shown" {
		t.Errorf("%d problems, the last %+v", len(many), many[len(many)-1])
	}
}

func TestNotUTF8(t *testing.T) {
	raw := bytes.Replace(read(t, "base.json"), []byte("rootfs"), []byte("r\xfft"), 1)
	if found := check(t, raw); len(found) != 1 || found[0].Pointer != "" || !found[0].Warning {
		t.Errorf("%+v", found)
	}
	if found := check(t, bytes.Replace(raw, []byte{0xff}, []byte("\u00fc"), 1)); len(found) != 0 {
		t.Errorf("UTF-8 is not clean: %+v", found)
	}
}

func TestNoSpec(t *testing.T) {
	if Join(new(Bundle).Check()) == nil {
		t.Error("no error for a bundle without a configuration")
	}
}

func TestIDMappedMounts(t *testing.T) {
	const mapping = `"uidMappings":` + oneID + `,"gidMappings":` + oneID
	for mount, want := range map[string]string{
		`"options":["bind","idmap"]`:                     "/mounts/0/options: an id-mapped mount needs uidMappings and gidMappings, or a user namespace",
		`"options":["ridmap","rbind"],` + mapping:        "",
		`"options":["rbind"],"uidMappings":` + oneID:     "/mounts/0: uidMappings and gidMappings must be given together",
		`"options":["rbind","idmap"],"gidMappings":[]`:   "/mounts/0/options: an id-mapped mount needs uidMappings and gidMappings, or a user namespace",
		`"options":["rbind"],"gidMappings":[{"size":0}]`: "/mounts/0: uidMappings and gidMappings must be given together; /mounts/0/gidMappings/0/size: size must not be 0",
	} {
		got := ""
		if err := Join(check(t, patched(t, `{"mounts":[{"destination":"/a","source":"/b",`+mount+`}]}`))); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", mount, got, want)
		}
	}
}

func TestIntelRdt(t *testing.T) {
	bad := map[string]string{
		`{"closID":".."}`:           "/linux/intelRdt/closID",
		`{"closID":"a/b"}`:          "/linux/intelRdt/closID",
		`{"l3CacheSchema":"L3:\n"}`: "/linux/intelRdt/l3CacheSchema",
		`{"memBwSchema":"L3:0"}`:    "/linux/intelRdt/memBwSchema",
		`{"schemata":["a","\n"]}`:   "/linux/intelRdt/schemata/1",
	}
	for rdt, pointer := range bad {
		found := check(t, patched(t, `{"linux":{"intelRdt":`+rdt+`}}`))
		if len(found) != 1 || found[0].Pointer != pointer {
			t.Errorf("%s: %+v", rdt, found)
		}
	}
	good := `{"closID":"/","l3CacheSchema":"L3:0=f","memBwSchema":"MB:0=20","schemata":["a"]}`
	if found := check(t, patched(t, `{"linux":{"intelRdt":`+good+`}}`)); len(found) != 0 {
		t.Errorf("%s: %+v", good, found)
	}
}

// Every string that a document can hold is looked at for NUL: put one into each string of a large one.
func TestNULAnywhere(t *testing.T) {
	var doc any
	d := json.NewDecoder(bytes.NewReader(read(t, "docker.json")))
	d.UseNumber() // 64 bits
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	var visit func(v any, pointer string, set func(any))
	visit = func(v any, pointer string, set func(any)) {
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				visit(v[k], at(pointer, k), func(x any) { v[k] = x })
			}
		case []any:
			for i := range v {
				visit(v[i], at(pointer, i), func(x any) { v[i] = x })
			}
		case string:
			n++
			set(v + "\x00")
			raw, err := json.Marshal(doc)
			set(v)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(check(t, raw), Problem{Pointer: pointer, Text: "must not contain a NUL byte"}) {
				t.Errorf("%s: not found", pointer)
			}
		}
	}
	visit(doc, "", nil)
	if n < 250 {
		t.Errorf("only %d strings were tried", n)
	}
	found := check(t, []byte(strings.Replace(string(read(t, "docker.json")), `"org.example.note"`, `"a\u0000b"`, 1)))
	want := `/annotations/a\x00b: the name must not contain a NUL byte`
	if err := Join(found); err == nil || err.Error() != want {
		t.Errorf("in a name: %v, want %s", err, want)
	}
}
