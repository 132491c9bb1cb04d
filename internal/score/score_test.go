package score_test

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/dataset"
	"quantcheck/internal/eval"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/score"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// colours writes a classifier whose three scores are a picture's mean red, green and blue, and a folder of plain pictures for each class. One
// green picture lies among the red ones.
func colours(t *testing.T) (model, data string) {
	t.Helper()
	dir := t.TempDir()
	node := func(op, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: proto.String(out), Input: in, Output: []string{out}}
	}
	m, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}, Graph: &onnxpb.GraphProto{
		Name: proto.String("g"), Node: []*onnxpb.NodeProto{node("GlobalAveragePool", "mean", "x"), node("Flatten", "scores", "mean")},
		Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 8, 8})}, Output: []*onnxpb.ValueInfoProto{onnx.ValueInfo("scores", tensor.Float32, []int64{1, 3})},
	}})
	model, data = filepath.Join(dir, "m.onnx"), filepath.Join(dir, "data")
	if err == nil {
		err = os.WriteFile(model, m, 0o600)
	}
	for name, c := range map[string]color.RGBA{
		"a_red/1.png": {250, 20, 10, 255}, "a_red/2.png": {130, 90, 100, 255}, "a_red/3.png": {40, 60, 20, 255},
		"b_green/1.png": {10, 200, 30, 255}, "c_blue/1.png": {0, 100, 101, 255},
	} {
		if err == nil {
			err = plain(filepath.Join(data, filepath.FromSlash(name)), c)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return model, data
}

func plain(path string, c color.RGBA) error {
	p := image.NewRGBA(image.Rect(0, 0, 8, 8))
	for i := range 64 {
		p.SetRGBA(i%8, i/8, c)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(f, p), f.Close())
}

func request(model, data string, variants ...string) result.EvalSpec {
	return result.EvalSpec{
		Sources: result.Sources{Model: model, Images: ""}, Variants: variants, Place: result.Place{Name: "m"}, Input: dataset.Default(),
		Bounds: result.Bounds{Threads: fixture.Threads, MemoryMiB: 512}, Scoring: result.Scoring{Task: result.Classification, Data: data},
	}
}

func run(t *testing.T, ctx context.Context, spec result.EvalSpec) (*result.Evaluation, error) {
	t.Helper()
	return score.Run(ctx, session.Engines{ORT: fixture.Runtime(t)}, spec, eval.Usual(), nil, progress.Silent{}, nil)
}

// Four of five plain pictures have the class of their folder, in float and in a variant alike.
func TestClassesAreScored(t *testing.T) {
	model, data := colours(t)
	e, err := run(t, t.Context(), request(model, data, "w8a8", "w8a16"))
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Models) != 3 || len(e.Pictures) != 5 {
		t.Fatalf("%d models, %d pictures", len(e.Models), len(e.Pictures))
	}
	for _, m := range e.Models {
		if !m.Scores[0].OK || m.Scores[0].V != 0.8 {
			t.Errorf("%s: top-1 is %v", m.Name, m.Scores[0])
		}
		if m.Name != "float" && (!m.Drop.OK || m.Drop.V != 0 || !m.Agree.Share.OK || m.Agree.Share.V != 1) {
			t.Errorf("%s: drop %v, agreement %v", m.Name, m.Drop, m.Agree.Share)
		}
	}
}

// A picture that cannot be read is left out and named; the others are scored.
func TestAPictureThatCannotBeReadIsNamed(t *testing.T) {
	model, data := colours(t)
	if err := os.WriteFile(filepath.Join(data, "b_green", "2.png"), []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := run(t, t.Context(), request(model, data, "w8a8"))
	if err != nil {
		t.Fatal(err)
	}
	if e.Models[0].Scores[0].V != 0.8 || !strings.Contains(strings.Join(e.Warnings, "\n"), "2.png") {
		t.Errorf("%v, %q", e.Models[0].Scores[0], e.Warnings)
	}
}

// What is wrong with a request is an error of usage.
func TestRequestsThatCannotBeScored(t *testing.T) {
	model, data := colours(t)
	for name, change := range map[string]func(*result.EvalSpec){
		"a recipe that is none":  func(s *result.EvalSpec) { s.Variants = []string{"w9a8"} },
		"no data":                func(s *result.EvalSpec) { s.Data = filepath.Join(data, "none") },
		"no model":               func(s *result.EvalSpec) { s.Model += ".none" },
		"a scale of nothing":     func(s *result.EvalSpec) { s.Input.Scale = []float64{0} },
		"samples that are none":  func(s *result.EvalSpec) { s.Calib = filepath.Join(data, "none") },
		"pictures of one folder": func(s *result.EvalSpec) { s.Data = filepath.Join(data, "a_red") },
	} {
		spec := request(model, data, "w8a8")
		change(&spec)
		if _, err := run(t, t.Context(), spec); !errors.Is(err, usage.Err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An evaluation ends with its context.
func TestAnEvaluationEndsWithItsContext(t *testing.T) {
	model, data := colours(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := run(t, ctx, request(model, data, "w8a8")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
