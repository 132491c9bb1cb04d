package ort_test

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// counting is an engine that notes how many nodes each session has.
func counting(e ort.Engine, nodes *[]int) ort.Engine {
	return fixture.Failing(e, func(g *onnxpb.GraphProto) error { *nodes = append(*nodes, len(g.GetNode())); return nil })
}

// everything lists all tensors that nodes make.
func everything(m *onnx.Model) []string {
	var names []string
	for _, n := range m.Graph().GetNode() {
		names = append(names, n.GetOutput()...)
	}
	return names
}

func values(t *testing.T, r *ort.Runner, sample map[string]tensor.Tensor) map[string]tensor.Tensor {
	t.Helper()
	got := map[string]tensor.Tensor{}
	f := r.Start(runner.Sample{Inputs: sample})
	defer f.Close()
	for range r.Segments() {
		batch, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, tap := range batch.Taps {
			got[tap.Name] = tap.Tensor.Clone()
		}
		batch.Release()
	}
	return got
}

func image() map[string]tensor.Tensor {
	x := make([]float32, 192)
	for i := range x {
		x[i] = float32(i%17) / 17
	}
	return map[string]tensor.Tensor{"image": tensor.Floats(x, 1, 3, 8, 8)}
}

// The library compiles a graph in a time that grows with the square of its nodes, so the squares are what is counted.
func TestTheWorkOfCompilingGrowsWithTheModelAndNotWithItsSquare(t *testing.T) {
	r := fixture.Runtime(t)
	work := map[int]int{}
	for _, n := range []int{3000, 6000} {
		var nodes []int
		m := fixture.Chain(n)
		run, err := ort.New(counting(r, &nodes), m, ort.Options{Taps: everything(m)})
		if err != nil {
			t.Fatal(err)
		}
		if len(run.Segments()) != 1 || len(run.Segments()[0]) != n {
			t.Fatalf("%d nodes: %d segments", n, len(run.Segments()))
		}
		run.Close()
		for _, k := range nodes {
			work[n] += k * k
			if k > ort.TypedNodes {
				t.Errorf("a session of %d nodes", k)
			}
		}
	}
	if ratio := float64(work[6000]) / float64(work[3000]); ratio > 2.4 || ratio < 1.6 {
		t.Errorf("twice the nodes cost %.2f times the work", ratio)
	}
}

func TestPiecesDoNotChangeOneBit(t *testing.T) {
	r := fixture.Runtime(t)
	m := fixture.Chain(300)
	types, err := ort.Types(r, m)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]tensor.Tensor
	for _, most := range []int{1000, 64, 7, 2} {
		tapped := map[string]bool{}
		for _, name := range everything(m) {
			tapped[name] = true
		}
		run, arena, err := ort.NewInPieces(r, m, types, tapped, []int{0, 100, 100, 250}, most)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(run.Segments()); n != 5 || len(run.Segments()[1]) != 100 || len(run.Segments()[2]) != 0 || len(run.Segments()[4]) != 50 {
			t.Fatalf("pieces of %d: %d segments", most, n)
		}
		got := values(t, run, image())
		if lent := arena.Lent(); lent != 0 {
			t.Errorf("pieces of %d: %d tensors did not come back", most, lent)
		}
		run.Close()
		if want == nil {
			want = got
		}
		if len(got) != 300 || !reflect.DeepEqual(got, want) {
			t.Errorf("pieces of %d: other values", most)
		}
	}
}

// Where shapes are computed, or sequences are handed on, a graph that is typed in parts has the types of one that is typed whole.
func TestTypesOfPartsAreThoseOfTheWhole(t *testing.T) {
	r := fixture.Runtime(t)
	b := &onnxpb.GraphProto{Name: proto.String("shapes")}
	ints := func(name string, v ...int64) string {
		b.Initializer = append(b.Initializer, &onnxpb.TensorProto{Name: &name, DataType: proto.Int32(int32(tensor.Int64)), Dims: []int64{int64(len(v))}, Int64Data: v})
		return name
	}
	node := func(op string, in ...string) string {
		out := fmt.Sprintf("%s%d", op, len(b.Node))
		n := &onnxpb.NodeProto{OpType: &op, Input: in, Output: []string{out}}
		if op == "Concat" || op == "SplitToSequence" {
			n.Attribute = []*onnxpb.AttributeProto{onnx.IntAttr("axis", 0)}
		}
		b.Node = append(b.Node, n)
		return out
	}
	minus, one, zero := ints("minus", -1), ints("one", 1), ints("zero", 0)
	x := "image"
	for range 20 {
		x = node("Reshape", node("Relu", x), node("Concat", node("Slice", node("Shape", x), zero, one), minus))
		x = node("Sigmoid", node("Add", x, node("ReduceMean", x)))
		x = node("SequenceAt", node("SplitToSequence", node("Relu", x)), node("Squeeze", zero))
	}
	b.Input = fixture.Chain(1).Graph().Input
	b.Output = []*onnxpb.ValueInfoProto{onnx.Untyped(x)}
	for name, m := range map[string]*onnx.Model{"chain": fixture.Chain(200), "shapes and sequences": fixture.Chain(1).With(b)} {
		want, err := ort.TypesOf(r, m, 1<<20)
		if err != nil {
			t.Fatal(name, err)
		}
		for _, most := range []int{64, 16, 5, 1} {
			var nodes []int
			got, err := ort.TypesOf(counting(r, &nodes), m, most)
			if err != nil {
				t.Fatal(name, most, err)
			}
			if len(nodes) < len(m.Graph().GetNode())/most {
				t.Errorf("%s, %d nodes at a time: %d sessions", name, most, len(nodes))
			}
			for _, tensor := range slices.Sorted(maps.Keys(want)) {
				g, w := got[tensor], want[tensor]
				if g.Tensor != w.Tensor || g.DType != w.DType {
					t.Errorf("%s, %d nodes at a time: %s is %v, want %v", name, most, tensor, g, w)
				}
				if most >= 16 && name == "chain" && !slices.Equal(g.Shape, w.Shape) {
					t.Errorf("%s, %d nodes at a time: %s has the shape %v, want %v", name, most, tensor, g.Shape, w.Shape)
				}
			}
		}
	}
}

func TestConstantsAreEvaluatedInPieces(t *testing.T) {
	r := fixture.Runtime(t)
	m := fixture.Chain(4)
	g := m.Graph()
	one := onnx.TensorProto("", tensor.Floats([]float32{1}, 1))
	g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String("Constant"), Output: []string{"c0"}, Attribute: []*onnxpb.AttributeProto{{Name: proto.String("value"), Type: onnxpb.AttributeProto_TENSOR.Enum(), T: one}}})
	last := 3*ort.PieceNodes + 7
	for i := range last {
		g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String("Add"), Input: []string{fmt.Sprintf("c%d", i), "c0"}, Output: []string{fmt.Sprintf("c%d", i+1)}})
	}
	end := fmt.Sprintf("c%d", last)
	g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String("Add"), Input: []string{"t3", end}, Output: []string{"sum"}})
	g.Output = append(g.Output, onnx.Untyped("sum"))
	var nodes []int
	folded, made, err := ort.FoldConstants(context.Background(), counting(r, &nodes), m)
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != last+1 || len(folded.Graph().GetNode()) != 5 || len(nodes) != 4 {
		t.Fatalf("%d constants, %d nodes left, %d sessions", len(made), len(folded.Graph().GetNode()), len(nodes))
	}
	v, err := folded.Tensor(onnx.NewIndex(folded).Initializer[end])
	if err != nil || len(v.F32) != 1 || v.F32[0] != float32(last+1) {
		t.Errorf("%v %v, want %d", v.F32, err, last+1)
	}
}
