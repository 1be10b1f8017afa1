package arch

import (
	"go/ast"
	"go/token"
	"testing"
)

// pure rooms make no system call. readsFiles are the exceptions, which do nothing else.
var pure = []string{"rt/libcontainer/bundle", "rt/libcontainer/plan", "rt/libcontainer/seccomp", "rt/cgroups/translate"}

var readsFiles = map[string]bool{
	"libcontainer/bundle/file.go":   true, // reads config.json
	"libcontainer/bundle/bundle.go": true, // finds its directory
}

// arithmetic are functions of x/sys/unix that are no system calls.
var arithmetic = map[string]bool{"Mkdev": true, "Major": true, "Minor": true, "ByteSliceToString": true, "ErrnoName": true, "SignalName": true}

// lexical are the functions of path/filepath that only look at the text.
var lexical = map[string]bool{
	"Join": true, "Clean": true, "IsAbs": true, "Base": true, "Dir": true, "Ext": true, "Split": true, "SplitList": true,
	"Rel": true, "Match": true, "ToSlash": true, "FromSlash": true, "VolumeName": true, "IsLocal": true,
}

func TestPure(t *testing.T) {
	rooms, set := tree(t)
	calls := map[string]map[string]bool{}
	for _, p := range []string{"golang.org/x/sys/unix", "syscall"} {
		if calls[p] = functions(t, p); !calls[p]["Open"] || !calls[p]["Mkdir"] {
			t.Fatalf("%s has no function Open: what was parsed?", p)
		}
	}
	calls["rt/nsenter"] = functions(t, "rt/nsenter")
	for _, pkg := range pure {
		for file, f := range rooms[pkg] {
			if readsFiles[file] {
				continue
			}
			for p, functions := range calls {
				uses(f, p, func(sel *ast.SelectorExpr) {
					if functions[sel.Sel.Name] && !(p == "golang.org/x/sys/unix" && arithmetic[sel.Sel.Name]) {
						t.Errorf("%s: %s.%s is a system call, or made for one", set.Position(sel.Pos()), p, sel.Sel.Name)
					}
				})
			}
			uses(f, "os", func(sel *ast.SelectorExpr) {
				if sel.Sel.Name != "Getpagesize" { // known to the process from its start
					t.Errorf("%s: os.%s asks the kernel", set.Position(sel.Pos()), sel.Sel.Name)
				}
			})
			uses(f, "path/filepath", func(sel *ast.SelectorExpr) {
				if !lexical[sel.Sel.Name] && sel.Sel.Name[0] >= 'A' && sel.Sel.Name != "Separator" {
					t.Errorf("%s: filepath.%s looks at the file system", set.Position(sel.Pos()), sel.Sel.Name)
				}
			})
		}
		imports := rooms[pkg].imports()
		for file, f := range rooms[pkg] {
			if !readsFiles[file] && localName(f, "rt/internal/sys") != "" {
				t.Errorf("%s: a pure package imports rt/internal/sys", file)
			}
		}
		for imported, file := range imports {
			switch imported {
			case "os/exec", "os/signal", "net", "io/ioutil", "unsafe", "time":
				t.Errorf("%s: a pure package imports %s", file, imported)
			}
		}
	}
}

// TestNoHiddenStart: nothing runs before main, and no package keeps state between calls.
func TestNoHiddenStart(t *testing.T) {
	rooms, set := tree(t)
	for _, r := range rooms {
		for _, f := range r {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: an init function", set.Position(fn.Pos()))
				}
			}
		}
	}
	for pkg, r := range rooms {
		if !within(pkg, "rt/libcontainer") && !within(pkg, "rt/cgroups") && !within(pkg, "rt/nsenter") && !within(pkg, "rt/internal") {
			continue
		}
		for _, f := range r {
			for name, pos := range assigned(f) {
				if variables(r)[name] {
					t.Errorf("%s: the package's variable %s changes", set.Position(pos), name)
				}
			}
		}
	}
}

// variables are a room's package variables.
func variables(r room) map[string]bool {
	names := map[string]bool{}
	for _, f := range r {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, s := range g.Specs {
					for _, n := range s.(*ast.ValueSpec).Names {
						names[n.Name] = true
					}
				}
			}
		}
	}
	delete(names, "_")
	return names
}

// assigned are the plain names that functions of a file assign to and do not declare: a local variable of the same
// name hides the package's, and is let go.
func assigned(f *ast.File) map[string]token.Pos {
	found := map[string]token.Pos{}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		local := map[string]bool{}
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				for _, name := range n.Names {
					local[name.Name] = true
				}
			case *ast.ValueSpec:
				for _, name := range n.Names {
					local[name.Name] = true
				}
			case *ast.RangeStmt:
				for _, e := range []ast.Expr{n.Key, n.Value} {
					if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
						local[id.Name] = true
					}
				}
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					id, ok := e.(*ast.Ident)
					switch {
					case !ok:
					case n.Tok == token.DEFINE:
						local[id.Name] = true
					case !local[id.Name]:
						found[id.Name] = id.Pos()
					}
				}
			case *ast.IncDecStmt:
				if id, ok := n.X.(*ast.Ident); ok && !local[id.Name] {
					found[id.Name] = id.Pos()
				}
			}
			return true
		})
	}
	return found
}
