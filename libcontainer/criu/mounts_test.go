package criu

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func image(mounts ...message) []byte {
	data := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, imageMagic), mountsMagic)
	for _, m := range mounts {
		data = append(binary.LittleEndian.AppendUint32(data, uint32(len(m))), m...)
	}
	return data
}

// mount is an mnt_entry.
func mount(kind int, at, options, key string) (m message) {
	m.int(1, kind)
	m.int(3, 72)
	m.text(7, at)
	m.text(8, "overlay")
	m.text(9, options)
	m.text(18, key)
	return m
}

// TestReadMounts: the mounts of init's namespace come first.
func TestReadMounts(t *testing.T) {
	dir := t.TempDir()
	auto := mount(16, "/a", "", "")
	auto.text(14, "nfs")
	for name, data := range map[string][]byte{
		"mountpoints-9.img":  image(mount(17, "/", "lowerdir=/x", ""), mount(0, "/vol", "", "/vol"), auto, mount(99, "/b", "", "")),
		"mountpoints-13.img": image(mount(5, "/", "", "")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := OpenDirectory(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got, err := d.ReadMounts()
	if err != nil || len(got) != 2 || len(got[0].Mounts) != 4 || len(got[1].Mounts) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, want := range []Mount{{Type: "overlay", Device: 72, Mountpoint: "/", Source: "overlay", Options: "lowerdir=/x"},
		{Device: 72, Mountpoint: "/vol", Source: "overlay", External: true, Key: "/vol"}, {Type: "nfs", Device: 72, Mountpoint: "/a", Source: "overlay"},
		{Type: "type 99", Device: 72, Mountpoint: "/b", Source: "overlay"}} {
		if got[0].Mounts[i] != want {
			t.Errorf("%+v, want %+v", got[0].Mounts[i], want)
		}
	}
}

// TestReadTwice: of a field that is there twice the last one counts, as it does for CRIU.
func TestReadTwice(t *testing.T) {
	twice := mount(17, "/", "lowerdir=/x", "/vol")
	twice.int(13, 1)
	twice.int(13, 0)
	twice = append(twice, 18<<3&0x7f|0x80|2, 18>>4, 0) // ext_key, empty
	got, err := decodeMounts(image(twice), 1)
	if want := (Mount{Type: "overlay", Device: 72, Mountpoint: "/", Source: "overlay", Options: "lowerdir=/x"}); err != nil || len(got.Mounts) != 1 || got.Mounts[0] != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// TestReadBrokenMounts: each is an error, and none a panic.
func TestReadBrokenMounts(t *testing.T) {
	whole := image(mount(17, "/", "lowerdir=/x", ""))
	for n := range len(whole) {
		if n == 8 {
			continue // no mounts
		}
		if list, err := decodeMounts(whole[:n], 9); err == nil {
			t.Errorf("%d bytes: %+v", n, list)
		}
	}
	if list, err := decodeMounts(append([]byte{0}, whole...), 9); err == nil {
		t.Errorf("%+v", list)
	}
	if list, err := decodeMounts(image(mount(16, "/", "", "")), 9); err == nil {
		t.Errorf("a type without its name: %+v", list)
	}
}

// TestEncodeMounts: the image is the same but for the peer groups that are to be others.
func TestEncodeMounts(t *testing.T) {
	slave, peer := mount(0, "/a", "", "/a"), mount(0, "/b", "", "/b")
	slave.int(11, 7)
	peer.int(10, 8)
	peer.int(11, 9)
	data := image(slave, peer)
	before, err := decodeMounts(data, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got := before.Encode(func(m *Mount) (uint64, uint64) { return m.Shared, m.Master }); !bytes.Equal(got, data) {
		t.Errorf("%x, want %x", got, data)
	}
	after, err := decodeMounts(before.Encode(func(m *Mount) (uint64, uint64) { return m.Shared * 1000, m.Master - 7 }), 2)
	if err != nil || len(after.Mounts) != 2 {
		t.Fatalf("%+v, %v", after, err)
	}
	want := slices.Clone(before.Mounts)
	want[0].Master, want[1].Shared, want[1].Master = 0, 8000, 2
	if !slices.Equal(after.Mounts, want) {
		t.Errorf("%+v, want %+v", after.Mounts, want)
	}
}
