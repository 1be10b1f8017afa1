package bundle

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// UnknownFields warns of the properties of a config.json that the specification does not have: "Extensibility"
// in config.md has runtimes ignore them, but most are misspelt. Names in the wrong case and those given twice
// are errors: encoding/json would take the last one, and who looks at the document before may take
// another. It reads the document with a slow decoder of its own, and stops at the first syntax error,
// which Decode reports.
func UnknownFields(raw []byte) []Problem { return unknownFields(raw, reflect.TypeFor[specs.Spec]()) }

func unknownFields(raw []byte, t reflect.Type) []Problem {
	u := unknowns{d: json.NewDecoder(bytes.NewReader(raw)), cache: map[reflect.Type]map[string]reflect.Type{}}
	u.d.UseNumber()
	_ = u.value(t, nil)
	return u.done()
}

type unknowns struct {
	checker
	d     *json.Decoder
	cache map[reflect.Type]map[string]reflect.Type
}

// value reads one value that is decoded into type t; nil is for one that is not decoded at all. The
// recursion is as deep as the types are: what has no type is skipped in a loop.
func (u *unknowns) value(t reflect.Type, way []step) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	tok, err := u.d.Token()
	if err != nil {
		return err
	}
	kind := reflect.Invalid
	if t != nil {
		kind = t.Kind()
	}
	switch {
	case tok == json.Delim('{') && kind == reflect.Struct:
		return u.object(u.members(t), nil, way)
	case tok == json.Delim('{') && kind == reflect.Map:
		return u.object(nil, t.Elem(), way)
	case tok == json.Delim('[') && kind == reflect.Slice:
		return u.array(t.Elem(), way)
	case tok == json.Delim('{') || tok == json.Delim('['):
		return u.skip()
	}
	return nil
}

// object reads the members of a struct, or of a map if its element type is given.
func (u *unknowns) object(known map[string]reflect.Type, element reflect.Type, way []step) error {
	seen := map[string]bool{}
	for u.d.More() {
		tok, err := u.d.Token()
		if err != nil {
			return err
		}
		key := tok.(string)
		here := append(way, step{key: key})
		name, t := key, element
		if element == nil {
			name, t = u.member(known, key, here)
		}
		if seen[name] {
			u.fail(wayPointer("", here), "%s is given more than once", quote(key))
		}
		seen[name] = true
		if err := u.value(t, here); err != nil {
			return err
		}
	}
	_, err := u.d.Token() // the closing brace
	return err
}

// member finds the property that a key is decoded into, which encoding/json does without regard to case.
func (u *unknowns) member(known map[string]reflect.Type, key string, here []step) (string, reflect.Type) {
	if t, ok := known[key]; ok {
		return key, t
	}
	for name, t := range known { // no two names differ in case only
		if strings.EqualFold(name, key) {
			u.fail(wayPointer("", here), "is spelt %s in the specification, where names are case-sensitive", name)
			return name, t
		}
	}
	u.warn(wayPointer("", here), "unknown property %s is ignored", quote(key))
	return key, nil
}

func (u *unknowns) array(element reflect.Type, way []step) error {
	for i := 0; u.d.More(); i++ {
		if err := u.value(element, append(way, step{index: i, array: true})); err != nil {
			return err
		}
	}
	_, err := u.d.Token() // the closing bracket
	return err
}

// skip reads to the end of an object or array whose opening bracket has been read.
func (u *unknowns) skip() error {
	for depth := 1; depth > 0; {
		tok, err := u.d.Token()
		if err != nil {
			return err
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
}

// members returns the properties of a struct by their names in JSON.
func (u *unknowns) members(t reflect.Type) map[string]reflect.Type {
	if m, ok := u.cache[t]; ok {
		return m
	}
	m := make(map[string]reflect.Type)
	u.cache[t] = m
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			m[name] = f.Type
		}
	}
	return m
}
