package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestStepsOfTheStub: each kind of nsenter/steps.h has its function step_NAME in one C file, and the Go file beside that one encodes it.
func TestStepsOfTheStub(t *testing.T) {
	const dir = root + "/nsenter/"
	header, err := os.ReadFile(dir + "steps.h")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob(dir + "*.c")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	in := map[string]string{} // by kind, the C file that has its function
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^STEP\((\w+)\)`).FindAllSubmatch(text, -1) {
			in[string(m[1])] = source
		}
	}
	kinds := regexp.MustCompile(`(?m)^\tX\((\w+),`).FindAllSubmatch(header, -1)
	if len(kinds) == 0 {
		t.Fatal("steps.h has no list of kinds: what was read?")
	}
	for _, m := range kinds {
		kind := string(m[1])
		if in[kind] == "" {
			t.Errorf("steps.h has the kind %s: no file of nsenter has STEP(%s)", kind, kind)
			continue
		}
		beside := strings.TrimSuffix(in[kind], ".c") + ".go"
		if text, err := os.ReadFile(beside); err != nil || !regexp.MustCompile(`\bC\.K_`+kind+`\b`).Match(text) {
			t.Errorf("%s has STEP(%s): %s, the Go file beside it, has no step that is encoded as C.K_%s (%v)", in[kind], kind, beside, kind, err)
		}
	}
}
