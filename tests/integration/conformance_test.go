package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var updateDoc = flag.Bool("update", false, "write docs/spec-conformance.md, and lines for rules that testdata/conformance lacks")

const (
	conformance    = "testdata/conformance/"
	conformanceDoc = "../../docs/spec-conformance.md"
)

// rooms are the packages whose tests may be named besides those of this one.
var rooms = map[string]string{
	"bundle": "../../libcontainer/bundle", "cgroups": "../../cgroups", "translate": "../../cgroups/translate", "intelrdt": "../../libcontainer/intelrdt",
	"seccomp": "../../libcontainer/seccomp", "hooks": "../../libcontainer/hooks", "plan": "../../libcontainer/plan", "main": "../..", "fault": "../fault",
}

var testName = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// knownTests are the names of tests, with the room's name and a dot before those of other packages.
func knownTests(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	readTests(t, known, "", ".")
	for room, dir := range rooms {
		readTests(t, known, room+".", dir)
	}
	return known
}

// readTests adds the tests of one directory to those that are known.
func readTests(t *testing.T, known map[string]bool, room, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", dir, err)
	}
	for _, f := range files {
		for _, m := range testName.FindAllStringSubmatch(readAllOf(t, f), -1) {
			known[room+m[1]] = true
		}
	}
}

// table reads a file of lines with fields between bars.
func table(t *testing.T, name string, fields int) (rows [][]string) {
	t.Helper()
	for i, line := range strings.Split(readAllOf(t, conformance+name), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(line, "|")
		for j := range row {
			row[j] = strings.TrimSpace(row[j])
		}
		if len(row) != fields {
			t.Fatalf("%s:%d: %d fields, wanted %d", name, i+1, len(row), fields)
		}
		rows = append(rows, row)
	}
	return rows
}

func matches(pattern, leaf string) bool {
	if all, ok := strings.CutSuffix(pattern, "/**"); ok {
		return leaf == all || strings.HasPrefix(leaf, all+"/")
	}
	ok, _ := path.Match(pattern, leaf)
	return ok
}

func checkTests(t *testing.T, known map[string]bool, where, tests string) {
	t.Helper()
	for _, name := range strings.Fields(tests) {
		if !known[name] {
			t.Errorf("%s: there is no test %s", where, name)
		}
	}
	if tests == "" {
		t.Errorf("%s: no test", where)
	}
}

// TestConformance: each leaf of the specification's schema and each of its rules is in the table, with tests that exist,
// and the document says what the table does.
func TestConformance(t *testing.T) {
	known := knownTests(t)
	text := "# Conformance with the runtime specification\n\n" +
		"Generated from tests/integration/testdata/conformance by `go test ./tests/integration -run TestConformance -update`; the test fails\n" +
		"when a property or a rule of the specification is missing here, or a test that is named does not exist. A name with a dot is\n" +
		"a test of that package; the others drive the built binary.\n\n" + leafDoc(t, known) + "\n" + ruleDoc(t, known)
	if *updateDoc {
		if err := os.WriteFile(conformanceDoc, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if readAllOf(t, conformanceDoc) != text {
		t.Error("docs/spec-conformance.md is stale: run the test with -update")
	}
}

func leafDoc(t *testing.T, known map[string]bool) string {
	rows, used := table(t, "leaves.txt", 3), map[string]bool{}
	var b strings.Builder
	b.WriteString("## Properties\n\n`*` is any element or key. *Applied*: the tests show its effect. *Refused*: it is an error. *Ignored*: for other platforms, or\n" +
		"without effect in any supported kernel; it is mentioned in a warning.\n\n| property | | shown by |\n|---|---|---|\n")
	for _, leaf := range configLeaves(t) {
		var found []string
		for _, row := range rows {
			if matches(row[0], leaf) {
				found = row
				break
			}
		}
		if found == nil {
			t.Errorf("%s is not in leaves.txt", leaf)
			continue
		}
		used[found[0]] = true
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", leaf, found[1], found[2])
	}
	for _, row := range rows {
		if !used[row[0]] {
			t.Errorf("leaves.txt: %s is no leaf of the schema", row[0])
		}
		if row[1] != "applied" && row[1] != "refused" && row[1] != "ignored" {
			t.Errorf("leaves.txt: %s is %q", row[0], row[1])
		}
		checkTests(t, known, row[0], row[2])
	}
	return b.String()
}

// A specRule is a sentence of the specification with MUST or SHOULD.
type specRule struct{ id, section, sentence string }

var (
	heading     = regexp.MustCompile(`^#+ (?:<a name="[^"]*" ?/>)?(.*)`)
	listItem    = regexp.MustCompile(`^\s*([*\-|]|\d+\.) ?`)
	sentenceEnd = regexp.MustCompile("[.!?:]\\s+(?:[A-Z*`\\[(])")
	obliges     = regexp.MustCompile(`\b(MUST|SHOULD)\b`)
)

// specRules are those of one file, in its order; the id changes with the sentence.
func specRules(t *testing.T, dir, file string) (rules []specRule) {
	t.Helper()
	section, block, code := "", "", false
	seen := map[string]int{}
	flush := func() {
		for _, s := range sentences(block) {
			if obliges.MatchString(s) {
				sum := sha256.Sum256([]byte(section + s))
				id := hex.EncodeToString(sum[:4])
				seen[id]++
				if seen[id] > 1 {
					id += fmt.Sprintf("-%d", seen[id])
				}
				rules = append(rules, specRule{id, file + ", " + section, s})
			}
		}
		block = ""
	}
	for _, line := range strings.Split(readAllOf(t, filepath.Join(dir, file)), "\n") {
		head := heading.FindStringSubmatch(line)
		switch fence := strings.HasPrefix(strings.TrimSpace(line), "```"); {
		case fence:
			flush()
			code = !code
		case code:
		case head != nil:
			flush()
			section = strings.TrimSpace(head[1])
		default:
			if strings.TrimSpace(line) == "" || listItem.MatchString(line) {
				flush()
			}
			block = strings.TrimSpace(block + " " + strings.TrimSpace(line))
		}
	}
	flush()
	return rules
}

func sentences(block string) (list []string) {
	for {
		at := sentenceEnd.FindStringIndex(block)
		if at == nil {
			return append(list, block)
		}
		list, block = append(list, block[:at[0]+1]), strings.TrimSpace(block[at[0]+1:])
	}
}

var link = regexp.MustCompile(`\]\([^)]*\)|\]\[[^\]]*\]|[\[|]`)

// phrase is what of a sentence says which one it is: a few words around MUST or SHOULD.
func phrase(s string) string {
	s = link.ReplaceAllString(s, "")
	at := obliges.FindStringIndex(s)[0]
	before, after := strings.Fields(s[:at]), strings.Fields(s[at:])
	return strings.Join(append(before[max(0, len(before)-4):], after[:min(len(after), 6)]...), " ")
}

func ruleDoc(t *testing.T, known map[string]bool) string {
	rows := map[string][]string{}
	for _, row := range table(t, "rules.txt", 3) {
		rows[row[0]] = row
	}
	var b, missing strings.Builder
	b.WriteString("## Rules\n\nEvery sentence of runtime.md, runtime-linux.md, config.md and config-linux.md with MUST or SHOULD, by a few of its words. What binds\n" +
		"others than a runtime for Linux has a reason in place of a test.\n\n| where | rule | shown by |\n|---|---|---|\n")
	used := 0
	for _, file := range []string{"runtime.md", "runtime-linux.md", "config.md", "config-linux.md"} {
		for _, r := range specRules(t, specDir(t), file) {
			row, ok := rows[r.id]
			if !ok {
				fmt.Fprintf(&missing, "%s | %s: %s | \n", r.id, r.section, phrase(r.sentence))
				continue
			}
			used++
			if reason, ok := strings.CutPrefix(row[2], "-"); !ok {
				checkTests(t, known, "rule "+r.id+", "+phrase(r.sentence), row[2])
			} else if strings.TrimSpace(reason) == "" {
				t.Errorf("rule %s, %s: no reason", r.id, phrase(r.sentence))
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.section, phrase(r.sentence), strings.TrimPrefix(row[2], "- "))
		}
	}
	if used != len(rows) {
		t.Errorf("rules.txt has %d rules that the specification has not", len(rows)-used)
	}
	if missing.Len() > 0 {
		t.Errorf("not in rules.txt:\n%s", missing.String())
	}
	return b.String()
}
