// Package bundle reads and checks an OCI bundle's config.json and process.json. It runs outside the
// container, in the rt process, and decides everything that can be decided without touching the host.
package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"rt/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A Bundle is a decoded config.json and where it was found. Spec must be what Raw decodes to; leave Raw
// nil for a Spec that was made or changed by hand.
type Bundle struct {
	Dir  string      // absolute, symlink-free path of the bundle directory
	Raw  []byte      // config.json, byte for byte
	Spec *specs.Spec // decoded
}

// A Problem is one thing that is wrong with a configuration.
type Problem struct {
	Pointer string `json:"pointer"`           // JSON pointer (RFC 6901) into config.json, "" for the whole document
	Text    string `json:"text"`              // what is wrong, lower case, no full stop
	Hint    string `json:"hint,omitempty"`    // what to do about it, where that is known
	Warning bool   `json:"warning,omitempty"` // true: the container still runs
}

// missingConfig is what Load returns for a bundle without config.json. Engines and scripts match the text.
type missingConfig struct{}

func (missingConfig) Error() string { return "JSON specification file config.json not found" }
func (missingConfig) Unwrap() error { return fs.ErrNotExist }

// Load reads dir/config.json (bundle.md); dir "" is the current directory. It does not check what the
// configuration says: that is Check. A missing config.json is an error that is fs.ErrNotExist, one that
// is not a regular file of at most 16 MiB is refused, and malformed JSON is a *DecodeError.
func Load(dir string) (*Bundle, error) { return LoadFile(dir, "") }

// LoadFile is Load with another file than config.json, relative to the bundle unless it is absolute.
func LoadFile(dir, file string) (*Bundle, error) {
	resolved, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	switch {
	case file == "":
		file = filepath.Join(resolved, "config.json")
	case !filepath.IsAbs(file):
		file = filepath.Join(resolved, file)
	}
	raw, err := readBounded(file, sys.Regular)
	if errors.Is(err, fs.ErrNotExist) && file == filepath.Join(resolved, "config.json") {
		return nil, missingConfig{}
	}
	if err != nil {
		return nil, err
	}
	spec, err := decodeNew(raw)
	if err != nil {
		return nil, err
	}
	return &Bundle{Dir: resolved, Raw: raw, Spec: spec}, nil
}

// LoadProcess reads a process.json, the `process` object of config.md, from a regular file or a pipe
// (as the shell's <(...) makes it) of at most 16 MiB. own is the container's: what confines and limits that holds for
// this one, too, where it says nothing of it. It does not check it: that is CheckProcess.
func LoadProcess(path string, own *specs.Process) (*specs.Process, error) {
	raw, err := readBounded(path, sys.Regular|sys.FIFO)
	if err != nil {
		return nil, err
	}
	p, err := DecodeProcess(raw)
	if err == nil && own != nil {
		inherit(p, own, raw)
	}
	return p, err
}

// resolve makes the bundle's path absolute and free of symbolic links, so that what is recorded in the
// state stays true when the caller's directory or a link changes.
func resolve(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return "", fmt.Errorf("open bundle %s: %w", quote(dir), err)
	}
	return abs, nil
}
