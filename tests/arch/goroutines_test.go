package arch

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
)

// A panic in a goroutine ends the process with a trace, whatever main would do about it, and nothing is undone. So a goroutine
// defers bug.Catch or bug.Then, itself or in the function that it is.

// cannotPanic are goroutines that make no more than waits and a system call, by file and number in it.
var cannotPanic = map[string]string{
	"libcontainer/notify/wait.go 1":     "waits for a channel and writes to an eventfd",
	"libcontainer/console/session.go 3": "waits for two channels and closes two descriptors",
	"internal/sys/thread.go 1":          "runs what catches panics itself",
	"libcontainer/stdio/copy.go 3":      "waits for the others and closes a channel",
}

// caughtInside are functions that goroutines call, which catch panics themselves.
var caughtInside = map[string]bool{"lookAt": true}

func TestGoroutinesCatchPanics(t *testing.T) {
	rooms, set := tree(t)
	unused := map[string]bool{}
	for what := range cannotPanic {
		unused[what] = true
	}
	for pkg, files := range rooms {
		if within(pkg, "rt/tests") || within(pkg, "rt/bench") {
			continue
		}
		catching := map[string]bool{}
		for _, f := range files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
					catching[fn.Name.Name] = catching[fn.Name.Name] || catches(fn.Body)
				}
			}
		}
		for file, f := range files {
			number := 0
			goroutines(f, func(call *ast.CallExpr) {
				number++
				what := fmt.Sprint(file, " ", number)
				if cannotPanic[what] != "" {
					delete(unused, what)
					return
				}
				if !caught(call, catching) {
					t.Errorf("%s: goroutine %s: a panic in it ends rt with a trace: defer bug.Catch", set.Position(call.Pos()), what)
				}
			})
		}
	}
	for what := range unused {
		t.Errorf("there is no goroutine %s (cannotPanic)", what)
	}
}

// goroutines finds `go f()` and sync.WaitGroup.Go(f).
func goroutines(f *ast.File, found func(*ast.CallExpr)) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found(n.Call)
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Go" && len(n.Args) == 1 {
				if lit, ok := n.Args[0].(*ast.FuncLit); ok {
					found(&ast.CallExpr{Fun: lit, Lparen: n.Lparen})
				}
			}
		}
		return true
	})
}

func caught(call *ast.CallExpr, catching map[string]bool) bool {
	switch fn := call.Fun.(type) {
	case *ast.FuncLit:
		if catches(fn.Body) {
			return true
		}
		inside := false
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if sel, ok := c.Fun.(*ast.SelectorExpr); ok && (caughtInside[sel.Sel.Name] || catching[sel.Sel.Name]) {
					inside = true
				}
			}
			return true
		})
		return inside
	case *ast.SelectorExpr:
		return catching[fn.Sel.Name]
	case *ast.Ident:
		return catching[fn.Name]
	}
	return false
}

// catches says whether a function's own body defers bug.Catch or bug.Then.
func catches(body *ast.BlockStmt) bool {
	for _, s := range body.List {
		d, ok := s.(*ast.DeferStmt)
		if !ok {
			continue
		}
		if sel, ok := d.Call.Fun.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "bug" && strings.Contains("Catch Then", sel.Sel.Name) {
				return true
			}
		}
	}
	return false
}
