package arch

import (
	"go/ast"
	"go/types"
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

// TestEveryStepIsPlanned: each Go type of a step is part of a plan: code that is no test makes one.
func TestEveryStepIsPlanned(t *testing.T) {
	rooms, _ := tree(t)
	steps, made := map[string]string{}, map[string]bool{}
	for file, f := range rooms["rt/nsenter"] {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "encode" && fn.Recv != nil {
				steps[types.ExprString(fn.Recv.List[0].Type)] = file
			}
		}
	}
	for _, room := range rooms {
		for _, f := range room {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					made[lastName(n.Type)] = true
				case *ast.StructType: // a field of a step that others fill, such as Rights.User
					for _, field := range n.Fields.List {
						made[lastName(field.Type)] = true
					}
				case *ast.FuncType: // a step that a function completes
					if n.Results != nil {
						for _, result := range n.Results.List {
							made[lastName(result.Type)] = true
						}
					}
				case *ast.CallExpr: // a conversion, such as of Credentials to SetUser
					made[lastName(n.Fun)] = true
				}
				return true
			})
		}
	}
	if len(steps) == 0 {
		t.Fatal("nsenter has no steps: what was read?")
	}
	for step, file := range steps {
		if !made[step] {
			t.Errorf("%s: no plan has a step %s", file, step)
		}
	}
}

// lastName is the name of a type without its package.
func lastName(e ast.Expr) string {
	if e == nil {
		return ""
	}
	text := types.ExprString(e)
	return text[strings.LastIndexAny(text, ".*")+1:]
}

// TestFuzzerReadsData: the fuzzer of the check of a plan reads the data of each kind that has some, as the stub does.
func TestFuzzerReadsData(t *testing.T) {
	_, rest, found := strings.Cut(source(t, "wire.c"), "static int has_data(")
	body, _, ended := strings.Cut(rest, "\n}")
	kinds := regexp.MustCompile(`case (K_\w+):`).FindAllStringSubmatch(body, -1)
	if !found || !ended || len(kinds) == 0 {
		t.Fatal("wire.c: has_data names no kind")
	}
	condition, _, found := strings.Cut(source(t, "fuzz/plan_check.c"), "size_t n = ") // which the test of the kinds is before
	if !found {
		t.Fatal("nsenter/fuzz/plan_check.c reads no data")
	}
	condition = condition[strings.LastIndex(condition, "if ("):]
	for _, m := range kinds {
		if !strings.Contains(condition, m[1]) {
			t.Errorf("nsenter/fuzz/plan_check.c does not read the data of %s (%q)", m[1], condition)
		}
	}
}
