package main

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestGeneratedIsCurrent(t *testing.T) {
	want, err := generate(reflect.TypeFor[specs.Spec]())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../zplain.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("zplain.go is out of date: run go generate in libcontainer/bundle")
	}
	if again, err := generate(reflect.TypeFor[specs.Spec]()); err != nil || !bytes.Equal(want, again) {
		t.Errorf("not the same twice: %v", err)
	}
}

type (
	loop     struct{ Next *loop }
	embedded struct{ A int }
	decodes  struct{ X json.RawMessage }
)

// What the functions could not decode as encoding/json does is refused.
func TestRefused(t *testing.T) {
	for text, v := range map[string]any{
		"contains itself":     loop{},
		"not foreseen":        struct{ X any }{},
		"base64":              struct{ X []byte }{},
		"decodes itself":      decodes{},
		"no strings for keys": struct{ X map[int]string }{},
		"within a string": struct {
			X int `json:",string"`
		}{},
		"an embedded": struct{ *embedded }{},
		"more than one property": struct {
			X, Y int
			Z    int `json:"x"`
		}{},
		"float64 is not": struct{ X []float64 }{},
		"[2]int is not":  struct{ X [2]int }{},
	} {
		if _, err := generate(reflect.TypeOf(v)); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%T: %v, want %s", v, err, text)
		}
	}
}
