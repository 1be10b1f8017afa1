package criu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// A Mount is one of the images, as CRIU will make it (mnt.proto).
type Mount struct {
	Type       string // of the file system; "" if CRIU makes no new one of it, but a bind mount
	Device     uint64 // at the time of the dump
	Mountpoint string
	Source     string
	Options    string
	External   bool   // it is mounted from outside
	Key        string // the name of what is mounted then; "" in images of CRIU before 3

	Shared, Master uint64 // peer groups; 0 for none
	Root           string // in the file system
}

// A MountsImage has the mounts of one mount namespace.
type MountsImage struct {
	Name    string // of the file
	Mounts  []Mount
	entries [][]byte // one of each mount
}

// Encode writes the image with other peer groups.
func (i *MountsImage) Encode(groups func(*Mount) (shared, master uint64)) []byte {
	data := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, imageMagic), mountsMagic)
	for n, entry := range i.entries {
		m := message(slices.Clone(entry)) // of a field the last one counts
		shared, master := groups(&i.Mounts[n])
		if shared != i.Mounts[n].Shared {
			m.uint(sharedField, shared)
		}
		if master != i.Mounts[n].Master {
			m.uint(masterField, master)
		}
		data = append(binary.LittleEndian.AppendUint32(data, uint32(len(m))), m...)
	}
	return data
}

// fsTypes are CRIU's names for the numbers in mnt_entry.fstype. Of 0 it knows bind mounts only, and 16 has its type beside it.
func fsTypes() map[int]string {
	return map[int]string{0: "", 1: "proc", 2: "sysfs", 3: "devtmpfs", 4: "binfmt_misc", 5: "tmpfs", 6: "devpts", 7: "simfs", 8: "pstore", 9: "securityfs",
		10: "fusectl", 11: "debugfs", 12: "cgroup", 13: "aufs", 14: "mqueue", 15: "fuse", 16: "auto", 17: "overlay", 18: "autofs", 19: "tracefs", 23: "cgroup2"}
}

// Of the images of mounts.
const (
	mountsPrefix = "mountpoints-"
	mountsMagic  = 0x55563928
	imageMagic   = 0x54564319 // of all images of CRIU 1.5 and later
	maxMounts    = 64 << 20   // bytes of all images
	mostMounts   = 1 << 18    // in all images
	sharedField  = 10         // of mnt_entry
	masterField  = 11
)

// ReadMounts reads the mounts of the images, by mount namespace. The first one is init's: CRIU numbers namespaces from its root process on.
func (d *Directory) ReadMounts() (list []MountsImage, err error) {
	entries, err := sys.ReadDir("/proc/self/fd/" + strconv.Itoa(int(d.Fd())))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d.path, err)
	}
	var numbers []int
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), mountsPrefix)
		if name, ok2 := strings.CutSuffix(name, ".img"); ok && ok2 {
			n, err := strconv.Atoi(name)
			if err != nil || strconv.Itoa(n) != name {
				return nil, fmt.Errorf("%s: not the name of an image", d.Within(e.Name()))
			}
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	size, mounts := maxMounts, mostMounts
	for _, n := range numbers {
		name := mountsPrefix + strconv.Itoa(n) + ".img"
		data, err := d.readMounts(name, size)
		var image MountsImage
		if err == nil {
			image, err = decodeMounts(data, mounts)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", d.Within(name), err)
		}
		size, mounts = size-len(data), mounts-len(image.Mounts)
		image.Name = name
		list = append(list, image)
	}
	return list, nil
}

func (d *Directory) readMounts(name string, most int) ([]byte, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > most {
		err = unix.EFBIG
	}
	return data, err
}

// decodeMounts takes at most so many mounts.
func decodeMounts(data []byte, most int) (image MountsImage, err error) {
	kind := imageKind{of: "mounts", magic: mountsMagic, most: maxMounts}
	err = eachEntry(bytes.NewReader(data), kind, func(entry []byte) error {
		if len(image.Mounts) == most {
			return unix.EFBIG
		}
		m, err := decodeMount(entry)
		image.Mounts, image.entries = append(image.Mounts, m), append(image.entries, entry)
		return err
	})
	return image, err
}

// decodeMount takes of a field that is there twice the last one, as CRIU does (protobuf).
func decodeMount(data []byte) (m Mount, err error) {
	kind, name := uint64(0), ""
	err = fields(data, func(field int, n uint64, b []byte) error {
		switch {
		case b != nil && field == 6:
			m.Root = string(b)
		case b != nil && field == 7:
			m.Mountpoint = string(b)
		case b != nil && field == 8:
			m.Source = string(b)
		case b != nil && field == 9:
			m.Options = string(b)
		case b != nil && field == 14:
			name = string(b)
		case b != nil && field == 18:
			m.Key = string(b)
		case field == 1:
			kind = n
		case field == 3:
			m.Device = n
		case field == sharedField:
			m.Shared = n
		case field == masterField:
			m.Master = n
		case field == 13:
			m.External = n != 0
		}
		return nil
	})
	if err != nil {
		return m, err
	}
	m.External = m.External || m.Key != ""
	known := false
	m.Type, known = fsTypes()[int(min(kind, 1<<20))]
	switch {
	case m.Type == "auto":
		m.Type = name
		known = name != ""
	case !known:
		m.Type, known = "type "+strconv.FormatUint(kind, 10), true
	}
	if !known {
		return m, errBadMessage
	}
	if leadsUp(m.Mountpoint) {
		return m, fmt.Errorf("the mount point %.256q leads out of the container's root", m.Mountpoint)
	}
	return m, nil
}
