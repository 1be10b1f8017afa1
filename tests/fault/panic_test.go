package fault

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// A read that says it has read more than there is room for is what no kernel does, and what Go's slices panic about. So it makes
// rt panic anywhere: what is seen here is what becomes of any bug.

// TestPanicIsOneError: a panic of a verb is one line of error, and exit status 1; what create and run have made is undone.
func TestPanicIsOneError(t *testing.T) {
	for _, v := range verbs() {
		t.Run(v.name, func(t *testing.T) { panicEverywhere(t, &v) })
	}
}

func panicEverywhere(t *testing.T, v *verb) {
	l := newLab(t, v.edits...)
	l.bring(v.prepare)
	count := l.inject(job{Who: inRt, Do: doOver, At: -1}, v.args(l)...)
	if count.code != 0 {
		t.Fatalf("without any fault: %s", count)
	}
	list := points(t, count.Calls, count.Calls)
	var panics atomic.Int64
	workers(t, list, v, func(l *lab, at int) error {
		l.bring(v.prepare)
		r := l.inject(job{Who: inRt, Do: doOver, At: at}, v.args(l)...)
		if strings.Contains(r.stderr, "a bug in rt") {
			panics.Add(1)
		}
		err := panicked(l, v, r)
		if err == nil {
			err = l.sound(v.after)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w\nIt had said: %s", r.point(), err, r)
		}
		return err
	})
	t.Logf("%s: %d of %d reads that return too much were a panic", v.name, panics.Load(), len(list))
}

func panicked(l *lab, v *verb, r result) error {
	switch {
	case r.Late:
		return fmt.Errorf("rt hangs")
	case r.code == 0:
		return nil
	}
	want := 1
	if v.name == "exec" {
		want = 255
	}
	if strings.Contains(r.stderr, "a bug in rt") && r.code != 1 && r.code != want {
		return fmt.Errorf("exit status %d", r.code)
	}
	if err := oneError(r); err != nil {
		return err
	}
	if strings.HasPrefix(v.name, "create") || strings.HasPrefix(v.name, "run") {
		if left := l.left(); len(left) > 0 {
			return fmt.Errorf("left by a failed %s: %v", v.name, left)
		}
	}
	return nil
}
