package usage

import (
	"testing"
	"time"
)

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		used   uint64
		passed time.Duration
		want   float64
	}{{0, time.Second, 0}, {5e6, 100 * time.Millisecond, 5}, {1e9, time.Second, 100}, {3e9, 2 * time.Second, 150}} {
		if got := percent(c.used, c.passed); got != c.want {
			t.Errorf("%d ns in %v: %v %%, want %v", c.used, c.passed, got, c.want)
		}
	}
}
