package qdq_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/variant"
)

// A model that has quantizers, or nodes that are called as ours, is quantized all the same: no two nodes of what is written have one name.
func TestNodesHaveNamesOfTheirOwn(t *testing.T) {
	called := func(name, op string, inputs []string, output string) *onnxpb.NodeProto {
		n := node(op, inputs, output)
		n.Name = proto.String(name)
		return n
	}
	m := graph(t, []*onnxpb.NodeProto{
		called("x_QuantizeLinear", "Relu", []string{"x"}, "r"), called("x_DequantizeLinear", "Mul", []string{"r", "k"}, "m"), called("r_QuantizeLinear", "Conv", []string{"m", "w", "b"}, "c"),
		called("m_QuantizeLinear", "Sigmoid", []string{"c"}, "y"),
	}, "y")
	built, err := qdq.Build(m, qdq.Find(m, allFloat), variant.Usual(), func(string, variant.Spec) (quant.Encoding, bool) {
		return quant.Encoding{Bits: 8, Scale: 0.1, Offset: -128, Min: -12.8, Max: 12.7}, true
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, n := range built.Model.Graph().GetNode() {
		if name := n.GetName(); name != "" && seen[name] {
			t.Errorf("two nodes are called %s", name)
		}
		seen[n.GetName()] = true
	}
	if len(seen) < 8 {
		t.Errorf("%d nodes", len(seen))
	}
	run(t, built.Model, "y") // ONNX Runtime takes it
}
