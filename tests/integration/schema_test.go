package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A schema is the specification's JSON schema, as far as it says which properties there are.
type schema struct {
	t     *testing.T
	dir   string
	files map[string]map[string]any
}

// specDir is the specification's own directory, among the modules that this one is built from.
func specDir(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec")
	out := tempFile(t, machine.work, "go-list-")
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := orphans.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := orphans.Wait(cmd); err != nil {
		t.Fatalf("go list: %v: %s", err, readAll(t, out))
	}
	return strings.TrimSpace(readAll(t, out))
}

func (s *schema) file(name string) map[string]any {
	s.t.Helper()
	if f, ok := s.files[name]; ok {
		return f
	}
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	var f map[string]any
	if err := json.Unmarshal(data, &f); err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	s.files[name] = f
	return f
}

// resolve follows a $ref, which is a file, a place in it, or both.
func (s *schema) resolve(file, ref string) (string, map[string]any) {
	s.t.Helper()
	name, place, _ := strings.Cut(ref, "#")
	if name == "" {
		name = file
	}
	node := s.file(name)
	for _, part := range strings.Split(strings.Trim(place, "/"), "/") {
		if part == "" {
			continue
		}
		next, ok := node[part].(map[string]any)
		if !ok {
			s.t.Fatalf("%s: no %s", name, place)
		}
		node = next
	}
	return name, node
}

// leaves are the places below node that hold no further properties: an element of an array, and a key that may be
// anything, are *.
func (s *schema) leaves(file string, node map[string]any, at string) (list []string) {
	if ref, ok := node["$ref"].(string); ok {
		file, node := s.resolve(file, ref)
		return s.leaves(file, node, at)
	}
	below := func(name string, child any) {
		if c, ok := child.(map[string]any); ok {
			list = append(list, s.leaves(file, c, at+name)...)
		}
	}
	for _, both := range []string{"allOf", "anyOf", "oneOf"} {
		choices, _ := node[both].([]any)
		for _, c := range choices {
			below("", c)
		}
	}
	if properties, ok := node["properties"].(map[string]any); ok {
		for name, child := range properties {
			below("/"+name, child)
		}
	}
	below("/*", node["items"])
	below("/*", node["additionalProperties"])
	if patterns, ok := node["patternProperties"].(map[string]any); ok {
		for _, child := range patterns {
			below("/*", child)
		}
	}
	if len(list) == 0 {
		list = []string{at}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// configLeaves are all of config.json.
func configLeaves(t *testing.T) []string {
	t.Helper()
	s := &schema{t, filepath.Join(specDir(t), "schema"), map[string]map[string]any{}}
	all := s.leaves("config-schema.json", s.file("config-schema.json"), "")
	var kept []string
	for _, leaf := range all {
		// An array or an object with any keys is also there as its elements.
		if !slices.Contains(all, leaf+"/*") {
			kept = append(kept, leaf)
		}
	}
	return kept
}
