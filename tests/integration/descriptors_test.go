package integration

import (
	"os"
	"testing"
)

// TestDescriptors: what the caller has open does not come in (CVE-2024-21626), except by --preserve-fds.
func TestDescriptors(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("probe", "fds"))
	var files []*os.File
	for range 5 {
		f, err := os.Open("/")
		c.must(err)
		defer f.Close()
		files = append(files, f)
	}
	c.do(call{args: c.with("run"), files: files}).ok().prints("0\n1\n2")
	c.spec.Process.Args = []string{"sleep", "1000"}
	c.write()
	c.do(call{args: c.with("run", "--detach"), files: files}).ok()
	c.do(call{args: []string{"exec", c.id, "probe", "fds"}, files: files}).ok().prints("0\n1\n2")
}

func TestPreserveFds(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("probe fds; cat <&3; cat <&4"))
	open := func(text string) *os.File {
		f, err := os.Open(c.file("given-"+text, text, 0o644))
		c.must(err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	c.do(call{args: c.with("run", "--preserve-fds", "2"), files: []*os.File{open("three"), open("four"), open("five")}}).ok().prints("0\n1\n2\n3\n4\nthreefour")
	r := c.run("--preserve-fds", "100").exits(1)
	r.says("preserved-fd")
}

// TestListenFds: sockets of LISTEN_FDS come first, and the container is told of them as PID 1.
func TestListenFds(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("probe fds; echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4"))
	open := func(text string) *os.File {
		f, err := os.Open(c.file("given-"+text, text, 0o644))
		c.must(err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	// LISTEN_PID must be the runtime's own pid (sd_listen_fds(3)).
	c.prefix = []string{"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh"}
	c.do(call{args: c.with("run", "--preserve-fds", "1"), files: []*os.File{open("three"), open("four"), open("five")}, env: []string{"LISTEN_FDS=1"}}).
		ok().prints("0\n1\n2\n3\n4\n1 1\nthreefour")
}
