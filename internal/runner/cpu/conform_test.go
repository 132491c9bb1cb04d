package cpu_test

import (
	"slices"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/runner/runnertest"
	"quantcheck/internal/tensor"
)

func TestRunnersConformInAWorkerAndInTheProcess(t *testing.T) {
	m, err := onnx.Load(fixture.OCR(t))
	if err == nil {
		m, _, err = onnx.FixInputs(m, map[string][]int64{"x": {1, 3, 64, 64}})
	}
	if err != nil {
		t.Fatal(err)
	}
	var taps []string
	for _, n := range m.Graph().GetNode() {
		if n.GetOpType() == "Conv" {
			taps = append(taps, n.GetOutput()...)
		}
	}
	values := make([]float32, 3*64*64)
	for i := range values {
		values[i] = float32(i%251) / 251
	}
	a := tensor.Floats(values, 1, 3, 64, 64)
	b := tensor.Floats(slices.Clone(values), 1, 3, 64, 64)
	slices.Reverse(b.F32)
	for name, e := range map[string]ort.Engine{"worker": open(t, cpu.Options{Memory: 1 << 30}), "process": fixture.Runtime(t)} {
		t.Run(name, func(t *testing.T) {
			r, err := ort.New(e, m, ort.Options{Taps: taps, SegmentBytes: 1 << 18})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			runnertest.Conform(t, r, runner.Sample{Inputs: map[string]tensor.Tensor{"x": a}}, runner.Sample{Inputs: map[string]tensor.Tensor{"x": b}})
		})
	}
}
