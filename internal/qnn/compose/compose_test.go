package compose

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
)

// backend is this process's: QCS8550, the DSP of the fixtures.
func backend(t *testing.T) *Backend {
	t.Helper()
	kit := fixture.Emulator(t)
	mu.Lock()
	defer mu.Unlock()
	if theOne == nil {
		b, err := Open(kit, Options{SoC: 66})
		if err != nil {
			t.Fatal(err)
		}
		theOne = b
	}
	return theOne
}

var (
	mu     sync.Mutex
	theOne *Backend
)

func all(string) bool { return true }

func build(t *testing.T, path string, o GraphOptions) *Graph {
	t.Helper()
	g, err := backend(t).Compose(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// run feeds the bytes of the fixtures' runs and gives the outputs by name.
func run(t *testing.T, g *Graph) map[string][]byte {
	t.Helper()
	var in, out [][]byte
	for _, x := range g.Pick(g.Inputs) {
		b := make([]byte, x.Bytes())
		for i := range b {
			b[i] = byte(37*i + 11*(i>>8))
		}
		in = append(in, b)
	}
	for _, x := range g.Pick(g.Outputs) {
		out = append(out, make([]byte, x.Bytes()))
	}
	if err := g.Execute(in, out); err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	for i, x := range g.Pick(g.Outputs) {
		got[x.Name] = out[i]
	}
	return got
}

const pose = "pose_landmark_lite_quantized.dlc"

func TestEveryTensorIsTheOraclesOne(t *testing.T) {
	data, err := os.ReadFile(fixture.Beside(t, "qnn", "pose_landmark_lite_run.json"))
	if err != nil {
		t.Fatal(err)
	}
	type told struct {
		DType    string
		Dims     []int
		Encoding []float64
		SHA256   string
		Output   bool
	}
	var want struct {
		CoreAPI         [3]int `json:"core_api"`
		Tensors, Nodes  int
		Inputs, Outputs map[string]told
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if b := backend(t); b.Core != want.CoreAPI {
		t.Errorf("core API %v", b.Core)
	}
	g := build(t, fixture.Beside(t, "dlc", pose), GraphOptions{Expose: all})
	got := run(t, g)
	if len(g.Tensors) != want.Tensors || len(g.Nodes) != want.Nodes || len(g.Outputs) != 187 || len(got) != 187 || len(want.Outputs) != 187 || len(g.Notes) != 0 {
		t.Errorf("%d tensors, %d nodes, %d outputs, notes %v", len(g.Tensors), len(g.Nodes), len(got), g.Notes)
	}
	names := map[dlc.DType]string{0x408: "ufix8", 0x308: "sfix8", 0x416: "ufix16", 0x332: "sfix32", 0x232: "float32"}
	compare := func(x dlc.Tensor, w told) {
		if names[x.DType] != w.DType || !slices.Equal(x.Shape, w.Dims) {
			t.Errorf("%s is %s%v, want %s%v", x.Name, x.DType, x.Shape, w.DType, w.Dims)
		}
		if e := x.Encoding; e == nil || e.Axis != -1 || float64(e.Scale[0]) != w.Encoding[0] || float64(e.Offset[0]) != w.Encoding[1] {
			t.Errorf("%s: encoding %+v, want %v", x.Name, e, w.Encoding)
		}
	}
	for _, x := range g.Pick(g.Inputs) {
		compare(x, want.Inputs[x.Name])
	}
	for _, x := range g.Pick(g.Outputs) {
		w, known := want.Outputs[x.Name]
		if !known {
			t.Errorf("%s is not among the oracle's", x.Name)
			continue
		}
		compare(x, w)
		if sum := sha256.Sum256(got[x.Name]); hex.EncodeToString(sum[:8]) != w.SHA256 {
			t.Errorf("%s: sha256 %x, want %s", x.Name, sum[:8], w.SHA256)
		}
		if (x.Location == dlc.Output) != w.Output {
			t.Errorf("%s: location %d", x.Name, x.Location)
		}
	}
}

func TestTapsChangeNoBitOfTheOutputs(t *testing.T) {
	var paths []string
	for _, name := range []string{"zoo_w8a8_per_channel.dlc", "zoo_w8a16_per_channel.dlc", "zoo_w4a8_per_channel.dlc"} {
		paths = append(paths, fixture.Path(t, "qnn", name))
	}
	if path, ok := fixture.Also(t, "dlc", pose); ok {
		paths = append(paths, path)
	}
	for _, path := range paths {
		bare := build(t, path, GraphOptions{})
		tapped := build(t, path, GraphOptions{Expose: all})
		with, without := run(t, tapped), run(t, bare)
		if len(without) == 0 || len(with) <= len(without) {
			t.Errorf("%s: %d outputs with taps, %d without", path, len(with), len(without))
		}
		for name, b := range without {
			if !bytes.Equal(b, with[name]) {
				t.Errorf("%s: the output %s differs with taps", path, name)
			}
		}
		// One tap alone gives what it gives among all.
		var one string
		for _, x := range tapped.Pick(tapped.Outputs) {
			if x.Location == dlc.Native {
				one = x.Name
			}
		}
		alone := run(t, build(t, path, GraphOptions{Expose: func(name string) bool { return name == one }}))
		if len(alone) != len(without)+1 || !bytes.Equal(alone[one], with[one]) {
			t.Errorf("%s: %s alone differs", path, one)
		}
	}
}

func TestTheComposerAndOurReaderAgree(t *testing.T) {
	folders, paths := []string{fixture.Path(t, "qnn")}, []string(nil)
	for _, name := range []string{"dlc", "qnn"} {
		if dir, ok := fixture.Also(t, name); ok {
			folders = append(folders, dir)
		}
	}
	for _, dir := range folders {
		found, err := filepath.Glob(filepath.Join(dir, "*.dlc"))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	composed, encodings := 0, 0
	for _, path := range paths {
		name := filepath.Base(path)
		f, err := dlc.Open(path)
		if err != nil || f.Major != 4 {
			continue
		}
		defer f.Close()
		g, err := backend(t).Compose(path, GraphOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		composed++
		if len(g.Notes) > 0 || len(f.Notes) > 0 {
			t.Errorf("%s: %v, %v", name, g.Notes, f.Notes)
		}
		known := map[string]dlc.Tensor{}
		for _, x := range g.Tensors {
			known[x.Name] = x
		}
		for _, want := range f.Graphs[0].Tensors {
			x, ok := known[Reported(want.Name)]
			if !ok {
				t.Errorf("%s: the composer does not report %s", name, want.Name)
				continue
			}
			if x.DType != want.DType || x.Location != want.Location || !slices.Equal(x.Shape, want.Shape) {
				t.Errorf("%s: %s is %s%v at %d, our reader says %s%v at %d", name, x.Name, x.DType, x.Shape, x.Location, want.DType, want.Shape, want.Location)
			}
			a, b := x.Encoding, want.Encoding
			if (a == nil) != (b == nil) {
				t.Errorf("%s: %s has the encoding %+v, our reader says %+v", name, x.Name, a, b)
				continue
			}
			if a == nil {
				continue
			}
			encodings += len(a.Scale)
			if a.Axis != b.Axis || a.Bits != b.Bits || !slices.Equal(a.Scale, b.Scale) || !slices.Equal(a.Offset, b.Offset) {
				t.Errorf("%s: %s has the encoding %+v, our reader says %+v", name, x.Name, a, b)
			}
		}
		if n := len(f.Graphs[0].Nodes); len(g.Nodes) != n {
			t.Errorf("%s: %d nodes, our reader says %d", name, len(g.Nodes), n)
		}
		g.Close()
	}
	t.Logf("%d files, %d encodings", composed, encodings)
	if composed < 8 {
		t.Errorf("only %d files composed", composed)
	}
}

func TestWhatCannotRunIsRefusedWithTheCode(t *testing.T) {
	b := backend(t)
	junk := filepath.Join(t.TempDir(), "junk.dlc")
	if err := os.WriteFile(junk, bytes.Repeat([]byte("junk"), 999), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{"/nowhere.dlc": "systemDlcCreateFromFile", junk: "systemDlcCreateFromFile"}
	if old, ok := fixture.Also(t, "dlc", "test_abs.dlc"); ok {
		refused[old] = "systemDlcComposeGraphs"
	}
	for path, call := range refused {
		_, err := b.Compose(path, GraphOptions{})
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeNotTaken || e.Call != call || len(e.Lines) == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	g := build(t, fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc"), GraphOptions{})
	in, out := make([][]byte, len(g.Inputs)), make([][]byte, len(g.Outputs))
	for i, x := range g.Pick(g.Inputs) {
		in[i] = make([]byte, x.Bytes()-1)
	}
	var size *SizeError
	if err := g.Execute(in, out); !errors.As(err, &size) || size.Got != size.Want-1 {
		t.Errorf("%v", err)
	}
	if err := g.Execute(nil, out); err == nil {
		t.Error("no input was taken")
	}
	if _, err := Open(fixture.Emulator(t), Options{SoC: 66}); err == nil {
		t.Error("a second backend was opened")
	}
}

func TestNamesAsTheComposerSpellsThem(t *testing.T) {
	for name, want := range map[string]string{"a_B9": "a_B9", "Conv2D__14:0.nhwc": "Conv2D__14_0_nhwc", "/x/y": "_x_y", "1/a": "_1_a", "s\xfcb": "s_b", "": ""} {
		if got := Reported(name); got != want {
			t.Errorf("%q is spelled %q, want %q", name, got, want)
		}
	}
}

func TestAnotherVersionIsRefused(t *testing.T) {
	err := error(&VersionError{2, 41, 0})
	if want := "the libraries have QNN's core API 2.41.0; this program works with 2.40, that of onnxruntime-qnn 2.7.0; run `quantcheck doctor --install htp`"; err.Error() != want {
		t.Error(err)
	}
}

func TestTheDocumentInAnObjectIsFound(t *testing.T) {
	if got := document([]byte("\x01\x02\x00{\"traceEvents\": [\"\xff}\"]}\x00\x00{}")); string(got) != "{\"traceEvents\": [\"\xff}\"]}" {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"", "\x00\x01", "{\"traceEvents\": ["} {
		if got := document([]byte(bad)); got != nil {
			t.Errorf("%q gave %q", bad, got)
		}
	}
}
