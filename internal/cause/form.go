package cause

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"quantcheck/internal/floattwin"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
)

var alreadyQuantized = Cause{
	Kind: "already-quantized", Title: "the float model is quantized already", Evidence: "the model that is taken for float has quantizers or operators on integers: QDQ, QOperator or dynamic quantization",
	Remedy: "the model that it was quantized from, or what quantcheck strip makes of it",
	find: func(f *Facts) []result.Cause {
		count := map[string]int{}
		first := ""
		integers := map[string]bool{} // quantized weights
		for name, p := range f.Index.Initializer {
			switch tensor.DType(p.GetDataType()) {
			case tensor.Int8, tensor.Uint8, tensor.Int4, tensor.Uint4, tensor.Int16, tensor.Uint16:
				integers[name] = true
			}
		}
		for _, n := range f.Index.Nodes {
			if !quantizing(n, integers) {
				continue
			}
			count[n.GetOpType()]++
			if first == "" && len(n.GetOutput()) > 0 {
				first = n.GetOutput()[0]
			}
		}
		if len(count) == 0 {
			return nil
		}
		names := slices.SortedFunc(maps.Keys(count), func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), strings.Compare(a, b)) })
		for i, n := range names {
			names[i] = fmt.Sprintf("%d %s", count[n], n)
		}
		c := result.Cause{Confidence: 0.98, Evidence: "the model that is taken for float is quantized already: it holds " + strings.Join(names[:min(len(names), 4)], ", ") + ", the first at " + first,
			Fix: result.Fix{Text: "compare with the float model that it was quantized from; if you do not have it, quantcheck strip takes the quantizers out", Command: stripped(f)}}
		if k := slices.IndexFunc(f.Run.Layers, func(l result.Layer) bool { return l.Name == first }); k >= 0 {
			c.Layers = []int{k}
		}
		return []result.Cause{c}
	},
}

// quantizing says whether a node quantizes, dequantizes a weight or a tensor, or computes on integers that stand for real numbers. One that only
// takes apart what a picture's file holds, a DequantizeLinear without a quantizer and without integer weights, is none.
func quantizing(n *onnxpb.NodeProto, integers map[string]bool) bool {
	if n.GetOpType() == "DequantizeLinear" {
		return len(n.GetInput()) > 0 && integers[n.GetInput()[0]]
	}
	return floattwin.Quantized(n.GetOpType())
}

// stripped is the command that takes the quantizers out of the run's model.
func stripped(f *Facts) string {
	return fmt.Sprintf("quantcheck strip %s -o %s", quoted(f.Run.Spec.Model), quoted(f.beside("float")))
}

var nanSource = Cause{
	Kind: "nan-source", Title: "NaN or infinite values begin in the float model or in the samples", Evidence: "samples hold values that are not finite, or an operator of the float model makes them of finite ones",
	Remedy: "other samples; the operator that is named, such as a logarithm or a division, kept from what it cannot take",
	find: func(f *Facts) []result.Cause {
		n := f.Run.NonFinite
		if n == nil || slices.ContainsFunc(n.Constants, func(c result.NonFiniteConstant) bool { return c.NaN > 0 }) {
			return nil // the constant is where they begin
		}
		if len(n.Inputs) > 0 {
			in := n.Inputs[0]
			others := ""
			if more := len(n.Inputs) - 1; more > 0 {
				others = fmt.Sprintf(" (also %s)", f.samples(n.Inputs[1:]))
			}
			return []result.Cause{{Tensors: []string{in.Input}, Confidence: 1,
				Evidence: fmt.Sprintf("the sample %s holds %s in the input %s%s: %d of %d samples cannot be compared for such values", f.sample(in.Sample), unreal(in.NaN, in.Infinite), in.Input, others, len(n.Samples), len(f.Run.Samples)),
				Fix:      result.Fix{Text: "write the samples again, or leave those out that are named"}}}
		}
		if len(n.Begins) > 0 {
			b := n.Begins[0]
			l := &f.Run.Layers[b.Layer]
			return []result.Cause{{Layers: []int{b.Layer}, Confidence: 1,
				Evidence: fmt.Sprintf("in the float model %s (%s) makes %s of finite inputs on %s: %d of %d samples cannot be compared for such values", l.Name, l.Op, unreal(b.NaN, b.Infinite), f.sample(b.Sample), len(n.Samples), len(f.Run.Samples)),
				Fix:      result.Fix{Text: "keep the operator from what it cannot take, with a Clip or an Add of a small number before it, and export the model again"}}}
		}
		return nil
	},
}

// unreal counts values that are not finite; it leaves out a kind that there is none of.
func unreal(nan, infinite int) string {
	var list []string
	if nan > 0 {
		list = append(list, fmt.Sprintf("%d NaN", nan))
	}
	if infinite > 0 {
		list = append(list, fmt.Sprintf("%d infinite values", infinite))
	}
	return strings.Join(list, " and ")
}

// samples names the first three samples of a list.
func (f *Facts) samples(of []result.NonFiniteInput) string {
	var names []string
	for _, in := range of {
		if name := f.sample(in.Sample); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if more := len(names) - 3; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), more)
	}
	return strings.Join(names, ", ")
}
