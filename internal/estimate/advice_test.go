package estimate

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/estimator"
	"quantcheck/internal/fixture"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
)

// dividing is a model that divides by a constant.
func dividing() *onnx.Model {
	node := func(op, name string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: &name, Input: in, Output: []string{name}}
	}
	g := &onnxpb.GraphProto{
		Name: proto.String("g"), Node: []*onnxpb.NodeProto{node("Relu", "r", "x"), node("Div", "y", "r", "four")},
		Initializer: []*onnxpb.TensorProto{onnx.TensorProto("four", tensor.Floats([]float32{4}))},
		Input:       []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
	}
	return &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(13)}}}}
}

func estimated(cycles int64, layers ...htpcost.Layer) *result.Estimated {
	return &result.Estimated{Estimate: &htpcost.Estimate{Figures: htpcost.Figures{Cycles: cycles}, Layers: layers}}
}

func TestThePassThatSavesEnoughIsAdvised(t *testing.T) {
	t.Parallel()
	e := estimation{Estimator: &estimator.Estimator{Ort: fixture.Runtime(t)}}
	costly := func(op string) *result.Estimated {
		return estimated(1000, htpcost.Layer{Kind: htpcost.Operator, Name: "y", Op: op, Work: htpcost.Work{Share: 0.9}})
	}
	for name, row := range map[string]struct {
		now    *result.Estimated
		after  int64
		fails  error
		advice string
	}{
		"it saves much":             {costly("Div"), 500, nil, "div-to-mul"},
		"it saves too little":       {costly("Div"), 990, nil, ""},
		"it cannot be estimated":    {costly("Div"), 0, errors.New("no"), ""},
		"no pass is for what costs": {costly("Relu"), 500, nil, ""},
	} {
		got, err := e.advise(t.Context(), dividing(), row.now, func(*onnx.Model) (*result.Estimated, error) {
			return estimated(row.after), row.fails
		})
		if err != nil {
			t.Fatal(err)
		}
		if (got == nil) != (row.advice == "") || got != nil && (got.Pass != row.advice || got.Cycles != row.after) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
