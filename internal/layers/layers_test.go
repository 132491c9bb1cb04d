// Package layers holds the test that lower rooms never import higher ones.
package layers

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

// rooms lists every package below internal, lowest first. A package may import only those above its line. The order is
// that of docs/architecture.md.
var rooms = []string{
	"terminal",
	"yamltext", "floatjson", "sheet",
	"process", "scratch", "file", "lock", "resume", "spell", "tensor", "machine", "variant", "onnx/onnxpb", "abi", "dlc", "snpe", "cost",
	"quant", "metric", "coco", "search", "jpeg", "onnx", "library", "onnxruntime", "qnn", "qnn/compose", "dataset", "device", "device/local", "device/ssh", "device/adb", "device/again", "device/monitor", "device/facts", "connect", "board", "archive",
	"runner", "runner/ort", "runner/worker", "runner/cpu",
	"truth", "calib", "qdq", "rewrite", "decode", "runner/htp", "runner/dlc",
	"sensitivity", "result", "align", "runner/dump", "runner/container", "eval", "encodings", "inspect", "lint",
	"workspace", "report", "web",
	"flow",
	"cli",
}

// unsafeRooms are the only ones that may touch memory behind Go's back.
var unsafeRooms = []string{"abi", "onnxruntime", "qnn/compose"}

// forTests are packages that only tests import.
var forTests = []string{"fixture", "file/powercut", "layers", "device/devicetest", "standin", "standin/control", "standin/board", "device/sshtest"}

func TestLowerRoomsDoNotImportHigherOnes(t *testing.T) {
	root := filepath.Join(fixture.Root(), "internal")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		room := filepath.ToSlash(dir)
		test := strings.HasSuffix(path, "_test.go")
		rank := slices.Index(rooms, room)
		if rank < 0 && !slices.Contains(forTests, room) {
			t.Errorf("%s is in no list of this test; say where it belongs", room)
		}
		seen[room] = true
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if name == "unsafe" && !slices.Contains(unsafeRooms, room) && room != "onnx/onnxpb" {
				t.Errorf("%s imports unsafe", path)
			}
			if name == "C" {
				t.Errorf("%s uses cgo", path)
			}
			imported, ours := strings.CutPrefix(name, "quantcheck/internal/")
			if !ours || test || slices.Contains(forTests, room) {
				continue
			}
			if other := slices.Index(rooms, imported); other >= rank {
				t.Errorf("%s (room %s) imports the higher room %s", path, room, imported)
			}
			if slices.Contains(forTests, imported) {
				t.Errorf("%s (room %s) imports %s, which is for tests only", path, room, imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range rooms {
		if !seen[room] {
			t.Errorf("room %s is listed but not there", room)
		}
	}
}

func TestTheProgramHoldsNothingThatIsForTests(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/...")
	cmd.Dir = fixture.Root()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	for name := range strings.FieldsSeq(string(out)) {
		room, ours := strings.CutPrefix(name, "quantcheck/internal/")
		seen = seen || room == "cli"
		if ours && slices.Contains(forTests, room) || name == "testing" {
			t.Errorf("it holds %s", name)
		}
	}
	if !seen {
		t.Errorf("the list of what it holds is not understood: %.100s", out)
	}
}
