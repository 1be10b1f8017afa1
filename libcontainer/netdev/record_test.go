package netdev

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

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
	r := newRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, make([]byte, unix.SizeofIfInfomsg))
	kind := (&request{}).text(unix.IFLA_INFO_KIND, "veth")
	if err := c.do(r.text(unix.IFLA_IFNAME, name).attr(unix.IFLA_LINKINFO, kind.buf), nil); err != nil {
		t.Fatalf("add %s: %v", name, err)
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
		{name: "the number of another device", change: func(r *Record, m *Moved) { _ = m.inside.rename(r.Devices[0].Index, "foreign") }},
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
			moved, err := Move(map[string]specs.LinuxNetDevice{"one": {Name: c.as}}, path, func(noted *Record) error { r = noted; return nil })
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
