package criu

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckNames: a name that leads up is found wherever it is, and nothing else is refused.
func TestCheckNames(t *testing.T) {
	regular := func(names ...string) (m message) {
		m.int(1, 7)
		for _, name := range names {
			m.text(nameField, name)
		}
		return m
	}
	file := func(names ...string) (m message) {
		m.int(1, 1)
		m.text(regField, string(regular(names...)))
		return m
	}
	other := message{}
	other.int(1, 4)
	other.text(15, "../socket") // of a socket that was bound by a relative path
	files := func(entries ...message) []byte {
		data := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, imageMagic), 0x56303138)
		for _, m := range entries {
			data = append(binary.LittleEndian.AppendUint32(data, uint32(len(m))), m...)
		}
		return data
	}
	long := strings.Repeat("x", maxFileEntry+1)
	for i, c := range []struct {
		image string
		data  []byte
		want  string // in the error
	}{
		{"files.img", files(), ""},
		{"files.img", files(file("/etc/passwd"), other, file("/..a/b../...")), ""},
		{"files.img", files(other, file("/a"), file("/../etc/cron.d/x")), `"/../etc/cron.d/x"`},
		{"files.img", files(file("/a/..")), "leads out"},
		{"files.img", files(file("x../etc/x")), "leads out"},
		{"files.img", files(file("/a/..\x00b")), "leads out"},
		{"files.img", files(file("/fine", "/a/../../b")), "leads out"},
		{"files.img", files(file("/a/../../b", "/fine")), "leads out"},
		{"files.img", files(file(long)), "file too large"},
		{"files.img", files(message("\x1a\x7f")), "message"},
		{"files.img", files(file("/a"))[:20], "EOF"},
		{"files.img", []byte("no image"), "no image of files"},
		{"files.img", nil, "no image of files"},
		{"reg-files.img", files(regular("/a")), ""},
		{"reg-files.img", files(regular("/a"), regular("/../b")), "leads out"},
		{"other.img", nil, ""},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.image), c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := OpenDirectory(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		err = d.CheckNames()
		d.Close()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%d: got %v, want %q", i, err, c.want)
		}
	}
}
