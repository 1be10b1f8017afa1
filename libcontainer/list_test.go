package libcontainer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"rt/libcontainer/state"
)

// TestListByThreads: a list that several threads share is in order, whole, and says what cannot be read.
func TestListByThreads(t *testing.T) {
	for _, n := range []int{1, listBatch, listThreads * listBatch, 500} {
		var warnings []string
		r := &Runtime{Root: state.Root{Dir: t.TempDir(), Warn: func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }}}
		var want []string
		for i := range n {
			id := fmt.Sprintf("c%03d", i)
			dir := filepath.Join(r.Dir, id)
			text := []byte(fmt.Sprintf(`{"id":%q,"bundle":%q}`, id, "/b/"+id))
			switch i % 50 {
			case 7:
				text = []byte("{")
			case 8:
				_ = os.WriteFile(dir, nil, 0o600) // no container, and nothing to warn about
				continue
			default:
				want = append(want, id)
			}
			if os.Mkdir(dir, 0o711) != nil || os.WriteFile(filepath.Join(dir, state.StateFile), text, 0o600) != nil {
				t.Fatal("cannot make", dir)
			}
		}
		all, err := r.List()
		var got []string
		for _, s := range all {
			got = append(got, s.ID)
			if s.Bundle != "/b/"+s.ID || s.Status != "stopped" || s.OwnerUID != os.Getuid() {
				t.Errorf("%d: %+v", n, s)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d: got %v, %v; want %v", n, got, err, want)
		}
		if len(warnings) != (n+42)/50 || !slices.IsSorted(warnings) {
			t.Errorf("%d: warnings %q", n, warnings)
		}
	}
}
