package bundle

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// slow is what nothing but a hang takes, on any machine: the work on an input is linear, milliseconds.
const slow = 2 * time.Minute

func FuzzConfig(f *testing.F) {
	for _, name := range []string{"base.json", "default.json", "docker.json", "rootless.json"} {
		f.Add(read(f, name))
	}
	for _, list := range [][]rule{documentRules, processRules, mountRules, linuxRules, resourceRules, seccompRules} {
		for _, r := range list {
			if len(r.bad) < 10_000 {
				f.Add([]byte(r.bad))
			}
		}
	}
	f.Add([]byte(`{"process":{"args":"sh"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		start := time.Now()
		fuzzConfig(t, raw)
		if d := time.Since(start); d > slow {
			t.Errorf("took %v", d)
		}
	})
}

func fuzzConfig(t *testing.T, raw []byte) {
	for _, p := range UnknownFields(raw) {
		if p.Warning != strings.Contains(p.Text, "unknown property") {
			t.Errorf("an error or not: %+v", p)
		}
	}
	s, err := Decode(raw)
	if err != nil {
		oneLine(t, err)
		return
	}
	found := (&Bundle{Raw: raw, Spec: s}).Check()
	if len(found) > 2*maxProblems+2 {
		t.Errorf("%d problems", len(found))
	}
	for _, p := range found {
		if p.Text == "" || p.Pointer != "" && p.Pointer[0] != '/' {
			t.Errorf("%+v", p)
		}
	}
	if err := Join(found); err != nil {
		oneLine(t, err)
		return
	}
	// what a container may be made of
	if s.Process == nil || len(s.Process.Args) == 0 || !strings.HasPrefix(s.Process.Cwd, "/") || s.Root == nil || s.Root.Path == "" {
		t.Errorf("passed: %s", raw)
	}
	if without := (&Bundle{Spec: s}).Check(); Join(without) != nil {
		t.Errorf("without the shortcut for NUL: %+v", without)
	}
}

// oneLine: an error is one line without control characters.
func oneLine(t *testing.T, err error) {
	text := err.Error()
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("message %q", text)
	}
}

func FuzzProcess(f *testing.F) {
	f.Add([]byte(`{"user":{"uid":5,"gid":6,"additionalGids":[7]},"args":["ls"],"env":["A=b"],"cwd":"/"}`))
	f.Add([]byte(`{"args":[],"cwd":"x\u0000","env":["A"],"user":{"umask":512},"rlimits":[{"type":"x"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := DecodeProcess(raw)
		if err != nil {
			oneLine(t, err)
			return
		}
		start := time.Now()
		if err := Join(CheckProcess(p, "")); err != nil {
			oneLine(t, err)
		} else if strings.Contains(strings.Join(append(append(p.Args, p.Env...), p.Cwd), ""), "\x00") {
			t.Errorf("a NUL byte passed: %s", raw)
		}
		if d := time.Since(start); d > slow {
			t.Errorf("took %v", d)
		}
	})
}

func FuzzCheckID(f *testing.F) {
	for _, id := range []string{"", ".", "..", "../x", "a", "a\x00", "A.b-c_d+e", strings.Repeat("x", 256)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		err := CheckID(id)
		if err != nil {
			oneLine(t, err)
			return
		}
		// what passes is the name of one new directory, and needs no quoting anywhere
		if dir, name := filepath.Split(filepath.Join("/r", id)); dir != "/r/" || name != id || len(id) > 255 || strconv.Quote(id) != `"`+id+`"` {
			t.Errorf("%q passed", id)
		}
	})
}
