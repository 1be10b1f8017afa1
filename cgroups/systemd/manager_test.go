package systemd

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rt/internal/dbus"
	"rt/tests/dbustest"

	"golang.org/x/sys/unix"
)

// fake is a systemd that has one unit at most.
type fake struct {
	*dbustest.Server
	job     string // result of the next job, "" for none
	state   string // of the unit, "" when there is none
	failure string // name of the error that a start or a stop gives
	kept    bool   // another unit refers to it
	hangups int    // how often the connection breaks instead of a job's end
}

func newFake(t *testing.T) *fake {
	f := &fake{job: "done"}
	f.Server = dbustest.Serve(t, f.answer)
	return f
}

func (f *fake) manager(t *testing.T, bus bool) *Manager {
	t.Helper()
	m, err := connect([]endpoint{{"unix:path=/nonexistent", false}, {f.Address, bus}}, 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func (f *fake) answer(c dbustest.Call) []dbustest.Answer {
	missing := []dbustest.Answer{{Error: noSuchUnit, Values: []any{"Unit a.scope not loaded."}}}
	switch c.Member {
	case "StartTransientUnit", "StopUnit":
		switch {
		case f.failure != "":
			return []dbustest.Answer{{Error: f.failure, Values: []any{"It cannot be."}}}
		case c.Member == "StopUnit" && f.state == "":
			return missing
		}
		f.state = "active"
		if c.Member == "StopUnit" {
			f.state = "failed" // until it is reset
		}
		return f.run("/job/7")
	case "ResetFailedUnit":
		f.state = ""
		if f.kept {
			f.state = "inactive"
		}
		return []dbustest.Answer{{}}
	case "GetUnit":
		if f.state == "" {
			return missing
		}
		return []dbustest.Answer{{Values: []any{dbustest.Path("/unit")}}}
	case "Get":
		switch c.Strings[1] {
		case "ControlGroup":
			return []dbustest.Answer{{Values: []any{dbustest.Variant("/user.slice")}}}
		case "Version":
			return []dbustest.Answer{{Values: []any{dbustest.Variant("v252.39-1~deb12u2")}}}
		}
		return []dbustest.Answer{{Values: []any{dbustest.Variant(f.state)}}}
	}
	return []dbustest.Answer{{}} // Hello, AddMatch, SetUnitProperties
}

// run answers with a job, and tells of another job's end and of its own.
func (f *fake) run(job string) []dbustest.Answer {
	reply := dbustest.Answer{Values: []any{dbustest.Path(job)}}
	removed := func(job, result string) dbustest.Answer {
		return dbustest.Answer{Signal: "JobRemoved", Values: []any{uint32(7), dbustest.Path(job), "a.scope", result}}
	}
	switch {
	case f.hangups > 0:
		f.hangups--
		return []dbustest.Answer{reply, {Hangup: true}}
	case f.job == "":
		return []dbustest.Answer{reply}
	}
	return []dbustest.Answer{removed("/job/6", "failed"), reply, removed("/job/8", "failed"), removed(job, f.job)}
}

func TestStartAndStop(t *testing.T) {
	for _, bus := range []bool{false, true} {
		f := newFake(t)
		m := f.manager(t, bus)
		if dir, err := m.Root(); err != nil || dir != "/user.slice" {
			t.Errorf("%q, %v", dir, err)
		}
		if v := m.Version(); v != 252 {
			t.Errorf("version %d", v)
		}
		if err := m.Free("a.scope"); err != nil {
			t.Fatal(err)
		}
		if err := m.Start("a.scope", []Property{{"TasksMax", dbus.Uint64(5)}}); err != nil {
			t.Fatal(err)
		}
		if err := m.Set("a.scope", []Property{{"TasksMax", dbus.Uint64(6)}}); err != nil {
			t.Fatal(err)
		}
		if err := m.Stop("a.scope"); err != nil || f.state != "" {
			t.Fatalf("%v, state %q", err, f.state)
		}
		if err := m.Stop("a.scope"); err != nil {
			t.Fatalf("stop what is not there: %v", err)
		}
		want := "Get Get GetUnit StartTransientUnit SetUnitProperties StopUnit ResetFailedUnit GetUnit StopUnit"
		if bus {
			want = "Hello AddMatch " + want
		}
		if got := f.Members(); got != want {
			t.Errorf("bus %v: %s, want %s", bus, got, want)
		}
	}
}

func TestStartFails(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*fake)
		want string
	}{
		"job":     {func(f *fake) { f.job = "failed" }, `start unit a.scope: systemd's job ended as "failed"`},
		"silence": {func(f *fake) { f.job = "" }, "start unit a.scope: no answer of systemd in 300ms"},
		"error":   {func(f *fake) { f.failure = "org.freedesktop.DBus.Error.InvalidArgs" }, "start unit a.scope: It cannot be"},
		"exists":  {func(f *fake) { f.failure = unitExists }, "start unit a.scope: the unit exists already"},
	} {
		f := newFake(t)
		c.set(f)
		m := f.manager(t, false)
		if name == "silence" {
			m.jobTime = 300 * time.Millisecond
		}
		err := m.Start("a.scope", nil)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if errors.Is(err, ErrExists) != (name == "exists") {
			t.Errorf("%s: ErrExists", name)
		}
	}
}

// systemctl daemon-reexec ends connections, not jobs.
func TestReexec(t *testing.T) {
	f := newFake(t)
	f.hangups = 1
	m := f.manager(t, false)
	if err := m.Start("a.scope", nil); err != nil {
		t.Fatal(err)
	}
	f.hangups = 1
	if err := m.Stop("a.scope"); err != nil || f.state != "" {
		t.Fatalf("%v, state %q", err, f.state)
	}
}

// A unit that is in use is an error before anything is made; one that has failed is forgotten.
func TestFree(t *testing.T) {
	for state, want := range map[string]error{"": nil, "failed": nil, "active": ErrExists, "inactive": nil} {
		f := newFake(t)
		f.state = state
		if err := f.manager(t, false).Free("a.scope"); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v", state, err)
		}
		if state == "failed" && f.state != "" {
			t.Error("a failed unit was not reset")
		}
	}
}

// TestStopKeptLoaded: a unit that another one refers to stays loaded, and is inactive: that is enough.
func TestStopKeptLoaded(t *testing.T) {
	f := newFake(t)
	f.state, f.kept = "active", true
	if err := f.manager(t, false).Stop("a.scope"); err != nil || f.state != "inactive" {
		t.Errorf("%v, state %q", err, f.state)
	}
}

// TestConnectWithin: a systemd that is silent holds up a conversation for its limit, however many calls there are.
func TestConnectWithin(t *testing.T) {
	silent := dbustest.Serve(t, func(dbustest.Call) []dbustest.Answer { return nil })
	start := time.Now()
	m, err := connectWithin([]endpoint{{silent.Address, false}}, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for range 3 {
		if err := m.Stop("a.scope"); err == nil || time.Now().After(start.Add(2*time.Minute)) {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	}
	if !m.deadline().Equal(m.until) {
		t.Errorf("a call may last until %v, and the conversation ends at %v", m.deadline(), m.until)
	}
}

// TestReexecWithin: a systemd that closes the connection and does not take another one does not hold up a conversation beyond its
// limit.
func TestReexecWithin(t *testing.T) {
	f := newFake(t)
	f.state, f.hangups = "active", 1
	m, err := connectWithin([]endpoint{{f.Address, false}}, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	asked := false
	m.dial = func(deadline time.Time) (*dbus.Conn, error) {
		if asked = true; deadline.After(m.until) {
			t.Errorf("the connection may take until %v, and the conversation ends at %v", deadline, m.until)
		}
		return nil, unix.ETIMEDOUT
	}
	if err := m.Stop("a.scope"); err == nil || !strings.Contains(err.Error(), "no answer of systemd in 100ms") {
		t.Error(err)
	}
	if !asked {
		t.Error("no other connection was tried")
	}
}

// TestRefused: an error reply says that nothing was done; a bus that has lost systemd cannot know.
func TestRefused(t *testing.T) {
	for failure, want := range map[string]bool{"org.freedesktop.DBus.Error.InvalidArgs": true, "org.freedesktop.DBus.Error.NoReply": false} {
		f := newFake(t)
		f.failure = failure
		if err := f.manager(t, false).Start("a.scope", nil); err == nil || Refused(err) != want {
			t.Errorf("%s: %v, refused %v, want %v", failure, err, Refused(err), want)
		}
	}
}

// TestNoJob: an answer without a job is an error, and no reason to wait for a job's end.
func TestNoJob(t *testing.T) {
	empty := dbustest.Serve(t, func(dbustest.Call) []dbustest.Answer { return []dbustest.Answer{{}} })
	m, err := connect([]endpoint{{empty.Address, false}}, 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Start("a.scope", nil); err == nil || err.Error() != "start unit a.scope: systemd's answer names no job" {
		t.Error(err)
	}
}

func TestUnreachable(t *testing.T) {
	_, err := connect([]endpoint{{"unix:path=/nonexistent/private", false}, {"unix:path=/nonexistent/bus", true}}, time.Second)
	want := "systemd cannot be reached: connect to /nonexistent/private: no such file or directory; " +
		"connect to /nonexistent/bus: no such file or directory"
	if !errors.Is(err, ErrUnreachable) || err.Error() != want {
		t.Errorf("%v", err)
	}
	var h interface{ Hint() string }
	if !errors.As(err, &h) || !strings.Contains(h.Hint(), "--systemd-cgroup") {
		t.Errorf("hint of %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	env := func(list ...string) func(string) string {
		return func(name string) string {
			for _, e := range list {
				if value, ok := strings.CutPrefix(e, name+"="); ok {
					return value
				}
			}
			return ""
		}
	}
	show := func(list []endpoint) string {
		var b strings.Builder
		for _, e := range list {
			b.WriteString(e.address)
			if e.bus {
				b.WriteString(" (bus)")
			}
			b.WriteString("\n")
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		user bool
		env  func(string) string
		want string
	}{
		"system":  {false, env(), "unix:path=/run/systemd/private\nunix:path=/run/dbus/system_bus_socket (bus)\n"},
		"its bus": {false, env("DBUS_SYSTEM_BUS_ADDRESS=unix:path=/b"), "unix:path=/b (bus)\n"},
		"user": {true, env("XDG_RUNTIME_DIR=/run/a,b", "DBUS_SESSION_BUS_ADDRESS=unix:abstract=/x", "DBUS_SYSTEM_BUS_ADDRESS=no"),
			"unix:path=/run/a%2cb/systemd/private\nunix:abstract=/x (bus)\nunix:path=/run/a%2cb/bus (bus)\n"},
	} {
		if got := show(endpoints(c.user, c.env)); got != c.want {
			t.Errorf("%s:\n%swant\n%s", name, got, c.want)
		}
	}
}
