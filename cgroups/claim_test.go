package cgroups

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestForgedMark: a mark that a container can write does not take a cgroup from its owner, unless the container that it names
// has the directory's inode in its record; a trusted mark does.
func TestForgedMark(t *testing.T) {
	c, err := New(liveHost(t), "/rt-test-mark-"+strconv.Itoa(os.Getpid()), "id")
	if err != nil {
		t.Fatal(err)
	}
	c.members = slices.DeleteFunc(c.members, func(m member) bool { return !m.v2 })
	if len(c.members) == 0 {
		t.Skip("no v2 hierarchy, and v1 has no user. attributes")
	}
	if _, err := c.take(0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Destroy() })
	dir := c.members[0].dir
	named := "" // whom the mark names, if its record has the inode
	taken, err := c.inodes()
	if err != nil {
		t.Fatal(err)
	}
	c.SetClaim(Claim{Mark: "own", Taken: taken, Other: func(mark string, trusted bool, is uint64) (string, bool) {
		if want, _ := inode(dir); is != want || mark != "other" {
			t.Errorf("asked for %q, inode %d", mark, is)
		}
		return named, false
	}})
	for _, try := range []struct {
		attr, text, named string
		want              hold
	}{
		{"user.rt.container", "other", "", full},
		{"user.rt.container", "other", "other", lost},
		{"user.rt.container", "own", "", full},
		{"trusted.rt.container", "other", "", lost},
		{"trusted.rt.container", "own", "", full},
	} {
		if err := unix.Setxattr(dir, try.attr, []byte(try.text), 0); err != nil {
			t.Fatal(err)
		}
		named = try.named
		if got, err := c.hold(&c.members[0]); got != try.want || err != nil {
			t.Errorf("%s=%s, named %q: got %d, %v, want %d", try.attr, try.text, try.named, got, err, try.want)
		}
	}
	c.claim.Taken[""] = "1"
	if got, err := c.hold(&c.members[0]); got != noHold || err != nil {
		t.Errorf("another inode: got %d, %v, want %d", got, err, noHold)
	}
}

// TestUnseenIsNotGone: a directory that cannot be looked at is neither gone nor the container's.
func TestUnseenIsNotGone(t *testing.T) {
	loop := t.TempDir() + "/loop"
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	m := member{v2: true, mount: t.TempDir(), dir: loop + "/x"}
	c := &Cgroup{members: []member{m}, guarded: true}
	c.SetClaim(Claim{Taken: map[string]string{"": "1"}, Other: func(string, bool, uint64) (string, bool) { return "", false }})
	if _, err := c.hold(&m); !errors.Is(err, unix.ELOOP) {
		t.Errorf("hold: %v", err)
	}
	if err := c.Remove(func(*Cgroup) (bool, error) { return false, errors.New("asked to kill") }); !errors.Is(err, unix.ELOOP) {
		t.Errorf("Remove: %v", err)
	}
	if !c.isOthers(m.dir) || !c.livesIn(m.dir) || !c.Shared() {
		t.Error("it is taken for the container's")
	}
}

// TestIntendedIsNotTaken: a directory that was there before is left, one that was not is removed if it is empty.
func TestIntendedIsNotTaken(t *testing.T) {
	for _, state := range []string{Missing, Existed} {
		c, err := New(liveHost(t), "/rt-test-intended-"+strconv.Itoa(os.Getpid()), "id")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.take(0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Destroy() })
		taken := c.Intended()
		for name := range taken {
			taken[name] = state
		}
		c.SetClaim(Claim{Taken: taken})
		err = c.Remove(func(*Cgroup) (bool, error) { return false, errors.New("asked to kill") })
		if err != nil || c.Exists() != (state == Existed) {
			t.Errorf("%s: %v, exists: %v", state, err, c.Exists())
		}
	}
}

// TestLeftErrorWords: the words are runc's, in the order of its maps.
func TestLeftErrorWords(t *testing.T) {
	err := &LeftError{map[string]string{"pids": "/p/x", "": "/u/x"}}
	if got := err.Error(); got != "Failed to remove paths: map[:/u/x pids:/p/x]" || !errors.Is(err, unix.EBUSY) || strings.Contains(got, "\n") {
		t.Errorf("got %q", got)
	}
}

// TestTurns: of a cgroup with thousands below no walk holds the lock from beginning to end, and none goes on in a directory that
// another container has taken meanwhile.
func TestTurns(t *testing.T) {
	c, err := New(liveHost(t), "/rt-test-turns-"+strconv.Itoa(os.Getpid()), "id")
	if err != nil {
		t.Fatal(err)
	}
	c.members = c.members[:1]
	if _, err := c.take(0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Destroy() })
	for i := range seenAtOnce + 1 {
		if err := os.Mkdir(c.members[0].dir+"/"+strconv.Itoa(i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	taken, err := c.inodes()
	if err != nil {
		t.Fatal(err)
	}
	locks, held, lost := 0, false, false
	c.SetClaim(Claim{Taken: taken, Lock: func() (func(), error) {
		if held {
			t.Error("the lock is taken twice")
		}
		if locks++; lost && locks > 1 {
			for name := range taken {
				taken[name] = "1"
			}
		}
		held = true
		return func() { held = false }, nil
	}})
	turns := func(what string, f func() error) error {
		t.Helper()
		locks = 0
		err := f()
		if locks < 2 || held {
			t.Errorf("%s: took the lock %d times, has it: %t, want twice at least, and not", what, locks, held)
		}
		return err
	}
	procs := func() error {
		return c.Locked(func(own *Cgroup) error { _, err := own.Procs(); return err })
	}
	if err := turns("Procs", procs); err != nil {
		t.Error(err)
	}
	if err := turns("Release", func() error { return c.Locked((*Cgroup).Release) }); err != nil {
		t.Error(err)
	}
	kill := func(*Cgroup) (bool, error) { return false, errors.New("asked to kill") }
	if err := turns("Remove", func() error { return c.Remove(kill) }); err != nil {
		t.Error(err)
	}
	for i := range seenAtOnce + 1 {
		if err := os.MkdirAll(c.members[0].dir+"/"+strconv.Itoa(i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if taken, err = c.inodes(); err != nil {
		t.Fatal(err)
	}
	c.claim.Taken, lost = taken, true
	if err := turns("Procs of a lost one", procs); err == nil {
		t.Error("the walk went on where another container has taken the cgroup")
	}
}
