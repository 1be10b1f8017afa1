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

// What comes on a connection, in whatever order and size, ends a call and the wait for a signal with a value or an error, and no more
// of it is kept than is waited for.
func FuzzConn(f *testing.F) {
	reply := (&Call{"a.b", "/x", "i.f", "Do", []Value{ObjectPath("/job/1")}}).encode(1)
	reply[1] = kindReturn
	signal := (&Call{"a.b", noise.Path, noise.Interface, noise.Member, []Value{Uint32(1), String("s")}}).encode(1)
	signal[1] = kindSignal
	f.Add(reply)
	f.Add(append(append(append([]byte(nil), signal...), reply...), signal...))
	f.Fuzz(func(t *testing.T, data []byte) {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Skip(err)
		}
		c := &Conn{fd: pair[0], replies: map[uint32]*message{}}
		defer c.Close()
		if len(data) > 1<<16 {
			data = data[:1<<16] // what the socket takes without a reader
		}
		if _, err := unix.Write(pair[1], data); err != nil {
			t.Fatal(err)
		}
		if err := unix.Shutdown(pair[1], unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pair[1])
		_, _ = c.Call(Call{"d.e", "/p", "i.f", "Do", nil}, soon())
		_ = c.Signal(noise, "d.e", func(v []Value) bool { return len(v) == 2 }, soon())
		if len(c.heard) > maxHeard || len(c.replies) > 2+len(data)/16 {
			t.Errorf("%d signals and %d replies are kept", len(c.heard), len(c.replies))
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
	if err := c.Signal(noise, "a.b", func(v []Value) bool { return v[0] == String("x") }, soon()); err != nil {
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

// noise is what dbustest's signals are.
var noise = Signal{"/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "Noise"}

// dialed is a connection to a server that answers each call like this.
func dialed(t *testing.T, answer func(dbustest.Call) []dbustest.Answer) *Conn {
	t.Helper()
	c, err := Dial(dbustest.Serve(t, answer).Address, soon())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestSignalOfOthers: on a message bus any user sends signals. Those count that are of who has answered the call, or has the name by
// now.
func TestSignalOfOthers(t *testing.T) {
	const systemd, again, other = ":1.1", ":1.9", ":1.66"
	owner := systemd
	signal := func(sender, text string) dbustest.Answer {
		return dbustest.Answer{Signal: "Noise", Sender: sender, Values: []any{text}}
	}
	c := dialed(t, func(c dbustest.Call) []dbustest.Answer {
		switch c.Member {
		case "GetNameOwner":
			return []dbustest.Answer{signal(other, "forged"), {Sender: "org.freedesktop.DBus", Values: []any{owner}}}
		case "Again":
			owner = again
			return []dbustest.Answer{{Sender: systemd}, signal(other, "forged"), signal(again, "true")}
		}
		return []dbustest.Answer{signal(other, "forged"), {Sender: systemd}, signal(other, "forged"), signal(systemd, "true")}
	})
	for _, member := range []string{"Do", "Again"} {
		if _, err := c.Call(Call{"d.e", "/p", "i.f", member, nil}, soon()); err != nil {
			t.Fatal(err)
		}
		got := ""
		accept := func(v []Value) bool { got = string(v[0].(String)); return true }
		if err := c.Signal(noise, "d.e", accept, soon()); err != nil || got != "true" {
			t.Errorf("%s: got %q, %v, want the one of systemd", member, got, err)
		}
	}
}

// TestFlood: what was not asked for takes no memory, and what cannot be understood of it is no reason to end the conversation.
func TestFlood(t *testing.T) {
	long := (&Call{"a.b", "/x", "i.f", "Do", []Value{String(strings.Repeat("x", 8<<20))}}).encode(1)
	long[1] = kindSignal
	odd := (&Call{"a.b", "/x", "i.f", "Do", nil}).encode(1)
	odd[1], odd[16] = kindSignal, 200 // a header field of an unknown code
	odd[18] = 'h'                     // and type
	reply := dbustest.Answer{Values: []any{"yes"}}
	c := dialed(t, func(c dbustest.Call) (list []dbustest.Answer) {
		for i := range uint32(3 * maxHeard) {
			list = append(list, dbustest.Answer{Signal: "Noise", Values: []any{i}})
		}
		list = append(list, dbustest.Answer{Raw: long}, dbustest.Answer{Raw: odd})
		for i := range byte(100) {
			late := append([]byte(nil), (&Call{"a.b", "/x", "i.f", "Do", nil}).encode(1)...)
			late[1] = kindReturn
			late = append(late[:16], 5, 1, 'u', 0, 100+i, 0, 0, 0) // to a call that was never made
			late[12] = 8
			list = append(list, dbustest.Answer{Raw: late})
		}
		return append(list, reply)
	})
	got, err := c.Call(Call{"d.e", "/p", "i.f", "Do", nil}, soon())
	if err != nil || len(got) != 1 || got[0] != String("yes") {
		t.Fatalf("%v, %v", got, err)
	}
	if len(c.heard) != maxHeard || len(c.replies) != 0 || cap(c.in) > 1<<20 {
		t.Errorf("%d signals, %d replies and %d bytes are kept, want %d, 0 and less than %d", len(c.heard), len(c.replies), cap(c.in), maxHeard, 1<<20)
	}
	if last, err := c.heard[maxHeard-1].values(); err != nil || last[0] != Uint32(3*maxHeard-1) {
		t.Errorf("the last signal that is kept: %v, %v", last, err)
	}
}

// TestLongReply: an answer that systemd does not give is an error at once.
func TestLongReply(t *testing.T) {
	c := dialed(t, func(dbustest.Call) []dbustest.Answer {
		return []dbustest.Answer{{Values: []any{strings.Repeat("x", maxKept)}}}
	})
	if _, err := c.Call(Call{"d.e", "/p", "i.f", "Do", nil}, soon()); !errors.Is(err, errMalformed) {
		t.Errorf("got %v, want %v", err, errMalformed)
	}
}

// TestPeerThatDoesNotRead: the deadline holds for what is written, too.
func TestPeerThatDoesNotRead(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	c := &Conn{fd: pair[0], replies: map[uint32]*message{}}
	defer c.Close()
	long := Call{"d.e", "/p", "i.f", "Do", []Value{String(strings.Repeat("x", 16<<20))}}
	if _, err := c.Call(long, time.Now().Add(50*time.Millisecond)); !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("got %v, want %v", err, unix.ETIMEDOUT)
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

// TestKeepsSignalsOfTheCalled: signals of others do not take the place of those of the program that was called.
func TestKeepsSignalsOfTheCalled(t *testing.T) {
	c := &Conn{sender: ":1.1"}
	c.keep(&message{kind: kindSignal, sender: ":1.9"})
	c.keep(&message{kind: kindSignal, sender: ":1.1"})
	for range 2 * maxHeard {
		c.keep(&message{kind: kindSignal, sender: ":1.9"})
	}
	if len(c.heard) != maxHeard || c.heard[0].sender != ":1.1" {
		t.Errorf("%d signals, the first of %s; want %d, of :1.1", len(c.heard), c.heard[0].sender, maxHeard)
	}
	for range 2 * maxHeard {
		c.keep(&message{kind: kindSignal, sender: ":1.1"})
	}
	if len(c.heard) != maxHeard {
		t.Errorf("%d signals, want %d", len(c.heard), maxHeard)
	}
}
