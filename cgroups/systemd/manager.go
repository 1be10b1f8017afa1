package systemd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"rt/internal/dbus"
	"rt/internal/hint"
	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// Timeout bounds connecting, and each call; JobTimeout each job that a call starts. An endpoint that hangs must not hold up
// commands for long: a systemd that is there answers within milliseconds.
const (
	Timeout    = 10 * time.Second
	JobTimeout = 30 * time.Second
)

// A Manager is a connection to a systemd.
type Manager struct {
	conn    *dbus.Conn
	timeout time.Duration // of a call
	jobTime time.Duration // of a job
	until   time.Time     // the end of the whole conversation, or zero
	dial    func(deadline time.Time) (*dbus.Conn, error)
}

// A Property of a unit, as systemd's D-Bus interface names it (org.freedesktop.systemd1(5)).
type Property struct {
	Name  string
	Value dbus.Value
}

// ErrUnreachable: there is no systemd, or it does not answer.
var ErrUnreachable = errors.New("systemd cannot be reached")

// ErrExists: the unit that is to be started is there already, or is one that is configured on the host.
var ErrExists = errors.New("the unit exists already")

const (
	service  = "org.freedesktop.systemd1"
	root     = "/org/freedesktop/systemd1"
	manager  = service + ".Manager"
	unitType = service + ".Unit"

	noSuchUnit = service + ".NoSuchUnit"
	unitExists = service + ".UnitExists"
	jobRule    = "type='signal',sender='" + service + "',interface='" + manager + "',member='JobRemoved'"
)

// IsUsers says which manager is rt's: that of the calling user, or the system's. Root of a user namespace is another user of the host,
// unless USER says that the namespace is a machine of its own, such as a system container.
func IsUsers() bool {
	if os.Geteuid() != 0 {
		return true
	}
	user := os.Getenv("USER")
	return user != "" && user != "root" && !sys.InFirstUserNamespace()
}

// Connect connects to the system's manager, or to the calling user's.
//
// The manager's own socket comes first, as in systemctl: it has no message bus in between. If it is not there or
// not for us, the bus is asked. DBUS_SYSTEM_BUS_ADDRESS, where somebody set it, is the system's only address.
func Connect(user bool) (*Manager, error) { return connect(endpoints(user, os.Getenv), Timeout) }

// ConnectWithin is Connect for a conversation that ends within a time, all calls included.
func ConnectWithin(user bool, limit time.Duration) (*Manager, error) {
	return connectWithin(endpoints(user, os.Getenv), limit)
}

func connectWithin(list []endpoint, limit time.Duration) (*Manager, error) {
	until := time.Now().Add(limit)
	m, err := connect(list, limit)
	if err == nil {
		m.until = until
	}
	return m, err
}

func connect(list []endpoint, timeout time.Duration) (*Manager, error) {
	m := &Manager{timeout: timeout, jobTime: max(timeout, JobTimeout)}
	m.dial = func(deadline time.Time) (*dbus.Conn, error) { return dialAny(list, deadline) }
	var err error
	m.conn, err = m.dial(time.Now().Add(timeout))
	if err != nil {
		return nil, err
	}
	return m, nil
}

// An endpoint is where a manager may be reached.
type endpoint struct {
	address string
	bus     bool // a message bus lies in between
}

func endpoints(user bool, env func(string) string) []endpoint {
	if !user {
		if address := env("DBUS_SYSTEM_BUS_ADDRESS"); address != "" {
			return []endpoint{{address, true}}
		}
		return []endpoint{{"unix:path=/run/systemd/private", false}, {"unix:path=/run/dbus/system_bus_socket", true}}
	}
	dir := env("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(os.Geteuid())
	}
	dir = escapeAddress(dir)
	list := []endpoint{{"unix:path=" + dir + "/systemd/private", false}}
	if address := env("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		list = append(list, endpoint{address, true})
	}
	return append(list, endpoint{"unix:path=" + dir + "/bus", true})
}

// escapeAddress: "Server Addresses" of the D-Bus specification.
func escapeAddress(s string) string {
	return strings.NewReplacer("%", "%25", ",", "%2c", ";", "%3b", "=", "%3d").Replace(s)
}

func dialAny(list []endpoint, deadline time.Time) (*dbus.Conn, error) {
	var problems []string
	missing := true
	for _, e := range list {
		c, err := dialOne(e, deadline)
		if err == nil {
			return c, nil
		}
		missing = missing && errors.Is(err, fs.ErrNotExist)
		problems = append(problems, err.Error())
	}
	err := fmt.Errorf("%w: %s", ErrUnreachable, strings.Join(problems, "; "))
	if missing {
		return nil, hint.With(err, "does systemd run on this host? without it, leave --systemd-cgroup out")
	}
	return nil, err
}

func dialOne(e endpoint, deadline time.Time) (*dbus.Conn, error) {
	c, err := dbus.Dial(e.address, deadline)
	if err != nil || !e.bus {
		return c, err
	}
	if err := c.Join(jobRule, deadline); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to bus %s: %w", e.address, err)
	}
	return c, nil
}

// Close ends the connection.
func (m *Manager) Close() { m.conn.Close() }

func (m *Manager) deadline() time.Time { return m.in(m.timeout) }

// in is the end of a time, or of the conversation if that is sooner.
func (m *Manager) in(limit time.Duration) time.Time {
	t := time.Now().Add(limit)
	if !m.until.IsZero() {
		return earlier(t, m.until)
	}
	return t
}

func ask(member string, args ...dbus.Value) dbus.Call {
	return dbus.Call{Destination: service, Path: root, Interface: manager, Member: member, Args: args}
}

func get(object, iface, name string) dbus.Call {
	return dbus.Call{Destination: service, Path: object, Interface: "org.freedesktop.DBus.Properties", Member: "Get",
		Args: []dbus.Value{dbus.String(iface), dbus.String(name)}}
}

func (m *Manager) call(c dbus.Call) ([]dbus.Value, error) { return m.conn.Call(c, m.deadline()) }

func (m *Manager) text(c dbus.Call) (string, error) {
	list, err := m.call(c)
	return first(list), err
}

// first is an answer of one string or path.
func first(list []dbus.Value) string {
	if len(list) == 1 {
		switch v := list[0].(type) {
		case dbus.String:
			return string(v)
		case dbus.ObjectPath:
			return string(v)
		}
	}
	return ""
}

// Root is the manager's own cgroup: "/" of a system's, a directory deep down of a user's.
func (m *Manager) Root() (string, error) {
	dir, err := m.text(get(root, manager, "ControlGroup"))
	if err != nil {
		return "", fmt.Errorf("ask systemd for its cgroup: %w", err)
	}
	return path.Join("/", dir), nil
}

// ControlGroup is the cgroup of a unit, "" if it has none.
func (m *Manager) ControlGroup(unit string) (string, error) {
	object, err := m.text(ask("GetUnit", dbus.String(unit)))
	if err != nil {
		return "", fmt.Errorf("ask systemd for unit %s: %w", unit, err)
	}
	return m.text(get(object, "org.freedesktop.systemd1.Scope", "ControlGroup"))
}

// Version is systemd's version, 0 if it is not understood.
func (m *Manager) Version() int {
	text, _ := m.text(get(root, manager, "Version"))
	text = strings.TrimPrefix(text, "v")
	n, _ := strconv.Atoi(text[:len(text)-len(strings.TrimLeft(text, "0123456789"))])
	return n
}

// Free makes sure that a unit's name is not in use. What an earlier container has left as "failed" is forgotten.
func (m *Manager) Free(unit string) error {
	_, err := m.call(ask("GetUnit", dbus.String(unit)))
	if dbus.Named(err, noSuchUnit) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask systemd for unit %s: %w", unit, err)
	}
	state, err := m.text(get(objectPath(unit), unitType, "ActiveState"))
	switch {
	case err == nil && state == "failed":
		return m.forget(unit)
	case err == nil && state == "inactive": // it is only referred to; if it is the host's, the start says so
		return nil
	}
	return exists(unit)
}

func exists(unit string) error {
	return hint.With(fmt.Errorf("start unit %s: %w", unit, ErrExists),
		"it belongs to another container or to the host (systemctl status "+unit+"); give another linux.cgroupsPath")
}

// Refused says whether err is an error reply: then systemd has done nothing. A message bus that has lost systemd says NoReply.
func Refused(err error) bool {
	var reply *dbus.Error
	return errors.As(err, &reply) && reply.Name != "org.freedesktop.DBus.Error.NoReply"
}

// Start starts a transient unit and waits until it is up.
func (m *Manager) Start(unit string, properties []Property) error {
	err := m.job(unit, true, ask("StartTransientUnit", dbus.String(unit), dbus.String("replace"),
		array(properties), dbus.Array{Of: "(sa(sv))"}))
	switch {
	case err == nil:
		return nil
	case dbus.Named(err, unitExists):
		return exists(unit)
	}
	return fmt.Errorf("start unit %s: %w", unit, err)
}

func array(properties []Property) dbus.Array {
	a := dbus.Array{Of: "(sv)"}
	for _, p := range properties {
		a.Items = append(a.Items, dbus.Struct{dbus.String(p.Name), dbus.Variant{Value: p.Value}})
	}
	return a
}

// job makes a call that starts a job, and waits for the job's end. up says what the unit is to be then.
func (m *Manager) job(unit string, up bool, call dbus.Call) error {
	answer, deadline := m.deadline(), m.in(m.jobTime)
	started := time.Now()
	list, err := m.conn.Call(call, answer)
	if err != nil {
		return timedOut(err, answer.Sub(started))
	}
	job, result := first(list), ""
	if job == "" {
		return errors.New("systemd's answer names no job")
	}
	ended := dbus.Signal{Path: root, Interface: manager, Member: "JobRemoved"}
	err = m.conn.Signal(ended, service, func(v []dbus.Value) bool { // id, job, unit, result
		if len(v) != 4 || first(v[1:2]) != job {
			return false
		}
		result = first(v[3:])
		return true
	}, deadline)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) {
		err = m.afterReexec(unit, up, deadline)
		result = "done"
	}
	if err != nil {
		return timedOut(err, deadline.Sub(started))
	}
	if result != "done" {
		return hint.With(fmt.Errorf("systemd's job ended as %q", result), "systemctl status "+unit+" and journalctl may tell more")
	}
	return nil
}

func timedOut(err error, limit time.Duration) error {
	if errors.Is(err, unix.ETIMEDOUT) {
		return fmt.Errorf("no answer of systemd in %v", limit.Round(100*time.Millisecond))
	}
	return err
}

// afterReexec: systemd executes itself anew when it is upgraded (systemctl daemon-reexec), and drops its connections.
// The job goes on; its end shows in the unit's state.
func (m *Manager) afterReexec(unit string, up bool, deadline time.Time) error {
	m.conn.Close()
	for wait := 10 * time.Millisecond; time.Now().Before(deadline); time.Sleep(wait) {
		c, err := m.dial(earlier(m.deadline(), deadline))
		if err != nil {
			continue
		}
		m.conn = c
		state, err := m.text(get(objectPath(unit), unitType, "ActiveState"))
		switch {
		case err != nil:
			c.Close()
		case (state == "active") == up && state != "activating" && state != "deactivating":
			return nil
		case state == "inactive", state == "failed":
			return fmt.Errorf("the unit is %s", state)
		}
	}
	return unix.ETIMEDOUT
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Stop ends a unit and waits until it is inactive and not marked as failed; systemd forgets it then, unless it is referred to. One that is not there is no
// error. Its processes should be dead: systemd would send SIGTERM first, and wait.
func (m *Manager) Stop(unit string) error {
	err := m.job(unit, false, ask("StopUnit", dbus.String(unit), dbus.String("replace")))
	if dbus.Named(err, noSuchUnit) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop unit %s: %w", unit, err)
	}
	return m.forget(unit)
}

// forget takes the failure from a unit, and waits until it is gone, or inactive: another unit may be ordered after it, or in a
// slice, which keeps it loaded.
func (m *Manager) forget(unit string) error {
	if _, err := m.call(ask("ResetFailedUnit", dbus.String(unit))); err != nil && !dbus.Named(err, noSuchUnit) {
		return fmt.Errorf("reset failed unit %s: %w", unit, err)
	}
	deadline := m.in(min(m.timeout, 5*time.Second))
	for wait := time.Millisecond; time.Now().Before(deadline); wait = min(2*wait, 50*time.Millisecond) {
		_, err := m.call(ask("GetUnit", dbus.String(unit)))
		if dbus.Named(err, noSuchUnit) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ask systemd for unit %s: %w", unit, err)
		}
		if state, err := m.text(get(objectPath(unit), unitType, "ActiveState")); err == nil && state == "inactive" {
			return nil
		}
		time.Sleep(wait)
	}
	return fmt.Errorf("stop unit %s: systemd does not let it go", unit)
}

// Forget takes the failure from a unit whose processes have ended. A unit of this name that is up is another's.
func (m *Manager) Forget(unit string) error {
	state, err := m.text(get(objectPath(unit), unitType, "ActiveState"))
	if err != nil || state != "failed" {
		return nil
	}
	return m.forget(unit)
}

// Set changes properties of a unit until it ends.
func (m *Manager) Set(unit string, properties []Property) error {
	_, err := m.call(ask("SetUnitProperties", dbus.String(unit), dbus.Bool(true), array(properties)))
	if err != nil {
		return fmt.Errorf("set properties of unit %s: %w", unit, err)
	}
	return nil
}
