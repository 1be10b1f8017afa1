package main

import (
	"bytes"
	"io"
	"sync"
)

// A shared output takes whole lines from several guests.
type shared struct {
	mu sync.Mutex
	to io.Writer
}

// of is the output for one guest. A name goes before each line.
func (s *shared) of(name string) io.Writer { return &part{shared: s, name: name} }

type part struct {
	shared *shared
	name   string
	rest   []byte // of an incomplete line
}

func (p *part) Write(text []byte) (int, error) {
	p.rest = append(p.rest, text...)
	end := bytes.LastIndexByte(p.rest, '\n') + 1
	var out []byte
	for line := range bytes.Lines(p.rest[:end]) {
		if p.name != "" {
			out = append(append(out, p.name...), ": "...)
		}
		out = append(out, line...)
	}
	p.rest = append([]byte(nil), p.rest[end:]...)
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	if _, err := p.shared.to.Write(out); err != nil {
		return 0, err
	}
	return len(text), nil
}
