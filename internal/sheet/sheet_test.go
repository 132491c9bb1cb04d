package sheet_test

import (
	"bytes"
	"encoding/csv"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/sheet"
)

func TestSafe(t *testing.T) {
	t.Parallel()
	for cell, want := range map[string]string{
		"": "", "conv1": "conv1", "/model.0/conv/Conv_output_0": "/model.0/conv/Conv_output_0", "onnx::Mul_686": "onnx::Mul_686", "a=b": "a=b", "'quoted": "'quoted",
		"-3.5": "-3.5", "+1e9": "+1e9", "-inf": "-inf", "0": "0", "-0": "-0", " -3": "' -3",
		"=1+1": "'=1+1", "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", "+SUM(1)": "'+SUM(1)", "-2+3": "'-2+3", "@SUM(1)": "'@SUM(1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1",
		"  =1": "'  =1", "＝1": "'＝1", "-": "'-", "--": "'--", "|x": "'|x",
	} {
		if got := sheet.Safe(cell); got != want {
			t.Errorf("%q became %q, want %q", cell, got, want)
		}
		if got := sheet.Plain(sheet.Safe(cell)); got != cell {
			t.Errorf("%q came back as %q", cell, got)
		}
	}
}

func TestNumbersKeepTheirBytes(t *testing.T) {
	t.Parallel()
	row := []string{"name", "-3.5", "1e-7", "+2", "", "true", "with, comma", `with "quotes"`}
	var got, want bytes.Buffer
	w, plain := sheet.NewWriter(&got), csv.NewWriter(&want)
	if err := w.Write(row); err != nil {
		t.Fatal(err)
	}
	if err := plain.Write(row); err != nil {
		t.Fatal(err)
	}
	plain.Flush()
	if err := w.Flush(); err != nil || got.String() != want.String() {
		t.Errorf("%q, want %q (%v)", got.String(), want.String(), err)
	}
}

// TestEveryTableIsWrittenHere finds writers of CSV that go past this package.
func TestEveryTableIsWrittenHere(t *testing.T) {
	t.Parallel()
	root := filepath.Join(fixture.Root(), "internal")
	found := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "fakeboard") {
			return err
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			if name, err := strconv.Unquote(i.Path.Value); err != nil || name != "encoding/csv" {
				continue
			}
			found++
			if filepath.Base(filepath.Dir(path)) != "sheet" && writes(t, path) {
				t.Errorf("%s writes a CSV file without package sheet", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 3 {
		t.Errorf("only %d files use encoding/csv; is the search right?", found)
	}
}

// writes says whether a file makes a writer of CSV.
func writes(t *testing.T, path string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(text, []byte("csv.NewWriter"))
}

func FuzzSafe(f *testing.F) {
	for _, cell := range []string{"=1", "-1", "'", "'=", "\t", "a"} {
		f.Add(cell)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		safe := sheet.Safe(cell)
		if sheet.Safe(safe) != safe {
			t.Errorf("%q is not safe yet", safe)
		}
		if !strings.HasPrefix(cell, "'") && sheet.Plain(safe) != cell {
			t.Errorf("%q came back as %q", cell, sheet.Plain(safe))
		}
		if safe != "" && strings.ContainsRune("=@\t\r", rune(safe[0])) {
			t.Errorf("%q begins with a sign of formulas", safe)
		}
	})
}
