package bundle

import (
	"bytes"
	"errors"
	"path"
	"reflect"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// DecodeMounts reads and checks mounts for the container that has the configuration spec: an array as in config.json. The
// pointers of the problems are relative to it. A document that is not such an array is a *DecodeError.
func DecodeMounts(raw []byte, spec *specs.Spec) ([]specs.Mount, []Problem, error) {
	list, err := decodeList(raw)
	if err != nil {
		return nil, nil, err
	}
	c := new(checker)
	if c.count("/mounts", "mounts", len(list), maxMounts) {
		return nil, c.relative("/mounts"), nil
	}
	ns := new(checker).namespaces(spec.Linux)
	c.noNUL(reflect.ValueOf(list), "/mounts")
	c.mounts(list, ns)
	return list, c.relative("/mounts"), nil
}

// DecodeDestinations reads such an array for its destinations alone.
func DecodeDestinations(raw []byte, _ *specs.Spec) ([]specs.Mount, []Problem, error) {
	list, err := decodeList(raw)
	if err != nil {
		return nil, nil, err
	}
	c := new(checker)
	if c.count("/mounts", "mounts", len(list), maxMounts) {
		return nil, c.relative("/mounts"), nil
	}
	for i := range list {
		m := &list[i]
		*m = specs.Mount{Destination: m.Destination}
		switch {
		case m.Destination == "":
			c.fail(at("/mounts", i, "destination"), "destination must not be empty")
		case !path.IsAbs(m.Destination):
			c.warn(at("/mounts", i, "destination"), "%s is not an absolute path: it is taken from /", quote(m.Destination))
		}
	}
	c.noNUL(reflect.ValueOf(list), "/mounts")
	return list, c.relative("/mounts"), nil
}

func decodeList(raw []byte) (list []specs.Mount, err error) {
	if text := bytes.TrimLeft(raw, " \t\r\n"); len(text) > 0 && text[0] != '[' {
		return nil, errors.New("decode mounts: the document must be an array of mounts")
	}
	err = decode("mounts", raw, &list)
	return list, err
}

// relative is what was found, with pointers into a part of the document.
func (c *checker) relative(pointer string) []Problem {
	problems := c.done()
	for i := range problems {
		problems[i].Pointer = strings.TrimPrefix(problems[i].Pointer, pointer)
	}
	return problems
}
