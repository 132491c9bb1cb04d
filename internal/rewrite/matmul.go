package rewrite

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

var matmulToConv = Pass{
	Name: "matmul-to-conv", Doubtful: true, Title: "MatMul and Gemm with constant weights become 1×1 convolutions", Tolerance: 1e-4,
	Order: "after the fusions: it puts operators around the Conv",
	Why:   "Matrix products are slow on the DSP and have one encoding for all weights; convolutions have one per output channel.",
	Doc: `
    Before   x [B,K] ─ Gemm(W, b) or MatMul(W) ─ y [B,N]
    After    x ─ Reshape [B,K,1,1] ─ Conv(W' [N,K,1,1], b) ─ Reshape [B,N] ─ y

    Before   x [B,T,K] ─ MatMul(W) ─ y [B,T,N]
    After    x ─ Transpose(0,2,1) ─ Reshape [B,K,1,T] ─ Conv(W') ─ Reshape [B,N,T] ─ Transpose(0,2,1) ─ y

Products that share a weight share the Conv's. Conditions: W is constant with two dimensions, x has a known shape of two or three; Gemm without
scaling or transposed input; asked for by name, or where the estimate says that it is faster (--keep-faster): in PP-OCR's recognition it takes
7.5 % more cycles, in MiniLM more than half; no other operator takes W (with --pass it may: then it keeps a copy).
`,
	apply: func(s *sweep) error {
		kernels := map[string]string{} // weight and its order → the Conv's
		for i, n := range s.x.Nodes {
			if op := n.GetOpType(); op != "MatMul" && op != "Gemm" || n.GetDomain() != "" || len(n.GetInput()) < 2 {
				continue
			}
			w, ok, err := s.constant(n.GetInput()[1])
			if err != nil {
				return err
			}
			in, known := s.shapes(n.GetInput()[0])
			if !ok || !known || len(w.Shape) != 2 || len(in) < 2 || len(in) > 3 || slices.ContainsFunc(in, func(d int64) bool { return d < 1 }) {
				continue
			}
			var bias []float64
			weight := w
			if n.GetOpType() == "Gemm" {
				l, ok, err := s.linearOf(i)
				if err != nil {
					return err
				}
				if !ok || len(in) != 2 {
					continue
				}
				bias = l.bias
				if onnx.AttrInt(n, "transB", 0) == 0 {
					weight = transposed(w)
				}
			} else {
				weight = transposed(w)
			}
			outputs, inputs := weight.Shape[0], weight.Shape[1]
			if in[len(in)-1] != inputs {
				continue
			}
			if s.sure {
				s.leave(n, "a Conv with the operators around it costs more in many models: --enable matmul-to-conv does it all the same, --keep-faster where it is faster")
				continue
			}
			if other, shared := s.elsewhere(n.GetInput()[1]); shared && !s.asked {
				s.leave(n, "%s takes its weights too, and would keep a copy of them", other)
				continue
			}
			turned := n.GetOpType() == "MatMul" || onnx.AttrInt(n, "transB", 0) == 0
			key := fmt.Sprintf("%s\x00%t", n.GetInput()[1], turned)
			if kernels[key] == "" {
				kernels[key] = s.fresh(n.GetInput()[1]+"_conv", tensor.Floats(weight.F32, outputs, inputs, 1, 1))
			}
			s.replace(i, s.convolution(n, in, kernels[key], bias, outputs, inputs)...)
			s.changed("%s (%s)", nameOf(n), n.GetOpType())
		}
		return nil
	},
}

func transposed(w tensor.Tensor) tensor.Tensor {
	rows, columns := int(w.Shape[0]), int(w.Shape[1])
	t := make([]float32, len(w.F32))
	for r := range rows {
		for c := range columns {
			t[c*rows+r] = w.F32[r*columns+c]
		}
	}
	return tensor.Floats(t, w.Shape[1], w.Shape[0])
}

// elsewhere names an operator that takes a weight and stays what it is; shared is false if there is none.
func (s *sweep) elsewhere(weight string) (name string, shared bool) {
	for _, k := range s.x.Consumers[weight] {
		n := s.x.Nodes[k]
		if op := n.GetOpType(); op != "MatMul" && op != "Gemm" || len(n.GetInput()) < 2 || n.GetInput()[1] != weight {
			return nameOf(n), true
		}
	}
	return "the graph's outputs", s.x.Output[weight]
}

func (s *sweep) convolution(n *onnxpb.NodeProto, in []int64, kernel string, bias []float64, outputs, inputs int64) []*onnxpb.NodeProto {
	x, y, name := n.GetInput()[0], n.GetOutput()[0], nameOf(n)
	var nodes []*onnxpb.NodeProto
	node := func(op, suffix, out string, attributes []*onnxpb.AttributeProto, inputs ...string) string {
		if out == "" {
			out = s.unique(y + "_" + suffix)
		}
		nodes = append(nodes, &onnxpb.NodeProto{OpType: &op, Name: proto.String(name + "_" + suffix), Input: inputs, Output: []string{out}, Attribute: attributes})
		return out
	}
	swap := []*onnxpb.AttributeProto{onnx.IntsAttr("perm", []int64{0, 2, 1})}
	places := int64(1)
	if len(in) == 3 {
		places = in[1]
		x = node("Transpose", "channels_first", "", swap, x)
	}
	x = node("Reshape", "to_picture", "", nil, x, s.freshInts(y+"_picture_shape", in[0], inputs, 1, places))
	operands := []string{x, kernel}
	if bias != nil {
		values := make([]float32, len(bias))
		for i, b := range bias {
			values[i] = float32(b)
		}
		operands = append(operands, s.fresh(y+"_conv_bias", tensor.Floats(values, outputs)))
	}
	x = node("Conv", "conv", "", nil, operands...)
	if len(in) == 2 {
		node("Reshape", "from_picture", y, nil, x, s.freshInts(y+"_shape", in[0], outputs))
		return nodes
	}
	x = node("Reshape", "from_picture", "", nil, x, s.freshInts(y+"_shape", in[0], outputs, places))
	node("Transpose", "channels_last", y, swap, x)
	return nodes
}
