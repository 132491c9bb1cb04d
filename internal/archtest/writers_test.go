package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

// writing are the functions that write or name files. Only packages file and scratch call them: they alone know what a power cut
// leaves, which mode a file gets, and who removes what a killed run left.
var writing = map[string][]string{
	"os": {"WriteFile", "Create", "CreateTemp", "MkdirTemp", "Rename", "Link", "Symlink", "Truncate", "Mkdir", "MkdirAll"},
}

// flags of os.OpenFile that write.
var opensToWrite = []string{"O_CREATE", "O_WRONLY", "O_RDWR", "O_APPEND", "O_TRUNC"}

// mayWrite are the other files of the program that do, each with its reason.
var mayWrite = map[string]string{
	"device/ssh/hostkey.go": "appends a line to ~/.ssh/known_hosts, which other programs write too, and syncs it",
	"lock/lock.go":          "the file of a lock holds nothing that is needed when its holder has ended",
	"snpedevice/results.go": "makes anew the folders of this process's own in which results arrive; file.ReplaceFolder puts them into place",
	"workspace/refuge.go":   "makes a folder beside temporary ones that stays until the user has brought in what it holds",
}

func TestFilesAreWrittenInOnePlace(t *testing.T) {
	t.Parallel()
	root := filepath.Join(fixture.Root(), "internal")
	used := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		room := rel[:max(strings.LastIndex(rel, "/"), 0)]
		if room == "atomicfile" || room == "scratch" || slices.Contains(forTests, room) {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, call := range writes(f) {
			if mayWrite[rel] == "" {
				t.Errorf("%s calls %s: write through package atomicfile, and make temporary things through package scratch", rel, call)
			}
			used[rel] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range mayWrite {
		if !used[name] {
			t.Errorf("%s is an exception and writes nothing", name)
		}
	}
}

// writes lists the calls in a file that write.
func writes(f *ast.File) []string {
	called := map[string]string{} // package by the name that it has in the file
	for _, i := range f.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue
		}
		name := path[strings.LastIndex(path, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		called[name] = path
	}
	var list []string
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := s.X.(*ast.Ident)
		if !ok {
			return true
		}
		pkg := called[x.Name]
		if slices.Contains(writing[pkg], s.Sel.Name) || (pkg == "os" || pkg == "syscall") && slices.Contains(opensToWrite, s.Sel.Name) {
			list = append(list, x.Name+"."+s.Sel.Name)
		}
		return true
	})
	return list
}

func TestAWriterIsSeen(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`import "os"; func f() { os.WriteFile("a", nil, 0) }`:                              1,
		`import other "os"; func f() { g := other.Create; g("a") }`:                        1,
		`import "os"; func f() { os.OpenFile("a", os.O_RDWR|os.O_CREATE, 0) }`:             2,
		`import "os"; func f() { os.Open("a"); os.OpenFile("a", os.O_RDONLY, 0) }`:         0,
		`import "os"; func f() { os.Rename("a", "b"); os.MkdirTemp("", ""); os.ReadFile }`: 2,
		`import os "strings"; func f() { os.Create("a") }`:                                 0,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "", "package p; "+text, parser.SkipObjectResolution)
		if f == nil {
			t.Fatal(err)
		}
		if got := writes(f); len(got) != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
