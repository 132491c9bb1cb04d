package htp

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

func TestOnlyDepthwiseConvTransposeWithOutputPaddingIsNamed(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		group, out int64
		padding    []int64
		quantized  bool
		want       bool
	}{
		"both axes":              {8, 1, []int64{1, 1}, false, true},
		"one axis":               {8, 1, []int64{0, 1}, false, true},
		"of a QDQ model":         {8, 1, []int64{1, 1}, true, true},
		"without":                {8, 1, []int64{0, 0}, false, false},
		"none given":             {8, 1, nil, false, false},
		"two outputs of a group": {8, 2, []int64{1, 1}, false, false},
		"two groups":             {2, 1, []int64{1, 1}, false, false},
		"one group":              {1, 1, []int64{1, 1}, false, false},
	} {
		n := &onnxpb.NodeProto{OpType: proto.String("ConvTranspose"), Input: []string{"x", "w"}, Output: []string{"y"}, Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("group", row.group)}}
		if row.padding != nil {
			n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: proto.String("output_padding"), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: row.padding})
		}
		g := &onnxpb.GraphProto{Node: []*onnxpb.NodeProto{n}, Initializer: []*onnxpb.TensorProto{onnx.TensorProto("w", tensor.Floats(make([]float32, 8*row.out*9), 8, row.out, 3, 3))}}
		if row.quantized {
			g.Node = []*onnxpb.NodeProto{{OpType: proto.String("DequantizeLinear"), Input: []string{"w", "s"}, Output: []string{"w_dq"}}, n}
			n.Input[1] = "w_dq"
		}
		if got := ComputedWrong(&onnx.Model{Proto: &onnxpb.ModelProto{Graph: g}}); (len(got) == 1) != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
