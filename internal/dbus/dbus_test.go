package dbus

import (
	"encoding/hex"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"rt/tests/dbustest"

	"golang.org/x/sys/unix"
)

func soon() time.Time { return time.Now().Add(2 * time.Minute) } // only a hang reaches it

// The bytes were worked out by hand from the specification ("Summary of D-Bus marshalling"), little-endian.
func TestEncode(t *testing.T) {
	if nativeMark() != 'l' {
		t.Skip("the expected bytes are of a little-endian machine")
	}
	for name, c := range map[string]struct {
		v    Value
		want string
	}{
		"b":         {Bool(true), "01000000"},
		"y":         {Byte(7), "07"},
		"n":         {Int16(-2), "feff"},
		"u":         {Uint32(258), "02010000"},
		"x":         {Int64(-1), "ffffffffffffffff"},
		"d":         {Double(1), "000000000000f03f"},
		"s":         {String("foo"), "03000000666f6f00"},
		"g":         {Signature("a(sv)"), "056128737629" + "00"},
		"v of u":    {Variant{Uint32(1)}, "01750000" + "01000000"},
		"as":        {Strings("a", "bc"), "0f000000" + "01000000610000" + "00" + "02000000626300"},
		"ay":        {Bytes([]byte{1, 2}), "02000000" + "0102"},
		"empty a(":  {Array{Of: "(sv)"}, "0000000000000000"},
		"at padded": {Array{Of: "t", Items: []Value{Uint64(1)}}, "0800000000000000" + "0100000000000000"},
		"a(ss)":     {Array{Of: "(ss)", Items: []Value{Struct{String("a"), String("b")}}}, "0e00000000000000" + "0100000061000000" + "010000006200"},
	} {
		var e encoder
		c.v.encode(&e)
		if got := hex.EncodeToString(e.buf); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// What one side writes the other reads.
func TestRoundTrip(t *testing.T) {
	want := []Value{
		Bool(true), Byte(1), Int16(-5), Uint16(5), Int32(math.MinInt32), Uint32(9), Int64(math.MinInt64),
		Uint64(math.MaxUint64), Double(-0.5), String("tëxt"), ObjectPath("/a"), Signature("as"), String(""),
	}
	call := Call{"a.b", "/x/y", "i.f", "Do", append(want, Variant{String("v")})}
	m, err := parseMessage(call.encode(77))
	if err != nil {
		t.Fatal(err)
	}
	if m.kind != kindCall || m.path != "/x/y" || m.iface != "i.f" || m.member != "Do" {
		t.Errorf("header %+v", m)
	}
	got, err := m.values()
	if err != nil || !reflect.DeepEqual(got, append(want, String("v"))) {
		t.Errorf("%v, %v", got, err)
	}
}

// The parser takes what anybody on the bus sends: it never panics, and never reads beyond the message.
func FuzzMessage(f *testing.F) {
	f.Add((&Call{"a.b", "/x", "i.f", "Do", []Value{String("s"), Variant{Uint64(3)}, Signature("a")}}).encode(1))
	f.Add((&Call{"a.b", "/x", "i.f", "Do", nil}).encode(1))
	f.Fuzz(func(t *testing.T, data []byte) {
		size, err := messageSize(data)
		if err != nil || size == 0 {
			return
		}
		if size > len(data) {
			return
		}
		m, err := parseMessage(data[:size])
		if err != nil {
			return
		}
		_ = m.error()
		if list, err := m.values(); err == nil && signatureOf(list) != m.signature && !strings.Contains(m.signature, "v") {
			t.Errorf("signature %q, values %v", m.signature, list)
		}
	})
}

func TestSocketName(t *testing.T) {
	for address, want := range map[string]string{
		"unix:path=/run/a":                "/run/a",
		"unix:guid=12,path=/run/a%20b%2c": "/run/a b,",
		"unix:abstract=/tmp/x,guid=3":     "\x00/tmp/x",
		"unix:tmpdir=/tmp":                "",
		"tcp:host=a":                      "",
		"unix:path=%zz":                   "",
		"":                                "",
	} {
		if got, ok := socketName(address); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", address, got, ok, want)
		}
	}
}

func TestCall(t *testing.T) {
	s := dbustest.Serve(t, func(c dbustest.Call) []dbustest.Answer {
		switch c.Member {
		case "Echo":
			return []dbustest.Answer{{Signal: "Noise", Values: []any{"x"}}, {Values: []any{c.Strings[0], uint32(len(c.Strings))}}}
		case "Fail":
			return []dbustest.Answer{{Error: "a.b.Bad", Values: []any{"It is bad."}}}
		case "Odd":
			return []dbustest.Answer{{Error: "a.b.Odd"}}
		case "Hangup":
			return []dbustest.Answer{{Hangup: true}}
		}
		return nil
	})
	c, err := Dial("unix:path=/nonexistent;"+s.Address, soon())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	do := func(member string, deadline time.Time) ([]Value, error) {
		return c.Call(Call{"d.e", "/p", "i.f", member, []Value{String("one"), String("two")}}, deadline)
	}
	if got, err := do("Echo", soon()); err != nil || !reflect.DeepEqual(got, []Value{String("one"), Uint32(2)}) {
		t.Errorf("%v, %v", got, err)
	}
	if err := c.Signal("Noise", func(v []Value) bool { return v[0] == String("x") }, soon()); err != nil {
		t.Errorf("a signal that came before the answer: %v", err)
	}
	if _, err := do("Fail", soon()); !Named(err, "a.b.Bad") || err.Error() != "It is bad" {
		t.Errorf("%v", err)
	}
	if _, err := do("Odd", soon()); !Named(err, "a.b.Odd") || err.Error() != "a.b.Odd" {
		t.Errorf("%v", err)
	}
	if _, err := do("Silence", time.Now().Add(50*time.Millisecond)); !errors.Is(err, unix.ETIMEDOUT) {
		t.Error(err)
	}
	if _, err := do("Hangup", soon()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}

func TestDialErrors(t *testing.T) {
	for addresses, want := range map[string]string{
		"unix:path=/nonexistent/bus": "connect to /nonexistent/bus: no such file or directory",
		"tcp:host=a":                 "no unix socket",
	} {
		if _, err := Dial(addresses, soon()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", addresses, err)
		}
	}
}
