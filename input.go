package main

import (
	"errors"
	"io"

	"rt/internal/sys"
)

// maxInput is far more than any linux.resources or list of mounts has.
const maxInput = 16 << 20

// readInput reads a document that a command is given: a file, or - for standard input.
func (p *program) readInput(path string) ([]byte, error) {
	if path != "-" {
		return sys.ReadNamed(path, sys.Regular|sys.FIFO, maxInput)
	}
	raw, err := io.ReadAll(io.LimitReader(p.stdin, maxInput+1))
	if err == nil && len(raw) > maxInput {
		err = errors.New("more than the limit of 16 MiB")
	}
	return raw, err
}
