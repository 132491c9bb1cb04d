package modelfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/onnx"
)

// A format joins by an entry in the list: it is read by its ending, in any case, and named in messages.
func TestAFormatJoinsByAnEntry(t *testing.T) {
	was := Formats
	t.Cleanup(func() { Formats = was })
	var asked string
	Formats = append(Formats[:len(Formats):len(Formats)], Format{Name: "toy", Endings: []string{".toy", ".toys"}, Load: func(path string) (*onnx.Model, error) {
		asked = path
		return nil, os.ErrInvalid
	}})
	for path, want := range map[string]bool{
		"a.onnx": true, "b/c.ONNX": true, "a.toy": true, "A.Toys": true, "a.toyy": false, "onnx": false, "a.onnx.gz": false, "": false, ".onnx/a": false,
	} {
		if Is(path) != want {
			t.Errorf("Is(%q) = %v", path, !want)
		}
	}
	if _, err := Load("x/y.TOYS"); err != os.ErrInvalid || asked != "x/y.TOYS" { //nolint:errorlint // the very error of the reader
		t.Errorf("the toy's reader was asked for %q: %v", asked, err)
	}
	if Endings() != ".onnx or .toy or .toys" {
		t.Error(Endings())
	}
}

// A file of no known ending is read as ONNX, whose reader says what is wrong.
func TestAnUnknownEndingIsReadAsONNX(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.bin")
	if err := os.WriteFile(path, []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "not an ONNX file") {
		t.Error(err)
	}
}
