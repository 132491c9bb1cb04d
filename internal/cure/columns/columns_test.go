package columns_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/cure/columns"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

type ints = map[string][]int64

// operators are nodes with the shapes of their input and weight.
var operators = []struct {
	name, op string
	x, w     []int64
	ints     ints
	numbers  map[string]int64
	text     map[string]string
}{
	{"1-D", "Conv", []int64{2, 3, 9}, []int64{4, 3, 3}, ints{"strides": {2}, "pads": {2, 0}}, nil, nil},
	{"2-D", "Conv", []int64{1, 4, 7, 6}, []int64{5, 4, 3, 3}, ints{"pads": {1, 1, 1, 1}}, nil, nil},
	{"2-D, without padding, a stride of two", "Conv", []int64{1, 3, 8, 8}, []int64{2, 3, 3, 3}, ints{"strides": {2, 2}}, nil, nil},
	{"2-D, grouped, dilated", "Conv", []int64{2, 4, 9, 9}, []int64{6, 2, 3, 2}, ints{"dilations": {2, 3}, "pads": {2, 1, 0, 2}}, map[string]int64{"group": 2}, nil},
	{"depthwise", "Conv", []int64{1, 5, 6, 6}, []int64{5, 1, 3, 3}, ints{"pads": {1, 1, 1, 1}}, map[string]int64{"group": 5}, nil},
	{"1×1", "Conv", []int64{1, 6, 5, 4}, []int64{3, 6, 1, 1}, nil, nil, nil},
	{"padded to the same size, above", "Conv", []int64{1, 2, 7, 8}, []int64{3, 2, 4, 3}, ints{"strides": {2, 2}}, nil, map[string]string{"auto_pad": "SAME_UPPER"}},
	{"padded to the same size, below", "Conv", []int64{1, 2, 7, 8}, []int64{3, 2, 4, 3}, ints{"strides": {2, 2}}, nil, map[string]string{"auto_pad": "SAME_LOWER"}},
	{"3-D", "Conv", []int64{1, 2, 4, 5, 6}, []int64{3, 2, 2, 3, 3}, ints{"pads": {0, 1, 1, 1, 1, 1}, "strides": {1, 2, 1}}, nil, nil},
	{"transposed", "ConvTranspose", []int64{1, 3, 5, 4}, []int64{3, 4, 3, 3}, ints{"strides": {2, 2}, "pads": {1, 1, 1, 1}, "output_padding": {1, 0}}, nil, nil},
	{"transposed, kernel of the stride", "ConvTranspose", []int64{1, 3, 5, 4}, []int64{3, 4, 2, 2}, ints{"strides": {2, 2}}, nil, nil},
	{"transposed, grouped, dilated", "ConvTranspose", []int64{2, 4, 5, 4}, []int64{4, 3, 3, 2}, ints{"strides": {2, 1}, "dilations": {1, 2}}, map[string]int64{"group": 2}, nil},
	{"transposed, 1-D", "ConvTranspose", []int64{1, 2, 6}, []int64{2, 3, 4}, ints{"strides": {3}, "pads": {1, 2}}, nil, nil},
	{"MatMul", "MatMul", []int64{2, 3, 5}, []int64{5, 4}, nil, nil, nil},
	{"Gemm", "Gemm", []int64{4, 5}, []int64{5, 3}, nil, nil, nil},
	{"Gemm, transposed", "Gemm", []int64{4, 5}, []int64{3, 5}, nil, map[string]int64{"transB": 1}, nil},
}

// A row of the weight times a column of inputs is what ONNX Runtime gives at that position, and sums are those over all positions.
func TestRowsTimesColumnsAreWhatTheOperatorGives(t *testing.T) {
	engine := fixture.Runtime(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range operators {
		t.Run(c.op+" "+c.name, func(t *testing.T) {
			random := func(shape []int64) tensor.Tensor {
				n, _ := tensor.Count(shape)
				v := make([]float32, n)
				for i := range v {
					v[i] = float32(rng.NormFloat64())
				}
				return tensor.Floats(v, shape...)
			}
			x, w := random(c.x), random(c.w)
			n := &onnxpb.NodeProto{OpType: proto.String(c.op), Input: []string{"x", "w"}, Output: []string{"y"}}
			for name, v := range c.ints {
				n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: proto.String(name), Ints: v, Type: onnxpb.AttributeProto_INTS.Enum()})
			}
			for name, v := range c.numbers {
				n.Attribute = append(n.Attribute, onnx.IntAttr(name, v))
			}
			for name, v := range c.text {
				n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: proto.String(name), S: []byte(v), Type: onnxpb.AttributeProto_STRING.Enum()})
			}
			data, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}}, Graph: &onnxpb.GraphProto{
				Name: proto.String("g"), Node: []*onnxpb.NodeProto{n}, Initializer: []*onnxpb.TensorProto{onnx.TensorProto("w", w)},
				Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, c.x)}, Output: []*onnxpb.ValueInfoProto{onnx.ValueInfo("y", tensor.Float32, nil)},
			}})
			if err != nil {
				t.Fatal(err)
			}
			m, err := onnx.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			made, err := ort.Once(context.Background(), engine, m, map[string]tensor.Tensor{"x": x})
			if err != nil {
				t.Fatal(err)
			}
			win, err := columns.Of(n, c.x, c.w, made["y"].Shape)
			if err != nil {
				t.Fatal(err)
			}
			check(t, win, x.F32, w.F32, made["y"].F32)
		})
	}
}

func check(t *testing.T, win *columns.Window, x, w, y []float32) {
	if win.Positions()*win.Groups*win.O != len(y) {
		t.Fatalf("%d positions of %d outputs, the operator gives %d", win.Positions(), win.Groups*win.O, len(y))
	}
	all := make([]int, win.Positions())
	for i := range all {
		all[i] = i
	}
	sumX, sumY := make([]float64, win.Groups*win.K), make([]float64, win.Groups*win.O)
	win.AddInputs(sumX, x)
	win.AddOutputs(sumY, y)
	for g := range win.Groups {
		in, out := win.Inputs(nil, x, g, all), win.Outputs(nil, y, g, all)
		for k := range win.K {
			want := 0.0
			for p := range all {
				want += float64(in[p*win.K+k])
			}
			if got := sumX[g*win.K+k]; math.Abs(got-want) > 1e-5 {
				t.Fatalf("input %d of group %d has the sum %g, want %g", k, g, got, want)
			}
		}
		for o := range win.O {
			sum := 0.0
			for p := range all {
				got, want := 0.0, float64(out[p*win.O+o])
				sum += want
				for k := range win.K {
					got += float64(w[win.Weight(g, o, k)]) * float64(in[p*win.K+k])
				}
				if math.Abs(got-want) > 1e-4 {
					t.Fatalf("output %d of group %d at %d is %g, want %g", o, g, p, got, want)
				}
			}
			if got := sumY[g*win.O+o]; math.Abs(got-sum) > 1e-4 {
				t.Fatalf("output %d of group %d has the sum %g, want %g", o, g, got, sum)
			}
		}
	}
}

func TestWhatHasNoColumnsIsRefused(t *testing.T) {
	for i, c := range []struct {
		n       *onnxpb.NodeProto
		x, w, y []int64
	}{
		{&onnxpb.NodeProto{OpType: proto.String("LSTM")}, []int64{1, 2, 3}, []int64{1, 2, 3}, []int64{1}},
		{&onnxpb.NodeProto{OpType: proto.String("MatMul")}, []int64{2, 3}, []int64{2, 3, 4}, []int64{2, 2, 4}},
		{&onnxpb.NodeProto{OpType: proto.String("Gemm"), Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("transA", 1)}}, []int64{2, 3}, []int64{2, 4}, []int64{3, 4}},
		{&onnxpb.NodeProto{OpType: proto.String("Gemm"), Attribute: []*onnxpb.AttributeProto{onnx.FloatAttr("alpha", 2)}}, []int64{2, 3}, []int64{3, 4}, []int64{2, 4}},
		{&onnxpb.NodeProto{OpType: proto.String("Conv")}, []int64{1, 3, 4, 4}, []int64{2, 2, 1, 1}, []int64{1, 2, 4, 4}},
		{&onnxpb.NodeProto{OpType: proto.String("Conv"), Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("group", 2)}}, []int64{1, 3, 4, 4}, []int64{2, 1, 1, 1}, []int64{1, 2, 4, 4}},
	} {
		if w, err := columns.Of(c.n, c.x, c.w, c.y); err == nil {
			t.Errorf("%s", fmt.Sprint(i, w))
		}
	}
}
