package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

// tiedMost bounds the tests that want the folder of fixtures beside the project: what nobody here made and no package carries.
const tiedMost = 29

// TestTheProjectStandsAlone counts the tests that call fixture.Beside, also through a function of their package. The others run in a clone.
func TestTheProjectStandsAlone(t *testing.T) {
	t.Parallel()
	packages := map[string]map[string]*ast.FuncDecl{}
	err := filepath.WalkDir(fixture.Root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") || d.IsDir() {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if len(f.Comments) > 0 && f.Comments[0].List[0].Text == "//go:build slow" { // make slow, not make test
			return nil
		}
		dir := filepath.Dir(path)
		if packages[dir] == nil {
			packages[dir] = map[string]*ast.FuncDecl{}
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				packages[dir][fn.Name.Name] = fn
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var tied []string
	for dir, functions := range packages {
		for name, fn := range functions {
			if strings.HasPrefix(name, "Test") && callsBeside(fn, functions, map[string]bool{}) {
				rel, err := filepath.Rel(fixture.Root(), dir)
				if err != nil {
					t.Fatal(err)
				}
				tied = append(tied, filepath.ToSlash(rel)+" "+name)
			}
		}
	}
	if t.Logf("%d tests want the folder of fixtures beside the project", len(tied)); len(tied) > tiedMost || len(tied) == 0 {
		t.Errorf("%d tests want the folder beside the project, at most %d may:\n%s", len(tied), tiedMost, strings.Join(tied, "\n"))
	}
}

// callsBeside says whether a function calls fixture.Beside, itself or through another function of its package. A call behind fixture.Also,
// which asks whether there is such a folder, does not count.
func callsBeside(fn *ast.FuncDecl, functions map[string]*ast.FuncDecl, seen map[string]bool) bool {
	if seen[fn.Name.Name] {
		return false
	}
	seen[fn.Name.Name] = true
	also, found := false, false
	ast.Inspect(fn, func(n ast.Node) bool {
		if found {
			return false
		}
		switch x := n.(type) {
		case *ast.SelectorExpr:
			if room, ok := x.X.(*ast.Ident); ok && room.Name == "fixture" {
				also = also || x.Sel.Name == "Also"
				found = found || x.Sel.Name == "Beside" && !also
			}
		case *ast.Ident:
			if other, ok := functions[x.Name]; ok && other != fn {
				found = found || callsBeside(other, functions, seen)
			}
		}
		return true
	})
	return found
}
