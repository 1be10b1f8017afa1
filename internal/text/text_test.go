package text

import (
	"strings"
	"testing"
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
