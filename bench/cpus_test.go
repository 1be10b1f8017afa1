package main

import (
	"runtime"
	"testing"
)

func TestCPUsAtOnce(t *testing.T) {
	if n := cpusAtOnce(); n <= 0 || n > 1.5*float64(runtime.NumCPU()) {
		t.Errorf("%d processors, of which %.1f work at once", runtime.NumCPU(), n)
	} else {
		t.Logf("%.2f", n)
	}
}
