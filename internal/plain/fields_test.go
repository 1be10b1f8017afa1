package plain

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type record struct {
	Text  string            `json:"text"`
	N     int               `json:"n"`
	U     uint64            `json:"u,omitempty"`
	Yes   bool              `json:"yes,omitempty"`
	Time  time.Time         `json:"time"`
	Texts map[string]string `json:"texts,omitempty"`
	List  []string          `json:"list"` // by encoding/json
}

func (r *record) fields() []Field {
	return []Field{
		{"text", &r.Text, false},
		{"n", &r.N, false},
		{"u", &r.U, true},
		{"yes", &r.Yes, true},
		{"time", &r.Time, false},
		{"texts", &r.Texts, true},
		{"list", &r.List, false},
	}
}

var records = []record{
	{Text: "a \"b\" \\ \n\r\b\f\x01\x7fé\U0001f600", N: -7, U: 1 << 63, Yes: true, Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Texts: map[string]string{"": "x", "k\"": "\t", "a": ""}},
	{Time: time.Unix(0, 0).UTC()},
	{Time: time.Unix(0, 0).UTC(), Texts: map[string]string{}},
}

// Object writes what encoding/json writes.
func TestObject(t *testing.T) {
	for _, r := range records {
		want, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if got := Object(r.fields(), "  "); string(got) != string(want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		want, _ = json.Marshal(r)
		if got := Object(r.fields(), ""); string(got) != string(want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	if got := string(Object(nil, "  ")); got != "{}" {
		t.Errorf("no fields: %s", got)
	}
}

func TestRead(t *testing.T) {
	for _, want := range records {
		var got record
		f := got.fields()
		if !Read(Object(want.fields()[:6], ""), f) {
			t.Fatalf("not plain: %s", Object(want.fields()[:6], ""))
		}
		if len(want.Texts) == 0 {
			want.Texts = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for doc, want := range map[string]bool{
		`{}`: true, `{"other":{"x":[1]},"n":1}`: true,
		``: false, `[]`: false, `{"n":1,"n":2}`: false, `{"N":1}`: false, `{"n":"1"}`: false, `{"time":"noon"}`: false,
		`{"list":["a"]}`: false, `{"text":"a"`: false,
	} {
		var r record
		if got := Read([]byte(doc), r.fields()); got != want {
			t.Errorf("%s: plain %v", doc, got)
		}
	}
}
