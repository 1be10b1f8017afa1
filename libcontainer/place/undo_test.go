package place

import (
	"slices"
	"testing"
)

// TestUndo: latest first, and each step once, also if one panics.
func TestUndo(t *testing.T) {
	var u Undo
	var done []int
	for i := range 3 {
		u.Add(func() {
			done = append(done, i)
			if i == 1 {
				panic("of a step")
			}
		})
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic has gone")
			}
		}()
		u.Run()
	}()
	u.Run()
	if want := []int{2, 1, 0}; !slices.Equal(done, want) {
		t.Errorf("%v, want %v", done, want)
	}
}
