package arch

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRecipes: docs/contributing.md, by which people find the files to change, names only files and tests that exist. A path may lack its
// beginning (plan/process.go).
func TestRecipes(t *testing.T) {
	doc, err := os.ReadFile("../../docs/contributing.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{} // a file by its name, and by each end of its path
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == ".git" {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() {
			for end := path.Base(file); len(end) <= len(file); {
				there[end] = true
				above := strings.TrimSuffix(strings.TrimSuffix(file, end), "/")
				if above == root || above == "" {
					break
				}
				end = path.Join(path.Base(above), end)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files := regexp.MustCompile(`[\w./-]*\w\.(?:go|c|h|txt)\b`).FindAllString(string(doc), -1)
	for _, name := range files {
		if !there[name] {
			t.Errorf("docs/contributing.md: there is no %s", name)
		}
	}
	if len(files) < 50 {
		t.Errorf("docs/contributing.md names only the files %q: what was read?", files)
	}
	tests := testNames(t)
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(doc), -1) {
		if !tests[name] {
			t.Errorf("docs/contributing.md: there is no test %s", name)
		}
	}
}
