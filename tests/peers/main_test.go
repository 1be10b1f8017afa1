package main

import (
	"strings"
	"testing"
)

const said = `{"Action":"run","Test":"TestA"}
{"Action":"pass","Test":"TestA"}
{"Action":"run","Test":"TestB"}
{"Action":"run","Test":"TestB/sub"}
{"Action":"output","Test":"TestB/sub","Output":"    x_test.go:7: differs: a row: with a colon — the reason\n"}
{"Action":"skip","Test":"TestB/sub"}
{"Action":"pass","Test":"TestB"}
{"Action":"run","Test":"TestC"}
{"Action":"output","Test":"TestC","Output":"    x_test.go:8: differs: another row — only rt has it\n"}
{"Action":"skip","Test":"TestC"}
{"Action":"run","Test":"TestD"}
{"Action":"skip","Test":"TestD"}
{"Action":"run","Test":"TestE"}
{"Action":"fail","Test":"TestE"}
panic: not JSON
{"Action":"run","Test":"TestF"}
`

func TestEveryEndIsCounted(t *testing.T) {
	o, err := read("runc 1", strings.NewReader(said))
	if err != nil {
		t.Fatal(err)
	}
	got := page([]outcome{o})
	for _, want := range []string{
		"| runc 1 | 6 | 1 | 1 | 1 | 1 | 2 |\n", "## runc 1: tests that fail\n\n- TestE\n- TestF\n",
		"## runc 1: tests that differ as a whole\n\n- TestC: another row\n", "## runc 1: tests that differ in part\n\n- TestB: a row: with a colon\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not %q in:\n%s", want, got)
		}
	}
}

func TestNoTestIsAnError(t *testing.T) {
	if _, err := read("runc 1", strings.NewReader("build failed\n")); err == nil {
		t.Error("an output without tests is taken")
	}
}
