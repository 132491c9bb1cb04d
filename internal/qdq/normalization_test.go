package qdq_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// TestANormalizationsScaleAndBiasAreQuantized: the HTP takes a scale of 8 bits that is not symmetric, whatever the widths of the others.
func TestANormalizationsScaleAndBiasAreQuantized(t *testing.T) {
	for _, op := range []string{"LayerNormalization", "InstanceNormalization"} {
		for _, recipe := range []string{"w8a8", "w8a16", "w4a8"} {
			g := &onnxpb.GraphProto{
				Name: proto.String("g"), Node: []*onnxpb.NodeProto{{OpType: &op, Name: &op, Input: []string{"x", "g", "b"}, Output: []string{"y"}}},
				Initializer: []*onnxpb.TensorProto{onnx.TensorProto("g", tensor.Floats([]float32{0.5, 1, 1.5}, 3)), onnx.TensorProto("b", tensor.Floats([]float32{-1, 0, 1}, 3))},
				Input:       []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 3})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
			}
			m := &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}}}
			v, err := variant.Parse(recipe)
			if err != nil {
				t.Fatal(err)
			}
			p := qdq.Find(m, func(string) bool { return true })
			b, err := qdq.Build(m, p, v, func(_ string, r variant.Spec) (quant.Encoding, bool) {
				return quant.MinMax(quant.Range{Min: -1, Max: 1, Seen: true}, r.ActBits, false), true
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(b.Params) != 2 || b.Params[0].Tensor != "g" || b.Params[1].Tensor != "b" {
				t.Fatalf("%s %s: %+v", op, recipe, b.Params)
			}
			scale, bias := b.Params[0].Encodings, b.Params[1].Encodings
			if len(scale) != 1 || scale[0].Bits != 8 || scale[0].Symmetric || len(bias) != 1 || bias[0].Bits != 32 {
				t.Errorf("%s %s: scale %+v, bias %+v", op, recipe, scale, bias)
			}
		}
	}
}
