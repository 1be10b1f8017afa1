package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNoCallsIntoGo: no C of rt makes a thread, and none calls a Go function. The patched Go has nothing ready for such a call
// (toolchain/go1.26.patch, 3), and ends the process.
func TestNoCallsIntoGo(t *testing.T) {
	into := regexp.MustCompile(`pthread_create|thrd_create|CLONE_THREAD|_cgo_export|crosscall2`)
	for _, pattern := range []string{"/nsenter/*.c", "/nsenter/*.h"} {
		files, err := filepath.Glob(root + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %q, %v", pattern, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if found := into.Find(text); found != nil {
				t.Errorf("%s: %s", file, found)
			}
		}
	}
	rooms, _ := tree(t)
	for _, files := range rooms {
		for file := range files {
			text, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, "//export ") {
					t.Errorf("%s: %s", file, line)
				}
			}
		}
	}
}
