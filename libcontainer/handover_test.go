package libcontainer

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestCheckTerminal(t *testing.T) {
	const none, unused = "cannot allocate tty if runc will detach without setting console socket", "cannot use console socket if runc will not detach or allocate tty"
	for _, c := range []struct {
		terminal, detach bool
		socket           string
		want             string
	}{
		{false, false, "", ""}, {false, true, "", ""}, {true, false, "", ""}, {true, true, "", none},
		{false, false, "s", unused}, {false, true, "s", unused}, {true, false, "s", unused}, {true, true, "s", ""},
	} {
		err := checkTerminal(c.terminal, c.detach, c.socket)
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestWritePidFile(t *testing.T) {
	dir := t.TempDir()
	if err := (&handOver{}).writePidFile(1); err != nil {
		t.Errorf("none asked for: %v", err)
	}
	file := filepath.Join(dir, "pid")
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, file); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{4194303, 7} {
		if err := (&handOver{HandOverOptions: HandOverOptions{PidFile: file}}).writePidFile(pid); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != strconv.Itoa(pid) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if fi, err := os.Lstat(file); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	if got, _ := os.ReadFile(other); string(got) != "keep" {
		t.Errorf("the file behind the link became %q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left over: %v", entries)
	}
	if err := (&handOver{HandOverOptions: HandOverOptions{PidFile: dir + "/missing/pid"}}).writePidFile(1); err == nil || !strings.HasPrefix(err.Error(), "write pid file: ") {
		t.Error(err)
	}
}
