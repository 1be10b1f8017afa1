package criu

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Of the images of files: files.img since CRIU 3.3, before that reg-files.img.
const (
	maxFiles     = 256 << 20 // bytes, some millions of files
	maxFileEntry = 1 << 20   // bytes
	regField     = 3         // of file_entry (fdinfo.proto)
	nameField    = 6         // of reg_file_entry (regfile.proto)
)

var errEmptyEntry = errors.New("an entry is empty")

// CheckNames refuses images of files whose names lead up, out of the container's root: CRIU opens them there, and makes those that are
// deleted, with their owner and mode. No dump has such a name, for the kernel has none.
func (d *Directory) CheckNames() error {
	for name, decode := range map[string]func([]byte) error{"files.img": checkFile, "reg-files.img": checkRegular} {
		f, err := d.open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		limited := &io.LimitedReader{R: f, N: maxFiles + 1}
		err = eachEntry(bufio.NewReader(limited), imageKind{of: "files", most: maxFileEntry}, decode)
		f.Close()
		if limited.N == 0 {
			err = unix.EFBIG
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", d.Within(name), err)
		}
	}
	return nil
}

// An imageKind is what an image must be like.
type imageKind struct {
	of    string // what its entries are
	magic uint32 // its second number; 0 if it may be any
	most  uint32 // bytes of an entry
}

// eachEntry reads an image, of which it has one entry at a time. One without a byte is none of CRIU's; a hole in a file would be millions of
// them.
func eachEntry(r io.Reader, kind imageKind, decode func([]byte) error) error {
	var magic struct{ Image, Kind uint32 }
	if err := binary.Read(r, binary.LittleEndian, &magic); err != nil || magic.Image != imageMagic || kind.magic != 0 && magic.Kind != kind.magic {
		return errors.Join(errors.New("it is no image of "+kind.of), err)
	}
	for {
		var size uint32
		err := binary.Read(r, binary.LittleEndian, &size)
		if err == io.EOF {
			return nil
		}
		if err == nil && size == 0 {
			err = errEmptyEntry
		}
		if err == nil && size > kind.most {
			err = unix.EFBIG
		}
		entry := make([]byte, min(size, kind.most))
		if err == nil {
			if _, err = io.ReadFull(r, entry); err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		if err == nil {
			err = decode(entry)
		}
		if err != nil {
			return err
		}
	}
}

func checkFile(entry []byte) error {
	return fields(entry, func(field int, _ uint64, b []byte) error {
		if field != regField || b == nil {
			return nil
		}
		return checkRegular(b)
	})
}

func checkRegular(entry []byte) error {
	return fields(entry, func(field int, _ uint64, b []byte) error {
		if field == nameField && leadsUp(string(b)) {
			return fmt.Errorf("the name of a file, %.256q, leads out of the container's root", b)
		}
		return nil
	})
}

// leadsUp says whether a path has a name "..", also where its first character is left out, which CRIU takes for the slash. To CRIU a path ends
// at a NUL.
func leadsUp(path string) bool {
	path, _, _ = strings.Cut(path, "\x00")
	return slices.Contains(strings.Split(path, "/"), "..") || path != "" && slices.Contains(strings.Split(path[1:], "/"), "..")
}
