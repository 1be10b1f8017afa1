package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// placing are the functions of the stub that call move_mount(2). What is of the host comes to its place by attach, which takes a struct
// tree, of stated propagation. The others and why they need not:
var placing = map[string]string{
	"k_move_mount":  "the call itself",
	"attach":        "places every mount of the plan",
	"attach_root":   "places a struct tree as well: the rootfs, before there is a container's root to place it below",
	"mount_by_name": "a new tmpfs of the stub's own, which is unmounted again",
	"clone_root":    "a clone of the host's tree over itself, in a mount namespace of the stub's own, whose propagation a step has set before",
	"place":         "a new file system on a directory of the new staging root",
	"staging_root":  "a new tmpfs over /, in a mount namespace that the step has made and set to slave",
}

var cFunction = regexp.MustCompile(`(?m)^(?:STEP\((\w+)\)|[\w *]*?\b(\w+)\([^;\n]*\))\n\{`)

// TestPlacesOfMounts: no function of the stub places a mount but those that have been looked at.
func TestPlacesOfMounts(t *testing.T) {
	sources, err := filepath.Glob("../../nsenter/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatal(err, sources)
	}
	seen := map[string]bool{}
	call := regexp.MustCompile(`\bk_move_mount\(`)
	for _, source := range sources {
		raw, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		text := cComment.ReplaceAllString(string(raw), "")
		functions := cFunction.FindAllStringSubmatchIndex(text, -1)
		for _, at := range call.FindAllStringIndex(text, -1) {
			name := ""
			for _, f := range functions {
				if f[0] > at[0] {
					break
				}
				if name = ""; f[2] >= 0 {
					name = text[f[2]:f[3]]
				} else {
					name = text[f[4]:f[5]]
				}
			}
			if seen[name] = true; placing[name] == "" {
				t.Errorf("%s: %s calls move_mount: place the mount by attach, or say in placing why not", filepath.Base(source), name)
			}
		}
	}
	for name := range placing {
		if !seen[name] {
			t.Errorf("placing: %s calls move_mount no more", name)
		}
	}
}
