package main

import (
	"os"
	"sync"
)

// An outputPipe is a pipe for a command's output, as engines have it: rt copies what goes to a file. What a detached container
// holds open need not come to its end.
type outputPipe struct {
	r, w *os.File
	mu   sync.Mutex
	text []byte
}

func newOutputPipe() (*outputPipe, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &outputPipe{r: r, w: w}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			o.mu.Lock()
			o.text = append(o.text, buf[:n]...)
			o.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return o, nil
}

// String is what has been read so far, for an error.
func (o *outputPipe) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

func (o *outputPipe) close() {
	o.w.Close()
	o.r.Close()
}
