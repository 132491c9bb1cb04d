package qdq

import (
	"fmt"

	"quantcheck/internal/onnx"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

const halfSuffix = "_fp16_Output"

// BuildHalf writes a model that rounds to half precision wherever a quantized one would quantize: ONNX Runtime's CPU
// kernels compute half-precision models in single precision, so the roundings have to be put in.
func BuildHalf(m *onnx.Model, p *Placement) (*Built, error) {
	b := newBuilder(m, p, variant.Spec{})
	for name, place := range p.Tensors {
		if place.Role == None {
			b.built.Float[name] = place.Reason
		}
	}
	rounded := map[string]string{}
	overflown := 0
	for _, q := range p.Params {
		name := b.x.Nodes[q.Node].GetInput()[q.Input]
		if rounded[name] == "" {
			values, err := m.Tensor(b.x.Initializer[name])
			if err != nil {
				return nil, err
			}
			half := make([]float32, len(values.F32))
			for i, v := range values.F32 {
				half[i] = tensor.HalfToFloat(tensor.FloatToHalf(v))
				if d := half[i] - half[i]; d != 0 {
					overflown++
				}
			}
			rounded[name] = b.unique(name + "_fp16")
			b.inits = append(b.inits, onnx.TensorProto(rounded[name], tensor.Floats(half, values.Shape...)))
		}
		b.params[[2]int{q.Node, q.Input}] = rounded[name]
		b.built.Floats[rounded[name]] = b.x.Initializer[name]
	}
	if overflown > 0 {
		b.built.Warnings = append(b.built.Warnings, fmt.Sprintf("%d constants are too large for half precision", overflown))
	}
	err := b.insert(func(name string) (string, bool) {
		role := p.Tensors[name].Role
		return halfSuffix, role == Own || role == Union
	}, b.castPair)
	if err != nil {
		return nil, err
	}
	b.finish()
	return b.built, nil
}
