package ort_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner/ort"
)

func TestASeededModelDrawsTheSameNumbersInEverySession(t *testing.T) {
	r := fixture.Runtime(t)
	m := fixture.Chain(4)
	g := m.Graph()
	for _, out := range []string{"a", "b"} {
		g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String("RandomNormalLike"), Input: []string{"t3"}, Output: []string{out}})
	}
	g.Output = []*onnxpb.ValueInfoProto{onnx.Untyped("a"), onnx.Untyped("b")}
	seeded, drawing := onnx.Seed(m)
	if drawing["RandomNormalLike"] != 2 || len(drawing) != 1 || onnx.Attr(g.GetNode()[4], "seed") != nil {
		t.Fatalf("%v; or the model was changed in place", drawing)
	}
	draw := func(m *onnx.Model) []float32 {
		run, err := ort.New(r, m, ort.Options{Taps: m.Outputs()})
		if err != nil {
			t.Fatal(err)
		}
		defer run.Close()
		first := collect(t, run, image())
		if slices.Equal(first["a"].F32, first["b"].F32) {
			t.Error("two nodes draw the same numbers")
		}
		return append(first["a"].F32, collect(t, run, image())["a"].F32...)
	}
	// Without a seed the library takes the place of the node in the graph, which is another one where quantizers are put in.
	shifted := func(m *onnx.Model) *onnx.Model {
		more := &onnxpb.NodeProto{OpType: proto.String("Relu"), Input: []string{"image"}, Output: []string{"more"}}
		return onnx.Rebuild(m, append([]*onnxpb.NodeProto{more}, m.Graph().GetNode()...))
	}
	if !slices.Equal(draw(seeded), draw(shifted(seeded))) {
		t.Error("a form of the seeded model draws other numbers")
	}
	if slices.Equal(draw(m), draw(shifted(m))) {
		t.Error("a form of the model draws the same numbers without a seed: this test says nothing")
	}
	if same, drawing := onnx.Seed(fixture.Chain(4)); len(drawing) != 0 || len(same.Graph().GetNode()) != 4 {
		t.Errorf("%v", drawing)
	}
}
