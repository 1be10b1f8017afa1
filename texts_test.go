package main

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestFlagsWithoutStrconv: no value of any flag is answered with the words of a number's parser. What libcontainer makes of a value is
// for tests/arch TestNoStrconvInErrors.
func TestFlagsWithoutStrconv(t *testing.T) {
	t.Chdir(t.TempDir()) // a value of --log is a file
	values := []string{"abc", "", "-5", "1.2.3", "1.2.3M", "0x", "99999999999999999999999", "99999999999999999999999G", "1:abc", "1:99999999"}
	flags := 0
	try := func(before []string, verb []string, list []cli.Flag) {
		for _, f := range list {
			if d, ok := f.(cli.DocGenerationFlag); !ok || !d.TakesValue() {
				continue
			}
			flags++
			for _, v := range values {
				flag := "--" + f.Names()[0] + "=" + v
				args := append(append(append([]string{}, before...), flag), verb...)
				if len(before) > 0 {
					args = append(append([]string{}, before...), flag, "c", "true")
				}
				r := rt(&fake{}, args...)
				for _, text := range []string{r.stdout, r.stderr} {
					if strings.Contains(text, "strconv") || strings.Contains(text, "Parse") {
						t.Errorf("%q: %.300s", args, text)
					}
				}
			}
		}
	}
	p := &program{}
	try(nil, []string{"list"}, p.app(nil).Flags)
	for _, c := range p.allCommands() {
		try([]string{c.name}, nil, c.command().Flags)
	}
	if flags < 50 {
		t.Errorf("%d flags take a value: this test has become blind", flags)
	}
}
