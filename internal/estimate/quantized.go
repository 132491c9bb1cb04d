package estimate

import (
	"fmt"
	"slices"

	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
)

// mostFloat is the share of operators without quantized inputs from which on an estimate of a recipe says so.
const mostFloat = 0.1

// floatNote says how many operators of a quantized form take no quantized tensor: their time is that of float operators, whatever the
// recipe is called. "" where they are few. Operators in the bodies of control flow count, and none of them is quantized.
func floatNote(recipe string, m *onnx.Model) string {
	dequantized := map[string]bool{}
	for _, n := range m.Graph().GetNode() {
		if n.GetOpType() == "DequantizeLinear" {
			dequantized[n.GetOutput()[0]] = true
		}
	}
	x := onnx.NewIndex(m)
	quantized, all := 0, 0
	for _, n := range m.Graph().GetNode() {
		if model.Quantizer(n.GetOpType()) || n.GetOpType() == "Constant" || comparing(n.GetOpType()) {
			continue
		}
		outer, inner := onnx.Branching(n)
		all += 1 + inner
		if outer == 0 && slices.ContainsFunc(n.GetInput(), func(in string) bool { return dequantized[in] || fused(x, dequantized, in) }) {
			quantized++
		}
	}
	if all == 0 || float64(all-quantized) < mostFloat*float64(all) {
		return ""
	}
	return fmt.Sprintf("%s quantizes %d of %d operators, so this is hardly the time of a quantized model", recipe, quantized, all)
}

// comparing says whether an operator makes truth values, places or shapes only.
func comparing(op string) bool {
	switch op {
	case "Shape", "Size", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Not", "And", "Or", "ArgMax", "ArgMin", "NonZero":
		return true
	}
	return false
}

// fused says whether a tensor goes straight from an operator with quantized inputs into an activation that is computed with it.
func fused(x *onnx.Index, dequantized map[string]bool, name string) bool {
	p, made := x.Producer[name]
	return made && slices.ContainsFunc(x.Nodes[p].GetInput(), func(in string) bool { return dequantized[in] })
}
