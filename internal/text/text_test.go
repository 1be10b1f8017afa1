package text

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

func TestShort(t *testing.T) {
	for _, s := range []string{"", "x", strings.Repeat("x", 256)} {
		if got := Short(s); got != s {
			t.Errorf("%d bytes: %d are left", len(s), len(got))
		}
	}
	got := Short("begin" + strings.Repeat("x", 1<<20) + "end")
	if len(got) > 256 || !strings.HasPrefix(got, "begin") || !strings.HasSuffix(got, "end") {
		t.Errorf("%d bytes are left: %s", len(got), got)
	}
}

func TestHead(t *testing.T) {
	for s, want := range map[string]string{"": "", "1234": "1234", "12345": "1234..."} {
		if got := Head(s, 4); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestQuoted(t *testing.T) {
	for s, want := range map[string]string{`a "b" \`: `a "b" \`, "a\n\"b\"": `a\n\"b\"`, "\u202e": "\u202e"} {
		if got := Quoted(s, unicode.IsControl); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

// TestHarmful: what changes the direction of text, or cannot be seen, is written as an escape; letters of all scripts are not.
func TestHarmful(t *testing.T) {
	for s, want := range map[string]string{
		"a\u202eb": `a\u202eb`, "\u2066x\u2069": `\u2066x\u2069`, "\u200f": `\u200f`, "\u2028": `\u2028`, "\u200b\ufeff": `\u200b\ufeff`,
		"\x1b[2J": `\x1b[2J`, "\u009b": `\u009b`, "\x7f": `\x7f`, "\U000e0041": `\U000e0041`,
		"Größe 大小 גודל حجم é\t1\n": "Größe 大小 גודל حجم é\t1\n",
	} {
		if got := Printable(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
		document, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		out := PrintableJSON(document)
		if err := json.Unmarshal(out, &back); err != nil || back != s || bytes.IndexFunc(out, harmful) >= 0 {
			t.Errorf("%q: %s, which is %q, %v", s, out, back, err)
		}
	}
}

// FuzzPrintable: nothing harmful is left of any text.
func FuzzPrintable(f *testing.F) {
	f.Add("\xff\x00\x1b[31m\u2028\ufffd")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Printable(s) {
			if harmful(r) {
				t.Fatalf("%q has %q", Printable(s), r)
			}
		}
	})
}
