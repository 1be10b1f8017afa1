package main

import (
	"io"
	"strings"
	"testing"
)

// What go1.26 writes with -test.v=test2json, shortened.
const transcript = "\x16package tests/integration\n" +
	"\x16=== RUN   TestA\n\x16=== PAUSE TestA\n\x16=== RUN   TestB\n\x16=== PAUSE TestB\n" +
	"\x16=== CONT  TestA\n\x16=== CONT  TestB\n\x16=== RUN   TestB/sub\n" +
	"    b_test.go:7: of b\n" +
	"\x16=== NAME  TestA\n    a_test.go:1: of a\nno end of line\x16--- PASS: TestA (0.10s)\n" +
	"\x16=== NAME  TestB\n    b_test.go:8: more of b\n" +
	"\x16--- FAIL: TestB/sub (0.20s)\n\x16--- FAIL: TestB (0.30s)\n" +
	"\x16=== RUN   TestC\n    c_test.go:3: no such thing here\n\x16--- SKIP: TestC (0.00s)\n" +
	"\x16FAIL\n\x16package cgroups\n\x16=== RUN   TestD\npanic: half"

func TestReport(t *testing.T) {
	var out strings.Builder
	r := newReport(&out, false)
	for i := range len(transcript) { // as slowly as can be
		if _, err := r.Write([]byte{transcript[i]}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	figures := r.end()
	if want := "1 passed, 1 failed, 1 skipped (TestB)"; figures != want {
		t.Errorf("figures: %q, want %q", figures, want)
	}
	want := `pass tests/integration TestA (0.10s)
fail tests/integration TestB (0.30s)
    b_test.go:7: of b
    b_test.go:8: more of b
    --- FAIL: TestB/sub (0.20s)
skip tests/integration TestC (0.00s)
    c_test.go:3: no such thing here
not ended: TestD
panic: half
`
	if out.String() != want {
		t.Errorf("report:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		names string
		want  string
	}{{"", "v2 systemd systemd-driver user v1 selinux"}, {"user,v2", "v2 user"}} {
		chosen, err := choose(c.names, false)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, g := range chosen {
			names = append(names, g.name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%q: %q, want %q", c.names, got, c.want)
		}
	}
	if _, err := choose("v2,v3", false); err == nil {
		t.Error("v3 was found")
	}
}

// Lines of several guests do not mix, however they are written.
func TestShared(t *testing.T) {
	var out strings.Builder
	s := &shared{to: &out}
	a, b := s.of("a"), s.of("")
	for _, w := range []struct {
		to   io.Writer
		text string
	}{{a, "one\ntw"}, {b, "un"}, {a, "o\n"}, {b, "\n"}, {a, "three\n"}} {
		if _, err := io.WriteString(w.to, w.text); err != nil {
			t.Fatal(err)
		}
	}
	if want := "a: one\na: two\nun\na: three\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
