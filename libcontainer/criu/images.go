package criu

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// A Directory is one of images or of work files. What is in it may have come from elsewhere, as in an archive: what rt reads or writes there it
// opens by name in the open directory, follows no link, and takes regular files only.
type Directory struct {
	*os.File
	Made    bool     // by rt, just now
	path    string   // absolute
	parents []string // of earlier pre-dumps
}

// Share lets a group into the directory, by the names that it knows: CRIU restores a user namespace as its root, who must reach
// the images.
func (d *Directory) Share(gid int) error {
	if err := unix.Fchown(int(d.Fd()), -1, gid); err != nil {
		return &os.PathError{Op: "chown", Path: d.path, Err: err}
	}
	if err := unix.Fchmod(int(d.Fd()), 0o710); err != nil {
		return &os.PathError{Op: "chmod", Path: d.path, Err: err}
	}
	return nil
}

// Reopen opens the same directory once more, in the mount namespace that the calling thread is in now.
func (d *Directory) Reopen() error {
	f, err := sys.Open(d.path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	var was, is unix.Stat_t
	if err := errors.Join(unix.Fstat(int(d.Fd()), &was), unix.Fstat(int(f.Fd()), &is)); err != nil || was.Dev != is.Dev || was.Ino != is.Ino {
		f.Close()
		return &os.PathError{Op: "open again", Path: d.path, Err: errors.Join(err, unix.ESTALE)}
	}
	d.File.Close()
	d.File = f
	return nil
}

// Within is the path of a name in the directory, for messages.
func (d *Directory) Within(name string) string { return filepath.Join(d.path, name) }

// open opens a regular file of the directory.
func (d *Directory) open(name string) (*os.File, error) {
	f, err := sys.OpenFile(int(d.Fd()), name, sys.Regular, unix.O_RDONLY|unix.O_NOFOLLOW, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	return f, nil
}

// write makes a file of the directory anew, whole or not at all. What had the name, be it a link, is replaced.
func (d *Directory) write(name string, data []byte) error {
	if err := sys.ReplaceFileAt(int(d.Fd()), name, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", d.Within(name), err)
	}
	return nil
}

// descriptorsFile has the container's first descriptors, as runc writes it too: a JSON array of strings.
const descriptorsFile = "descriptors.json"

// maxDescriptors bounds descriptorsFile.
const maxDescriptors = 64 << 10

// accessFile says how those descriptors were open: a JSON array of "r", "w", "rw" or "". runc knows no such file.
const accessFile = "descriptors-access.json"

// WriteDescriptors writes what the descriptors from 0 on of the container are, and how they are open.
func (d *Directory) WriteDescriptors(list, access []string) error {
	if err := d.writeList(descriptorsFile, list); err != nil {
		return err
	}
	return d.writeList(accessFile, access)
}

func (d *Directory) writeList(name string, list []string) error {
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return d.write(name, data)
}

// inheritable are the names of what can be inherited. It is compiled when it is asked for: checkpoint and restore alone need it.
var inheritable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(pipe:\[\d{1,20}\]|socket:\[\d{1,20}\]|file\[[0-9a-f]{1,8}:[0-9a-f]{1,16}\])$`)
})

// IsDescriptor says whether a text names a descriptor as CRIU does.
func IsDescriptor(text string) bool { return inheritable().MatchString(text) }

// ReadDescriptors reads what WriteDescriptors, or runc, has written. Only names of what can be inherited are kept; others become "".
func (d *Directory) ReadDescriptors() ([]string, error) {
	list, err := d.readList(descriptorsFile)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if !IsDescriptor(list[i]) {
			list[i] = ""
		}
	}
	return list, nil
}

// ReadAccess reads how the descriptors were open; nil if it was not written down.
func (d *Directory) ReadAccess() ([]string, error) {
	list, err := d.readList(accessFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

func (d *Directory) readList(name string) ([]string, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, fmt.Errorf("read the image's descriptors: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDescriptors+1))
	if err == nil && len(data) > maxDescriptors {
		err = unix.EFBIG
	}
	var list []string
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err == nil && len(list) > 3 {
		err = fmt.Errorf("%d descriptors: there are three", len(list))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.Within(name), err)
	}
	return list, nil
}

// Explain adds the log file to an error of CRIU's.
func (d *Directory) Explain(err error, log string) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	f, openErr := d.open(log)
	if openErr != nil {
		return err
	}
	defer f.Close()
	e.Log, e.Excerpt = d.Within(log), excerpt(f)
	return err
}

// What is quoted of a log.
const (
	quotedTail  = 256 << 10 // of the file's end, which is looked at
	quotedLines = 4
	quotedChars = 300
)

// excerpt are the last lines of a log that are errors; of one without such lines, the last ones.
func excerpt(f *os.File) (lines []string) {
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return nil
	}
	tail := make([]byte, min(st.Size(), quotedTail))
	n, _ := f.ReadAt(tail, st.Size()-int64(len(tail)))
	var all, errs []string
	for line := range bytes.Lines(tail[:n]) {
		text := strings.ToValidUTF8(string(bytes.TrimSpace(line)), "?")
		if len(text) > quotedChars {
			text = strings.ToValidUTF8(text[:quotedChars], "") + " ..."
		}
		if text == "" {
			continue
		}
		all = append(all, text)
		if strings.Contains(text, "Error (") {
			errs = append(errs, text)
		}
	}
	if len(errs) == 0 {
		return all[max(0, len(all)-quotedLines):]
	}
	return errs[max(0, len(errs)-quotedLines):]
}
