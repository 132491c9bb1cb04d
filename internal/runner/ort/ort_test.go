package ort_test

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// ramp is the input that the onnx project's own test runner makes for its "light" models: 0, 1/n, 2/n ….
func ramp(shape ...int64) tensor.Tensor {
	n, _ := tensor.Count(shape)
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(float64(i) / float64(n))
	}
	return tensor.Floats(values, shape...)
}

// collect runs one inference and copies every tap.
func collect(t *testing.T, r runner.Runner, sample map[string]tensor.Tensor) map[string]tensor.Tensor {
	t.Helper()
	got := map[string]tensor.Tensor{}
	inference := r.Start(runner.Sample{Inputs: sample})
	defer inference.Close()
	for range r.Segments() {
		batch, err := inference.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, tap := range batch.Taps {
			got[tap.Name] = tap.Tensor.Clone()
		}
		batch.Release()
	}
	return got
}

func load(t *testing.T, path string, shapes map[string][]int64) *onnx.Model {
	t.Helper()
	m, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err = onnx.FixInputs(m, shapes)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func allTensors(m *onnx.Model) []string {
	var names []string
	constant := onnx.NewIndex(m).Constants()
	for i, n := range m.Graph().GetNode() {
		if !constant[i] {
			for _, out := range n.GetOutput() {
				if out != "" {
					names = append(names, out)
				}
			}
		}
	}
	return names
}

func TestOutputsEqualThoseThatTheModelsCarry(t *testing.T) {
	r := fixture.Runtime(t)
	for _, name := range []string{"resnet50", "shufflenet", "squeezenet"} {
		t.Run(name, func(t *testing.T) {
			m := load(t, fixture.Path(t, "models", "onnx_light", "light_"+name+".onnx"), nil)
			raw, err := os.ReadFile(fixture.Path(t, "models", "onnx_light", "light_"+name+"_output_0.pb"))
			if err != nil {
				t.Fatal(err)
			}
			p := &onnxpb.TensorProto{}
			if err := proto.Unmarshal(raw, p); err != nil {
				t.Fatal(err)
			}
			want, err := m.Tensor(p)
			if err != nil {
				t.Fatal(err)
			}
			run, err := ort.New(r, m, ort.Options{Taps: m.Outputs()})
			if err != nil {
				t.Fatal(err)
			}
			defer run.Close()
			got := collect(t, run, map[string]tensor.Tensor{m.Inputs()[0].GetName(): ramp(1, 3, 224, 224)})[m.Outputs()[0]]
			if len(got.F32) != len(want.F32) || len(want.F32) == 0 {
				t.Fatalf("%d values, want %d", len(got.F32), len(want.F32))
			}
			for i := range want.F32 {
				if diff := math.Abs(float64(got.F32[i] - want.F32[i])); diff > 1e-7+1e-3*math.Abs(float64(want.F32[i])) {
					t.Fatalf("value %d is %g, want %g", i, got.F32[i], want.F32[i])
				}
			}
		})
	}
}

func TestSegmentsDoNotChangeOneBit(t *testing.T) {
	r := fixture.Runtime(t)
	m := load(t, fixture.Path(t, "models", "yolox_nano.onnx"), nil)
	sample := map[string]tensor.Tensor{"images": ramp(1, 3, 416, 416)}
	var whole map[string]tensor.Tensor
	for _, budget := range []int64{0, 64 << 20, 8 << 20, 1} {
		run, err := ort.New(r, m, ort.Options{Taps: allTensors(m), SegmentBytes: budget})
		if err != nil {
			t.Fatal(err)
		}
		got := collect(t, run, sample)
		segments := len(run.Segments())
		run.Close()
		if whole == nil {
			whole = got
			continue
		}
		if segments < 2 || len(got) != len(whole) {
			t.Fatalf("budget %d: %d segments, %d of %d tensors", budget, segments, len(got), len(whole))
		}
		for name, want := range whole {
			for i, v := range want.F32 {
				if math.Float32bits(v) != math.Float32bits(got[name].F32[i]) {
					t.Fatalf("budget %d: %s[%d] is %g, want %g", budget, name, i, got[name].F32[i], v)
				}
			}
		}
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	r := fixture.Runtime(t)
	node := &onnxpb.NodeProto{OpType: proto.String("NoSuchOperator"), Input: []string{"x"}, Output: []string{"y"}}
	g := &onnxpb.GraphProto{
		Node:   []*onnxpb.NodeProto{node},
		Input:  []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{2})},
		Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
	}
	m := (&onnx.Model{Proto: &onnxpb.ModelProto{
		IrVersion:   proto.Int64(8),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}},
	}}).With(g)
	if _, err := ort.New(r, m, ort.Options{Taps: []string{"y"}}); err == nil || !strings.Contains(err.Error(), "NoSuchOperator") {
		t.Errorf("unknown operator: %v", err)
	}
	node.OpType = proto.String("Relu")
	run, err := ort.New(r, m, ort.Options{Taps: []string{"y"}})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	for name, sample := range map[string]map[string]tensor.Tensor{
		"missing input": {},
		"wrong shape":   {"x": tensor.Floats(make([]float32, 3), 3)},
	} {
		if _, err := run.Start(runner.Sample{Inputs: sample}).Next(context.Background()); err == nil || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := run.Start(runner.Sample{Inputs: map[string]tensor.Tensor{"x": ramp(2)}}).Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func BenchmarkYoloxAllTaps(b *testing.B) {
	r := fixture.Runtime(b)
	m, err := onnx.Load(fixture.Path(b, "models", "yolox_nano.onnx"))
	if err != nil {
		b.Fatal(err)
	}
	m, _, _ = onnx.FixInputs(m, nil)
	for name, budget := range map[string]int64{"whole": 0, "64MiB": 64 << 20, "16MiB": 16 << 20, "4MiB": 4 << 20} {
		b.Run(name, func(b *testing.B) {
			run, err := ort.New(r, m, ort.Options{Taps: allTensors(m), SegmentBytes: budget})
			if err != nil {
				b.Fatal(err)
			}
			defer run.Close()
			b.Logf("%d segments", len(run.Segments()))
			for b.Loop() {
				f := run.Start(runner.Sample{Inputs: map[string]tensor.Tensor{"images": ramp(1, 3, 416, 416)}})
				for range run.Segments() {
					batch, err := f.Next(context.Background())
					if err != nil {
						b.Fatal(err)
					}
					batch.Release()
				}
				f.Close()
			}
		})
	}
}
