package cri

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/spdystream"
	"k8s.io/cri-api/pkg/apis/runtime/v1"
)

// A session is an exec or attach over SPDY, the protocol v4.channel.k8s.io: one stream for each of error, stdin, stdout,
// stderr and resize. client-go speaks it too, with some hundred packages.
type session struct {
	t      *testing.T
	conn   *spdystream.Connection
	stdin  *spdystream.Stream
	resize *spdystream.Stream

	mutex          sync.Mutex
	stdout, stderr bytes.Buffer
	readers        sync.WaitGroup
	result         chan error
}

// openSession asks the streaming server at the address that Exec or Attach gave.
func openSession(t *testing.T, address string, stdin, tty bool) *session {
	t.Helper()
	s := &session{t: t, result: make(chan error, 1)}
	s.conn = must[*spdystream.Connection](t, "upgrade to SPDY")(upgrade(address))
	t.Cleanup(func() { s.conn.Close() })
	go s.conn.Serve(spdystream.NoOpStreamHandler)
	failure := s.stream("error")
	go func() { s.result <- verdict(failure) }()
	if stdin {
		s.stdin = s.stream("stdin")
	}
	s.collect(s.stream("stdout"), &s.stdout)
	if tty {
		s.resize = s.stream("resize")
	} else {
		s.collect(s.stream("stderr"), &s.stderr)
	}
	return s
}

func upgrade(address string) (*spdystream.Connection, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", target.Host)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(http.MethodPost, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "SPDY/3.1")
	request.Header.Set("X-Stream-Protocol-Version", "v4.channel.k8s.io")
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, errors.New(response.Status)
	}
	return spdystream.NewConnection(conn, false)
}

func (s *session) stream(kind string) *spdystream.Stream {
	s.t.Helper()
	stream, err := s.conn.CreateStream(http.Header{"streamtype": {kind}}, nil, false)
	if err == nil {
		err = stream.Wait()
	}
	if err != nil {
		s.t.Fatalf("stream %s: %v", kind, err)
	}
	return stream
}

func (s *session) collect(from io.Reader, into *bytes.Buffer) {
	s.readers.Go(func() {
		buffer := make([]byte, 4096)
		for {
			n, err := from.Read(buffer)
			s.mutex.Lock()
			into.Write(buffer[:n])
			s.mutex.Unlock()
			if err != nil {
				return
			}
		}
	})
}

// An exitError is the exit code of the command.
type exitError string

func (e exitError) Error() string { return "exit code " + string(e) }

// verdict is what the error stream says in the end: nothing, or a status of the API machinery as JSON.
func verdict(stream io.Reader) error {
	text, err := io.ReadAll(stream)
	if err != nil || len(text) == 0 {
		return err
	}
	var status struct {
		Status, Reason, Message string
		Details                 struct {
			Causes []struct{ Reason, Message string }
		}
	}
	switch err := json.Unmarshal(text, &status); {
	case err != nil:
		return fmt.Errorf("%w in %q", err, text)
	case status.Status == "Success":
		return nil
	case status.Reason == "NonZeroExitCode" && len(status.Details.Causes) == 1:
		return exitError(status.Details.Causes[0].Message)
	}
	return errors.New(status.Message)
}

func (s *session) write(text string) {
	s.t.Helper()
	if _, err := s.stdin.Write([]byte(text)); err != nil {
		s.t.Fatalf("write to stdin: %v", err)
	}
}

// size sets the terminal's.
func (s *session) size(width, height uint16) {
	s.t.Helper()
	if err := json.NewEncoder(s.resize).Encode(map[string]uint16{"Width": width, "Height": height}); err != nil {
		s.t.Fatalf("resize: %v", err)
	}
}

// output is what has come so far.
func (s *session) output() (stdout, stderr string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.stdout.String(), s.stderr.String()
}

func (s *session) said(text string) func() bool {
	return func() bool {
		stdout, _ := s.output()
		return strings.Contains(stdout, text)
	}
}

// wait is for the end of the command: all its output, and the exit code as an error.
func (s *session) wait() (stdout, stderr string, err error) {
	s.t.Helper()
	select {
	case err = <-s.result:
	case <-time.After(20 * time.Second):
		s.t.Fatal("the session has not ended within 20 s")
	}
	s.readers.Wait()
	stdout, stderr = s.output()
	return stdout, stderr, err
}

// exec is a command in a container with streams.
func (c *container) exec(stdin, tty bool, command ...string) *session {
	c.Helper()
	response := must[*v1.ExecResponse](c, "Exec")(c.runtime.Exec(c.Context(),
		&v1.ExecRequest{ContainerId: c.id, Cmd: command, Stdin: stdin, Stdout: true, Stderr: !tty, Tty: tty}))
	return openSession(c.T, response.Url, stdin, tty)
}

func (c *container) attach(stdin, tty bool) *session {
	c.Helper()
	response := must[*v1.AttachResponse](c, "Attach")(c.runtime.Attach(c.Context(),
		&v1.AttachRequest{ContainerId: c.id, Stdin: stdin, Stdout: true, Stderr: !tty, Tty: tty}))
	return openSession(c.T, response.Url, stdin, tty)
}
