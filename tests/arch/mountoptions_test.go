package arch

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rt/internal/names"
)

// neverLocked are attributes of mounts that the kernel never locks: MNT_LOCK_* in its fs/namespace.c has the others.
var neverLocked = map[string]bool{"nosymfollow": true}

// TestMountOptionsInC: nsenter has numbers and names of mount options of its own, for the flags that the kernel locks. They are those of
// internal/names: each of the same number, and none is missing.
func TestMountOptionsInC(t *testing.T) {
	numbers := map[string]uint64{}
	for _, m := range regexp.MustCompile(`\b(K_(?:ATTR_)?[A-Z]+)(?: = | )(0x[0-9a-f]+|\d+)u?\b`).FindAllStringSubmatch(source(t, "kernel.h"), -1) {
		n, err := strconv.ParseUint(m[2], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		numbers[m[1]] = n
	}
	text := source(t, "mounts.c")
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`attr & (K_\w+) \? " (\w+)"`).FindAllStringSubmatch(text, -1) {
		named[m[2]] = true
		o := names.MountOption(m[2])
		if want := o.Set | o.AccessTime(); o.Kind != names.Attr || want == 0 || numbers[m[1]] != want {
			t.Errorf("mounts.c calls %s (%#x) %q, which is %#x in internal/names", m[1], numbers[m[1]], m[2], want)
		}
		if _, lockable, _ := strings.Cut(text, "static int lockable("); m[1] != "K_RELATIME" && !strings.Contains(lockable[:strings.Index(lockable, "\n}")], m[1]) {
			t.Errorf("mounts.c: lockable does not know %s (%s)", m[1], m[2])
		}
	}
	for _, name := range names.MountOptions() {
		o := names.MountOption(name)
		if o.Kind == names.Attr && o.Set|o.AccessTime() != 0 && !named[name] && !neverLocked[name] {
			t.Errorf("internal/names has %s: locked and lockable in nsenter/mounts.c lack it; if the kernel never locks it, add it to neverLocked", name)
		}
	}
}

// source is a file of nsenter without comments.
func source(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(root + "/nsenter/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return cComment.ReplaceAllString(string(text), "")
}
