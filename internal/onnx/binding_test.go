package onnx_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// input is an input whose dimensions are numbers, names, or 0 for one without a name.
func input(name string, d tensor.DType, dims ...any) *onnxpb.ValueInfoProto {
	v := onnx.ValueInfo(name, d, make([]int64, 0))
	for _, dim := range dims {
		p := &onnxpb.TensorShapeProto_Dimension{}
		switch x := dim.(type) {
		case string:
			p.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: x}
		case int:
			if x > 0 {
				p.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: int64(x)}
			}
		}
		v.Type.TensorType.Shape.Dim = append(v.Type.TensorType.Shape.Dim, p)
	}
	return v
}

func TestSymbolicDimensionsAreBoundOnceForAllInputs(t *testing.T) {
	ids, mask := input("ids", tensor.Int64, "batch", "tokens"), input("mask", tensor.Int64, "batch", "tokens")
	edges, kind := input("edges", tensor.Int64, 2, "num_edges"), input("kind", tensor.Float32, "num_edges")
	nodes := input("x", tensor.Float32, "num_nodes", 16)
	type shapes = map[string][]int64
	for name, c := range map[string]struct {
		inputs      []*onnxpb.ValueInfoProto
		given, hint shapes
		want        shapes
		batched     []string
		err         []string
	}{
		"one shape gives all":              {inputs: list(ids, mask), given: shapes{"ids": {2, 7}}, want: shapes{"ids": {2, 7}, "mask": {2, 7}}},
		"a sample's shapes":                {inputs: list(ids, mask), hint: shapes{"ids": {1, 9}}, want: shapes{"ids": {1, 9}, "mask": {1, 9}}},
		"what is given wins":               {inputs: list(ids, mask), given: shapes{"mask": {1, 5}}, hint: shapes{"ids": {1, 9}}, want: shapes{"ids": {1, 5}, "mask": {1, 5}}},
		"a sample that does not fit":       {inputs: list(nodes), hint: shapes{"x": {5, 17}}, want: shapes{"x": {1, 16}}, batched: []string{"x"}},
		"a sample of another rank":         {inputs: list(nodes), hint: shapes{"x": {16}}, want: shapes{"x": {1, 16}}, batched: []string{"x"}},
		"a batch of both":                  {inputs: list(input("a", tensor.Float32, "n", 3), input("b", tensor.Float32, "n", 4)), want: shapes{"a": {1, 3}, "b": {1, 4}}, batched: []string{"a", "b"}},
		"a graph":                          {inputs: list(edges, kind, nodes), hint: shapes{"edges": {2, 30}, "x": {12, 16}}, want: shapes{"edges": {2, 30}, "kind": {30}, "x": {12, 16}}},
		"a contradiction":                  {inputs: list(ids, mask), given: shapes{"ids": {1, 7}, "mask": {1, 8}}, err: []string{`the dimension "tokens" cannot be 7 in the input "ids" and 8 in "mask"`}},
		"a number of edges is no batch":    {inputs: list(edges, kind), err: []string{`"edges" [2,num_edges], "kind" [num_edges]`, "--input-shape edges=2,128 --input-shape kind=128"}},
		"text":                             {inputs: list(ids, mask), err: []string{"--input-shape ids=1,128 --input-shape mask=1,128"}},
		"a part is known":                  {inputs: list(ids, input("kinds", tensor.Int64, "batch", "types")), given: shapes{"ids": {3, 7}}, err: []string{"--input-shape kinds=3,128"}},
		"sound":                            {inputs: list(input("wave", tensor.Float32, "n", "samples")), err: []string{"[n,samples]", "--input-shape 1,16000"}},
		"sound with a channel":             {inputs: list(input("wave", tensor.Float32, "n", 1, "samples")), err: []string{"--input-shape 1,1,16000"}},
		"a picture":                        {inputs: list(input("x", tensor.Float32, 1, 3, "h", "w")), err: []string{"--input-shape 1,3,640,640"}},
		"a picture with its channels last": {inputs: list(input("x", tensor.Float32, 0, 0, 0, 3)), err: []string{"--input-shape 1,640,640,3"}},
		"a rank that is not known":         {inputs: list(onnx.ValueInfo("x", tensor.Float32, nil)), err: []string{"--input-shape 1,3,640,640"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := (&onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8)}}).With(&onnxpb.GraphProto{Input: c.inputs})
			fixed, batched, err := onnx.FixInputs(m, c.given, c.hint)
			for _, want := range c.err {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
			}
			if len(c.err) > 0 {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range fixed.Inputs() {
				if _, shape, _ := onnx.TypeOf(in); !slices.Equal(shape, c.want[in.GetName()]) {
					t.Errorf("%s %v, want %v", in.GetName(), shape, c.want[in.GetName()])
				}
			}
			if !slices.Equal(batched, c.batched) {
				t.Errorf("a batch of 1: %q, want %q", batched, c.batched)
			}
		})
	}
}

func list(inputs ...*onnxpb.ValueInfoProto) []*onnxpb.ValueInfoProto { return inputs }
