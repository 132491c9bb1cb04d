package stages_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/runner/stages"
	"quantcheck/internal/tensor"
)

// A model in stages gives what it gives whole, with the constants that its stages are opened with, and holds nothing in the end.
func TestStagesGiveWhatTheModelGives(t *testing.T) {
	engine := fixture.Runtime(t)
	whole := fixture.Chain(24)
	x := onnx.NewIndex(whole)
	types, err := ort.Types(engine, whole)
	if err != nil {
		t.Fatal(err)
	}
	of, last := make([]int, len(x.Nodes)), 0
	later := map[int][]*onnxpb.TensorProto{} // by stage: constants that are known only then
	var left []*onnxpb.TensorProto
	for i, n := range x.Nodes {
		if n.GetOpType() == "Conv" && i > 0 {
			last++
		}
		of[i] = last
		if n.GetOpType() == "Conv" {
			later[last] = append(later[last], x.Initializer[n.GetInput()[1]])
			left = append(left, x.Initializer[n.GetInput()[2]])
		}
	}
	g := whole.Graph()
	m := whole.With(&onnxpb.GraphProto{Name: g.Name, Node: g.GetNode(), Input: g.GetInput(), Output: g.GetOutput(), Initializer: left})
	arena := engine.NewArena(1 << 20)
	defer arena.Empty()
	out := whole.Outputs()[0]
	read := x.Nodes[1].GetOutput()[0] // in the middle of the first stage
	s := stages.New(engine, arena, m, types, of, []string{out, read}, false)
	defer s.Close()
	const samples = 3
	s.Samples(samples)
	rng := rand.New(rand.NewPCG(1, 2))
	inputs := make([]map[string]tensor.Tensor, samples)
	for i := range inputs {
		v := make([]float32, 3*8*8)
		for k := range v {
			v[k] = rng.Float32()
		}
		inputs[i] = map[string]tensor.Tensor{"image": tensor.Floats(v, 1, 3, 8, 8)}
		s.Feed(i, inputs[i])
	}
	if s.Stages() != last+1 {
		t.Fatalf("%d stages, want %d", s.Stages(), last+1)
	}
	for k := range s.Stages() {
		if err := s.Open(k, later[k]); err != nil {
			t.Fatal(err)
		}
		for i := range samples {
			if err := s.Run(context.Background(), k, i); err != nil {
				t.Fatal(err)
			}
			if _, held := s.At(i, read); k == 0 && !held {
				t.Error("a tensor that is read is not held")
			} else if k == 0 {
				s.Done(i, read)
			}
		}
		s.Shut(k)
	}
	for i := range samples {
		got, _ := s.At(i, out)
		want, err := ort.Once(context.Background(), engine, whole, inputs[i])
		if err != nil {
			t.Fatal(err)
		}
		if len(got.F32) == 0 {
			t.Fatal("there is no output")
		}
		for k, v := range want[out].F32 {
			if d := got.F32[k] - v; d > 1e-5 || d < -1e-5 {
				t.Fatalf("sample %d: value %d is %g, want %g", i, k, got.F32[k], v)
			}
		}
		s.Done(i, out)
	}
	if n := arena.Lent(); n != 0 {
		t.Errorf("%d tensors are still held", n)
	}
	for k, size := range s.Sizes() { // an output, and what is added to it later: two to three tensors of 3×8×8 values
		if size < 2*768 || size > 4*768 {
			t.Errorf("stage %d holds %d bytes", k, size)
		}
	}
}

func TestAStageEndsWithItsContextAndNamesAMissingInput(t *testing.T) {
	engine := fixture.Runtime(t)
	m := fixture.Chain(4)
	types, err := ort.Types(engine, m)
	if err != nil {
		t.Fatal(err)
	}
	arena := engine.NewArena(1 << 20)
	defer arena.Empty()
	s := stages.New(engine, arena, m, types, make([]int, 4), []string{m.Outputs()[0]}, false)
	defer s.Close()
	s.Samples(1)
	s.Feed(0, nil)
	if err := s.Open(0, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background(), 0, 0); err == nil {
		t.Error("it ran without its input")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx, 0, 0); err == nil {
		t.Error("it ran after its context had ended")
	}
}
