package main

import "testing"

// TestUnknownCommand: exit code 3, as runc's, and the commands that may have been meant.
func TestUnknownCommand(t *testing.T) {
	const list = "rt --help lists the commands\n"
	for name, hint := range map[string]string{
		"bogus": list, "x": list, "creat": "did you mean create? " + list, "CREATE": "did you mean create? " + list,
		"sate": "did you mean state? " + list, "strat": "did you mean start? " + list, "exce": "did you mean exec? " + list,
		"stat": "did you mean start or state or stats? " + list, "kil": "did you mean kill? " + list, "frobnicatefrobnicate": list,
	} {
		f := &fake{}
		for _, args := range [][]string{{name}, {name, "c"}, {"help", name}} {
			want := "rt: unknown command \"" + name + "\"\nhint: " + hint
			r := rt(f, args...)
			if r.code != 3 || r.stderr != want || f.calls != nil {
				t.Errorf("%q: code %d, stderr %q, want %q, calls %v", args, r.code, r.stderr, want, f.calls)
			}
		}
	}
}
