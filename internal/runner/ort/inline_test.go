package ort_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// branch is a graph that computes activation(x + add) of the tensor x around it; inner is a node in it, if there is one.
func branch(name, activation string, add float32, inner *onnxpb.NodeProto, outputs ...string) *onnxpb.GraphProto {
	k, sum, act := "k", "sum", "act"
	if len(name) == 1 { // within another branch
		k, sum, act = "k1", "sum1", "act1"
	}
	g := &onnxpb.GraphProto{Name: &name, Initializer: []*onnxpb.TensorProto{onnx.TensorProto(k, tensor.Floats([]float32{add}, 1))}}
	g.Node = append(g.Node,
		&onnxpb.NodeProto{OpType: proto.String("Add"), Input: []string{"t0", k}, Output: []string{sum}},
		&onnxpb.NodeProto{OpType: &activation, Input: []string{sum}, Output: []string{act}},
	)
	if inner != nil {
		g.Node = append(g.Node, inner)
	}
	for _, out := range outputs {
		g.Output = append(g.Output, onnx.Untyped(out))
	}
	return g
}

func ifNode(condition string, then, otherwise *onnxpb.GraphProto, outputs ...string) *onnxpb.NodeProto {
	attr := func(name string, g *onnxpb.GraphProto) *onnxpb.AttributeProto {
		return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_GRAPH.Enum(), G: g}
	}
	return &onnxpb.NodeProto{OpType: proto.String("If"), Name: proto.String("choose_" + outputs[0]), Input: []string{condition}, Output: outputs, Attribute: []*onnxpb.AttributeProto{attr("then_branch", then), attr("else_branch", otherwise)}}
}

// The condition is whether the input has 8 rows, which is known; the branches have an If in them, initializers and tensors of equal names, and an
// output that they have twice.
func TestAnIfWhoseConditionIsConstantIsInlined(t *testing.T) {
	r := fixture.Runtime(t)
	for _, rows := range []int64{8, 9} {
		m := fixture.Chain(4)
		g := m.Graph()
		g.Initializer = append(g.Initializer,
			&onnxpb.TensorProto{Name: proto.String("rows"), DataType: proto.Int32(int32(tensor.Int64)), Dims: []int64{}, Int64Data: []int64{rows}},
			&onnxpb.TensorProto{Name: proto.String("two"), DataType: proto.Int32(int32(tensor.Int64)), Dims: []int64{}, Int64Data: []int64{2}},
			onnx.TensorProto("three", tensor.Floats([]float32{3}, 1)))
		nested := ifNode("is8", branch("a", "Sigmoid", 1, nil, "act1"), branch("b", "Relu", 2, nil, "act1"), "deep")
		g.Node = append(g.Node,
			&onnxpb.NodeProto{OpType: proto.String("Shape"), Input: []string{"t3"}, Output: []string{"shape"}},
			&onnxpb.NodeProto{OpType: proto.String("Gather"), Input: []string{"shape", "two"}, Output: []string{"height"}},
			&onnxpb.NodeProto{OpType: proto.String("Equal"), Input: []string{"height", "rows"}, Output: []string{"is8"}},
			ifNode("is8", branch("then", "Tanh", 5, nested, "act", "act", "sum", "deep"), branch("else", "Neg", 7, nil, "act", "sum", "sum", "act"), "p", "q", "r", "s"),
			ifNode("is8", branch("then", "Exp", 1, nil, "act"), branch("else", "Abs", 2, nil, "act"), "other"),
			&onnxpb.NodeProto{OpType: proto.String("Add"), Input: []string{"p", "three"}, Output: []string{"total"}},
		)
		g.Output = nil
		for _, name := range []string{"p", "q", "r", "s", "total", "other"} {
			g.Output = append(g.Output, onnx.Untyped(name))
		}
		inlined, gone, err := ort.Inline(t.Context(), r, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := onnx.Check(inlined); err != nil {
			t.Fatal(err)
		}
		want := 2
		if rows == 8 {
			want = 3
		}
		ops := map[string]int{}
		for _, n := range inlined.Graph().GetNode() {
			ops[n.GetOpType()]++
		}
		if len(gone) != want || gone[0] != "choose_p" || ops["If"] != 0 || ops["Tanh"] != want-2 || ops["Neg"] != 3-want {
			t.Errorf("%d rows: %q are gone, operators %v", rows, gone, ops)
		}
		outputs := func(m *onnx.Model) map[string]tensor.Tensor {
			run, err := ort.New(r, m, ort.Options{Taps: m.Outputs()})
			if err != nil {
				t.Fatal(err)
			}
			defer run.Close()
			return collect(t, run, image())
		}
		got := outputs(inlined)
		reference := outputs(m)
		// ONNX Runtime leaves the first of two outputs undefined that are one tensor of a branch.
		again := map[string]string{"p": "q"}
		if rows == 9 {
			again = map[string]string{"p": "s", "q": "r"}
		}
		for _, name := range []string{"p", "q", "r", "s", "other"} {
			want := reference[cmp.Or(again[name], name)]
			if !slices.Equal(got[name].F32, want.F32) || len(want.F32) != 192 || !slices.Equal(got[name].Shape, want.Shape) {
				t.Errorf("%d rows: %s is %v %v, want %v %v", rows, name, got[name].Shape, got[name].F32, want.Shape, want.F32)
			}
		}
	}
}

func TestAnIfWhoseConditionIsNotConstantStays(t *testing.T) {
	m := fixture.Chain(4)
	g := m.Graph()
	g.Node = append(g.Node,
		&onnxpb.NodeProto{OpType: proto.String("ReduceMax"), Input: []string{"t3"}, Output: []string{"max"}, Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("keepdims", 0)}},
		&onnxpb.NodeProto{OpType: proto.String("Cast"), Input: []string{"max"}, Output: []string{"any"}, Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("to", 9)}},
		ifNode("any", branch("then", "Tanh", 5, nil, "act"), branch("else", "Neg", 7, nil, "act"), "p"),
	)
	g.Output = []*onnxpb.ValueInfoProto{onnx.Untyped("p")}
	inlined, gone, err := ort.Inline(t.Context(), fixture.Runtime(t), m)
	if err != nil || len(gone) != 0 || !slices.Equal(inlined.Graph().GetNode(), g.GetNode()) {
		t.Errorf("%q %v", gone, err)
	}
	if outer, inner := onnx.Branching(g.GetNode()...); fmt.Sprint(outer, inner) != "1 4" {
		t.Errorf("%d nodes with %d in them", outer, inner)
	}
}
