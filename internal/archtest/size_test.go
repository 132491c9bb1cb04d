package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

// What is larger than this holds more than one idea.
const (
	mostLines   = 500 // of a file
	mostMethods = 20  // of a type
)

// TestFilesAndTypesStaySmall looks at every file of the program and its tests that a person writes.
func TestFilesAndTypesStaySmall(t *testing.T) {
	methods := map[string]int{} // package's folder and type → methods
	files := 0
	for _, root := range []string{"internal", "cmd", "tools", "bench"} {
		err := filepath.WalkDir(filepath.Join(fixture.Root(), root), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") || strings.Contains(path, ".venv") {
				return err
			}
			files++
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if n := bytes.Count(text, []byte("\n")); n > mostLines {
				t.Errorf("%s has %d lines, %d are the most", path, n, mostLines)
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
					methods[filepath.Dir(path)+"."+receiver(fn.Recv.List[0].Type)]++
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, n := range methods {
		name, err := filepath.Rel(fixture.Root(), name)
		if err != nil {
			t.Fatal(err)
		}
		name = filepath.ToSlash(name)
		if n > mostMethods {
			t.Errorf("%s has %d methods, %d are the most", name, n, mostMethods)
		}
	}
	if files < 500 || len(methods) < 100 {
		t.Errorf("only %d files and %d types were looked at", files, len(methods))
	}
}

// receiver names the type of a method.
func receiver(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}
