package cgroups

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// deepTree makes directories one below the other, each with two small ones beside it, and returns their number.
func deepTree(t *testing.T, dir string, levels int) int {
	t.Helper()
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for level := range levels {
		name := fmt.Sprintf("m%0249d", level)
		for _, n := range []string{"a", name, "z"} {
			if err := unix.Mkdirat(at, n, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		below, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(at)
		at = below
	}
	unix.Close(at)
	return 3 * levels
}

// ofLevel is the number in the last long name of a path.
func ofLevel(path string) string {
	name := filepath.Base(path)
	return name[:1] + strings.TrimLeft(name[1:], "0")
}

// TestDeepWalk: a tree that is much deeper than a path is long is walked in order, with a bounded number of descriptors, and can be removed.
func TestDeepWalk(t *testing.T) {
	levels := 8 * (mostBases + 40)
	dir := t.TempDir()
	want := deepTree(t, dir, levels)
	before := len(openFds(t))
	var down, up []string
	most := 0
	err := eachChild(dir, nil, func(dir string) error {
		down = append(down, ofLevel(dir))
		if len(down)%24 == 0 {
			most = max(most, len(openFds(t)))
		}
		return nil
	}, func(dir string) error {
		up = append(up, ofLevel(dir))
		return unix.Rmdir(dir)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(down) != want || len(up) != want {
		t.Errorf("%d directories downwards, %d upwards, want %d", len(down), len(up), want)
	}
	if !slices.Equal(down[:4], []string{"a", "m", "a", "m1"}) || !slices.Equal(up[len(up)-4:], []string{"z", "m1", "z", "m"}) && !slices.Equal(up[len(up)-4:], []string{"m1", "z", "m", "z"}) {
		t.Errorf("downwards it begins with %q, upwards it ends with %q", down[:4], up[len(up)-4:])
	}
	if most > before+mostBases+2 {
		t.Errorf("%d descriptors became %d", before, most)
	}
	if after := len(openFds(t)); after != before {
		t.Errorf("%d descriptors became %d in the end", before, after)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %d, %v", len(left), err)
	}
}

// TestDeepWalkStops: an error ends a walk and leaves no descriptor open; what vanishes on the way is passed over.
func TestDeepWalkStops(t *testing.T) {
	levels := 8 * (mostBases + 10)
	dir := t.TempDir()
	deepTree(t, dir, levels)
	before := len(openFds(t))
	seen := 0
	if err := eachChild(dir, nil, nil, func(string) error { seen++; return unix.EIO }); err != unix.EIO || seen != 1 {
		t.Errorf("%v after %d", err, seen)
	}
	if err := eachChild(dir, nil, func(dir string) error {
		if seen++; seen == 3*levels/2 {
			return unix.EMFILE
		}
		return nil
	}, nil); err != unix.EMFILE {
		t.Errorf("%v, want EMFILE", err)
	}
	if after := len(openFds(t)); after != before {
		t.Errorf("%d descriptors became %d", before, after)
	}
	// Another one removes the tree at the moment when its lowest directory is reached.
	bottom := fmt.Sprintf("m%d", levels-1)
	if err := eachChild(dir, nil, func(dir string) error {
		if ofLevel(dir) == bottom {
			return removeTree(t, dir, levels)
		}
		return nil
	}, nil); err != nil {
		t.Errorf("%v", err)
	}
	if after := len(openFds(t)); after != before {
		t.Errorf("%d descriptors became %d", before, after)
	}
}

// removeTree removes a directory, what is beside it, and all above it.
func removeTree(t *testing.T, dir string, levels int) error {
	t.Helper()
	at, err := unix.Open(filepath.Dir(dir), unix.O_PATH|unix.O_DIRECTORY, 0)
	for level := levels - 1; level >= 0 && err == nil; level-- {
		for _, name := range []string{"a", fmt.Sprintf("m%0249d", level), "z"} {
			if err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR); err != nil {
				t.Errorf("level %d, %s: %v", level, name, err)
			}
		}
		var above int
		above, err = unix.Openat(at, "..", unix.O_PATH|unix.O_DIRECTORY, 0)
		unix.Close(at)
		at = above
	}
	unix.Close(at)
	return err
}

func openFds(t *testing.T) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return list
}
