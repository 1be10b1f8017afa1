package arch

import (
	"go/ast"
	"strings"
	"testing"
)

// byPath are the functions that open, make or change a file by its path. Only internal/sys calls them: it knows whose file it
// is and looks at it first (docs/hardening.md, "What rt opens"). unix has them with endings such as at and at2.
var byPath = map[string][]string{
	"os": {"Open", "OpenFile", "OpenInRoot", "OpenRoot", "Create", "CreateTemp", "MkdirTemp", "ReadFile", "WriteFile", "ReadDir", "DirFS", "CopyFS",
		"Mkdir", "MkdirAll", "Chmod", "Chown", "Lchown", "Chtimes", "Truncate", "Symlink", "Link", "Rename"},
	"golang.org/x/sys/unix": kernelCalls,
	"syscall":               kernelCalls,
	"io/ioutil":             {"ReadFile", "WriteFile", "ReadDir", "TempFile", "TempDir"},
}

var kernelCalls = []string{"Open", "Openat", "Openat2", "OpenByHandleAt", "OpenTree", "Creat", "Mkdir", "Mkdirat", "Mknod", "Mknodat", "Mkfifo", "Mkfifoat",
	"Chmod", "Fchmodat", "Chown", "Lchown", "Fchownat", "Truncate", "Symlink", "Symlinkat", "Link", "Linkat", "Rename", "Renameat", "Renameat2",
	"Setxattr", "Lsetxattr", "Utime", "Utimes", "Lutimes", "UtimesNano", "UtimesNanoAt", "Futimesat"}

// TestOpens: no package but internal/sys opens, makes or changes files by path, or opens what it has not looked at.
func TestOpens(t *testing.T) {
	rooms, set := tree(t)
	seen := 0
	for pkg, r := range rooms {
		if pkg == "rt/internal/sys" || notProduct(pkg) {
			continue
		}
		for _, f := range r {
			for p, names := range byPath {
				uses(f, p, func(sel *ast.SelectorExpr) {
					for _, name := range names {
						if sel.Sel.Name == name {
							t.Errorf("%s: %s.%s takes a path: use a function of internal/sys", set.Position(sel.Pos()), p, name)
						}
					}
				})
			}
			for _, call := range opens(f) {
				seen++
				if !mentions(call, "O_PATH", "O_DIRECTORY") {
					t.Errorf("%s: opens what it has not looked at: use sys.OpenFile, or sys.OpenKernelFile for a file of the kernel's", set.Position(call.Pos()))
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("%d calls of sys.Open and sys.OpenAt: what are they called now?", seen)
	}
}

// notProduct says that a package is not part of the rt that is installed.
func notProduct(pkg string) bool {
	return within(pkg, "rt/bench") || within(pkg, "rt/tests") || strings.Contains(pkg, "/internal/gen")
}

// opens are a file's calls of sys.Open and sys.OpenAt.
func opens(f *ast.File) (calls []*ast.CallExpr) {
	local := localName(f, "rt/internal/sys")
	if local == "" {
		return nil
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && (sel.Sel.Name == "Open" || sel.Sel.Name == "OpenAt") {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == local {
					calls = append(calls, call)
				}
			}
		}
		return true
	})
	return calls
}

// mentions says whether an argument of a call has one of these names in it.
func mentions(call *ast.CallExpr, names ...string) (found bool) {
	for _, arg := range call.Args {
		ast.Inspect(arg, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				for _, name := range names {
					found = found || id.Name == name
				}
			}
			return true
		})
	}
	return found
}

// TestKernelFiles: what sys.OpenKernelFile, ReadKernelFile and WriteFile are given as text lies in a file system of the kernel's.
func TestKernelFiles(t *testing.T) {
	rooms, set := tree(t)
	for pkg, r := range rooms {
		if notProduct(pkg) {
			continue
		}
		for _, f := range r {
			local := localName(f, "rt/internal/sys")
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || local == "" || len(call.Args) == 0 {
					return true
				}
				sel, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || sel.Sel.Name != "OpenKernelFile" && sel.Sel.Name != "OpenKernelBare" && sel.Sel.Name != "ReadKernelLine" && sel.Sel.Name != "ReadKernelFile" && sel.Sel.Name != "WriteFile" {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); !ok || x.Name != local {
					return true
				}
				if text := firstText(call.Args[0]); text != "" && !strings.HasPrefix(text, "/proc/") && !strings.HasPrefix(text, "/sys/") {
					t.Errorf("%s: %s is no file of the kernel's", set.Position(call.Pos()), text)
				}
				return true
			})
		}
	}
}

// firstText is the text that an expression begins with, "" if it is not known here.
func firstText(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		return strings.Trim(e.Value, "\"`")
	case *ast.BinaryExpr:
		return firstText(e.X)
	}
	return ""
}
