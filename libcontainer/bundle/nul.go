package bundle

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
)

// A NUL byte ends every string the kernel is given: "/safe\x00/../evil" would be checked as one path and
// used as another, and a netlink or mount option string would be cut (CVE-2021-43784 was of this class).

// mayHoldNUL says whether a JSON document can decode to a string with a NUL byte: a raw one is a syntax
// error, so only this escape can make one.
func mayHoldNUL(raw []byte) bool {
	return len(raw) == 0 || bytes.Contains(raw, []byte(`\u0000`))
}

// A step is one part of the way to a value: a key or, in an array, an index.
type step struct {
	key   string
	index int
	array bool
}

// noNUL looks at every string, in keys too, that can be reached from v. base is v's pointer.
func (c *checker) noNUL(v reflect.Value, base string) { c.walk(v, base, make([]step, 0, 8)) }

func (c *checker) walk(v reflect.Value, base string, way []step) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.walk(v.Elem(), base, way)
		}
	case reflect.String:
		if strings.IndexByte(v.String(), 0) >= 0 {
			c.fail(wayPointer(base, way), "must not contain a NUL byte")
		}
	case reflect.Slice, reflect.Array:
		if !mayHoldStrings(v.Type().Elem()) {
			return
		}
		for i := range v.Len() {
			c.walk(v.Index(i), base, append(way, step{index: i, array: true}))
		}
	case reflect.Map:
		c.walkMap(v, base, way)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !mayHoldStrings(f.Type) {
				continue
			}
			if f.Anonymous {
				c.walk(v.Field(i), base, way) // its members are the outer object's
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			c.walk(v.Field(i), base, append(way, step{key: name}))
		}
	}
}

func (c *checker) walkMap(v reflect.Value, base string, way []step) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range keys {
		here := append(way, step{key: k.String()})
		if strings.IndexByte(k.String(), 0) >= 0 {
			c.fail(wayPointer(base, here), "the name must not contain a NUL byte")
		}
		c.walk(v.MapIndex(k), base, here)
	}
}

func mayHoldStrings(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
		return true
	}
	return false
}

func wayPointer(base string, way []step) string {
	parts := make([]any, 0, len(way))
	for _, s := range way {
		if s.array {
			parts = append(parts, s.index)
		} else {
			parts = append(parts, s.key)
		}
	}
	return at(base, parts...)
}
