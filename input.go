package main

import (
	"errors"
	"io"
	"os"
)

// maxInput is far more than any linux.resources or list of mounts has.
const maxInput = 16 << 20

// readInput reads a document that a command is given: a file, or - for standard input.
func (p *program) readInput(path string) ([]byte, error) {
	in := p.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(raw) > maxInput {
		err = errors.New("more than the limit of 16 MiB")
	}
	return raw, err
}
