package intelrdt

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// TestChange: of the schemata only the resources that are changed count, and they are taken back unless somebody else
// has changed them since.
func TestChange(t *testing.T) {
	for _, c := range []struct {
		before, after string
		lines         []string
		old, want     string
		err           error
	}{
		{before: "    L3:0=7;1=f\n    MB:0=50\n", after: "L3:0=3;1=f\nMB:0=50\n", lines: []string{"L3:0=3"}, old: "[L3:0=7;1=f]", want: "L3:0=7;1=f\nMB:0=50\n"},
		{before: "L3:0=7\n", after: "L3:0=7\n", lines: []string{"L3:0=3"}, old: "[L3:0=7]", want: "L3:0=7\n"},
		{before: "L3:0=7\n", after: "L3:0=1\n", lines: []string{"L3:0=3"}, old: "[L3:0=7]", want: "L3:0=1\n", err: errChanged},
		{before: "L3:0=7\nMB:0=50\n", after: "L3:0=3\nMB:0=20\n", lines: []string{"L3:0=3", "MB:0=15"}, old: "[L3:0=7 MB:0=50]", want: "L3:0=7\nMB:0=50\n"},
		{before: "MB:0=50\n", after: "MB:0=30\n", lines: []string{"MB:0=15"}, old: "[MB:0=50]", want: "MB:0=30\n", err: errChanged},
		{before: "MB:0=50\n", after: "MB:0=50\n", lines: []string{"L3:0=3"}, old: "[]", want: "MB:0=50\n"},
	} {
		g := Group{Dir: t.TempDir()}
		write := func(text string) {
			if err := os.WriteFile(g.Dir+"/schemata", []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write(c.before)
		change, err := g.Change(c.lines)
		if err != nil || fmt.Sprint(change.Old) != c.old {
			t.Errorf("%q: old %q, %v", c.before, change.Old, err)
		}
		write(c.after)
		if err := g.Restore(change); !errors.Is(err, c.err) {
			t.Errorf("%q: %v", c.after, err)
		}
		// A plain file keeps the end that is not written over.
		if got, _ := os.ReadFile(g.Dir + "/schemata"); string(got) != c.want && string(got[:min(len(got), len(c.want))]) != c.want {
			t.Errorf("%q became %q, want %q", c.after, got, c.want)
		}
	}
}
