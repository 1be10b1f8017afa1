package bug

import (
	"errors"
	"strings"
	"testing"
)

func TestPanicBecomesAnError(t *testing.T) {
	broken := func() (err error) {
		defer Catch(&err)
		var list []int
		return errors.New(string(rune(list[len(t.Name())])))
	}
	err := broken()
	var bug *Error
	if !errors.As(err, &bug) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if !strings.Contains(err.Error(), "index out of range") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q, want one line with the reason", err)
	}
	if !strings.Contains(bug.Trace, "TestPanicBecomesAnError") {
		t.Errorf("the trace does not show where it was:\n%s", bug.Trace)
	}
}

func TestThenRunsOnAPanicOnly(t *testing.T) {
	var seen []error
	for _, v := range []any{nil, "two\nlines"} {
		func() {
			defer Then(func(err error) { seen = append(seen, err) })
			if v != nil {
				panic(v)
			}
		}()
	}
	if len(seen) != 1 || seen[0].Error() != "a bug in rt: two lines" {
		t.Errorf("got %q", seen)
	}
}
