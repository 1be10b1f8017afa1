package arch

import (
	"cmp"
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

// TestDocs: what a package exports has a comment that begins with its name, so that go doc and a search for the name find it. A group of
// types may have one comment. Methods of a type that is not exported are there for an interface, whose comments they have; so are those of
// the standard library's interfaces.
func TestDocs(t *testing.T) {
	rooms, set := tree(t)
	seen := 0
	for pkg, files := range rooms {
		if pkg == "rt" || within(pkg, "rt/bench") {
			continue
		}
		for _, f := range files {
			for name, doc := range exported(f) {
				seen++
				text := strings.TrimPrefix(strings.TrimPrefix(doc.Text(), "A "), "An ")
				if !strings.HasPrefix(text, name.Name) {
					t.Errorf("%s: the comment of %s does not begin with its name: %q", set.Position(name.Pos()), name.Name, text)
				}
			}
		}
	}
	if seen < 500 {
		t.Errorf("only %d exported names were found", seen)
	}
}

// wellKnown are methods of interfaces of the standard library, and Signature and Hint, whose interfaces say what they are.
var wellKnown = map[string]bool{"Error": true, "Unwrap": true, "Is": true, "String": true, "Read": true, "Write": true, "Hint": true,
	"Signature": true, "Name": true}

// exported are the functions and types of a file that other packages see, with their comments.
func exported(f *ast.File) map[*ast.Ident]*ast.CommentGroup {
	found := map[*ast.Ident]*ast.CommentGroup{}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || ofExported(d) && !wellKnown[d.Name.Name]) {
				found[d.Name] = d.Doc
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				typ, ok := s.(*ast.TypeSpec)
				if !ok || d.Tok != token.TYPE || !typ.Name.IsExported() {
					continue
				}
				switch {
				case typ.Doc != nil || !d.Lparen.IsValid():
					found[typ.Name] = cmp.Or(typ.Doc, d.Doc)
				case d.Doc == nil:
					found[typ.Name] = nil
				}
			}
		}
	}
	return found
}

// ofExported says whether the type of a method is exported.
func ofExported(method *ast.FuncDecl) bool {
	typ := method.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.Ident:
			return t.IsExported()
		default:
			return false
		}
	}
}
