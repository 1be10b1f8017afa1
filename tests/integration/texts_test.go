package integration

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSignalOutOfRange: a number that is no signal has the kernel's reason, after the container's state.
func TestSignalOutOfRange(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	for _, sig := range []string{"100", "65"} {
		c.kill(sig).fails("unable to signal init: invalid argument").oneError()
	}
	// 4294967305 is 9 in the 32 bits that the kernel takes.
	if !differs(t, "kill with a number beyond 32 bits") {
		c.kill("4294967305").fails("unable to signal init: invalid argument").oneError()
	}
	if got := c.status(); got != "running" {
		t.Fatalf("after signals that are none: %s", got)
	}
	c.stopped()
	c.kill("100").fails("container not running").oneError()
	c.delete().ok()
	c.kill("100").fails("container does not exist").oneError()
}

// TestExecUserTexts: the words are runc's; no id is guessed, and nothing of a number's parser is shown.
func TestExecUserTexts(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	for user, text := range map[string]string{"abc": "bad uid: ", "1:abc": "bad gid: ", ":1": "bad uid: ", "1:": "bad gid: ", "1:2:3": "bad gid: ", "0x1": "bad uid: "} {
		r := c.execWith([]string{"--user", user}, "true").exits(255).says("exec failed: " + text).oneError()
		if !differs(t, otherTexts) && (strings.Contains(r.stderr, "strconv") || !strings.Contains(r.stderr, "(--user)")) {
			t.Errorf("--user %s: %s", user, r)
		}
	}
	for user, want := range map[string]string{"": "0:0", "7": "7:0", "7:8": "7:8"} {
		c.execWith([]string{"--user", user}, "sh", "-c", "echo $(id -u):$(id -g)").ok().prints(want + "\n")
	}
}

// TestLogThatCannotBeMade: an error before anything is done.
func TestLogThatCannotBeMade(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.file("file", "", 0o644)
	for log, reason := range map[string]string{c.dir: "is a directory", c.dir + "/none/log": "no such file or directory", c.dir + "/file/log": "not a directory"} {
		with := func(args ...string) result {
			t.Helper()
			return c.do(call{global: []string{"--log", log}, args: args}).fails("open " + log + ": " + reason).oneError().prints("")
		}
		with(c.with("create")...)
		with(c.with("run")...)
		c.rt("state", c.id).fails("does not exist")
		with("frobnicate")
		with("list")
	}
	if left := c.leftovers(false); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	c.up()
	log := c.dir + "/none/log"
	for _, args := range [][]string{{"kill", c.id, "KILL"}, {"delete", c.id}, {"exec", c.id, "true"}, {"pause", c.id}} {
		c.do(call{global: []string{"--log", log}, args: args}).fails("open " + log + ": no such file or directory").oneError()
		if got := c.status(); got != "running" {
			t.Fatalf("after %v: %s", args, got)
		}
	}
	if !differs(t, "global --log: delete --force") {
		c.do(call{global: []string{"--log", log}, args: []string{"delete", "--force", c.id}}).ok()
	}
	if err := unix.Access(c.dir+"/none", unix.F_OK); err != unix.ENOENT {
		t.Errorf("the log's directory: %v", err)
	}
}

// TestLogIsNoDescriptorOfTheCaller: the log is open when the caller's descriptors are counted.
func TestLogIsNoDescriptorOfTheCaller(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("ls", "/proc/self/fd"))
	if differs(t, "create --preserve-fds N") {
		return
	}
	// The test may have been given descriptors by its own caller.
	c.prefix = []string{"/bin/busybox", "sh", "-c", `exec 3>&- 4>&- "$@"`, "sh"}
	c.do(call{global: []string{"--log", c.dir + "/log"}, args: c.with("run", "--preserve-fds", "1")}).fails("unable to stat preserved-fd").oneError()
}

// TestUnknownCommandCode: exit code 3, and what may have been meant.
func TestUnknownCommandCode(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for _, args := range [][]string{{"frobnicate"}, {"creat", c.id}, {"help", "nosuch"}} {
		named := args[0]
		if named == "help" {
			named = args[1]
		}
		c.rt(args...).exits(3).says(named).prints("")
	}
	if !differs(t, "an unknown command: a hint") {
		c.rt("creat", c.id).exits(3).says("hint: did you mean create?").oneError()
		c.rt("frobnicate").exits(3).says("hint: rt --help lists the commands").oneError()
	}
}
