package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// agree fails the test if a document is taken as plain and encoding/json makes something else of it.
func agree(t testing.TB, raw []byte) (ok bool) {
	t.Helper()
	before := bytes.Clone(raw)
	s, ok := plainSpec(raw)
	same(t, raw, s, ok)
	if !bytes.Equal(before, raw) {
		t.Errorf("%.300q was changed", before)
	}
	return ok
}

func same[T any](t testing.TB, raw []byte, got *T, ok bool) {
	t.Helper()
	if !ok {
		return
	}
	want := new(T)
	if err := json.Unmarshal(raw, want); err != nil {
		t.Errorf("%.300q: taken, but %v", raw, err)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("%.300q:\n got %+v\nwant %+v", raw, got, want)
	}
}

func TestPlainTakesRealConfigs(t *testing.T) {
	for _, name := range []string{"base.json", "default.json", "default-ambient.json", "docker.json", "rootless.json"} {
		raw := read(t, name)
		if !agree(t, raw) {
			t.Errorf("%s is not plain", name)
		}
		var doc struct{ Process json.RawMessage }
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		if p, ok := plainProcess(doc.Process); !ok {
			t.Errorf("the process of %s is not plain", name)
		} else {
			same(t, doc.Process, p, ok)
		}
	}
}

// otherPlatforms are the sections that are left to encoding/json.
var otherPlatforms = []string{"solaris", "windows", "vm", "zos", "freebsd"}

// fill sets everything that v holds to something that is not its zero value; no two are the same.
func fill(t *testing.T, v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); !isOtherPlatform(name) {
				fill(t, v.Field(i), n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key, n)
			fill(t, value, n)
			v.SetMapIndex(key, value)
		}
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(-*n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		t.Fatalf("a %v", v.Type())
	}
}

func isOtherPlatform(name string) bool {
	for _, p := range otherPlatforms {
		if name == p {
			return true
		}
	}
	return false
}

func filled(t *testing.T) (*specs.Spec, []byte) {
	s := new(specs.Spec)
	fill(t, reflect.ValueOf(s).Elem(), new(int64))
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, raw
}

// Every property there is gets decoded: one that a new version of the specification adds makes this fail
// until `go generate` has run.
func TestPlainKnowsEveryProperty(t *testing.T) {
	want, raw := filled(t)
	s, ok := plainSpec(raw)
	if !ok || !reflect.DeepEqual(s, want) {
		t.Errorf("plain %v, got\n%+v\nwant\n%+v", ok, s, want)
	}
	agree(t, raw)
}

// odd values, each of which is put everywhere.
var oddValues = []string{
	`null`, `{}`, `[]`, `""`, `true`, `false`, `0`, `-0`, `1`, `-1`, `00`, `01`, `-`, `- 1`, `+1`, `.5`, `1.`, `1.0`, `1.5`, `1e2`, `1E0`, `0x1`, `NaN`,
	`65535`, `65536`, `2147483647`, `2147483648`, `-2147483648`, `-2147483649`, `4294967295`, `4294967296`,
	`9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `-9223372036854775809`,
	`18446744073709551615`, `18446744073709551616`, `18446744073709551620`, `-18446744073709551615`, `184467440737095516150`,
	`[null]`, `[[]]`, `[{}]`, `[""]`, `[0]`, `[1,]`, `[,1]`, `[1 1]`, `[`, `]`, `{"a":null}`, `{"a":{}}`, `{"a":"b","a":"c"}`, `{"a":1,}`, `{"a"}`, `{a:1}`, `{`, `}`,
	`nul`, `nulls`, `True`, `truefalse`, `"`, `"a`, `'a'`, "\"\t\"", "\"\x7f\"", "\"\xff\"", `"\ud800"`, `"é"`, ``, ` `, `//`,
}

// here marks a place in a document; it is sorted before every name and is no text of the specification.
const here = "@here@"

// eachPlace calls visit with the document for every value in it, with that value replaced by what is marked.
func eachPlace(t *testing.T, raw []byte, visit func(marked []byte)) {
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(v any, set func(any))
	walk = func(v any, set func(any)) {
		set(here)
		marked, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		visit(marked)
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for key, member := range v {
				walk(member, func(x any) { v[key] = x })
			}
		case []any:
			walk(v[0], func(x any) { v[0] = x })
			walk(v[1], func(x any) { v[1] = x })
		}
	}
	walk(doc, func(x any) { doc = x })
}

func TestPlainOddValues(t *testing.T) {
	_, raw := filled(t)
	visited, taken := 0, map[string]int{}
	eachPlace(t, raw, func(marked []byte) {
		visited++
		for _, odd := range oddValues {
			if agree(t, bytes.Replace(marked, []byte(`"`+here+`"`), []byte(odd), 1)) {
				taken[odd]++
			}
		}
	})
	if visited < 300 {
		t.Errorf("only %d values", visited)
	}
	// null is plain everywhere but for the whole document, so the places were found
	if taken["null"] != visited-1 {
		t.Errorf("null is taken in %d of %d places", taken["null"], visited)
	}
	for _, odd := range []string{`{}`, `[]`, `""`, `true`, `0`, `-1`, `-9223372036854775808`, `18446744073709551615`, `[null]`, `{"a":null}`} {
		if taken[odd] == 0 {
			t.Errorf("%s is never taken", odd)
		}
	}
	for _, odd := range []string{`00`, `- 1`, `1.0`, `1e2`, `18446744073709551616`, `-9223372036854775809`, `"\ud800"`, ``, `[1,]`, `nulls`} {
		if taken[odd] != 0 {
			t.Errorf("%s is taken", odd)
		}
	}
}

// A property twice, or in the wrong case, is left to encoding/json, which merges them.
func TestPlainOddKeys(t *testing.T) {
	_, raw := filled(t)
	tried := 0
	eachPlace(t, raw, func(marked []byte) {
		before, after, _ := bytes.Cut(marked, []byte(`"`+here+`"`))
		if !bytes.HasSuffix(before, []byte(`":`)) {
			return // in an array, or the whole document
		}
		name := before[bytes.LastIndexByte(before[:len(before)-2], '"')+1 : len(before)-2]
		tried++
		for _, other := range []string{string(name), strings.ToUpper(string(name)), strings.ToLower(string(name)),
			fmt.Sprintf("\\u%04x%s", name[0], name[1:]), strings.ReplaceAll(string(name), "s", "ſ")} {
			for _, value := range []string{"null", "0"} {
				doc := fmt.Sprintf(`%snull,"%s":%s%s`, before, other, value, after)
				switch taken := agree(t, []byte(doc)); {
				case taken && !bytes.HasPrefix(name, []byte("text ")):
					t.Errorf("%s and %s are taken", name, other)
				case taken && (other[0] == '\\' || other == string(name)):
					t.Errorf("%s is taken twice", name)
				}
			}
		}
	})
	if tried < 250 {
		t.Errorf("only %d keys", tried)
	}
	for _, name := range otherPlatforms {
		for _, key := range []string{name, strings.ToUpper(name)} {
			if agree(t, []byte(`{"`+key+`":null}`)) {
				t.Errorf("the section %s is taken", key)
			}
		}
	}
}

func TestPlainText(t *testing.T) {
	for raw, want := range map[string]bool{
		`plain`: true, ``: true, `\"\\\/\b\f\n\r\t`: true, `a\u0000b\u00e9\u20AC\uFFFD`: true, "\u00e9\u20ac\U0001f600\u2028\ufffd": true,
		`\ud83d\ude00`: true, `x\uD83D\uDE00y`: true, "\x7f": true, `\u007f`: true,
		`\ud83d`: false, `\ude00`: false, `\ud83dx`: false, `\ud83d\u0041`: false, `\ud83d\ud83d`: false, `\ud83d\n`: false, `\ude00\ud83d`: false,
		`\u12`: false, `\u12g4`: false, `\u`: false, `\x41`: false, `\'`: false, `\`: false, `\U0041`: false,
		"\n": false, "\x00": false, "\x1f": false, "\\\n": false, "\x80": false, "\xc3": false, "\xc3\\u00a9": false, "\xed\xa0\x80": false, "\xf4\x90\x80\x80": false, "\xc0\xaf": false,
	} {
		for _, doc := range []string{`{"hostname":"` + raw + `"}`, `{"annotations":{"` + raw + `":"x"}}`, `{"x` + raw + `":["` + raw + `"]}`, `{"process":{"args":["a","` + raw + `"]}}`} {
			if got := agree(t, []byte(doc)); got != want {
				t.Errorf("%q: plain %v", doc, got)
			}
		}
	}
}

func TestPlainDocuments(t *testing.T) {
	deep := func(n int) string { return `{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for doc, want := range map[string]bool{
		"{}": true, " \n{ \t}\r\n": true, `{"x":[1,-2,0,{"y":true,"y":false,"":null}],"z":"s"}`: true, deep(32): true,
		deep(33): false, deep(20_000): false, "": false, " ": false, "null": false, "[]": false, "{}{}": false, "{},": false, "{}\x00": false, "{}\v": false,
		"\ufeff{}": false, `{"x":1.5}`: false, `{"x":01}`: false, `{"x":}`: false, `{"x":1]}`: false, `{"x"}`: false, `{,}`: false, `{"x":1,}`: false, `{"x":tru}`: false,
		`{"x":[1}`: false, `{"x":{]}`: false, `{"mounts":[{}}`: false, `{"mounts":[{}]`: false, `{x:1}`: false, "{}//": false, `{"x":1 "y":2}`: false,
	} {
		if got := agree(t, []byte(doc)); got != want {
			t.Errorf("%.80q: plain %v", doc, got)
		}
	}
}

// Appending to one list of strings must not change the one that was decoded after it.
func TestPlainListsAreApart(t *testing.T) {
	s, ok := plainSpec([]byte(`{"process":{"args":["a"],"env":["E=1"]},"mounts":[{"options":[]},{"options":["ro"]}]}`))
	if !ok {
		t.Fatal("not plain")
	}
	_ = append(s.Process.Args, "x", "y")
	_ = append(s.Mounts[0].Options, "z")
	if s.Process.Env[0] != "E=1" || s.Mounts[1].Options[0] != "ro" {
		t.Errorf("%+v", s)
	}
	big := `{"process":{"args":["` + strings.Repeat(`a","`, 1000) + `b"],"env":["E"]}}`
	if !agree(t, []byte(big)) {
		t.Error("a long list is not plain")
	}
}

// A document that is damaged anywhere is taken for what encoding/json takes it for, or not at all.
func TestPlainDamaged(t *testing.T) {
	raw := read(t, "default.json")
	for n := range bytes.TrimSpace(raw) {
		if agree(t, raw[:n]) {
			t.Errorf("cut at %d: plain", n)
		}
	}
	taken := 0
	for i := range raw {
		kept := raw[i]
		for bit := range 8 {
			raw[i] = kept ^ 1<<bit
			if agree(t, raw) {
				taken++
			}
		}
		for _, c := range []byte("\"\\{}[]:, 0-n") {
			raw[i] = c
			agree(t, raw)
		}
		raw[i] = kept
		agree(t, append(bytes.Clone(raw[:i]), raw[i+1:]...))
	}
	if taken == 0 {
		t.Error("no flipped bit is plain: was anything tried?")
	}
}

// cpuTime is what this process has computed: the time on the clock says more about its neighbours.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestPlainIsLinear(t *testing.T) {
	const size = 4 << 20
	for _, parts := range [][3]string{
		{`{"process":{"args":["`, `a","`, `"]}}`}, {`{"mounts":[`, `{"options":["a"]},`, `{}]}`}, {`{"annotations":{"`, `\u0061`, `":"x"}}`},
		{`{"`, `ociVersion`, `":1}`}, {`{"":1`, `,"unknown":1`, `}`}, {`{"x":`, `[`, ``}, {``, ` `, `{}`}, {`{"x":`, `1`, `}`}, {`{"linux":{"uidMappings":[`, `{},`, `{}]}}`},
	} {
		raw := []byte(parts[0] + strings.Repeat(parts[1], size/len(parts[1])) + parts[2])
		start := cpuTime(t)
		plainSpec(raw)
		if d := cpuTime(t) - start; d > slow { // it takes 5 to 100 ms
			t.Errorf("%s%s ...: %v", parts[0], parts[1], d)
		}
	}
}

func FuzzPlain(f *testing.F) {
	for _, name := range []string{"base.json", "default.json", "docker.json", "rootless.json"} {
		f.Add(read(f, name))
	}
	f.Add([]byte(`{"user":{"uid":5,"umask":18,"additionalGids":[7]},"args":["l\u0073","\ud83d\ude00"],"oomScoreAdj":-1,"x":[{"y":null}]}`))
	f.Add([]byte(`{"linux":{"resources":{"blockIO":{"weightDevice":[{"major":1,"weight":2}]},"unified":{"x":"y"}},"devices":[{"fileMode":438}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		start := time.Now()
		agree(t, raw)
		p, ok := plainProcess(raw)
		same(t, raw, p, ok)
		if d := time.Since(start); d > slow {
			t.Errorf("took %v", d)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"default.json", "docker.json"} {
		raw := read(b, name)
		b.Run(name+"/plain", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := plainSpec(raw); !ok {
					b.Fatal("not plain")
				}
			}
		})
		b.Run(name+"/encoding", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var d document
				d.Spec = new(specs.Spec)
				if err := json.Unmarshal(raw, &d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
