package compare_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/compare"
	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/session"
	"quantcheck/internal/session/qdqvariant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// toy is an engine of its own: it computes y = relu(x)·relu(x) in Go, with the encodings of the variant. All that check needs to know of it
// is the line of init.
type toy struct {
	x, relu, product result.Coding     // the encodings of the input and of the layers
	layerOf          map[string]string // by tap
	groups           [][]string
}

func init() { session.Register(variant.Recipe, "toy", qdqvariant.FromRecipe{}, toy{}) }

func (toy) Open(_ context.Context, b *session.Session, v *session.Variant, groups [][]string, _ bool) (runner.Runner, error) {
	layers := v.Result.Layers // they are filled while samples run
	r := toy{v.Result.Inputs["x"], *layers[0].Encoding, *layers[1].Encoding, map[string]string{}, groups}
	for k := range layers {
		r.layerOf[layers[k].Tap] = b.Float.Layers[k].Name
	}
	return r, nil
}

func (r toy) Segments() [][]string { return r.groups }
func (r toy) Close()               {}

func (r toy) Start(s runner.Sample) runner.Inference {
	made := map[string][]float32{} // by layer
	x := rounded(s.Inputs["x"].F32, r.x)
	relu := slices.Clone(x)
	for i, v := range relu {
		relu[i] = max(v, 0)
	}
	y := rounded(relu, r.relu)
	made["r"] = slices.Clone(y)
	for i, v := range y {
		y[i] = v * v
	}
	made["y"] = rounded(y, r.product)
	return &toyInference{toy: r, made: made, shape: s.Inputs["x"].Shape}
}

func rounded(values []float32, e result.Coding) []float32 {
	list := make([]float32, len(values))
	for i, v := range values {
		q := math.RoundToEven(float64(v/float32(e.Scale))) - float64(e.Offset)
		list[i] = float32(min(max(q, 0), 255)+float64(e.Offset)) * float32(e.Scale)
	}
	return list
}

type toyInference struct {
	toy
	made  map[string][]float32
	shape []int64
	next  int
}

func (f *toyInference) Next(context.Context) (*runner.Batch, error) {
	var taps []runner.Tap
	for _, tap := range f.groups[f.next] {
		taps = append(taps, runner.Tap{Name: tap, Tensor: tensor.Floats(f.made[f.layerOf[tap]], f.shape...)})
	}
	f.next++
	return runner.NewBatch(taps, nil), nil
}

// TestAnEngineJoinsByOneRegistration is the test of the shape: check compares a variant on an engine that nothing but the line above knows,
// and its numbers are those of the simulation in ONNX Runtime.
func TestAnEngineJoinsByOneRegistration(t *testing.T) {
	node := func(op, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: proto.String(out), Input: in, Output: []string{out}}
	}
	data, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}, Graph: &onnxpb.GraphProto{
		Name: proto.String("g"), Node: []*onnxpb.NodeProto{node("Relu", "r", "x"), node("Mul", "y", "r", "r")},
		Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 8, 8})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
	}})
	model := filepath.Join(t.TempDir(), "m.onnx")
	if err == nil {
		err = os.WriteFile(model, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	spec := result.CheckSpec{
		Sources: result.Sources{Model: model, Images: fixture.Pictures(t, 4)}, Variants: []string{"w8a8", "w8a8@toy"}, Place: result.Place{Name: "m"}, Input: dataset.Default(),
		Bounds: result.Bounds{Threads: fixture.Threads, MemoryMiB: 512}, LocalSamples: 2,
	}
	run, err := compare.Run(t.Context(), session.Engines{ORT: fixture.Runtime(t)}, spec, progress.Silent{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	cpu, own := run.Variants[0], run.Variants[1]
	if own.Spec.Name != "w8a8@toy" || own.Spec.Engine != "toy" || len(run.Samples) != 4 {
		t.Fatalf("%+v of %d samples", own.Spec, len(run.Samples))
	}
	for k, l := range own.Layers {
		a, b := l.Summary[metric.SQNR].Mean, cpu.Layers[k].Summary[metric.SQNR].Mean
		if !a.OK || a != b || a.V < 20 || a.V > 80 {
			t.Errorf("layer %s: %v on the engine, %v in ONNX Runtime", run.Layers[k].Name, a, b)
		}
		if l.Local != nil || l.LocalReason == "" || cpu.Layers[k].Local == nil {
			t.Errorf("layer %s is said to be computed alone: %+v", run.Layers[k].Name, l.Local)
		}
	}
}
