// Package dbustest is a D-Bus peer for tests: it takes calls and answers what the test says. Its encoding is written
// apart from the client's, so that the two check each other.
package dbustest

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A Call is one that the server got. Strings are the texts of its body, in their order: names of units and
// properties.
type Call struct {
	Member  string
	Path    string
	Strings []string
	Body    []byte
}

// An Answer is a message that the server sends. Values are of string ("s"), Path ("o"), uint32 ("u") and Variant ("v").
type Answer struct {
	Error  string // name of the error, if it is one
	Signal string // name of the signal, if it is one
	Sender string // as a message bus says it
	Values []any
	Raw    []byte // these bytes instead
	Hangup bool   // close the connection instead
}

// Path and Variant of a text are other types than a string.
type (
	Path    string
	Variant string
)

// A Server answers at Address.
type Server struct {
	Address string
	mu      sync.Mutex
	calls   []Call
}

// Serve starts a server that ends with the test. answer is asked for each call; nothing means silence.
func Serve(t testing.TB, answer func(Call) []Answer) *Server {
	t.Helper()
	name := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &Server{Address: "unix:path=" + name}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn, answer)
		}
	}()
	return s
}

// Calls are the members that have been called so far.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Members are the names of Calls.
func (s *Server) Members() string {
	var names []string
	for _, c := range s.Calls() {
		names = append(names, c.Member)
	}
	return strings.Join(names, " ")
}

func (s *Server) serve(conn net.Conn, answer func(Call) []Answer) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	if b, err := r.ReadByte(); err != nil || b != 0 {
		return
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch strings.TrimSpace(line) {
		case "AUTH EXTERNAL":
			_, _ = io.WriteString(conn, "DATA\r\n")
		case "DATA":
			_, _ = io.WriteString(conn, "OK 0123456789abcdef0123456789abcdef\r\n")
		case "BEGIN":
			s.messages(conn, r, answer)
			return
		}
	}
}

func (s *Server) messages(conn net.Conn, r io.Reader, answer func(Call) []Answer) {
	for {
		head := make([]byte, 16)
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		u32 := binary.LittleEndian.Uint32
		fields := make([]byte, (u32(head[12:])+7)/8*8)
		body := make([]byte, u32(head[4:]))
		if _, err := io.ReadFull(r, fields); err != nil {
			return
		}
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		call := Call{Member: field(fields, 3), Path: field(fields, 1), Body: body, Strings: texts(body)}
		s.mu.Lock()
		s.calls = append(s.calls, call)
		s.mu.Unlock()
		for _, a := range answer(call) {
			if a.Hangup {
				return
			}
			if _, err := conn.Write(a.encode(u32(head[8:]))); err != nil {
				return
			}
		}
	}
}

// field finds a text among the header's fields: code, signature "s" or "o", length, text.
func field(fields []byte, code byte) string {
	for at := 0; at+8 <= len(fields); at = (at + 7) / 8 * 8 {
		if fields[at] == 0 {
			break
		}
		kind, n := fields[at+2], 0
		if kind == 'g' {
			at += 4 + 1 + int(fields[at+4]) + 1
			continue
		}
		if n = int(binary.LittleEndian.Uint32(fields[at+4:])); fields[at] == code {
			return string(fields[at+8 : at+8+n])
		}
		at += 8 + n + 1
	}
	return ""
}

// texts finds what looks like strings in a body: printable, with the right length before and a NUL after.
func texts(body []byte) (list []string) {
	for at := 0; at+5 <= len(body); at += 4 {
		n := int(binary.LittleEndian.Uint32(body[at:]))
		if n < 1 || n > len(body)-at-5 || body[at+4+n] != 0 {
			continue
		}
		text := string(body[at+4 : at+4+n])
		if strings.Trim(text, "\x00") == text && strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) < 0 {
			list = append(list, text)
		}
	}
	return list
}

func (a *Answer) encode(serial uint32) []byte {
	if a.Raw != nil {
		return a.Raw
	}
	sig, body := "", []byte(nil)
	for _, v := range a.Values {
		switch v := v.(type) {
		case string:
			sig, body = sig+"s", text(body, v)
		case Path:
			sig, body = sig+"o", text(body, string(v))
		case uint32:
			sig, body = sig+"u", binary.LittleEndian.AppendUint32(pad(body, 4), v)
		case Variant:
			sig, body = sig+"v", text(append(body, 1, 's', 0), string(v))
		}
	}
	kind := byte(2)
	var fields []byte
	named := func(code byte, kind byte, value string) {
		fields = text(append(pad(fields, 8), code, 1, kind, 0), value)
	}
	switch {
	case a.Signal != "":
		kind = 4
		named(1, 'o', "/org/freedesktop/systemd1")
		named(2, 's', "org.freedesktop.systemd1.Manager")
		named(3, 's', a.Signal)
	case a.Error != "":
		kind = 3
		named(4, 's', a.Error)
	}
	if a.Sender != "" {
		named(7, 's', a.Sender)
	}
	if kind != 4 {
		fields = binary.LittleEndian.AppendUint32(append(pad(fields, 8), 5, 1, 'u', 0), serial)
	}
	if sig != "" {
		fields = append(append(append(pad(fields, 8), 8, 1, 'g', 0, byte(len(sig))), sig...), 0)
	}
	b := []byte{'l', kind, 0, 1}
	for _, n := range []int{len(body), 7, len(fields)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return append(pad(append(b, fields...), 8), body...)
}

func pad(b []byte, n int) []byte {
	for len(b)%n != 0 {
		b = append(b, 0)
	}
	return b
}

func text(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(pad(b, 4), uint32(len(s)))
	return append(append(b, s...), 0)
}
