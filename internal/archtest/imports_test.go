package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

// mostImports is how many packages of this program a package may import. One that imports more does several things.
const mostImports = 15

// assembles imports what it needs: it makes the program of its parts.
const assembles = "cli"

// TestPackagesImportFewOthers looks at all that is no test.
func TestPackagesImportFewOthers(t *testing.T) {
	root := filepath.Join(fixture.Root(), "internal")
	imports := map[string]map[string]bool{} // package → those of this program that it imports
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		name := filepath.ToSlash(dir)
		if imports[name] == nil {
			imports[name] = map[string]bool{}
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if other, ours := strings.CutPrefix(imported, "quantcheck/internal/"); ours {
				imports[name][other] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, others := range imports {
		n := len(others)
		if name != assembles && n > mostImports {
			t.Errorf("%s imports %d packages of this program, %d are the most", name, n, mostImports)
		}
	}
	if len(imports) < 60 || len(imports[assembles]) <= mostImports {
		t.Errorf("%d packages were seen; %s imports %d", len(imports), assembles, len(imports[assembles]))
	}
}
