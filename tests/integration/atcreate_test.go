package integration

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestKnownAtCreate: what cannot be done fails at create, not at start, and leaves nothing behind.
func TestKnownAtCreate(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err != nil {
		t.Fatal(err)
	}
	mostFiles, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	limit := func(l specs.POSIXRlimit) func(*container) {
		return func(c *container) { c.spec.Process.Rlimits = []specs.POSIXRlimit{l} }
	}
	agent := func(socket func(path string)) func(*container) {
		return func(c *container) {
			path := filepath.Join(c.dir, "agent.sock")
			if socket != nil {
				socket(path)
			}
			c.spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: path,
				Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}}
		}
	}
	for name, k := range map[string]struct {
		edit func(*container)
		says string
	}{
		"more files than nr_open":         {limit(specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: mostFiles + 1}), "operation not permitted"},
		"few files, more than nr_open":    {limit(specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 10, Hard: mostFiles + 1}), "operation not permitted"},
		"a soft limit above the hard one": {limit(specs.POSIXRlimit{Type: "RLIMIT_CORE", Soft: 2, Hard: 1}), ""},
		"a deadline without a runtime":    {func(c *container) { c.spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedDeadline} }, ""},
		"an oom score out of range":       {func(c *container) { n := -2000; c.spec.Process.OOMScoreAdj = &n }, ""},
		"a memory node that is not there": {func(c *container) {
			c.spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "1000"}
		}, "invalid argument"},
		"a working directory in a file":    {func(c *container) { c.spec.Process.Cwd = "/etc/passwd/below" }, "not a directory"},
		"no program":                       {func(c *container) { c.spec.Process.Args = []string{"nosuch"} }, "executable file not found in $PATH"},
		"no agent":                         {agent(nil), "no such file or directory"},
		"an agent's socket that is a file": {agent(func(path string) { mustWrite(t, path) }), "connection refused"},
		"an agent that has ended": {agent(func(path string) {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				t.Error(err)
				return
			}
			l.SetUnlinkOnClose(false)
			l.Close()
		}), "connection refused"},
		"an agent for datagrams": {agent(func(path string) {
			l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { l.Close() })
		}), "protocol wrong type for socket"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t)
			k.edit(c)
			c.write()
			c.create().fails(k.says)
			c.rt("state", c.id).fails("does not exist")
			if left := c.leftovers(false); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func mustWrite(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Error(err)
	}
}
