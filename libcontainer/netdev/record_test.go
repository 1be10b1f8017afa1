package netdev

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"rt/tests/nofiles"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// namespaces has the test's thread in a network namespace of its own, which stands for the host's, and gives the path of
// another.
func namespaces(t *testing.T) (path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)
}

func add(t *testing.T, c *conn, name string) {
	t.Helper()
	addAt(t, c, name, 0)
}

// addAt makes a device with a number, any if that is 0.
func addAt(t *testing.T, c *conn, name string, index int32) {
	t.Helper()
	m := unix.IfInfomsg{Index: index}
	r := newRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, (*[unix.SizeofIfInfomsg]byte)(unsafe.Pointer(&m))[:])
	kind := (&request{}).text(unix.IFLA_INFO_KIND, "veth")
	if err := c.do(r.text(unix.IFLA_IFNAME, name).attr(unix.IFLA_LINKINFO, kind.buf), nil); err != nil {
		t.Fatalf("add %s: %v", name, err)
	}
}

func remove(c *conn, name string) {
	if l, err := c.link(name); err == nil {
		_ = c.do(linkRequest(unix.RTM_DELLINK, l.index, 0, 0), nil)
	}
}

// TestBackFromOther: devices are brought back from the namespace that they went to, and from no other that has its inode
// number by now; and no other device is taken for one of them.
func TestBackFromOther(t *testing.T) {
	path := namespaces(t)
	m, err := prepare(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if id, err := idOf(m.ns, m.inside); err != nil || id.Cookie == 0 {
		t.Errorf("a kernel since 5.14 has cookies: %+v %v", id, err)
	}
	for _, c := range []struct {
		name   string
		other  []string // devices that are in the container's namespace before
		as     string
		change func(*Record, *Moved)
		back   bool
	}{
		{name: "the same", back: true},
		{name: "renamed", as: "net%d", back: true},
		{name: "a kernel without cookies", back: true, change: func(r *Record, m *Moved) { r.From.Cookie, r.To.Cookie = 0, 0 }},
		{name: "another with its number", change: func(r *Record, m *Moved) { r.To.Cookie++ }},
		{name: "another with its cookie's place", change: func(r *Record, m *Moved) { r.To.Ino++ }},
		{name: "the number of another device", change: func(r *Record, m *Moved) {
			remove(m.inside, r.Devices[0].Name)
			addAt(t, m.inside, "foreign", r.Devices[0].Index)
		}},
		{name: "renamed by another", back: true, change: func(r *Record, m *Moved) { _ = m.inside.rename(r.Devices[0].Index, "foreign") }},
		{name: "its number is taken there", other: []string{"a", "b", "c", "d", "e", "f"}, back: true},
		{name: "its name is taken there", other: []string{"a", "b", "c", "d", "e", "f", "one"}, as: "eth9", back: true},
	} {
		func() { // not t.Run, which would go on in another thread
			for _, name := range c.other {
				if has, _ := m.inside.has(name); !has {
					add(t, m.inside, name)
				}
			}
			if has, _ := m.here.has("one"); !has {
				add(t, m.here, "one")
			}
			var r *Record
			moved, err := Move(map[string]specs.LinuxNetDevice{"one": {Name: c.as}}, path, true, func(noted *Record) error { r = noted; return nil })
			if err != nil {
				t.Fatal(err)
			}
			moved.Close()
			data, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var again Record
			if err := json.Unmarshal(data, &again); err != nil {
				t.Fatal(err)
			}
			again.Path = path
			if c.change != nil {
				c.change(&again, m)
			}
			if err := again.Back(); err != nil {
				t.Fatal(err)
			}
			if has, err := m.here.has("one"); err != nil || has != c.back {
				t.Errorf("%s: one is back: %v, %v", c.name, has, err)
			}
			for _, name := range c.other {
				if has, err := m.inside.has(name); err != nil || !has {
					t.Errorf("%s: %s, which was there before: %v", c.name, name, err)
				}
			}
			for _, name := range []string{"one", "foreign"} {
				if l, err := m.inside.link(name); err == nil && len(c.other) == 0 {
					_ = m.inside.do(linkRequest(unix.RTM_DELLINK, l.index, 0, 0), nil)
				}
			}
		}()
	}
}

// TestBackFails: what could not be looked for, or does not come back whole, is told; what is gone is no error.
func TestBackFails(t *testing.T) {
	path := namespaces(t)
	m, err := prepare(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	file := filepath.Join(t.TempDir(), "ns")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	none := func(*Record) {}
	for _, c := range []struct {
		name   string
		change func(*Record)
		files  bool // there are none left
		want   string
	}{
		{"nothing wrong", none, false, ""},
		{"no descriptor left", none, true, "too many open files"},
		{"its address is refused", func(r *Record) { r.Devices[0].Addresses = []notedAddress{{Family: unix.AF_INET, Prefix: 99}} }, false, "bring network device one back: give it the address"},
		{"rt is elsewhere", func(r *Record) { r.From.Ino++ }, false, "another network namespace"},
		{"rt is elsewhere, and the device gone", func(r *Record) { r.From.Ino++; remove(m.inside, "one") }, false, ""},
		{"the device is gone", func(r *Record) { remove(m.inside, "one") }, false, ""},
		{"no file", func(r *Record) { r.Path = file + "x" }, false, ""},
		{"a file that it was mounted on", func(r *Record) { r.Path = file }, false, ""},
	} {
		for _, n := range []*conn{m.here, m.inside} {
			remove(n, "one")
		}
		add(t, m.here, "one")
		var r *Record
		moved, err := Move(map[string]specs.LinuxNetDevice{"one": {}}, path, true, func(noted *Record) error { r = noted; return nil })
		if err != nil {
			t.Fatal(err)
		}
		moved.Close()
		r.Path = path
		c.change(r)
		if c.files {
			nofiles.Run(t, func() { err = r.Back() })
		} else {
			err = r.Back()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestMoveFails: what has been moved is brought back also when the kernel did not say what it is called there; and what could
// not be brought back is told.
func TestMoveFails(t *testing.T) {
	path := namespaces(t)
	m, err := prepare(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	add(t, m.here, "one")
	if err := m.take("one", ""); err != nil {
		t.Fatal(err)
	}
	was := m.devices[0]
	m.devices[0].now = link{name: "one"}
	if err := m.Back(); err != nil {
		t.Error(err)
	}
	if has, err := m.here.has("one"); err != nil || !has {
		t.Errorf("it is back: %v, %v", has, err)
	}
	m.devices = []device{was} // it is there no more
	if err := m.Back(); err != nil {
		t.Error(err)
	}
	if err := m.take("one", ""); err != nil {
		t.Fatal(err)
	}
	add(t, m.here, "one")
	if err := m.Back(); !errors.Is(err, unix.EEXIST) {
		t.Errorf("its name is taken: %v", err)
	}
	if _, err := m.record([]string{"one", "none"}, nil); err != nil {
		t.Error(err)
	}
	m.here.fd = -1
	if _, err := m.record([]string{"one"}, nil); err == nil {
		t.Error("a device that cannot be looked at is not noted")
	}
}
