package qdq

import (
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// becomesIndex is why a tensor that becomes a shape or an index has no encoding: rounded to 256 steps it would be another shape or another
// place, not the same one with noise.
const becomesIndex = "it becomes a shape or an index"

// indexInputs are the inputs of operators whose values are shapes, places or counts, by position.
var indexInputs = map[string][]int{
	"Reshape": {1}, "Expand": {1}, "ConstantOfShape": {0}, "Range": {0, 1, 2}, "Tile": {1}, "Slice": {1, 2, 3, 4}, "Gather": {1}, "GatherElements": {1}, "GatherND": {1},
	"ScatterND": {1}, "ScatterElements": {1}, "Scatter": {1}, "TopK": {1}, "Pad": {1, 3}, "OneHot": {0, 1}, "Loop": {0}, "NonZero": {0}, "Squeeze": {1}, "Unsqueeze": {1}, "Split": {1},
	"CumSum": {1}, "Trilu": {1}, "Resize": {2, 3}, "Upsample": {1}, "MaxUnpool": {1, 2}, "SequenceAt": {1}, "LSTM": {4}, "GRU": {4}, "RNN": {4}, "EyeLike": {0}, "RoiAlign": {2},
	"ReduceSum": {1}, "ReduceMean": {1}, "ReduceMax": {1}, "ReduceMin": {1}, "ReduceProd": {1}, "CenterCropPad": {1}, "ReverseSequence": {1},
}

// counting are operators through which a count or a place goes and stays one: what they make of a tensor says what it is for.
var counting = map[string]bool{
	"Cast": true, "CastLike": true, "Round": true, "Floor": true, "Ceil": true, "Exp": true, "Log": true, "Abs": true, "Neg": true, "Sqrt": true, "Sign": true,
	"Add": true, "Sub": true, "Mul": true, "Div": true, "Mod": true, "Min": true, "Max": true, "Clip": true, "Relu": true, "Where": true, "Pow": true, "Sum": true,
	"ReduceSum": true, "ReduceMax": true, "ReduceMin": true, "ReduceProd": true, "ReduceMean": true, "CumSum": true, "Range": true,
	"Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true, "Transpose": true, "Slice": true, "Split": true, "Gather": true, "GatherElements": true, "GatherND": true,
	"Concat": true, "Identity": true, "Expand": true, "Tile": true,
}

// comparing are operators of whose inputs only the order matters, and those that look at no values.
var comparing = map[string]bool{
	"Less": true, "LessOrEqual": true, "Greater": true, "GreaterOrEqual": true, "Equal": true, "Not": true, "And": true, "Or": true, "Xor": true, "IsNaN": true, "IsInf": true,
	"Shape": true, "Size": true,
}

// whole are operators whose values are whole numbers.
var whole = map[string]bool{"Round": true, "Floor": true, "Ceil": true, "Range": true}

// use is what a tensor is used for.
type use struct {
	index bool // a shape, a place or a count
	value bool // anything else than that or a comparison: it is computed with
}

// uses finds what tensors are used for.
type uses struct {
	x     *onnx.Index
	float func(name string) bool
	known map[string]use
}

// of says what a tensor is used for, through all operators that only count.
func (u *uses) of(name string) use {
	if known, ok := u.known[name]; ok {
		return known
	}
	sum := use{value: u.x.Output[name] && u.float(name)}
	for _, i := range u.x.Consumers[name] {
		n := u.x.Nodes[i]
		sum.value = sum.value || slices.Contains(onnx.Captures(n), name)
		for k, in := range n.GetInput() {
			if in == name {
				one := u.at(n, k)
				sum = use{sum.index || one.index, sum.value || one.value}
			}
		}
	}
	u.known[name] = sum
	return sum
}

// at is what a node uses its input k for.
func (u *uses) at(n *onnxpb.NodeProto, k int) use {
	op := n.GetOpType()
	switch {
	case n.GetDomain() != "" && n.GetDomain() != "ai.onnx":
		return use{value: true}
	case slices.Contains(indexInputs[op], k):
		return use{index: true}
	case comparing[op], op == "Where" && k == 0:
		return use{}
	case counting[op]:
		var sum use
		for _, out := range n.GetOutput() {
			if out != "" {
				one := u.of(out)
				sum = use{sum.index || one.index, sum.value || one.value}
			}
		}
		return sum
	}
	return use{value: true}
}

// indices finds the tensors of real numbers that become shapes or indices, and those that are counted from such and are only compared, such as
// the ends of durations: an input of the graph, or what an operator makes that only counts. A tensor that is computed with as well counts only if it
// holds whole numbers. What a Conv or a product makes keeps its encoding: there counting begins.
func indices(m *onnx.Model, x *onnx.Index, float func(name string) bool) map[string]bool {
	u := &uses{x: x, float: float, known: map[string]use{}}
	found := map[string]bool{}
	for _, in := range m.Inputs() {
		if one := u.of(in.GetName()); float(in.GetName()) && one.index && !one.value {
			found[in.GetName()] = true
		}
	}
	for _, n := range x.Nodes {
		op := n.GetOpType()
		if !counting[op] || n.GetDomain() != "" && n.GetDomain() != "ai.onnx" {
			continue
		}
		fromCount := op == "Range" || op == "Cast" && !float(n.GetInput()[0]) || slices.ContainsFunc(n.GetInput(), func(in string) bool { return found[in] })
		integral := whole[op] || op == "Cast" && !float(n.GetInput()[0]) && tensor.DType(onnx.AttrInt(n, "to", 0)).IsFloat()
		for _, out := range n.GetOutput() {
			if out == "" || !float(out) || len(x.Consumers[out]) == 0 {
				continue
			}
			one := u.of(out)
			if one.index && (!one.value || integral) || !one.index && !one.value && fromCount {
				found[out] = true
			}
		}
	}
	return found
}
