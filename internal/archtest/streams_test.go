package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

// streamFiles may name the process's own streams: main, which gives them to cli.Run and cli.Linger, where package terminal stands
// around them; and the code of workers, whose streams are pipes to the program.
var streamFiles = []string{"cmd/quantcheck/main.go", "internal/runner/qnnworker/serve_linux.go"}

// rawWriters is what writes to the process's streams without being given them.
var rawWriters = map[string]func(name string) bool{
	"os":  func(name string) bool { return name == "Stdout" || name == "Stderr" || name == "NewFile" },
	"fmt": func(name string) bool { return strings.HasPrefix(name, "Print") },
	"log": func(name string) bool { return !strings.HasPrefix(name, "New") },
}

// newFile is where os.NewFile is right: for files that a worker inherits.
var newFile = []string{"internal/runner/worker", "internal/runner/cpu"}

// rawUses gives what in a file writes to the process's streams by itself.
func rawUses(f *ast.File) (found []*ast.Ident) {
	names := map[string]string{}
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		if _, is := rawWriters[path]; is {
			names[path] = path
			if i.Name != nil {
				names[i.Name.Name] = path
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && names[x.Name] != "" && rawWriters[names[x.Name]](n.Sel.Name) {
				found = append(found, n.Sel)
			}
		case *ast.CallExpr:
			if x, ok := n.Fun.(*ast.Ident); ok && (x.Name == "print" || x.Name == "println") {
				found = append(found, x)
			}
		}
		return true
	})
	return found
}

func TestNothingButPackageTerminalWritesToTheStreams(t *testing.T) {
	t.Parallel()
	root := fixture.Root()
	files := 0
	for _, top := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			name = filepath.ToSlash(name)
			room := filepath.ToSlash(filepath.Dir(name))
			if slices.Contains(forTests, strings.TrimPrefix(room, "internal/")) || slices.Contains(streamFiles, name) {
				return nil
			}
			files++
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, use := range rawUses(f) {
				if use.Name == "NewFile" && slices.Contains(newFile, room) {
					continue
				}
				t.Errorf("%s uses %s: what people read is written through the streams of cli's console", name, use.Name)
			}
			if room == "internal/cli" {
				for _, use := range rawConsole(f) {
					t.Errorf("%s: %s", name, use)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Errorf("%d files were seen", files)
	}
}

// rawConsole finds functions of cli that take a writer of the process under its usual names, other than to put a terminal.Writer
// around it.
func rawConsole(f *ast.File) (found []string) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		switch fn.Name.Name {
		case "Run", "Linger":
		default:
			continue
		}
		raw := map[string]bool{}
		for _, p := range fn.Type.Params.List {
			if s, ok := p.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Writer" {
				for _, n := range p.Names {
					raw[n.Name] = true
				}
			}
		}
		uses := map[string]int{}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr: // A field may have the same name.
				ast.Inspect(n.Value, func(v ast.Node) bool { return countRaw(v, raw, uses) })
				return false
			default:
				return countRaw(n, raw, uses)
			}
		})
		for name, n := range uses {
			if n > 0 {
				found = append(found, fn.Name.Name+" uses "+name+" otherwise than in terminal.New")
			}
		}
	}
	return found
}

// countRaw counts uses of raw names but for the argument of terminal.New.
func countRaw(n ast.Node, raw map[string]bool, uses map[string]int) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		if s, ok := n.Fun.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "terminal" && s.Sel.Name == "New" {
				return false
			}
		}
	case *ast.SelectorExpr:
		ast.Inspect(n.X, func(v ast.Node) bool { return countRaw(v, raw, uses) })
		return false
	case *ast.Ident:
		if raw[n.Name] {
			uses[n.Name]++
		}
	}
	return true
}

func TestRawWritersAreFound(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		body  string
		found int
	}{
		{`fmt.Println("x")`, 1}, {`fmt.Fprintln(os.Stderr)`, 1}, {`log.Printf("x")`, 1}, {`println("x")`, 1}, {`_ = os.NewFile(2, "")`, 1},
		{`p := &os.Stdout; _ = p`, 1}, {`fmt.Fprintln(con.stdout)`, 0}, {`_ = fmt.Sprint("x")`, 0},
	} {
		text := "package x\nimport (\"fmt\"; \"log\"; \"os\")\nfunc f() { " + row.body + " }"
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", text, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := rawUses(f); len(got) != row.found {
			t.Errorf("%s: %d found", row.body, len(got))
		}
	}
	for body, found := range map[string]int{
		`c := &console{stdout: terminal.New(stdout)}; c.stdout.Flush()`:            0,
		`stderr := terminal.New(out); fmt.Fprintln(stderr)`:                        0,
		`c := &console{stdout: terminal.New(stdout)}; fmt.Fprintln(stdout); _ = c`: 1,
		`c := &console{stdout: stdout}; _ = c`:                                     1,
		`fmt.Fprintln(out)`:                                                        1,
	} {
		text := "package x\nfunc Run(stdout, out io.Writer) { " + body + " }"
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", text, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := rawConsole(f); len(got) != found {
			t.Errorf("%s: %q", body, got)
		}
	}
}
