package systemd

import (
	"strings"
	"testing"

	"rt/internal/dbus"
)

// The first column is what `org.systemd.property.X` holds, the second the D-Bus type and value.
func TestParseVariant(t *testing.T) {
	for text, want := range map[string]string{
		"true":                        "b true",
		"false":                       "b false",
		"5":                           "i 5",
		" -5 ":                        "i -5",
		"0x10":                        "i 16",
		"-2147483648":                 "i -2147483648",
		"uint64 18446744073709551615": "t infinity",
		"uint32 7":                    "u 7",
		"int64 -7":                    "x -7",
		"byte 0xff":                   "y 255",
		"int16 -1":                    "n -1",
		"uint16 65535":                "q 65535",
		"1.5":                         "d 1.5",
		"1e3":                         "d 1000",
		"double 3":                    "d 3",
		"@t 9":                        "t 9",
		"boolean true":                "b true",
		`'text'`:                      "s text",
		`"it's"`:                      "s it's",
		`'a\'b\n\\\u00e9\U0001F600'`:  "s a'b\n\\é😀",
		"objectpath '/a/b_1'":         "o /a/b_1",
		"signature 'a(ss)'":           "g a(ss)",
		"['a', 'b']":                  "as [a,b]",
		"[ 'a' , ]":                   "as [a]",
		"@as []":                      "as []",
		"[1, 2]":                      "ai [1,2]",
		"@at [1, 2]":                  "at [1,2]",
		"[uint64 1, 2]":               "", // the types differ
		"[['a'],['b']]":               "aas [[a],[b]]",
		"('a', 1)":                    "(si) [a,1]",
		"('a',)":                      "(s) [a]",
		"[('a', true)]":               "a(sb) [[a,true]]",
		"@a(st) [('a', 1)]":           "a(st) [[a,1]]",
		"@a(st) []":                   "a(st) []",

		"":                            "",
		" ":                           "",
		"text":                        "",
		"tru":                         "",
		"True":                        "",
		"5 6":                         "",
		"2147483648":                  "", // not an int32
		"uint32 -1":                   "",
		"byte 256":                    "",
		"uint64 18446744073709551616": "",
		"uint64":                      "",
		"uint64 true":                 "",
		"uint64 'a'":                  "",
		"string 5":                    "",
		"boolean 1":                   "",
		"int32 uint32 5":              "",
		"1_000":                       "",
		"0x1p4":                       "",
		"nan":                         "",
		"inf":                         "",
		"'a":                          "",
		`'a\`:                         "",
		`'\u12'`:                      "",
		`'\u0000'`:                    "",
		`'\ud800'`:                    "",
		"[]":                          "",
		"['a', 1]":                    "",
		"['a' 'b']":                   "",
		"[,]":                         "",
		"['a'":                        "",
		"()":                          "",
		"@(s) ('a', 'b')":             "",
		"@(ss) ('a',)":                "",
		"@as ('a',)":                  "",
		"@z 5":                        "",
		"@":                           "",
		"@a []":                       "",
		"@as":                         "",
		"objectpath 'a'":              "",
		"objectpath '/a/'":            "",
		"signature 'z'":               "",
		"{'a': 1}":                    "",
		"<5>":                         "",
		"b'bytes'":                    "",
		"just 5":                      "",
		"'a\x00b'":                    "",
		"'\xff'":                      "",
		strings.Repeat("[", 100):      "",
		strings.Repeat("int32 ", 100): "",
	} {
		v, err := parseVariant(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken for %s %s", text, v.Signature(), showValue(v))
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := v.Signature() + " " + showValue(v); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// The parser reads what an engine's user may have written: it never panics, and what it gives can be sent.
func FuzzParseVariant(f *testing.F) {
	for _, s := range []string{"5", "uint64 5", "'a\\u0041'", "['a','b']", "@a(st) [('a', 1)]", "(1,)", "true", "-1.5e3", "byte 0x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseVariant(text)
		if err != nil {
			return
		}
		sig := v.Signature()
		if rest, ok := oneType(sig, 0); !ok || rest != "" {
			t.Errorf("%q: type %q", text, sig)
		}
		if a, ok := v.(dbus.Array); ok {
			for _, item := range a.Items {
				if item.Signature() != a.Of {
					t.Errorf("%q: %q in an array of %q", text, item.Signature(), a.Of)
				}
			}
		}
	})
}

func TestAnnotations(t *testing.T) {
	for _, c := range []struct{ key, value, want, err string }{
		{"org.systemd.property.CollectMode", "'inactive-or-failed'", "CollectMode=inactive-or-failed", ""},
		{"org.systemd.property.TimeoutStopUSec", "uint64 123456789", "TimeoutStopUSec=123456789", ""},
		{"org.systemd.property.TimeoutStopSec", "5", "TimeoutStopUSec=5000000", ""},
		{"org.systemd.property.TimeoutStopSec", "1.5", "TimeoutStopUSec=1500000", ""},
		{"org.systemd.property.TimeoutStopSec", "byte 2", "TimeoutStopUSec=2000000", ""},
		{"org.systemd.property.After", "['a.service', 'b.service']", "After=[a.service,b.service]", ""},
		{"org.systemd.properties.CollectMode", "nonsense", "", ""},
		{"other", "nonsense", "", ""},

		{"org.systemd.property.TimeoutStopSec", "-1", "", "not negative"},
		{"org.systemd.property.TimeoutStopSec", "uint64 18446744073709551615", "", "not negative"},
		{"org.systemd.property.TimeoutStopSec", "'5'", "", "a number of seconds"},
		{"org.systemd.property.", "5", "", "three letters or more"},
		{"org.systemd.property.ab", "5", "", "three letters or more"},
		{"org.systemd.property.Exec-Start", "5", "", "three letters or more"},
		{"org.systemd.property.Memory1", "5", "", "three letters or more"},
		{"org.systemd.property.Slice", "'x.slice'", "", "set by linux.cgroupsPath"},
		{"org.systemd.property.PIDs", "[uint32 1]", "", "set by linux.cgroupsPath"},
		{"org.systemd.property.After", "(" + strings.Repeat("1,", 253) + ")", "After=[" + strings.Repeat("1,", 252) + "1]", ""},
		{"org.systemd.property.After", "(" + strings.Repeat("1,", 254) + ")", "", "more than 255 letters"},
		{"org.systemd.property.MemoryMax", "many", "", `"many" is not a value`},
	} {
		list, err := Annotations(map[string]string{c.key: c.value})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasSuffix(err.Error(), "(/annotations/"+c.key+")") {
				t.Errorf("%s=%s: %v, want %s", c.key, c.value, err, c.err)
			}
			continue
		}
		if got := show(list); err != nil || got != c.want {
			t.Errorf("%s=%s: %s, %v, want %s", c.key, c.value, got, err, c.want)
		}
	}
}

// An annotation takes the place of the property that rt would set.
func TestWith(t *testing.T) {
	list := With([]Property{{"Description", dbus.String("rt")}, {"Delegate", dbus.Bool(true)}},
		Property{"Description", dbus.String("mine")}, Property{"CollectMode", dbus.String("x")})
	if got := show(list); got != "Description=mine Delegate=true CollectMode=x" {
		t.Error(got)
	}
}
