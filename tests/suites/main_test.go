package main

import (
	"errors"
	"strings"
	"testing"

	"rt/tests/testjson"
)

const output = `
{"Action":"run","Test":"TestA"}
{"Action":"run","Test":"TestA/part"}
{"Action":"output","Test":"TestA","Output":"words\n"}
{"Action":"pass","Test":"TestA/part"}
{"Action":"pass","Test":"TestA"}
{"Action":"run","Test":"TestB"}
{"Action":"skip","Test":"TestB"}
a line of the build
{"Action":"run","Test":"TestC"}
{"Action":"pass"}
`

func resultOf(t *testing.T, text string) *result {
	t.Helper()
	r := newResult()
	if err := testjson.Read(strings.NewReader(text), r.note); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRowNamesWhatFailed(t *testing.T) {
	r := resultOf(t, output)
	const want = "| `make x` | RT_A=1 | c0ffee | here | 1 | 1 | TestB | **fail**: TestC |"
	if row := r.row("x", "RT_A=1", "c0ffee", "here"); row != want || r.ok() {
		t.Errorf("row is\n%s\nwant\n%s\nok: %v", row, want, r.ok())
	}
	r = resultOf(t, strings.ReplaceAll(output, "TestC", "TestA"))
	r.end["TestA"] = testjson.Pass
	if row := r.row("x", "", "c", "h"); row != "| `make x` | - | c | h | 1 | 1 | TestB | pass |" || !r.ok() {
		t.Errorf("row is\n%s\nok: %v", row, r.ok())
	}
}

func TestSuiteThatDidNotRunFails(t *testing.T) {
	for name, r := range map[string]*result{
		"no test":          resultOf(t, ""),
		"exit status of 1": {end: map[string]string{"TestA": testjson.Pass}, exited: errors.New("exit status 1")},
	} {
		if row := r.row("x", "", "c", "h"); r.ok() || !strings.Contains(row, "**fail**") {
			t.Errorf("%s: %s", name, row)
		}
	}
}

func TestPageKeepsOtherSuites(t *testing.T) {
	page := withRow("", "b", "| `make b` | old |")
	page = withRow(page, "a", "| `make a` | new |")
	page = withRow(page, "b", "| `make b` | new |")
	if want := head + "| `make a` | new |\n| `make b` | new |\n"; page != want {
		t.Errorf("page is\n%s\nwant\n%s", page, want)
	}
}

func TestSettingsAreVariablesOfTests(t *testing.T) {
	if s := settings([]string{"PATH=/bin", "RT_FAULT=full", "RT_TAGS=a b", "RT_PROBE=/tmp/x", "RT_A=1"}); s != "RT_A=1 RT_FAULT=full" {
		t.Error(s)
	}
}
