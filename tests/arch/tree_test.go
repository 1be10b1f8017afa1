package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// root is the module's directory as seen from this package's.
const root = "../.."

// A room is a package's files, tests left out, by their paths below root.
type room map[string]*ast.File

// tree parses every package below root, by import path.
func tree(t *testing.T) (map[string]room, *token.FileSet) {
	t.Helper()
	set := token.NewFileSet()
	rooms := map[string]room{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && file != root && (name == "testdata" || name == "build" || name[0] == '.' || name[0] == '_') {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(set, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		pkg := path.Join("rt", filepath.ToSlash(filepath.Dir(rel)))
		if rooms[pkg] == nil {
			rooms[pkg] = room{}
		}
		rooms[pkg][rel] = f
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{"rt", "rt/libcontainer", "rt/libcontainer/bundle", "rt/libcontainer/plan", "rt/libcontainer/seccomp",
		"rt/nsenter", "rt/cgroups", "rt/internal/sys"} {
		if len(rooms[pkg]) == 0 {
			t.Fatalf("package %s is gone: docs/architecture.md and these rules want to know", pkg)
		}
	}
	return rooms, set
}

// imports are a room's, with a file that has each.
func (r room) imports() map[string]string {
	all := map[string]string{}
	for file, f := range r {
		for _, spec := range f.Imports {
			p, _ := strconv.Unquote(spec.Path.Value)
			all[p] = file
		}
	}
	return all
}

// localName is what a file calls an import, "" if it has none of that path.
func localName(f *ast.File, importPath string) string {
	for _, spec := range f.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p == importPath {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return path.Base(importPath)
		}
	}
	return ""
}

// uses calls visit for every mention of a name of an imported package, such as unix.Open, called or not.
func uses(f *ast.File, importPath string, visit func(sel *ast.SelectorExpr)) {
	local := localName(f, importPath)
	if local == "" {
		return
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local {
				visit(sel)
			}
		}
		return true
	})
}

// functions are the names of a package's exported functions, on any platform.
func functions(t *testing.T, importPath string) map[string]bool {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", "{{.Dir}}", importPath)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("find the source of %s: %v", importPath, err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("read the source of %s: %d files, %v", importPath, len(files), err)
	}
	names := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.IsExported() {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}
