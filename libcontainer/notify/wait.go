package notify

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// pace is how long await lets a container wait that sends and sends: its messages cost this process time that is not counted as the
// container's.
const pace = 5 // milliseconds

// await reports whether the container said READY=1 before done was closed or the process had ended. It may take as long as the
// container lives, with as many messages as that likes: there is one buffer.
func (p *Proxy) await(done <-chan struct{}) (ready bool, err error) {
	buf := make([]byte, 4096) // what systemd takes as a message, PIPE_BUF
	if p.watch < 0 {
		return p.drain(buf), nil
	}
	wake, err := wakeOn(done)
	if err != nil {
		return false, err
	}
	defer wake.close()

	fds := []unix.PollFd{
		{Fd: int32(p.sock), Events: unix.POLLIN},
		{Fd: int32(p.watch), Events: unix.POLLIN},
		{Fd: int32(wake.fd), Events: unix.POLLIN},
	}
	for {
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return false, fmt.Errorf("poll: %w", err)
		}
		// Both ends first, then the messages: what was sent before the end is seen.
		ended := fds[1].Revents != 0 || fds[2].Revents != 0
		if ready := p.drain(buf); ready || ended {
			return ready, nil
		}
		_, _ = unix.Poll(fds[1:], pace)
	}
}

// drain reads the messages that are there, but not for ever if the container sends and sends.
func (p *Proxy) drain(buf []byte) (ready bool) {
	for range 1024 {
		// No control data is taken: the kernel closes descriptors that come along, which is also what ends
		// a BARRIER=1 of the container.
		n, err := unix.Read(p.sock, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil { // EAGAIN: no more
			return false
		}
		if isReady(buf[:n]) {
			return true
		}
	}
	return false
}

// isReady reports whether a message (lines of KEY=VALUE, sd_notify(3)) says READY=1. It allocates nothing: there may be any number of
// messages, and rt does not collect garbage.
func isReady(message []byte) bool {
	for {
		end := bytes.IndexByte(message, '\n')
		if end < 0 {
			return string(message) == "READY=1"
		}
		if string(message[:end]) == "READY=1" {
			return true
		}
		message = message[end+1:]
	}
}

// waker makes the closing of a channel something that poll sees.
type waker struct {
	fd   int // eventfd
	quit chan struct{}
	idle chan struct{}
}

func wakeOn(done <-chan struct{}) (*waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	w := &waker{fd: fd, quit: make(chan struct{}), idle: make(chan struct{})}
	go func() {
		defer close(w.idle)
		select {
		case <-done:
			unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 1}) // not 0 in either byte order
		case <-w.quit:
		}
	}()
	return w, nil
}

func (w *waker) close() {
	close(w.quit)
	<-w.idle
	unix.Close(w.fd)
}
