package qdqvariant

import (
	"slices"
	"strings"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// Constants are what FromRecipe takes instead of constants of the float model's base, if they are the variant's Source: those that were
// healed, by node and input.
type Constants map[[2]int]qdq.Fixed

// onGrid is the float model with the constants, and with weights and biases that lie on the grids which they have in made: quantizing them again
// by the same encodings moves none. A weight that several operators use stays as it is.
func onGrid(base *onnx.Model, made *qdq.Built, constants Constants, spec variant.Spec) (*onnx.Model, error) {
	x := onnx.NewIndex(base)
	var healed []*onnxpb.TensorProto
	for at, w := range made.Weighted {
		node, input := at[0], at[1]
		n := x.Nodes[node]
		in := n.GetInput()
		if len(x.Consumers[in[input]]) > 1 {
			continue
		}
		weight, ok := constants[at]
		if !ok {
			values, err := base.Tensor(x.Initializer[in[input]])
			if err != nil {
				return nil, err
			}
			g := qdq.Given{Bits: w.Encodings[0].Bits, Encodings: w.Encodings, Axis: w.Axis}
			if values, err = g.OnGrid(values, w.Axis); err != nil {
				return nil, err
			}
			weight.Values = values
		}
		healed = append(healed, onnx.TensorProto(in[input], weight.Values))
		biased := qdq.BiasInput(n) // of the products of the first two inputs
		if input != 1 || len(in) <= biased || made.Replaced[[2]int{node, biased}] == "" || len(x.Consumers[in[biased]]) > 1 {
			continue
		}
		bias, ok := constants[[2]int{node, biased}]
		if !ok {
			var err error
			if bias.Values, err = base.Tensor(x.Initializer[in[biased]]); err != nil {
				return nil, err
			}
		}
		healed = append(healed, onnx.TensorProto(in[biased], biasOnGrid(bias.Values, w, spec)))
	}
	slices.SortFunc(healed, func(a, b *onnxpb.TensorProto) int { return strings.Compare(a.GetName(), b.GetName()) })
	return onnx.Rebuild(base, x.Nodes, healed...), nil
}

// biasOnGrid rounds a bias of 32 bits to the scale of its products, which equally many of its values share; one of 8 bits has a grid of its own and
// stays.
func biasOnGrid(values tensor.Tensor, w qdq.Weighted, spec variant.Spec) tensor.Tensor {
	if !w.Encoded || spec.BiasBits != 32 {
		return values
	}
	on := values.Clone()
	for i, v := range on.F32 {
		scale := qdq.BiasScale(w.Input, w.Encodings[i*len(w.Encodings)/len(on.F32)])
		q, _ := qdq.WideInteger(v, scale)
		on.F32[i] = float32(q) * scale
	}
	return on
}
