package bundle

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"rt/internal/text"
)

// at builds a JSON pointer (RFC 6901): base, which is a pointer already, then keys (string) and array
// indexes (int). Keys are escaped, and shortened if they are absurdly long.
func at(base string, parts ...any) string {
	var b strings.Builder
	b.WriteString(base)
	for _, p := range parts {
		b.WriteByte('/')
		switch p := p.(type) {
		case string:
			b.WriteString(text.PointerToken(short(p)))
		case int:
			b.WriteString(strconv.Itoa(p))
		}
	}
	return b.String()
}

// position turns a byte offset into a line and a column, both from 1, the column in bytes.
func position(raw []byte, offset int) (line, column int) {
	before := raw[:min(max(offset, 0), len(raw))]
	return 1 + bytes.Count(before, []byte{'\n'}), len(before) - bytes.LastIndexByte(before, '\n')
}

// A frame is one object or array that a token stream is inside of.
type frame struct {
	array bool
	index int    // of the current element
	key   string // of the current member
	value bool   // in an object: the next token is a value, not a key
}

// pointerAt finds the value that the byte before offset belongs to, and returns its JSON pointer. It
// reads the document once more, which only a document that is refused costs.
func pointerAt(raw []byte, offset int64) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // a number that fits no float64 is still a token
	var stack []frame
	for {
		tok, err := d.Token()
		if err != nil {
			return ""
		}
		delim, isDelim := tok.(json.Delim)
		if isDelim && (delim == '}' || delim == ']') {
			stack = stack[:len(stack)-1]
		} else if isKey(stack) {
			stack[len(stack)-1].key, stack[len(stack)-1].value = tok.(string), true
			continue
		}
		if d.InputOffset() >= offset {
			return pointerOf(stack)
		}
		if delim == '{' || delim == '[' {
			stack = append(stack, frame{array: delim == '['})
			continue
		}
		if len(stack) > 0 {
			top := &stack[len(stack)-1]
			top.index++
			top.value = false
		}
	}
}

func isKey(stack []frame) bool {
	return len(stack) > 0 && !stack[len(stack)-1].array && !stack[len(stack)-1].value
}

func pointerOf(stack []frame) string {
	parts := make([]any, 0, len(stack))
	for _, f := range stack {
		if f.array {
			parts = append(parts, f.index)
		} else {
			parts = append(parts, f.key)
		}
	}
	return at("", parts...)
}
