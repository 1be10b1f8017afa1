package integration

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A test says with differs, rtOnly or rtSays that a peer (runc 1.5 or newer, under test by RT=path) behaves otherwise than rt. Each of
// them names the row of testdata/runc/rows.txt that states the difference: without a row there is none. The row is named by the first
// words of its second field, which only one row may begin with.

// A peerVersion is the runtime under test if it is not rt.
type peerVersion struct {
	name   string // "runc" or "crun"; "" for rt
	number [3]int
}

func (v peerVersion) isRt() bool { return v.name == "" }

// before says that the peer is older than a version, such as "1.6".
func (v peerVersion) before(version string) bool {
	other := versionNumber(version)
	return slices.Compare(v.number[:], other[:]) < 0
}

// versionNumber reads "1.6", "1.5.3" or "1.6.0-rc.1", which counts as 1.6.0.
func versionNumber(version string) (number [3]int) {
	version, _, _ = strings.Cut(version, "-")
	for i, field := range strings.SplitN(version, ".", 3) {
		number[i], _ = strconv.Atoi(field)
	}
	return number
}

// findPeer asks a runtime which one it is, by its command features.
func findPeer(path string) (peerVersion, error) {
	out, err := exec.Command(path, "features").Output()
	if err != nil {
		return peerVersion{}, fmt.Errorf("%s features: %w", path, err)
	}
	var features struct{ Annotations map[string]string }
	if err := json.Unmarshal(out, &features); err != nil {
		return peerVersion{}, fmt.Errorf("%s features: %w", path, err)
	}
	for name, key := range map[string]string{"": "rt.version", "runc": "org.opencontainers.runc.version", "crun": "run.oci.crun.version"} {
		if version, ok := features.Annotations[key]; ok {
			return peerVersion{name, versionNumber(version)}, nil
		}
	}
	return peerVersion{}, fmt.Errorf("%s features names no version that is known: %s", path, out)
}

//go:embed testdata/runc/rows.txt
var rowsText string

// statedRows are the rows of the table. It is part of the test program, for guests have no sources.
var statedRows = sync.OnceValue(func() (rows []compatRow) {
	for _, line := range strings.Split(rowsText, "\n") {
		if fields := strings.Split(line, "|"); len(fields) == 4 && !strings.HasPrefix(line, "#") {
			rows = append(rows, newRow(fields))
		}
	}
	return rows
})

// newRow is the row of a line's fields.
func newRow(fields []string) compatRow {
	for i, field := range fields {
		fields[i] = strings.TrimSpace(field)
	}
	verdict, why, _ := strings.Cut(fields[2], ": ")
	return compatRow{fields[0], fields[1], verdict, why, fields[3]}
}

// since is the version of runc from which a row with the verdict `same: since VERSION` is so.
func (r compatRow) since() (version string, ok bool) {
	version, ok = strings.CutPrefix(r.why, "since ")
	return version, ok && r.verdict == "same"
}

// isDifferent says that the row states a difference, for some version at least.
func (r compatRow) isDifferent() bool {
	_, since := r.since()
	return since || r.verdict != "same"
}

// reason is the difference in words.
func (r compatRow) reason() string {
	switch version, since := r.since(); {
	case since:
		return "runc does so since " + version
	case r.why != "":
		return r.why
	case r.verdict == "own":
		return "only rt has it"
	}
	return "only " + r.verdict + " and rt have it"
}

// holdsFor says whether the peer is one of those that the row is about.
func (r compatRow) holdsFor(peer peerVersion) bool {
	version, since := r.since()
	switch {
	case peer.isRt():
		return false
	case r.verdict == "same":
		return since && peer.before(version)
	}
	return r.verdict != peer.name
}

// statedRow is the row that begins with these words.
func statedRow(row string) (found compatRow, err error) {
	n := 0
	for _, r := range statedRows() {
		if strings.HasPrefix(r.what, row) {
			found, n = r, n+1
		}
	}
	switch {
	case n != 1:
		return found, fmt.Errorf("%d rows of testdata/runc/rows.txt begin with %q, want 1", n, row)
	case !found.isDifferent():
		return found, fmt.Errorf("row %q of testdata/runc/rows.txt says `same`: it states no difference", found.what)
	}
	return found, nil
}

// differs says that the peer under test behaves otherwise than rt, as a row of testdata/runc/rows.txt states. With rt it is false.
func differs(t *testing.T, row string) bool {
	t.Helper()
	r, err := statedRow(row)
	if err != nil {
		t.Fatal(err)
	}
	if !r.holdsFor(machine.peer) {
		return false
	}
	t.Logf("differs: %s — %s", r.what, r.reason())
	return true
}

// rtOnly leaves out the rest of a test, or of a subtest, when the peer under test behaves otherwise, as a row of
// testdata/runc/rows.txt states.
func rtOnly(t *testing.T, row string) {
	t.Helper()
	if differs(t, row) {
		t.SkipNow()
	}
}

// otherTexts is the row of errors whose words are rt's own.
const otherTexts = "any other error"

// rtSays is says for texts that only rt has. The exit status, and the texts that engines match, are tested by fails.
func (r result) rtSays(texts ...string) result {
	r.t.Helper()
	if differs(r.t, otherTexts) {
		return r
	}
	return r.says(texts...)
}

// rtError wants one error with these texts, which only rt has.
func (r result) rtError(texts ...string) result {
	r.t.Helper()
	if differs(r.t, otherTexts) {
		return r
	}
	return r.says(texts...).oneError()
}

// A marks is what the source of the tests says of the peers.
type marks struct {
	rows  map[string][]string // function: the rows that it names
	whole map[string]string   // function that begins with rtOnly, itself or by a function that it calls: the row
}

// readMarks reads the tests' source.
func readMarks(t *testing.T) marks {
	t.Helper()
	packages, err := parser.ParseDir(token.NewFileSet(), ".", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	m := marks{map[string][]string{}, map[string]string{}}
	bodies := map[string]*ast.BlockStmt{}
	for _, file := range packages["integration"].Files {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil && f.Name.Name != "rtOnly" && f.Name.Name != "rtSays" && f.Name.Name != "rtError" {
				bodies[f.Name.Name] = f.Body
				m.rows[f.Name.Name] = rowsNamed(t, f)
			}
		}
	}
	for again := true; again; {
		again = false
		for name, body := range bodies {
			if row := m.leavesOut(body); row != "" && m.whole[name] == "" {
				m.whole[name], again = row, true
			}
		}
	}
	return m
}

// rowsNamed are the rows that a function's calls of differs and rtOnly name. Each must be a constant, so that it is seen here.
func rowsNamed(t *testing.T, f *ast.FuncDecl) (rows []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if name, ok := call.Fun.(*ast.Ident); ok && (name.Name == "differs" || name.Name == "rtOnly") && len(call.Args) == 2 {
			row := rowOf(call)
			if row == "" {
				t.Errorf("%s: %s is not given a row as a string in the source", f.Name.Name, name.Name)
			}
			rows = append(rows, row)
		}
		return true
	})
	return rows
}

func rowOf(call *ast.CallExpr) string {
	if name, ok := call.Args[1].(*ast.Ident); ok && name.Name == "otherTexts" {
		return otherTexts
	}
	literal, ok := call.Args[1].(*ast.BasicLit)
	if !ok {
		return ""
	}
	row, _ := strconv.Unquote(literal.Value)
	return row
}

// leavesOut is the row of a call of rtOnly among the statements of a function, not below an if, a loop or a subtest.
func (m marks) leavesOut(body *ast.BlockStmt) (row string) {
	for _, statement := range body.List {
		switch statement.(type) {
		case *ast.ExprStmt, *ast.AssignStmt:
		default:
			continue
		}
		ast.Inspect(statement, func(n ast.Node) bool {
			if _, ok := n.(*ast.FuncLit); ok {
				return false
			}
			if call, ok := n.(*ast.CallExpr); ok {
				switch name, _ := call.Fun.(*ast.Ident); {
				case name == nil:
				case name.Name == "rtOnly" && len(call.Args) == 2:
					row = rowOf(call)
				case m.whole[name.Name] != "":
					row = m.whole[name.Name]
				}
			}
			return row == ""
		})
		if row != "" {
			return row
		}
	}
	return ""
}

// TestPeerMarks: what a test leaves out for a peer is stated by a row, and a row that says `same` has a test that a peer runs.
func TestPeerMarks(t *testing.T) {
	m := readMarks(t)
	named := 0
	for function, rows := range m.rows {
		for _, row := range rows {
			named++
			if _, err := statedRow(row); err != nil {
				t.Errorf("%s: %v", function, err)
			}
		}
	}
	if named < 20 || len(m.whole) < 5 {
		t.Fatalf("the source is not understood: %d rows named, %d tests left out", named, len(m.whole))
	}
	for _, r := range statedRows() {
		if r.verdict == "same" {
			if _, since := r.since(); !since && m.onlyRt(r) {
				t.Errorf("row %q says `same`, and with a peer all of its tests are left out: %s", r.what, r.tests)
			}
		}
	}
}

// onlyRt says that a row has tests of this package, and that a peer runs none of them.
func (m marks) onlyRt(r compatRow) bool {
	found := false
	for _, name := range strings.Fields(r.tests) {
		if _, here := m.rows[name]; here && m.whole[name] == "" {
			return false
		} else if here {
			found = true
		}
	}
	return found
}

// TestPeerMarksAreSeen: the reading of the source, on a source of its own, and what a row makes of a version.
func TestPeerMarksAreSeen(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "x_test.go", `package integration
func TestWhole(t *testing.T) { t.Parallel(); rtOnly(t, "a row"); newContainer(t).run().ok() }
func TestByHelper(t *testing.T) { c := helper(t); c.run() }
func helper(t *testing.T) *container { rtOnly(t, "another"); return nil }
func TestInPart(t *testing.T) { t.Run("x", func(t *testing.T) { rtOnly(t, "a row") }); if differs(t, "a row") { return } }
`, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	m := marks{map[string][]string{}, map[string]string{}}
	for range 2 {
		for _, decl := range file.Decls {
			f := decl.(*ast.FuncDecl)
			m.rows[f.Name.Name] = rowsNamed(t, f)
			if row := m.leavesOut(f.Body); row != "" {
				m.whole[f.Name.Name] = row
			}
		}
	}
	if got := fmt.Sprint(m.whole); got != "map[TestByHelper:another TestWhole:a row helper:another]" {
		t.Errorf("left out as a whole: %s", got)
	}
	if got := fmt.Sprint(m.rows["TestInPart"]); got != "[a row a row]" {
		t.Errorf("rows of TestInPart: %s", got)
	}
	if !m.onlyRt(compatRow{tests: "TestWhole main.TestX"}) || m.onlyRt(compatRow{tests: "TestWhole TestInPart"}) || m.onlyRt(compatRow{tests: "main.TestX"}) {
		t.Error("onlyRt is wrong")
	}
	rt, older, newer := peerVersion{}, peerVersion{"runc", versionNumber("1.5.3")}, peerVersion{"runc", versionNumber("1.6.0-rc.1")}
	for _, v := range []struct {
		verdict string
		want    [3]bool
	}{{"same: since 1.6", [3]bool{false, true, false}}, {"differs: x", [3]bool{false, true, true}}, {"own", [3]bool{false, true, true}}, {"same", [3]bool{}}} {
		verdict, why, _ := strings.Cut(v.verdict, ": ")
		r := compatRow{verdict: verdict, why: why}
		if got := [3]bool{r.holdsFor(rt), r.holdsFor(older), r.holdsFor(newer)}; got != v.want {
			t.Errorf("%s: %v, want %v", v.verdict, got, v.want)
		}
	}
	for _, row := range []string{"no such row", "", "state: nine fields"} {
		if _, err := statedRow(row); err == nil {
			t.Errorf("row %q states a difference", row)
		}
	}
}
