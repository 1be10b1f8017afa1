package arch

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the numbers of lines into docs/stub.md")

// codeLines counts the lines of a C file that are neither empty nor comment.
func codeLines(t *testing.T, file string) (n int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(cComment.ReplaceAllString(string(text), "")) {
		if strings.TrimSpace(line) != "" {
			n++
		}
	}
	return n
}

// TestLinesOfTheStub: docs/stub.md has every C file of nsenter with its lines of code, and their sum. With -update it writes them.
func TestLinesOfTheStub(t *testing.T) {
	const doc = root + "/docs/stub.md"
	data, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(root + "/nsenter/*.[ch]")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	want, sum := map[string]int{}, 0
	for _, file := range files {
		n := codeLines(t, file)
		want[filepath.Base(file)] = n
		sum += n
	}
	want["all"] = sum
	row := regexp.MustCompile(`(?m)^\| (\w+(?:\.[ch])?) \| (\d+) \|`)
	_, table, found := strings.Cut(string(data), "<!-- lines of the stub -->\n")
	table, _, end := strings.Cut(table, "\n\n")
	if !found || !end {
		t.Fatal("docs/stub.md has no table of the stub's lines")
	}
	seen := map[string]bool{}
	updated := row.ReplaceAllStringFunc(table, func(text string) string {
		m := row.FindStringSubmatch(text)
		n, ok := want[m[1]]
		if seen[m[1]] = true; !ok {
			t.Errorf("docs/stub.md: nsenter has no %s", m[1])
		} else if fmt.Sprint(n) != m[2] && !*update {
			t.Errorf("docs/stub.md: %s has %s lines of code, want %d: go test ./tests/arch -run TestLinesOfTheStub -update", m[1], m[2], n)
		}
		return fmt.Sprintf("| %s | %d |", m[1], n)
	})
	var missing []string
	for file := range want {
		if !seen[file] {
			missing = append(missing, file)
		}
	}
	if sort.Strings(missing); len(missing) > 0 {
		t.Errorf("docs/stub.md: the table of the stub's lines lacks %s", strings.Join(missing, ", "))
	}
	if *update {
		if err := os.WriteFile(doc, []byte(strings.Replace(string(data), table, updated, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
