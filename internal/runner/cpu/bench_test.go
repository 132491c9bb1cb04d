package cpu_test

import (
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// BenchmarkRun makes the smallest inference there is, with and without a worker: the difference is what the way there and back
// takes.
func BenchmarkRun(b *testing.B) {
	for _, one := range []struct {
		name string
		e    ort.Engine
	}{{"in process", fixture.Runtime(b)}, {"worker", open(b, cpu.Options{Memory: 1 << 30})}} {
		b.Run(one.name, func(b *testing.B) {
			bytes := model(b, &onnxpb.GraphProto{
				Node:   []*onnxpb.NodeProto{node("Relu", []string{"x"}, []string{"y"})},
				Input:  []*onnxpb.ValueInfoProto{value("x", 2, 3)},
				Output: []*onnxpb.ValueInfoProto{value("y", 2, 3)},
			})
			s, err := one.e.NewSession(bytes, []string{"x"}, []string{"y"}, onnxruntime.Options{OneThread: true})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			arena := one.e.NewArena(1 << 20)
			x, y := arena.Lend(tensor.Float32, []int64{2, 3}), arena.Lend(tensor.Float32, []int64{2, 3})
			for b.Loop() {
				if err := s.Run(b.Context(), []tensor.Tensor{x}, []tensor.Tensor{y}, nil); err != nil {
					b.Fatal(err)
				}
			}
			arena.GiveBack(x)
			arena.GiveBack(y)
			arena.Empty()
		})
	}
}
