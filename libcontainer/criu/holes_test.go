package criu

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHoles: images that take little of a disk, and would be millions of entries: a file with a hole, short entries, and many files.
func TestHoles(t *testing.T) {
	head := func(kind uint32) []byte {
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, imageMagic), kind)
	}
	short := []byte{2, 0, 0, 0, 1 << 3, 0} // an entry of one field
	mounts := func(d *Directory) error { _, err := d.ReadMounts(); return err }
	for name, c := range map[string]struct {
		files map[string][]byte
		size  int64 // that the files are made
		read  func(*Directory) error
		want  string
	}{
		"mounts, hole":      {map[string][]byte{"mountpoints-1.img": head(mountsMagic)}, 1 << 20, mounts, "an entry is empty"},
		"mounts, too large": {map[string][]byte{"mountpoints-1.img": head(mountsMagic)}, maxMounts + 1, mounts, "file too large"},
		"mounts, too many":  {map[string][]byte{"mountpoints-1.img": append(head(mountsMagic), bytes.Repeat(short, mostMounts+1)...)}, 0, mounts, "file too large"},
		"mounts of two": {map[string][]byte{"mountpoints-1.img": append(head(mountsMagic), bytes.Repeat(short, mostMounts)...),
			"mountpoints-2.img": append(head(mountsMagic), short...)}, 0, mounts, "mountpoints-2.img: file too large"},
		"mounts, most":    {map[string][]byte{"mountpoints-1.img": append(head(mountsMagic), bytes.Repeat(short, mostMounts)...)}, 0, mounts, ""},
		"files, hole":     {map[string][]byte{"files.img": head(0)}, 1 << 40, (*Directory).CheckNames, "an entry is empty"},
		"files, old hole": {map[string][]byte{"reg-files.img": head(0)}, 1 << 40, (*Directory).CheckNames, "an entry is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, data := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
					t.Fatal(err)
				}
				if c.size > 0 {
					if err := os.Truncate(filepath.Join(dir, file), c.size); err != nil {
						t.Fatal(err)
					}
				}
			}
			d, err := OpenDirectory(dir, false)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if err := c.read(d); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestLargeHoles: the same with entries that have a hole each.
func TestLargeHoles(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "files.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := int64(0)
	write := func(data []byte) {
		if _, err := f.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
		at += int64(len(data))
	}
	write(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, imageMagic), 0))
	for at <= maxFiles {
		const rest = maxFileEntry - 4
		entry := binary.AppendUvarint([]byte{15<<3 | wireBytes}, rest) // a field as long as the entry
		write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(entry)+rest)), entry...))
		at += rest
	}
	if err := f.Truncate(at); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDirectory(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.CheckNames(); err == nil || !strings.Contains(err.Error(), "file too large") {
		t.Errorf("got %v", err)
	}
}
