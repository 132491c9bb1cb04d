package ort

import (
	"context"
	"fmt"
	"path/filepath"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/tensor"
)

// Once loads a model as its file will be, with all that it declares, in one session, as other programs do, and makes one inference.
// It gives the outputs that are tensors. Whoever writes a model calls it before.
func Once(ctx context.Context, e Engine, m *onnx.Model, sample map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	data, err := m.Bytes()
	if err != nil {
		return nil, err
	}
	if _, err := onnx.Parse(data); err != nil {
		return nil, err
	}
	var names []string
	var inputs []tensor.Tensor
	for _, in := range m.Inputs() {
		t, ok := sample[in.GetName()]
		if !ok {
			return nil, fmt.Errorf("the sample has no input %q", in.GetName())
		}
		names, inputs = append(names, in.GetName()), append(inputs, t)
	}
	o := onnxruntime.Options{}
	if dir := m.Dir(); dir != "" {
		if o.ExternalDir, err = filepath.Abs(dir); err != nil { // the engine may run elsewhere
			return nil, err
		}
		o.ExternalBytes = m.ExternalBytes()
	}
	s, err := e.NewSession(data, names, m.Outputs(), o)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	outputs := make([]tensor.Tensor, len(m.Outputs()))
	arena := runner.NewArena(0)
	bound := e.About().Memory
	err = s.Run(ctx, inputs, outputs, func(i int, d tensor.DType, shape []int64) (tensor.Tensor, error) {
		if err := within(bound, m.Outputs()[i:i+1], []onnxruntime.Type{{Tensor: true, DType: d, Shape: shape}}); err != nil {
			return tensor.Tensor{}, err
		}
		return arena.Lend(d, shape), nil
	})
	if err != nil {
		return nil, err
	}
	got := map[string]tensor.Tensor{}
	for i, name := range m.Outputs() {
		if outputs[i].DType != tensor.Undefined {
			got[name] = outputs[i]
		}
	}
	return got, nil
}
