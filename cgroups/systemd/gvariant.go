package systemd

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"rt/internal/dbus"
)

// The text form of GVariant, as far as properties of units need it: booleans, numbers, strings, arrays and tuples of
// them; types are given by a keyword ("uint64 5") or a signature ("@as []"). Without either an integer is an int32,
// as GVariant has it. Dictionaries, variants, maybe types and byte strings are not understood.

// keyword is the signature that a type's name stands for, "" for any other word.
func keyword(word string) string {
	for i, name := range [...]string{"boolean", "byte", "int16", "uint16", "int32", "uint32", "int64", "uint64",
		"double", "string", "objectpath", "signature"} {
		if name == word {
			return "bynqiuxtdsog"[i : i+1]
		}
	}
	return ""
}

// maxNesting bounds the recursion; D-Bus allows 32 arrays and 32 structures.
const maxNesting = 16

func parseVariant(text string) (v dbus.Value, err error) {
	p := variantText{rest: text}
	if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		return nil, errors.New("the value is not text")
	}
	v, err = p.value("", 0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, fmt.Errorf("unexpected %q after the value", p.rest)
	}
	return v, nil
}

// A variantText is what is left of a text.
type variantText struct{ rest string }

func (p *variantText) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// token takes one of the characters.
func (p *variantText) token(c byte) bool {
	p.space()
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// word takes letters, digits and what numbers are made of.
func (p *variantText) word() string {
	end := 0
	for end < len(p.rest) {
		c := p.rest[end]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.') {
			break
		}
		end++
	}
	w := p.rest[:end]
	p.rest = p.rest[end:]
	return w
}

// value parses a value. of is the signature that it must have, "" for any.
func (p *variantText) value(of string, depth int) (dbus.Value, error) {
	p.space()
	switch {
	case depth > maxNesting:
		return nil, errors.New("the value is nested too deeply")
	case p.rest == "":
		return nil, errors.New("a value is missing")
	case p.token('@'):
		return p.typed(of, depth)
	case p.token('['):
		return p.array(of, depth)
	case p.token('('):
		return p.tuple(of, depth)
	case p.rest[0] == '\'' || p.rest[0] == '"':
		text, err := p.quoted()
		if err != nil {
			return nil, err
		}
		return ofText(text, of)
	}
	w := p.word()
	if sig := keyword(w); sig != "" {
		if of != "" && of != sig {
			return nil, mismatch(sig, of)
		}
		return p.value(sig, depth+1)
	}
	switch w {
	case "":
		return nil, fmt.Errorf("unexpected %q", p.rest)
	case "true", "false":
		if of != "" && of != "b" {
			return nil, mismatch("b", of)
		}
		return dbus.Bool(w == "true"), nil
	}
	return numeral(w, of)
}

func mismatch(got, want string) error {
	return fmt.Errorf("a value of type %q where one of %q is expected", got, want)
}

// typed is what follows an @.
func (p *variantText) typed(of string, depth int) (dbus.Value, error) {
	end := strings.IndexAny(p.rest, " \t\r\n")
	if end < 0 {
		return nil, errors.New("a value is missing after its type")
	}
	sig := p.rest[:end]
	p.rest = p.rest[end:]
	if rest, ok := oneType(sig, 0); !ok || rest != "" {
		return nil, fmt.Errorf("unknown type %q", sig)
	}
	if of != "" && of != sig {
		return nil, mismatch(sig, of)
	}
	return p.value(sig, depth+1)
}

// oneType takes one type off a signature.
func oneType(sig string, depth int) (rest string, ok bool) {
	if sig == "" || depth > maxNesting {
		return "", false
	}
	switch c := sig[0]; {
	case strings.IndexByte("bynqiuxtdsog", c) >= 0:
		return sig[1:], true
	case c == 'a':
		return oneType(sig[1:], depth+1)
	case c == '(':
		for rest = sig[1:]; !strings.HasPrefix(rest, ")"); {
			if rest, ok = oneType(rest, depth+1); !ok {
				return "", false
			}
		}
		return rest[1:], len(rest) < len(sig)-1
	}
	return "", false
}

// items parses what stands between brackets; of gives the type of the i-th, "" for any.
func (p *variantText) items(end byte, of func(i int) (string, error), depth int) ([]dbus.Value, error) {
	var list []dbus.Value
	for {
		if p.token(end) {
			return list, nil // also after a comma, as in the tuple (1,)
		}
		want, err := of(len(list))
		if err != nil {
			return nil, err
		}
		v, err := p.value(want, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if !p.token(',') && !strings.HasPrefix(p.rest, string(end)) {
			return nil, fmt.Errorf("expected %q or \",\" before %q", end, p.rest)
		}
	}
}

// array: all items are of the first's type.
func (p *variantText) array(of string, depth int) (dbus.Value, error) {
	item := ""
	if of != "" {
		if of[0] != 'a' {
			return nil, mismatch("a", of)
		}
		item = of[1:]
	}
	known := item != ""
	list, err := p.items(']', func(int) (string, error) { return item, nil }, depth)
	if err != nil {
		return nil, err
	}
	if !known {
		if len(list) == 0 {
			return nil, errors.New("an empty array needs its type, as in @as []")
		}
		item = list[0].Signature()
		for _, v := range list {
			if v.Signature() != item {
				return nil, mismatch(v.Signature(), item)
			}
		}
	}
	return dbus.Array{Of: item, Items: list}, nil
}

func (p *variantText) tuple(of string, depth int) (dbus.Value, error) {
	var types []string
	if of != "" {
		if of[0] != '(' {
			return nil, mismatch("()", of)
		}
		for rest := of[1 : len(of)-1]; rest != ""; {
			after, _ := oneType(rest, 0)
			types = append(types, rest[:len(rest)-len(after)])
			rest = after
		}
	}
	list, err := p.items(')', func(i int) (string, error) {
		switch {
		case of == "":
			return "", nil
		case i < len(types):
			return types[i], nil
		}
		return "", errors.New("too many members of a tuple")
	}, depth)
	if err == nil && (len(list) == 0 || of != "" && len(list) != len(types)) {
		err = errors.New("too few members of a tuple")
	}
	if err != nil {
		return nil, err
	}
	return dbus.Struct(list), nil
}

func ofText(text, of string) (dbus.Value, error) {
	switch of {
	case "", "s":
		return dbus.String(text), nil
	case "o":
		if !validPath(text) {
			return nil, fmt.Errorf("%q is not an object path", text)
		}
		return dbus.ObjectPath(text), nil
	case "g":
		rest, ok := text, true
		for rest != "" && ok {
			rest, ok = oneType(rest, 0)
		}
		if !ok || len(text) > 255 {
			return nil, fmt.Errorf("%q is not a signature", text)
		}
		return dbus.Signature(text), nil
	}
	return nil, mismatch("s", of)
}

func validPath(text string) bool {
	if text == "/" {
		return true
	}
	for _, part := range strings.Split(text, "/")[1:] {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
			return false
		}
	}
	return strings.HasPrefix(text, "/")
}

// quoted takes a string with the escapes of C (and \u and \U).
func (p *variantText) quoted() (string, error) {
	quote := p.rest[0]
	var b strings.Builder
	rest := p.rest[1:]
	for rest != "" && rest[0] != quote {
		if rest[0] != '\\' {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		n, r, err := unescape(rest[1:])
		if err != nil {
			return "", err
		}
		b.WriteRune(r)
		rest = rest[1+n:]
	}
	if rest == "" {
		return "", errors.New("the closing quote is missing")
	}
	p.rest = rest[1:]
	return b.String(), nil
}

// unescape reads what follows a backslash: how many bytes it is, and what it stands for.
func unescape(s string) (n int, r rune, err error) {
	if s == "" {
		return 0, 0, errors.New("the closing quote is missing")
	}
	if i := strings.IndexByte("abfnrtv", s[0]); i >= 0 {
		return 1, rune("\a\b\f\n\r\t\v"[i]), nil
	}
	digits := 4
	switch s[0] {
	case 'u':
	case 'U':
		digits = 8
	default:
		r, n = utf8.DecodeRuneInString(s)
		return n, r, nil
	}
	if len(s) > digits {
		code, err := strconv.ParseUint(s[1:1+digits], 16, 32)
		if err == nil && code != 0 && code <= utf8.MaxRune && utf8.ValidRune(rune(code)) {
			return 1 + digits, rune(code), nil
		}
	}
	return 0, 0, fmt.Errorf("invalid escape \\%s", s[:min(len(s), 1+digits)])
}

// numeral parses a number: decimal, 0x hexadecimal or 0 octal; one with a point or an exponent is a double.
func numeral(w, of string) (dbus.Value, error) {
	digits := strings.TrimLeft(w, "+-")
	if digits == "" || strings.IndexByte("0123456789.", digits[0]) < 0 {
		return nil, fmt.Errorf("%q is not a value (a text needs quotes: '%s')", w, w)
	}
	if hex := strings.HasPrefix(digits, "0x"); of == "d" || of == "" && !hex && strings.ContainsAny(w, ".eE") {
		f, err := strconv.ParseFloat(w, 64)
		if err != nil || hex || math.IsInf(f, 0) {
			return nil, fmt.Errorf("%q is not a number", w)
		}
		return dbus.Double(f), nil
	}
	switch of {
	case "y", "q", "u", "t":
		return unsigned(strings.TrimPrefix(w, "+"), of)
	case "", "n", "i", "x":
		return signed(w, of)
	}
	return nil, mismatch("number", of)
}

// width of an integer type in bits.
func width(of string) int {
	switch of {
	case "y":
		return 8
	case "n", "q":
		return 16
	case "x", "t":
		return 64
	}
	return 32
}

func unsigned(w, of string) (dbus.Value, error) {
	n, err := strconv.ParseUint(w, 0, width(of))
	if err != nil {
		return nil, numberError(w, of, errors.Is(err, strconv.ErrRange))
	}
	switch of {
	case "y":
		return dbus.Byte(n), nil
	case "q":
		return dbus.Uint16(n), nil
	case "u":
		return dbus.Uint32(n), nil
	}
	return dbus.Uint64(n), nil
}

func signed(w, of string) (dbus.Value, error) {
	n, err := strconv.ParseInt(w, 0, width(of))
	if err != nil {
		return nil, numberError(w, of, errors.Is(err, strconv.ErrRange))
	}
	switch of {
	case "n":
		return dbus.Int16(n), nil
	case "x":
		return dbus.Int64(n), nil
	}
	return dbus.Int32(n), nil
}

func numberError(w, of string, tooLarge bool) error {
	if tooLarge {
		if of == "" {
			return fmt.Errorf("%s does not fit into an int32; give its type, as in uint64 %s", w, w)
		}
		return fmt.Errorf("%s is out of range", w)
	}
	return fmt.Errorf("%q is not a value", w)
}
