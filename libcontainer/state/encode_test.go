package state

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"rt/internal/plain"
)

// full sets every field of a struct, so that one that a table forgets is noticed.
func full[T any](t *testing.T) (v T) {
	t.Helper()
	s := reflect.ValueOf(&v).Elem()
	for i := range s.NumField() {
		f := s.Field(i)
		if s.Type().Field(i).Tag.Get("json") == "-" {
			continue
		}
		switch f.Interface().(type) {
		case string:
			f.SetString("a \"b\" \\ \n\x01é")
		case int:
			f.SetInt(7)
		case uint64:
			f.SetUint(1 << 63)
		case bool:
			f.SetBool(true)
		case time.Time:
			f.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)))
		case map[string]string:
			f.Set(reflect.ValueOf(map[string]string{"": "/sys/fs/cgroup", "k\"": "v\t"}))
		default:
			t.Fatalf("%s: type %v", s.Type().Field(i).Name, f.Type())
		}
	}
	return v
}

// testFields: the table writes what encoding/json would, and reads it back.
func testFields[T any](t *testing.T, fields func(*T) []plain.Field) {
	t.Helper()
	for _, v := range []T{full[T](t), *new(T)} {
		want, err := json.Marshal(&v)
		if err != nil {
			t.Fatal(err)
		}
		if got := plain.Object(fields(&v), ""); string(got) != string(want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		var back T
		if !plain.Read(want, fields(&back)) || !reflect.DeepEqual(back, v) {
			t.Errorf("%s: got back %+v", want, back)
		}
	}
}

func TestFields(t *testing.T) {
	testFields(t, func(s *State) []plain.Field {
		fields := s.fields()
		return fields[:]
	})
	testFields(t, (*journal).fields)
}

// TestDecodeBrief: a brief reading keeps what state and list show and ask the kernel by, and refuses what a full one refuses.
func TestDecodeBrief(t *testing.T) {
	v := full[State](t)
	var brief State
	if err := brief.decode(v.encode(), true); err != nil {
		t.Fatal(err)
	}
	v.Cgroups = map[string]string{"": v.Cgroups[""]}
	v.Namespaces, v.Mounts, v.Stdio, v.Taken, v.RdtTaken = nil, nil, nil, nil, nil
	if !reflect.DeepEqual(brief, v) {
		t.Errorf("got\n%+v\nwant\n%+v", brief, v)
	}
	for _, text := range []string{`{"id":"a","mounts":{"/":1}}`, `{"id":"a","mounts":[]}`, `{"id":"a","mounts":{"/":"1"}`, `{"id":"a","stdio":7}`} {
		if err := brief.decode([]byte(text), true); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// What is not plain is read all the same, or refused with a reason.
func TestDecodeEdited(t *testing.T) {
	var s State
	if err := s.decode([]byte(`{"PID": 7, "id": "a"}`), false); err != nil || s.Pid != 7 || s.ID != "a" {
		t.Errorf("%+v, %v", s, err)
	}
	if err := s.decode([]byte(`{"pid": "x"}`), false); err == nil {
		t.Error("a text is taken for a pid")
	}
}
