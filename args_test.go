package main

import (
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rt/internal/cmdline"
	"rt/libcontainer"
)

func TestFlagsFirst(t *testing.T) {
	for args, want := range map[string]string{
		"":                                  "",
		"--root":                            "--root",
		"list -q":                           "list -q",
		"--root delete state delete":        "--root delete state delete",
		"--debug delete c --force":          "--debug delete --force c",
		"--root x delete c -f":              "--root x delete -f c",
		"--root=x delete c -force=true":     "--root=x delete -force=true c",
		"-- delete c -f":                    "-- delete -f c",
		"delete -f c":                       "delete -f c",
		"delete -- -f":                      "delete -- -f",
		"delete c -- -f":                    "delete -- c -f",
		"kill c -- -5":                      "kill -- c -5",
		"list --root x -q":                  "--root x list -q",
		"--root y list -root=x":             "--root y -root=x list",
		"-- list --debug":                   "--debug list",
		"--log -- list --debug":             "--log -- --debug list",
		"state c --debug --root x":          "--debug --root x state c",
		"exec --root x -d c ls --debug":     "--root x exec -d c ls --debug",
		"exec -d -- c --debug":              "exec -d -- c --debug",
		"exec --debug -- c --debug":         "--debug exec -- c --debug",
		"ps --debug c --debug":              "--debug ps c --debug",
		"list --root":                       "--root",
		"state c --debug --log":             "--debug --log",
		"state c -- --debug":                "state -- c --debug",
		"delete -r -- c -f":                 "delete -r -- c -f",
		"update c --memory -1 --pids-limit": "update --memory -1 --pids-limit",
		"update c --memory --pids-limit 5":  "update --memory --pids-limit c 5",
		"kill c 9 --all":                    "kill --all c 9",
		"kill c -9 --all":                   "kill --all c -9",
		"kill -9 c --all":                   "kill -9 c --all",
		"kill c - --all":                    "kill --all c -",
		"exec c ls --cwd /":                 "exec c ls --cwd /",
		"ps c -f":                           "ps c -f",
		"ps -f json c -- -f":                "ps -f json c -f",
		"exec -t c -- ls -- -l":             "exec -t c ls -- -l",
		"exec -- c -- ls":                   "exec -- c -- ls",
		"exec -u -- c -- ls":                "exec -u -- c ls",
		"exec c":                            "exec c",
		"state c --help":                    "state --help c",
		"state c -h":                        "state -h c",
		"nothing c --force":                 "nothing c --force",
		"help delete --force":               "help delete --force",
	} {
		in := append([]string{"rt"}, strings.Fields(args)...)
		got := cmdline.FlagsFirst((&program{}).app(in), in)
		if !reflect.DeepEqual(got[1:], append([]string{}, strings.Fields(want)...)) {
			t.Errorf("%q became %q, want %q", args, got[1:], want)
		}
	}
	testLines(t, []line{
		{"delete c --force", []any{"delete", "c", true}},
		{"kill c KILL -a", []any{"kill", "c", unix.SIGKILL, true}},
		{"create c -b d --no-pivot", []any{"create", "c", libcontainer.CreateOptions{Bundle: "d", NoPivot: true}}},
	})
}
