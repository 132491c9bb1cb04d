package onnx

import (
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// halfTensor holds every finite value of a type once.
func halfTensor(name string, d tensor.DType, raw bool) *onnxpb.TensorProto {
	t := &onnxpb.TensorProto{Name: &name, DataType: proto.Int32(int32(d)), Dims: []int64{1 << 16}}
	for v := range 1 << 16 {
		if raw {
			t.RawData = append(t.RawData, byte(v), byte(v>>8))
		} else {
			t.Int32Data = append(t.Int32Data, int32(v))
		}
	}
	return t
}

func TestRaisingChangesNoConstant(t *testing.T) {
	t.Parallel()
	for _, d := range []tensor.DType{tensor.Float16, tensor.BFloat16} {
		for _, raw := range []bool{true, false} {
			p := halfTensor("w", d, raw)
			inner := &onnxpb.GraphProto{
				Name: proto.String("body"), Initializer: []*onnxpb.TensorProto{proto.CloneOf(p)}, Output: []*onnxpb.ValueInfoProto{ValueInfo("w", d, []int64{1 << 16})},
			}
			cast := &onnxpb.NodeProto{OpType: proto.String("Cast"), Input: []string{"x"}, Output: []string{"c"}, Attribute: []*onnxpb.AttributeProto{IntAttr("to", int64(d))}}
			other := &onnxpb.NodeProto{OpType: proto.String("Softmax"), Input: []string{"c"}, Output: []string{"s"}, Attribute: []*onnxpb.AttributeProto{IntAttr("axis", int64(d))}}
			constant := &onnxpb.NodeProto{OpType: proto.String("Constant"), Output: []string{"k"}, Attribute: []*onnxpb.AttributeProto{{Name: proto.String("value"), Type: onnxpb.AttributeProto_TENSOR.Enum(), T: proto.CloneOf(p)}}}
			branch := &onnxpb.NodeProto{OpType: proto.String("If"), Input: []string{"x"}, Output: []string{"y"}, Attribute: []*onnxpb.AttributeProto{{Name: proto.String("then_branch"), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: inner}}}
			m := &Model{Path: "m.onnx", SHA256: "abc", Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: &onnxpb.GraphProto{
				Name: proto.String("g"), Node: []*onnxpb.NodeProto{cast, other, constant, branch}, Initializer: []*onnxpb.TensorProto{p},
				Input: []*onnxpb.ValueInfoProto{ValueInfo("x", d, []int64{1})}, Output: []*onnxpb.ValueInfoProto{ValueInfo("y", d, nil), ValueInfo("s", d, nil)},
			}}}
			before := proto.CloneOf(m.Proto)
			raised, what, err := Raise(m)
			if err != nil || len(what.Types) != 1 || what.Types[0] != d || what.Constants != 3 || what.Casts != 1 {
				t.Fatalf("%s: %+v %v", d, what, err)
			}
			if !proto.Equal(before, m.Proto) {
				t.Fatalf("%s: the model itself was changed", d)
			}
			if again, what, _ := Raise(raised); again != raised || len(what.Types) > 0 || raised.SHA256 != "abc" {
				t.Errorf("%s: something is left: %+v", d, what)
			}
			g := raised.Graph()
			for _, got := range []*onnxpb.TensorProto{g.GetInitializer()[0], g.GetNode()[2].GetAttribute()[0].GetT(), g.GetNode()[3].GetAttribute()[0].GetG().GetInitializer()[0]} {
				values, err := raised.Tensor(got)
				if err != nil || values.DType != tensor.Float32 || got.GetName() != "w" {
					t.Fatalf("%s: %v %v", d, values.DType, err)
				}
				for bits, v := range values.F32 {
					want := math.Float32frombits(uint32(bits) << 16)
					if d == tensor.Float16 {
						want = tensor.HalfToFloat(uint16(bits))
					}
					if v != want && !(v != v && want != want) {
						t.Fatalf("%s %#x became %g, want %g", d, bits, v, want)
					}
				}
			}
			if a := g.GetNode()[1].GetAttribute()[0]; a.GetI() != int64(d) {
				t.Errorf("an axis was taken for a type: %v", a)
			}
		}
	}
}

func TestAnInputTakesAnotherType(t *testing.T) {
	t.Parallel()
	relu := &onnxpb.NodeProto{OpType: proto.String("Relu"), Input: []string{"x"}, Output: []string{"y"}}
	m := &Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: &onnxpb.GraphProto{
		Node: []*onnxpb.NodeProto{relu}, Input: []*onnxpb.ValueInfoProto{ValueInfo("x", tensor.Float16, []int64{2})}, Output: []*onnxpb.ValueInfoProto{Untyped("y")},
	}}}
	if WithInputTypes(m, map[string]tensor.DType{"x": tensor.Float16}) != m {
		t.Error("a model that has the types was changed")
	}
	cast := WithInputTypes(m, map[string]tensor.DType{"x": tensor.Float32})
	d, _, _ := TypeOf(cast.Inputs()[0])
	nodes := cast.Graph().GetNode()
	if d != tensor.Float32 || len(nodes) != 2 || nodes[0].GetOpType() != "Cast" || nodes[1].GetInput()[0] != nodes[0].GetOutput()[0] || relu.GetInput()[0] != "x" || Check(cast) != nil {
		t.Errorf("%v %v", d, nodes)
	}
}
