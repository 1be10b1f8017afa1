package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A DecodeError says where a configuration is not the JSON that it should be.
type DecodeError struct {
	File         string // "config.json" or "process.json"
	Pointer      string // JSON pointer of the value of a wrong type; "" if the JSON itself is broken
	Line, Column int    // from 1, the column in bytes
	Offset       int64  // in bytes
	Text         string // what is wrong there
	Err          error  // of encoding/json, or io.ErrUnexpectedEOF for a document that ends too early
}

func (e *DecodeError) Error() string {
	where := fmt.Sprintf("decode %s: line %d column %d (byte %d)", e.File, e.Line, e.Column, e.Offset)
	if e.Pointer != "" {
		where += ": " + printable(e.Pointer)
	}
	return where + ": " + e.Text
}

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }

// Decode decodes a config.json. Unknown properties are ignored, as the specification demands ("Extensibility"
// in config.md); UnknownFields lists them. Every error is a *DecodeError.
//
// Linux, Linux.Resources and Hooks are never nil: a section that is missing, or null, is one in which nothing is set. Process
// and Root are nil only where Check complains of it. Nothing changes the result later.
func Decode(raw []byte) (*specs.Spec, error) {
	s, err := decodeAll(raw)
	if err == nil {
		Normalise(s)
	}
	return s, err
}

// Normalise makes the sections that are never nil, as Decode does, of a configuration that was not decoded. It returns s.
func Normalise(s *specs.Spec) *specs.Spec {
	if s.Linux == nil {
		s.Linux = new(specs.Linux)
	}
	if s.Linux.Resources == nil {
		s.Linux.Resources = new(specs.LinuxResources)
	}
	if s.Hooks == nil {
		s.Hooks = new(specs.Hooks)
	}
	return s
}

func decodeAll(raw []byte) (*specs.Spec, error) {
	if s, ok := plainSpec(raw); ok {
		return s, nil
	}
	s := new(specs.Spec)
	d := document{Spec: s}
	if err := decode("config.json", raw, &d); err != nil {
		return nil, err
	}
	if d.foreign() {
		if err := decode("config.json", raw, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// A document is a Spec whose sections for other platforms are left alone. Before it decodes anything
// encoding/json prepares every type that a document could hold, at each start of the process, and half of
// the types are theirs: a quarter of the whole time. A document that does have one of the sections is
// decoded again, with all types.
type document struct {
	*specs.Spec
	Solaris json.RawMessage `json:"solaris"`
	Windows json.RawMessage `json:"windows"`
	VM      json.RawMessage `json:"vm"`
	ZOS     json.RawMessage `json:"zos"`
	FreeBSD json.RawMessage `json:"freebsd"`
}

func (d *document) foreign() bool {
	return len(d.Solaris)+len(d.Windows)+len(d.VM)+len(d.ZOS)+len(d.FreeBSD) > 0
}

// DecodeProcess decodes a process.json. Every error is a *DecodeError.
func DecodeProcess(raw []byte) (*specs.Process, error) {
	if p, ok := plainProcess(raw); ok {
		return p, nil
	}
	p := new(specs.Process)
	if err := decode("process.json", raw, p); err != nil {
		return nil, err
	}
	if err := Join(unknownFields(raw, reflect.TypeFor[specs.Process]())); err != nil {
		return nil, err
	}
	return p, nil
}

// decodeNew is Decode of a document that somebody else has written: each property has one name, and is there once.
func decodeNew(raw []byte) (*specs.Spec, error) {
	spec, err := Decode(raw)
	if err != nil {
		return nil, err
	}
	if _, plain := plainSpec(raw); plain {
		return spec, nil
	}
	return spec, Join(UnknownFields(raw))
}

func decode(file string, raw []byte, into any) error {
	// encoding/json takes a bare null for any type, and leaves the zero value
	first := bytes.TrimLeft(raw, " \t\r\n")
	if len(first) > 0 && first[0] == 'n' {
		return fault(file, raw, errors.New("the document must be an object"))
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fault(file, raw, err)
	}
	return nil
}

// fault says in the terms of the document what encoding/json says in those of Go.
func fault(file string, raw []byte, err error) error {
	e := &DecodeError{File: file, Text: err.Error(), Err: err}
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case len(bytes.TrimSpace(raw)) == 0:
		e.Text, e.Err = "the file is empty", io.ErrUnexpectedEOF
	case bytes.HasPrefix(raw, []byte("\xef\xbb\xbf")):
		e.Text = "the file starts with a byte order mark, which JSON does not have (RFC 8259 section 8.1)"
	case errors.As(err, &wrong):
		e.Offset = max(wrong.Offset-1, 0) // the value's last byte, or its opening bracket
		e.Pointer = pointerAt(raw, wrong.Offset)
		e.Text = fmt.Sprintf("is %s, must be %s", given(wrong.Value), wanted(wrong.Type))
	case errors.As(err, &syntax) && endsEarly(raw, syntax):
		e.Offset, e.Text, e.Err = syntax.Offset, "the document ends too early: is the file truncated?", io.ErrUnexpectedEOF
	case errors.As(err, &syntax):
		e.Offset = max(syntax.Offset-1, 0) // Offset counts the offending byte
	}
	e.Line, e.Column = position(raw, int(e.Offset))
	return e
}

// endsEarly: at the end encoding/json adds a space to see whether that completes the document. Within a
// literal or a number it then complains of that space, which the document does not have.
func endsEarly(raw []byte, err *json.SyntaxError) bool {
	if err.Error() == "unexpected end of JSON input" {
		return true
	}
	return strings.HasPrefix(err.Error(), "invalid character ' ' ") && int(err.Offset) == len(raw) && raw[len(raw)-1] != ' '
}

// given puts an article before encoding/json's word for what a value is, for example "number -1".
func given(value string) string {
	if value == "array" || value == "object" {
		return "an " + value
	}
	return "a " + short(value)
}

// wanted is the JSON that a Go type is decoded from.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		top := int64(math.MaxInt64) >> (64 - t.Bits())
		return fmt.Sprintf("a whole number from %d to %d", -top-1, top)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-t.Bits()))
	}
	return "an object"
}
