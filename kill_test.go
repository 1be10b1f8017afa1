package main

import "testing"

func TestUnknownSignal(t *testing.T) {
	f := &fake{}
	r := rt(f, "kill", "c", "FOO")
	if r.code != 1 || r.stderr != "rt: unknown signal \"FOO\"\n" || f.calls != nil {
		t.Errorf("%+v, calls %v", r, f.calls)
	}
}
