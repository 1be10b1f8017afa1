package bundle

import (
	"errors"
	"io/fs"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// maxFile is the most that is read of a configuration: real ones have 5 to 100 KiB, and what is read is
// held in memory several times over.
const maxFile = 16 << 20

// readBounded reads a whole file of at most maxFile bytes. A bundle may be anybody's: what is no file of these kinds is not
// opened.
func readBounded(path string, kinds sys.Kinds) ([]byte, error) {
	raw, err := sys.ReadNamed(path, kinds, maxFile)
	if errors.Is(err, unix.EFBIG) {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("more than the limit of 16 MiB")}
	}
	return raw, err
}
