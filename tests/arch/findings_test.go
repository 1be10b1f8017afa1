package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// findings are those of the audits of rt 4a850c2, but for checkpoint and restore.
var findings = strings.Fields(`S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S23 S24 S25 S26 S27 S28 S29 S30 S31
	S32 S33 S34 S35 S36 S37 S38 S39 S40 S49 S50 S51`)

// TestFindings: docs/hardening.md has a row for each finding, with an attack and a flaw that exist. So do all other rows name tests that exist.
func TestFindings(t *testing.T) {
	doc, err := os.ReadFile("../../docs/hardening.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	flaws, err := os.ReadFile("../security/weak_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	named := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w*`)
	quoted := regexp.MustCompile(`"([^"]+)"`)
	number := regexp.MustCompile(`^S[0-9]+$`)
	for line := range strings.Lines(string(doc)) {
		for _, name := range named.FindAllString(line, -1) {
			if !tests[name] {
				t.Errorf("there is no %s: %s", name, line)
			}
		}
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if !number.MatchString(cells[0]) {
			continue
		}
		found = append(found, cells[0])
		if len(cells) != 5 || slices.Contains(cells, "") || !named.MatchString(cells[1]) {
			t.Errorf("want a finding, its attack, two builds and a flaw: %s", line)
			continue
		}
		names := quoted.FindAllStringSubmatch(cells[4], -1)
		if len(names) == 0 {
			t.Errorf("%s names no flaw", cells[0])
		}
		for _, n := range names {
			if n[1] != "with" && !strings.Contains(string(flaws), "\t{\""+n[1]+"\",") {
				t.Errorf("%s: tests/security has no flaw %q", cells[0], n[1])
			}
		}
	}
	if !slices.Equal(found, findings) {
		t.Errorf("the table has %q, want %q", found, findings)
	}
}

// testNames are those of all test functions of the source.
func testNames(t *testing.T) map[string]bool {
	names := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((Test|Fuzz)\w*)\(`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "../.." && d.Name() != ".." {
			return err
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range function.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
