package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// bindFlagsTable is what a bind mount has, by the flags of its source and its options, without and with a user namespace: a line for
// each, source | options | flags | flags, or the words of an error. -update writes what runc 1.6 does, if that is the runtime under test.
const bindFlagsTable = "testdata/bindflags/table.txt"

var bindSources = []struct {
	name  string
	flags uintptr
}{
	{"", 0}, {"ro", unix.MS_RDONLY}, {"nosuid", unix.MS_NOSUID}, {"nodev", unix.MS_NODEV}, {"noexec", unix.MS_NOEXEC},
	{"noatime", unix.MS_NOATIME}, {"strictatime", unix.MS_STRICTATIME}, {"nodiratime", unix.MS_NODIRATIME}, {"nosymfollow", unix.MS_NOSYMFOLLOW},
	{"nosuid,nodev,noexec", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"ro,nosuid,nodev,noexec,noatime", unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME},
}

var bindOptions = []string{"", "ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "atime", "relatime", "norelatime",
	"strictatime", "nostrictatime", "nodiratime", "diratime", "nosymfollow", "symfollow", "nosuid,nodev", "ro,nosuid,nodev,noexec",
	"ro,rw", "noatime,nodiratime", "ro,relatime", "noatime,ro", "ro,atime", "nosuid,suid", "silent", "rprivate",
	"rro", "rnosuid", "rnoatime"}

// flagsOf are the flags of a mount as the table has them: what is not the default.
func flagsOf(m mount) string {
	var flags []string
	for _, f := range strings.Split(m.options, ",") {
		if f != "rw" && f != "relatime" && f != "idmapped" {
			flags = append(flags, f)
		}
	}
	if !m.has("relatime") && !m.has("noatime") {
		flags = append(flags, "strictatime")
	}
	slices.Sort(flags)
	return strings.Join(flags, ",")
}

// bindFlags makes a container with these bind mounts of one source, and gives what they have, or what the error says.
func bindFlags(t *testing.T, c *container, source string, options []string) []string {
	t.Helper()
	defaults := len(defaultSpec(c.id).Mounts)
	c.spec.Mounts = c.spec.Mounts[:defaults:defaults]
	for i, o := range options {
		point := filepath.Join("/m", strconv.Itoa(i))
		c.must(os.MkdirAll(c.rootfs+point, 0o755))
		mounted(point, "bind", source, append([]string{"bind"}, strings.FieldsFunc(o, func(r rune) bool { return r == ',' })...)...)(c.spec)
	}
	c.write()
	got := make([]string, len(options))
	if r := c.create(); r.code != 0 {
		for _, words := range []string{"cannot clear locked flags", "cannot change locked atime flags", "operation not permitted"} {
			if got[0] == "" && strings.Contains(r.stderr, words) {
				got[0] = words
			}
		}
		if got[0] == "" || len(options) > 1 {
			t.Fatalf("source %s, options %q: %s", source, options, r)
		}
		r.fails().oneError()
		return got
	}
	mounts := parseMountinfo(c.proc("mountinfo"))
	c.delete("--force").ok()
	for i := range options {
		at := slices.IndexFunc(mounts, func(m mount) bool { return m.point == filepath.Join("/m", strconv.Itoa(i)) })
		if at < 0 {
			t.Fatalf("no mount for options %q of %v", options[i], mounts)
		}
		got[i] = flagsOf(mounts[at])
	}
	return got
}

// TestBindFlags: the table, on the runtime under test.
func TestBindFlags(t *testing.T) {
	t.Parallel()
	needRoot(t, "sources with flags are mounted")
	want, write := map[string][2]string{}, *updateDoc && !machine.peer.isRt()
	if !write {
		data, err := os.ReadFile(bindFlagsTable)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
			f := strings.Split(line, " | ")
			if len(f) != 4 {
				t.Fatalf("%s: %q has %d columns", bindFlagsTable, line, len(f))
			}
			want[f[0]+" | "+f[1]] = [2]string{f[2], f[3]}
		}
	}
	var table strings.Builder
	for _, s := range bindSources {
		t.Run("source "+s.name, func(t *testing.T) {
			plain, user := newContainer(t), newMapped(t)
			source := filepath.Join(plain.dir, "source")
			plain.must(os.Mkdir(source, 0o755))
			plain.must(unix.Mount("tmpfs", source, "tmpfs", s.flags&unix.MS_NOSYMFOLLOW, "size=64k"))
			defer func() { plain.must(unix.Unmount(source, unix.MNT_DETACH)) }()
			plain.must(unix.Mount("", source, "", unix.MS_REMOUNT|unix.MS_BIND|s.flags, "")) // of the mount, not of the file system
			got := map[string][2]string{}
			all := bindFlags(t, plain, source, bindOptions)
			var together []string // those that succeed in a user namespace
			for i, o := range bindOptions {
				line := s.name + " | " + o
				if w, ok := want[line]; write || !ok || strings.Contains(w[1], " ") {
					got[line] = [2]string{all[i], bindFlags(t, user, source, []string{o})[0]}
				} else {
					together = append(together, o)
					got[line] = [2]string{all[i]}
				}
			}
			if len(together) > 0 {
				for i, flags := range bindFlags(t, user, source, together) {
					line := s.name + " | " + together[i]
					got[line] = [2]string{got[line][0], flags}
				}
			}
			for _, o := range bindOptions {
				line := s.name + " | " + o
				fmt.Fprintf(&table, "%s | %s | %s\n", line, got[line][0], got[line][1])
				if !write && got[line] != want[line] {
					t.Errorf("source %q, options %q: %q, in a user namespace %q; want %q, %q", s.name, o, got[line][0], got[line][1], want[line][0], want[line][1])
				}
			}
		})
	}
	if write && !t.Failed() {
		if err := os.WriteFile(bindFlagsTable, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
