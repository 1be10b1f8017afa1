package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoStrconvInErrors: what strconv says of a text ("strconv.ParseUint: parsing ...: invalid syntax") is nothing for a user's eyes.
// Its errors are compared with nil, or given to errors.Is, and dropped; an error that is shown is made by rt, as internal/names does (Unsigned, Signed).
func TestNoStrconvInErrors(t *testing.T) {
	fset := token.NewFileSet()
	seen := 0
	for _, file := range goFiles(t) {
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			for _, pos := range strconvErrors(fn.Body, &seen) {
				t.Errorf("%s: the error of strconv is passed on: say in rt's own words what the text is not (names.Unsigned, names.Signed)", fset.Position(pos))
			}
		}
	}
	if seen < 20 {
		t.Errorf("%d calls of strconv are looked at: this test has become blind", seen)
	}
}

// goFiles are the files of rt's program.
func goFiles(t *testing.T) (files []string) {
	for _, pattern := range []string{"*.go", "libcontainer/*.go", "libcontainer/*/*.go", "cgroups/*.go", "cgroups/*/*.go", "internal/*/*.go", "nsenter/*.go"} {
		all, err := filepath.Glob("../../" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if !strings.HasSuffix(f, "_test.go") {
				files = append(files, f)
			}
		}
	}
	return files
}

// strconvErrors finds where an error of strconv's is used otherwise than by a comparison with nil.
func strconvErrors(body *ast.BlockStmt, seen *int) (found []token.Pos) {
	plain := onlyAsked(body)
	ifs := map[ast.Stmt]*ast.IfStmt{} // by their first statement, whose names end with them
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			ifs[n.Init] = n
		case *ast.ReturnStmt:
			for _, r := range n.Results {
				if parses(r) {
					*seen++
					found = append(found, r.Pos())
				}
			}
		case *ast.AssignStmt:
			if len(n.Rhs) != 1 || !parses(n.Rhs[0]) {
				return true
			}
			*seen++
			scope := body
			if s := ifs[n]; s != nil && n.Tok == token.DEFINE {
				scope = &ast.BlockStmt{Lbrace: s.Pos(), List: []ast.Stmt{s}, Rbrace: s.End()}
			}
			e, ok := n.Lhs[len(n.Lhs)-1].(*ast.Ident)
			if !ok {
				found = append(found, n.Pos())
			} else if e.Name != "_" {
				found = append(found, usesOfError(scope, e.Name, n, plain)...)
			}
		}
		return true
	})
	return found
}

// parses says whether an expression is a call of strconv that can fail.
func parses(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	fn, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := fn.X.(*ast.Ident)
	return ok && x.Name == "strconv" && (strings.HasPrefix(fn.Sel.Name, "Parse") || fn.Sel.Name == "Atoi" || fn.Sel.Name == "Unquote")
}

// onlyAsked are the names in a function that are one side of == nil or != nil, or handed to errors.Is.
func onlyAsked(body *ast.BlockStmt) map[*ast.Ident]bool {
	all := map[*ast.Ident]bool{}
	ast.Inspect(body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if fn, ok := call.Fun.(*ast.SelectorExpr); ok && fn.Sel.Name == "Is" && len(call.Args) == 2 {
				if x, ok := call.Args[0].(*ast.Ident); ok {
					all[x] = true
				}
			}
		}
		if b, ok := n.(*ast.BinaryExpr); ok {
			x, okX := b.X.(*ast.Ident)
			y, okY := b.Y.(*ast.Ident)
			if okX && okY && y.Name == "nil" {
				all[x] = true
			}
		}
		return true
	})
	return all
}

// usesOfError finds the uses of a name behind an assignment, up to the next assignment to it.
func usesOfError(body *ast.BlockStmt, name string, from *ast.AssignStmt, plain map[*ast.Ident]bool) (found []token.Pos) {
	until := body.End()
	set := map[*ast.Ident]bool{}
	ast.Inspect(body, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok {
			return true
		}
		for _, l := range a.Lhs {
			if id, ok := l.(*ast.Ident); ok && id.Name == name {
				set[id] = true
				if a.Pos() > from.Pos() && a.Pos() < until {
					until = a.Pos()
				}
			}
		}
		return true
	})
	ast.Inspect(body, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == name && id.Pos() > from.End() && id.Pos() < until && !set[id] && !plain[id] {
			found = append(found, id.Pos())
		}
		return true
	})
	return found
}
