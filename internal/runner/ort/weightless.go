package ort

import (
	"maps"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// weightBytes is from what size on a constant is taken for a weight, whose values say nothing of types and shapes.
const weightBytes = 1 << 14

// weightless gives the graph with inputs of the same types in the place of its weights: the library then finds the same types without
// reading, unpacking and repacking them. ok is false if it has none. The library can refuse such a graph where it takes the original:
// some operators want a constant.
func (g graph) weightless() (light graph, ok bool) {
	x := *g.x
	x.Initializer = maps.Clone(g.x.Initializer)
	light = g
	light.x, light.inputs = &x, slices.Clone(g.inputs)
	for _, n := range g.x.Nodes[g.from:g.to] {
		for _, name := range onnx.Uses(n) {
			t := x.Initializer[name]
			if t == nil || !g.isWeight(t) {
				continue
			}
			delete(x.Initializer, name)
			light.inputs = append(light.inputs, onnx.ValueInfo(name, tensor.DType(t.GetDataType()), t.GetDims()))
			ok = true
		}
	}
	return light, ok
}

// isWeight says whether a constant is large, of a type that no shape has, and holds as many values as its shape says.
func (g graph) isWeight(t *onnxpb.TensorProto) bool {
	switch d := tensor.DType(t.GetDataType()); d {
	case tensor.Float32, tensor.Float16, tensor.BFloat16, tensor.Float64, tensor.Int8, tensor.Uint8:
		n, err := tensor.Count(t.GetDims())
		return err == nil && tensor.ByteSize(d, n) >= weightBytes && slices.Index(g.outputs, t.GetName()) < 0 && g.m.Whole(t)
	}
	return false
}
