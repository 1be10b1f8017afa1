package integration

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A container is one bundle with an id, a --root directory and a cgroup of its own. Tests drive the runtime with it.
type container struct {
	t      *testing.T
	id     string
	dir    string // everything of this test is below it
	root   string // --root
	bundle string
	rootfs string
	spec   *specs.Spec
	prefix []string // a command that runs the runtime, for every call
}

// newContainer makes a bundle with a busybox rootfs and a default configuration, changed by edits. When the test
// ends the container is deleted, and anything that it has left on the machine fails the test.
func newContainer(t *testing.T, edits ...func(*specs.Spec)) *container {
	t.Helper()
	skipForUser(t)
	var random [5]byte
	_, _ = rand.Read(random[:])
	name := hex.EncodeToString(random[:])
	c := &container{t: t, id: "rt-it-" + name, dir: filepath.Join(machine.work, name)}
	c.root, c.bundle = filepath.Join(c.dir, "r"), filepath.Join(c.dir, "b")
	c.rootfs = filepath.Join(c.bundle, "rootfs")
	for _, d := range []string{c.dir, c.root, c.bundle, c.rootfs} {
		c.must(os.Mkdir(d, 0o755))
	}
	t.Cleanup(c.cleanup)
	c.must(busyboxRootfs(c.rootfs))
	c.spec = defaultSpec(c.id)
	ownedByUser(c.spec)
	for _, edit := range edits {
		edit(c.spec)
	}
	c.write()
	return c
}

// sibling is another container that shares nothing with c but the --root directory.
func (c *container) sibling(edits ...func(*specs.Spec)) *container {
	c.t.Helper()
	s := newContainer(c.t, edits...)
	s.root = c.root
	return s
}

// in is the same container, for a subtest.
func (c *container) in(t *testing.T) *container {
	sub := *c
	sub.t = t
	return &sub
}

// must is for what the test itself does. Where an ordinary user may not, the test is left out.
func (c *container) must(err error) {
	c.t.Helper()
	if ordinaryUser() && errors.Is(err, unix.EPERM) {
		c.t.Skipf("an ordinary user cannot: %v", err)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// write writes config.json anew, after a change of c.spec.
func (c *container) write() {
	c.t.Helper()
	data, err := json.MarshalIndent(c.spec, "", "\t")
	c.must(err)
	c.must(os.WriteFile(filepath.Join(c.bundle, "config.json"), data, 0o644))
}

// file writes a file on the host below the container's directory and gives its path.
func (c *container) file(name, text string, mode os.FileMode) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	c.must(os.MkdirAll(filepath.Dir(path), 0o755))
	c.must(os.WriteFile(path, []byte(text), mode))
	c.must(os.Chmod(path, mode))
	return path
}

// read gives the text of a file below the container's directory.
func (c *container) read(name string) string {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, name))
	c.must(err)
	return string(data)
}

func (c *container) do(call call) result {
	c.t.Helper()
	call.prefix = c.prefix
	return invoke(c.t, c.dir, c.root, call)
}

// begin is do without waiting for the end.
func (c *container) begin(call call) *running {
	c.t.Helper()
	call.prefix = c.prefix
	return begin(c.t, c.dir, c.root, call)
}

// rt runs the runtime with these arguments.
func (c *container) rt(args ...string) result {
	c.t.Helper()
	return c.do(call{args: args})
}

// with builds the arguments of create and run: flags, the bundle, the id.
func (c *container) with(verb string, flags ...string) []string {
	return append(append([]string{verb, "--bundle", c.bundle}, flags...), c.id)
}

func (c *container) run(flags ...string) result {
	c.t.Helper()
	return c.rt(c.with("run", flags...)...)
}

func (c *container) create(flags ...string) result {
	c.t.Helper()
	return c.rt(c.with("create", flags...)...)
}

func (c *container) start() result { c.t.Helper(); return c.rt("start", c.id) }

// up creates and starts the container.
func (c *container) up(flags ...string) *container {
	c.t.Helper()
	c.create(flags...).ok()
	c.start().ok()
	return c
}

// exec runs a command in the container.
func (c *container) exec(cmd ...string) result {
	c.t.Helper()
	return c.rt(append([]string{"exec", c.id}, cmd...)...)
}

// execWith runs a command in the container, with flags of exec.
func (c *container) execWith(flags []string, cmd ...string) result {
	c.t.Helper()
	args := append([]string{"exec"}, flags...)
	return c.rt(append(append(args, c.id), cmd...)...)
}

// sh runs a shell script in the container and gives what it printed.
func (c *container) sh(script string) string {
	c.t.Helper()
	return c.exec("sh", "-c", script).ok().out()
}

// kill sends a signal; what starts with a dash is a flag.
func (c *container) kill(args ...string) result {
	c.t.Helper()
	before, after := []string{"kill"}, []string{c.id}
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			before = append(before, a)
		} else {
			after = append(after, a)
		}
	}
	return c.rt(append(before, after...)...)
}

func (c *container) delete(flags ...string) result {
	c.t.Helper()
	return c.rt(append(append([]string{"delete"}, flags...), c.id)...)
}

// state is what the state verb prints.
func (c *container) state() (s specs.State) {
	c.t.Helper()
	c.must(json.Unmarshal([]byte(c.rt("state", c.id).ok().stdout), &s))
	return s
}

func (c *container) status() string { c.t.Helper(); return string(c.state().Status) }
func (c *container) pid() int       { c.t.Helper(); return c.state().Pid }

// awaitStatus waits for a status that the container reaches by itself.
func (c *container) awaitStatus(want string) {
	c.t.Helper()
	eventually(c.t, "status "+want, func() bool { return c.status() == want })
}

// awaitFile waits until a file below the container's directory has some text, and gives it.
func (c *container) awaitFile(name string) (text string) {
	c.t.Helper()
	eventually(c.t, name, func() bool {
		data, err := os.ReadFile(filepath.Join(c.dir, name))
		text = string(data)
		return err == nil && len(data) > 0
	})
	return text
}

// awaitPath waits until there is a file below the container's directory.
func (c *container) awaitPath(name string) {
	c.t.Helper()
	eventually(c.t, name, func() bool { _, err := os.Lstat(filepath.Join(c.dir, name)); return err == nil })
}

// stopped kills a running container and waits for its end.
func (c *container) stopped() *container {
	c.t.Helper()
	c.kill("KILL").ok()
	c.awaitStatus("stopped")
	return c
}

// cleanup deletes the container, then looks for what is left of it, fails on it, and removes it.
func (c *container) cleanup() {
	defer func() {
		for _, left := range c.leftovers(true) {
			c.t.Errorf("left behind: %s", left)
		}
		if err := os.RemoveAll(c.dir); err != nil {
			c.t.Errorf("remove the test's directory: %v", err)
		}
	}()
	if _, err := os.Stat(filepath.Join(c.root, c.id)); err != nil {
		return
	}
	if r := c.delete("--force"); r.code != 0 {
		c.t.Errorf("clean up: %s", r)
	}
}

// leftovers lists what the machine still has of this container. Processes get time: a killed one ends
// asynchronously, and its cgroup with it.
func (c *container) leftovers(sweep bool) (left []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		left = c.traces()
		if len(left) == 0 || time.Now().After(deadline) {
			break
		}
	}
	if sweep && len(left) > 0 {
		c.sweep()
	}
	return left
}

// pidText is the pid as a command line argument.
func pidText(pid int) string { return strconv.Itoa(pid) }

// value finds "key: value" or "key<tab>value" in the text of a /proc file.
func value(text, key string) string {
	for _, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, key); ok {
			return strings.TrimSpace(strings.TrimPrefix(rest, ":"))
		}
	}
	return ""
}
