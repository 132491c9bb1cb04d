// Package archtest holds the test that lower rooms never import higher ones.
package archtest

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

// floor is a group of rooms of one kind. A room may import rooms of its own floor and of those before it.
type floor struct {
	name, holds string
	rooms       []string
}

// floors lists every package below internal, the lowest floor first, as docs/architecture.md does.
var floors = []floor{
	{"basics", "files, processes, text; they know nothing of models", []string{
		"abi", "atomicfile", "checkpoint", "floatjson", "hostinfo", "lock", "paths", "process", "progress", "resume", "scratch", "sheet", "suggest", "terminal", "usage", "workpool", "yamltext",
	}},
	{"formats", "what is read and written: models, pictures, labels, tool output", []string{
		"archive", "coco", "htpcost", "dataset", "dlc", "jpeg", "labels", "modelfile", "onnx", "onnx/onnxpb", "snpe", "tensor", "variant",
	}},
	{"devices", "commands and files on another machine", []string{
		"device", "device/adb", "device/dial", "device/local", "device/monitor", "device/probe", "device/reconnect", "device/ssh", "snpedevice",
	}},
	{"libraries", "bindings of ONNX Runtime and QNN", []string{"library", "onnxruntime", "qnn", "qnn/compose"}},
	{"arithmetic", "encodings, metrics, graph rewrites; nothing is run", []string{"calib", "cure", "cure/columns", "decode", "deployed", "floattwin", "metric", "qdq", "quant", "rewrite", "search"}},
	{"results", "what commands find out, as data", []string{"align", "cause", "encodings", "eval", "result", "verdict"}},
	{"engines", "what runs a model", []string{
		"runner", "runner/cpu", "runner/dlc", "runner/dump", "runner/htp", "runner/ort", "runner/qnnworker", "runner/stages", "runner/worker", "sensitivity",
	}},
	{"views", "results stored, drawn and put on the page", []string{"inspect", "report", "web", "workspace"}},
	{"models", "a float model and its variants, ready to run, and what the HTP compiler expects of them", []string{
		"dlcwriter", "estimator", "model", "session", "session/calibration", "session/cpuvariant", "session/dlcvariant", "session/encodingsvariant", "session/healing", "session/htpvariant", "session/identity", "session/makers", "session/prepare", "session/qdqvariant",
	}},
	{"use cases", "one for each command", []string{
		"benchmark", "benchmark/hold", "benchmark/inputs", "benchmark/layers", "benchmark/native", "benchmark/plan", "benchmark/resultfiles", "benchmark/similarity", "benchmark/speed",
		"compare", "compare/brief", "compare/cycles", "compare/judge", "compare/measure", "compare/nonfinite", "estimate",
		"explore", "explore/alone", "explore/bench", "explore/build", "explore/cache", "explore/candidate", "explore/fix", "explore/judged", "explore/policy", "explore/price", "explore/quantizers",
		"explore/request", "explore/rewriting", "explore/stage", "explore/strategy", "explore/trial",
		"lint", "lint/checks", "lint/refused", "netrun", "optimize", "quantize", "rawfiles", "remedy", "score", "score/outputs", "score/testset", "seedfiles", "strip",
	}},
	{"publishing", "what was found out, put into a workspace with its page", []string{"publish"}},
	{"program", "commands, flags, exit status", []string{"cli"}},
}

// floorOf gives a room's place in floors, −1 if it has none.
func floorOf(room string) int {
	return slices.IndexFunc(floors, func(f floor) bool { return slices.Contains(f.rooms, room) })
}

// only says which rooms alone may import a room, with the reason.
var only = map[string]struct {
	users  []string
	reason string
}{
	"device/dial": {[]string{"cli"}, "use cases are given an open device: passwords and prompts are the program's"},
	"web":         {[]string{"publish", "cli"}, "use cases return data; who stores it makes the page"},
	"snpedevice":  {[]string{"benchmark", "benchmark/hold", "benchmark/layers", "benchmark/speed", "cli"}, "SNPE's tools on a device are run by benchmark alone"},
	"abi":         {[]string{"qnn/compose"}, "structs by value between Go and C are needed there alone"},
}

// unsafeRooms are the only ones that may touch memory behind Go's back.
var unsafeRooms = []string{"abi", "onnxruntime", "qnn/compose"}

// forTests are packages that only tests import.
var forTests = []string{"fixture", "atomicfile/powercut", "archtest", "device/devicetest", "runner/runnertest", "fakeboard", "fakeboard/control", "fakeboard/simulation", "fakeboard/tools", "device/sshtest"}

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
		rank := floorOf(room)
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
			if other := floorOf(imported); rank >= 0 && other > rank {
				t.Errorf("%s: %s (%s) imports %s of a higher floor (%s)", path, room, floors[rank].name, imported, floors[other].name)
			}
			if rule, ok := only[imported]; ok && !slices.Contains(rule.users, room) {
				t.Errorf("%s: %s imports %s: %s", path, room, imported, rule.reason)
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
	for _, f := range floors {
		for _, room := range f.rooms {
			if !seen[room] {
				t.Errorf("room %s is listed but not there", room)
			}
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
