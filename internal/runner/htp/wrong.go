package htp

import (
	"fmt"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// wrongKind is a kind of operator that the emulator computes wrongly in every precision.
type wrongKind struct {
	op, what string
	// evidence is what was tried, with the version of the libraries, and what came out against float.
	evidence string
	holds    func(x *onnx.Index, n *onnxpb.NodeProto) bool
}

// wrongKinds lists them all.
var wrongKinds = []wrongKind{{
	op: "ConvTranspose", what: "a depthwise ConvTranspose with output_padding",
	evidence: "onnxruntime-qnn 2.7.0, SoC model 66, half precision and 8 bits: with as many groups as channels, one output channel each, and output_padding " +
		"1,1, 1,0 or 0,1 it has −2 to −6 dB, with kernels of 2 and 3, strides of 2 and 3, pads of 0 and 1; without output_padding, with two output " +
		"channels for each group, and with 1 or 2 groups of 8 channels it has 59 to 70 dB in half precision",
	holds: func(x *onnx.Index, n *onnxpb.NodeProto) bool {
		if len(n.GetInput()) < 2 {
			return false
		}
		w := n.GetInput()[1]
		for _, q := range []string{"DequantizeLinear", "QuantizeLinear"} { // of a QDQ model's weights
			if p, made := x.Producer[w]; made && x.Nodes[p].GetOpType() == q {
				w = x.Nodes[p].GetInput()[0]
			}
		}
		t := x.Initializer[w] // [channels in, channels out of a group, …]
		groups := onnx.AttrInt(n, "group", 1)
		padded := slices.ContainsFunc(onnx.Attr(n, "output_padding").GetInts(), func(p int64) bool { return p != 0 })
		return padded && groups > 1 && t != nil && len(t.GetDims()) > 2 && t.GetDims()[0] == groups && t.GetDims()[1] == 1
	},
}}

// ComputedWrong names the operators of a model that the emulator is known to compute wrongly, whatever their encodings are: each with
// a sentence for people.
func ComputedWrong(m *onnx.Model) []string {
	x := onnx.NewIndex(m)
	var list []string
	for _, n := range x.Nodes {
		for _, k := range wrongKinds {
			if n.GetOpType() == k.op && k.holds(x, n) {
				list = append(list, fmt.Sprintf("%s: the HTP emulator computes %s wrongly in every precision, so what it gives for the DLC says nothing of quantization (tried: %s)", n.GetOutput()[0], k.what, k.evidence))
			}
		}
	}
	return list
}
