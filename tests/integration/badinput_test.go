package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestBadInput: one clear error, exit 1, and nothing left behind.
func TestBadInput(t *testing.T) {
	t.Parallel()
	for _, b := range []struct {
		name string
		edit func(c *container) // of the bundle
		text string             // that the error has; "" where runc's is another
		runc bool               // it takes this, or ends without a reason
	}{
		{name: "config.json missing", edit: func(c *container) { c.must(os.Remove(c.config())) }, text: "JSON specification file config.json not found"},
		{name: "config.json is a directory", edit: func(c *container) { c.must(os.Remove(c.config())); c.must(os.Mkdir(c.config(), 0o755)) }, text: "config.json"},
		{name: "config.json is empty", edit: raw("")},
		{name: "config.json is truncated", edit: func(c *container) { c.raw(c.read("b/config.json")[:700]) }},
		{name: "config.json is no JSON", edit: raw("ociVersion: 1.0.0")},
		{name: "config.json is null", edit: raw("null"), runc: true},
		{name: "config.json is an array", edit: raw("[]")},
		{name: "config.json is 100 MB", edit: func(c *container) { c.raw(string(bytes.Repeat([]byte(" "), 100<<20))) }},
		{name: "config.json is 100 MB of nesting", edit: func(c *container) { c.raw(string(bytes.Repeat([]byte("["), 100<<20))) }},
		{name: "config.json is a FIFO's end", edit: func(c *container) {
			c.must(os.Remove(c.config()))
			c.must(os.Symlink("/dev/zero", c.config()))
		}, runc: true},
		{name: "text after the document", edit: func(c *container) { c.raw(c.read("b/config.json") + " {}") }, runc: true},
		{name: "wrong type of args", edit: set("process.args", "sh"), text: "args"},
		{name: "wrong type of uid", edit: set("process.user", map[string]any{"uid": "root", "gid": 0}), text: "uid"},
		{name: "negative uid", edit: set("process.user", map[string]any{"uid": -1, "gid": 0}), text: "uid"},
		{name: "no process", edit: set("process", nil), text: "process property must not be empty"},
		{name: "no root", edit: set("root", nil)},
		{name: "no linux", edit: set("linux", nil), runc: true},
		{name: "no args", edit: set("process.args", []string{}), text: "args must not be empty"},
		{name: "empty arg", edit: set("process.args", []string{""})},
		{name: "NUL in args", edit: set("process.args", []string{"echo", "a\x00b"}), runc: true},
		{name: "NUL in env", edit: set("process.env", []string{"PATH=/bin", "A=b\x00c"}), runc: true},
		{name: "env without a value", edit: set("process.env", []string{"PATH=/bin", "LONELY"})},
		{name: "env without a name", edit: set("process.env", []string{"PATH=/bin", "=x"})},
		{name: "hook timeout negative", edit: set("hooks", map[string]any{"createRuntime": []map[string]any{{"path": "/bin/true", "timeout": -1}}}), runc: true},
		{name: "cwd too long", edit: set("process.cwd", "/"+strings.Repeat("x", 5000)), text: "file name too long"},
		{name: "destination too long", edit: mountOf(specs.Mount{Destination: "/tmp/" + strings.Repeat("x", 5000), Type: "tmpfs", Source: "tmpfs"}), text: "file name too long"},
		{name: "NUL in cwd", edit: set("process.cwd", "/a\x00b")},
		{name: "NUL in a mount", edit: mountOf(specs.Mount{Destination: "/tmp\x00x", Type: "tmpfs", Source: "tmpfs"})},
		{name: "NUL in the hostname", edit: set("hostname", "a\x00b"), runc: true},
		{name: "NUL in rootfs", edit: set("root.path", "root\x00fs")},
		{name: "relative cwd", edit: set("process.cwd", "tmp"), text: "Cwd must be an absolute path"},
		{name: "empty cwd", edit: set("process.cwd", ""), text: "wd"},
		{name: "rootfs missing", edit: set("root.path", "nothing"), text: "nothing"},
		{name: "rootfs empty path", edit: set("root.path", ""), runc: true},
		{name: "rootfs is a file", edit: func(c *container) { set("root.path", c.file("file", "", 0o644))(c) }},
		{name: "rootfs is a symlink", edit: func(c *container) {
			c.must(os.Symlink("rootfs", filepath.Join(c.bundle, "link")))
			set("root.path", "link")(c)
		}, runc: true},
		{name: "missing executable", edit: set("process.args", []string{"nothing"}), text: "executable file not found in $PATH"},
		{name: "a directory as executable", edit: set("process.args", []string{"/etc"})},
		{name: "bind source missing", edit: mountOf(specs.Mount{Destination: "/tmp", Type: "bind", Source: "/no/such/source", Options: []string{"bind"}}), text: "/no/such/source"},
		{name: "bind a file over a directory", edit: mountOf(specs.Mount{Destination: "/tmp", Type: "bind", Source: "/etc/hostname", Options: []string{"bind"}}), text: "/tmp"},
		{name: "unknown file system", edit: mountOf(specs.Mount{Destination: "/tmp", Type: "nosuchfs", Source: "x"}), text: "no such device"},
		{name: "unknown tmpfs option", edit: mountOf(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "x", Options: []string{"nosuchoption"}}), text: "nosuchoption"},
		{name: "no destination", edit: mountOf(specs.Mount{Type: "tmpfs", Source: "x"})},
		{name: "data on a bind mount", edit: mountOf(specs.Mount{Destination: "/tmp", Type: "bind", Source: "/tmp", Options: []string{"bind", "size=1k"}}), runc: true},
		{name: "unknown namespace", edit: func(c *container) { namespace("nosuchns", "")(c.spec); c.write() }, text: "nosuchns"},
		{name: "namespace twice", edit: func(c *container) {
			c.spec.Linux.Namespaces = append(c.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.PIDNamespace})
			c.write()
		}, text: "pid"},
		{name: "namespace path missing", edit: func(c *container) { namespace(specs.NetworkNamespace, "/no/such/ns")(c.spec); c.write() }, text: "/no/such/ns"},
		{name: "relative namespace path", edit: func(c *container) { namespace(specs.NetworkNamespace, "no/such/ns")(c.spec); c.write() }},
		{name: "user namespace without mappings", edit: func(c *container) {
			namespace(specs.UserNamespace, "")(c.spec)
			c.spec.Linux.UIDMappings, c.spec.Linux.GIDMappings = nil, nil
			c.write()
		}, text: "apping"},
		{name: "hostname without uts namespace", edit: func(c *container) { namespace(specs.UTSNamespace, "-")(c.spec); c.write() }, text: "hostname"},
		{name: "bad rlimit", edit: set("process.rlimits", []map[string]any{{"type": "RLIMIT_X", "soft": 1, "hard": 1}}), text: "wrong rlimit value: RLIMIT_X"},
		{name: "rlimit twice", edit: set("process.rlimits", []map[string]any{{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}, {"type": "RLIMIT_CORE", "soft": 2, "hard": 2}}), runc: true},
		{name: "soft rlimit above hard", edit: set("process.rlimits", []map[string]any{{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}})},
		{name: "bad propagation", edit: set("linux.rootfsPropagation", "sideways")},
		{name: "bad device type", edit: set("linux.devices", []map[string]any{{"path": "/dev/x", "type": "q", "major": 1, "minor": 3}})},
		{name: "device path relative", edit: set("linux.devices", []map[string]any{{"path": "../../x", "type": "c", "major": 1, "minor": 3}}), runc: true},
		{name: "cgroup rule without access", edit: set("linux.resources.devices", []map[string]any{{"allow": true, "type": "c", "major": 1, "minor": 3}})},
		{name: "sysctl of the host", edit: set("linux.sysctl", map[string]string{"kernel.core_pattern": "|/bin/x"}), text: "kernel.core_pattern"},
		{name: "sysctl with dots", edit: set("linux.sysctl", map[string]string{"net.../../kernel/core_pattern": "x"})},
		{name: "hook path relative", edit: set("hooks", map[string]any{"createRuntime": []map[string]any{{"path": "hook"}}})},
		{name: "unknown seccomp action", edit: set("linux.seccomp", map[string]any{"defaultAction": "SCMP_ACT_NONSENSE"}), text: "SCMP_ACT_NONSENSE"},
	} {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			if b.runc {
				rtOnly(t, "any input that is refused")
			}
			c := newContainer(t)
			b.edit(c)
			c.create().fails(b.text).oneError()
			if left := c.leftovers(false); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			c.rt("state", c.id).fails("does not exist")
		})
	}
}

// config is the path of config.json.
func (c *container) config() string { return filepath.Join(c.bundle, "config.json") }

// raw replaces config.json.
func (c *container) raw(text string) {
	c.t.Helper()
	c.must(os.WriteFile(c.config(), []byte(text), 0o644))
}

func raw(text string) func(*container) { return func(c *container) { c.raw(text) } }

func mountOf(m specs.Mount) func(*container) {
	return func(c *container) { c.spec.Mounts = append(c.spec.Mounts, m); c.write() }
}

// set changes one field of config.json, which may be of a wrong type; nil removes it.
func set(path string, v any) func(*container) {
	return func(c *container) {
		c.t.Helper()
		var doc map[string]any
		c.must(json.Unmarshal([]byte(c.read("b/config.json")), &doc))
		at, keys := doc, strings.Split(path, ".")
		for _, key := range keys[:len(keys)-1] {
			at = at[key].(map[string]any)
		}
		if last := keys[len(keys)-1]; v == nil {
			delete(at, last)
		} else {
			at[last] = v
		}
		data, err := json.Marshal(doc)
		c.must(err)
		c.raw(string(data))
	}
}

func TestBadIDs(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"../x", "a/b", ".", "..", "", "a b", "a\nb", "ä", "a:b", strings.Repeat("x", 300)} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t)
			r := c.rt("create", "--bundle", c.bundle, id).exits(1).oneError()
			if len(id) < 300 && id != "" {
				r.says("invalid container ID format")
			}
			for _, verb := range []string{"state", "start", "kill", "delete"} {
				c.rt(verb, id).exits(1)
			}
			if entries, _ := os.ReadDir(c.root); len(entries) > 0 {
				t.Errorf("left in the root: %v", entries)
			}
		})
	}
	for _, id := range []string{"a.b", "A-1_b", "0+x", "-dash"} {
		c := newContainer(t, args("true"))
		c.rt("run", "--bundle", c.bundle, "--", id).ok()
	}
}

// TestUnknownFields are ignored: a newer specification has them.
func TestUnknownFields(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("true"))
	set("future", map[string]any{"a": 1})(c)
	c.run().ok()
}

// TestMissingBundle: the bundle is no directory, or not there.
func TestMissingBundle(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.rt("create", "--bundle", "/no/such/bundle", c.id).fails("no such file or directory").oneError()
	c.rt("create", "--bundle", c.config(), c.id).fails("not a directory").oneError()
}

func TestRootErrors(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.root = c.file("a-file", "", 0o644)
	c.create().exits(1).oneError()
	c.root = "/"
	c.create().exits(1).oneError()
}
