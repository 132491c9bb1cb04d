package rewrite

import (
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

var constantsToInitializers = Pass{
	Name: "constants-to-initializers", Title: "Constant operators become initializers", Tolerance: 1e-6,
	Order: "first: the others look for initializers",
	Why:   "Other passes, and some converters, know a weight by its being an initializer.",
	Doc: `
    Before   Constant ─ c        After   c is an initializer

Conditions: the value is a tensor, or numbers; it is no graph output.
`,
	apply: func(s *sweep) error {
		for i, n := range s.x.Nodes {
			if n.GetOpType() != "Constant" || n.GetDomain() != "" || len(n.GetOutput()) != 1 || s.x.Output[n.GetOutput()[0]] || len(n.GetAttribute()) != 1 {
				continue
			}
			t := constantValue(n.GetAttribute()[0])
			if t == nil {
				continue
			}
			t.Name = proto.String(n.GetOutput()[0])
			s.added = append(s.added, t)
			s.replace(i)
			s.changed("%s", n.GetOutput()[0])
		}
		return nil
	},
}

func constantValue(a *onnxpb.AttributeProto) *onnxpb.TensorProto {
	switch a.GetName() {
	case "value":
		if a.GetT() != nil {
			return proto.CloneOf(a.GetT())
		}
	case "value_float":
		return onnx.TensorProto("", tensor.Tensor{DType: tensor.Float32, Shape: []int64{}, F32: []float32{a.GetF()}})
	case "value_floats":
		return onnx.TensorProto("", tensor.Floats(a.GetFloats(), int64(len(a.GetFloats()))))
	case "value_int":
		t := int64s([]int64{a.GetI()})
		t.Shape = []int64{}
		return onnx.TensorProto("", t)
	case "value_ints":
		return onnx.TensorProto("", int64s(a.GetInts()))
	}
	return nil
}

func int64s(values []int64) tensor.Tensor {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		for shift := range 8 {
			raw = append(raw, byte(uint64(v)>>(8*shift)))
		}
	}
	return tensor.Tensor{DType: tensor.Int64, Shape: []int64{int64(len(values))}, Raw: raw}
}
