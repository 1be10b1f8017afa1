package names

import "testing"

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		text     string
		unsigned string // error, "" for none
		signed   string
	}{
		{"0", "", ""},
		{"65535", "", `"65535" is not a number from -32768 to 32767`},
		{"65536", `"65536" is not a number from 0 to 65535`, `"65536" is not a number from -32768 to 32767`},
		{"-1", `"-1" is not a number from 0 to 65535`, ""},
		{"", `"" is not a number from 0 to 65535`, `"" is not a number from -32768 to 32767`},
		{"0x1", `"0x1" is not a number from 0 to 65535`, `"0x1" is not a number from -32768 to 32767`},
		{"a\nb", `"a\nb" is not a number from 0 to 65535`, `"a\nb" is not a number from -32768 to 32767`},
	} {
		if got := textOf(second(Unsigned(c.text, 16))); got != c.unsigned {
			t.Errorf("Unsigned %q: %q, want %q", c.text, got, c.unsigned)
		}
		if got := textOf(second(Signed(c.text, 16))); got != c.signed {
			t.Errorf("Signed %q: %q, want %q", c.text, got, c.signed)
		}
	}
	if _, err := Unsigned("18446744073709551616", 64); textOf(err) != `"18446744073709551616" is not a number from 0 to 18446744073709551615` {
		t.Error(err)
	}
	if _, err := Signed("-9223372036854775809", 64); textOf(err) != `"-9223372036854775809" is not a number from -9223372036854775808 to 9223372036854775807` {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
