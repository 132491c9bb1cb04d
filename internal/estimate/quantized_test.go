package estimate

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

func TestAnEstimateSaysHowLittleIsQuantized(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ net, says string }{
		"all of it":                   {"QuantizeLinear x > q; DequantizeLinear q > d; Relu d > y", ""},
		"an activation that is fused": {"DequantizeLinear x > d; Conv d w > c; Relu c > y", ""},
		"nothing":                     {"Relu x > a; Sigmoid a > y", "w8a8 quantizes 0 of 2 operators"},
		"a half":                      {"DequantizeLinear x > d; Conv d w > c; QuantizeLinear c > q; DequantizeLinear q > e; Exp f > g; Mul e w > y", "w8a8 quantizes 2 of 3 operators"},
		"comparisons beside":          {"DequantizeLinear x > d; Conv d w > y; Greater f g > m; NonZero m > n", ""},
		"only a comparison":           {"Greater x f > y", ""},
	} {
		g := &onnxpb.GraphProto{Name: proto.String("g"), Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")}}
		for _, line := range strings.Split(c.net, "; ") {
			left, out, _ := strings.Cut(line, " > ")
			words := strings.Fields(left)
			g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String(words[0]), Name: proto.String(out), Input: words[1:], Output: []string{out}})
		}
		m := &onnx.Model{Proto: &onnxpb.ModelProto{Graph: g}}
		if got := floatNote("w8a8", m); c.says == "" && got != "" || !strings.HasPrefix(got, c.says) {
			t.Errorf("%s: %q", name, got)
		}
	}
	// An If with a body of three: none is quantized, and neither is the If.
	inner := &onnxpb.GraphProto{}
	for range 3 {
		inner.Node = append(inner.Node, &onnxpb.NodeProto{OpType: proto.String("Relu")})
	}
	g := &onnxpb.GraphProto{Node: []*onnxpb.NodeProto{
		{OpType: proto.String("DequantizeLinear"), Input: []string{"x"}, Output: []string{"d"}},
		{OpType: proto.String("If"), Input: []string{"d"}, Output: []string{"y"}, Attribute: []*onnxpb.AttributeProto{{Name: proto.String("then_branch"), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: inner}}},
	}}
	if got := floatNote("w8a8", &onnx.Model{Proto: &onnxpb.ModelProto{Graph: g}}); !strings.HasPrefix(got, "w8a8 quantizes 0 of 4 operators") {
		t.Error(got)
	}
}
