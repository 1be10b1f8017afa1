package output

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestUserName(t *testing.T) {
	const passwd = "# comment\n:x:5:5::/:/bin/sh\nroot:x:0:0::/root:/bin/sh\nbad\nu:x:10:1::/:/bin/sh\nlast:x:11:1"
	for uid, want := range map[int]string{0: "root", 10: "u", 11: "last", 1: "#1", 5: "#5"} {
		if got := userName(passwd, uid); got != want {
			t.Errorf("%d: %s, want %s", uid, got, want)
		}
	}
}

// The host's ps must be found, and what it says on failure must be in the error.
func TestHostPs(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\n[ \"$1\" = ok ] || { echo 'no such option' >&2; exit 3; }\necho PID; printf 1\n"
	if err := os.WriteFile(filepath.Join(bin, "ps"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	var rows []string
	keep := func(text string) error { rows = append(rows, text); return nil }
	if err := HostPs([]string{"ok"}, keep); err != nil || fmt.Sprintf("%q", rows) != `["PID\n" "1"]` {
		t.Errorf("%q, %v", rows, err)
	}
	if err := HostPs([]string{"x"}, keep); err == nil || err.Error() != "run ps x: exit status 3: no such option" {
		t.Errorf("%v", err)
	}
	broken := errors.New("broken")
	if err := HostPs([]string{"ok"}, func(string) error { return broken }); err != broken {
		t.Errorf("%v, want the error of the caller", err)
	}
}
