package rewrite_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// graph builds models from lines: "y = Op(x, w) name=value …"; constants begin with a letter of their own and are made by c.
type graph struct {
	input  []int64
	nodes  []*onnxpb.NodeProto
	inits  []*onnxpb.TensorProto
	output []string
	opset  int64
}

func (g *graph) c(name string, shape []int64, values ...float32) *graph {
	n, _ := tensor.Count(shape)
	list := make([]float32, n)
	for i := range list {
		switch {
		case len(values) == 0:
			list[i] = float32((i*7)%11-5)/8 + 0.05
		default:
			list[i] = values[i%len(values)]
		}
	}
	g.inits = append(g.inits, onnx.TensorProto(name, tensor.Floats(list, shape...)))
	return g
}

func (g *graph) ints(name string, values ...int64) *graph {
	raw := make([]byte, 8*len(values))
	for i, v := range values {
		for b := range 8 {
			raw[8*i+b] = byte(uint64(v) >> (8 * b))
		}
	}
	g.inits = append(g.inits, onnx.TensorProto(name, tensor.Tensor{DType: tensor.Int64, Shape: []int64{int64(len(values))}, Raw: raw}))
	return g
}

func (g *graph) n(op, inputs, outputs string, attributes ...*onnxpb.AttributeProto) *graph {
	g.nodes = append(g.nodes, &onnxpb.NodeProto{
		OpType: &op, Name: proto.String(fmt.Sprintf("%s_%d", op, len(g.nodes))), Input: strings.Fields(inputs), Output: strings.Fields(outputs), Attribute: attributes,
	})
	return g
}

func ints(name string, values ...int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_INTS.Enum(), Ints: values}
}

func autoPad(value string) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String("auto_pad"), Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte(value)}
}

func (g *graph) model() *onnx.Model {
	if g.opset == 0 {
		g.opset = 13
	}
	p := &onnxpb.GraphProto{Name: proto.String("g"), Node: g.nodes, Initializer: g.inits, Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, g.input)}}
	for _, name := range g.output {
		p.Output = append(p.Output, onnx.Untyped(name))
	}
	return &onnx.Model{Proto: &onnxpb.ModelProto{
		IrVersion: proto.Int64(8), Graph: p, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: &g.opset}},
	}}
}

func picture(outputs ...string) *graph {
	return &graph{input: []int64{1, 3, 8, 10}, output: outputs}
}

// cut adds a Slice of one axis.
func (g *graph) cut(in, out string, axis, start, end, step int64) *graph {
	return g.ints("s"+out, start).ints("e"+out, end).ints("a"+out, axis).ints("p"+out, step).n("Slice", fmt.Sprintf("%[1]s s%[2]s e%[2]s a%[2]s p%[2]s", in, out), out)
}

// focus adds strided Slices by pairs, rows first, and their Concat; quarters are rows and columns where they begin.
func (g *graph) focus(in, out string, quarters ...[2]int64) *graph {
	var parts []string
	for k, q := range quarters {
		part := fmt.Sprintf("%s%d", out, k)
		g.cut(in, part+"r", 2, q[0], math.MaxInt64, 2).cut(part+"r", part, 3, q[1], math.MaxInt64, 2)
		parts = append(parts, part)
	}
	return g.n("Concat", strings.Join(parts, " "), out, onnx.IntAttr("axis", 1))
}

// unshuffle adds Reshape, Transpose and Reshape to the shapes.
func (g *graph) unshuffle(in, out string, middle, perm, last []int64) *graph {
	return g.ints("m"+out, middle...).ints("l"+out, last...).n("Reshape", in+" m"+out, out+"m").n("Transpose", out+"m", out+"t", ints("perm", perm...)).n("Reshape", out+"t l"+out, out)
}

var yolox = [][2]int64{{0, 0}, {1, 0}, {0, 1}, {1, 1}}

func tall() *graph { return &graph{input: []int64{2, 2, 8, 12}, output: []string{"y"}} }

func env(t testing.TB, m *onnx.Model) rewrite.Env {
	t.Helper()
	r := fixture.Runtime(t)
	types, err := ort.Types(r, m)
	if err != nil {
		t.Fatal(err)
	}
	inits := onnx.NewIndex(m).Initializer
	return rewrite.Env{
		Shapes: func(name string) ([]int64, bool) {
			if x, ok := types[name]; ok && x.Shape != nil {
				return x.Shape, true
			}
			if x := inits[name]; x != nil {
				return x.GetDims(), true
			}
			return nil, false
		},
		Float: func(name string) bool { return types[name].DType == tensor.Float32 },
		Type:  func(name string) (tensor.DType, bool) { x, ok := types[name]; return x.DType, ok },
		Spans: func(names []string) (map[string]rewrite.Span, error) { // channels of ±100, ±1, ±0.01, and so on
			spans := map[string]rewrite.Span{}
			for _, name := range names {
				s := rewrite.Span{}
				for c := range types[name].Shape[1] {
					high := 100 * math.Pow(100, -float64(c%4))
					s.Low, s.High = append(s.Low, -high), append(s.High, high)
				}
				spans[name] = headSpan(name, s)
			}
			return spans, nil
		},
		Asked: true,
		Fold: func(m *onnx.Model) (*onnx.Model, error) {
			f, _, _, err := ort.Fold(context.Background(), r, m)
			return f, err
		},
	}
}

// apply runs a pass until it changes nothing.
func apply(t testing.TB, p *rewrite.Pass, m *onnx.Model) (*onnx.Model, []string) {
	t.Helper()
	var changes []string
	for range 50 {
		r, err := p.Run(m, env(t, m))
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Changes) == 0 {
			if r.Model != m {
				t.Error("the model differs although nothing was changed")
			}
			return m, changes
		}
		if err := onnx.Check(r.Model); err != nil {
			t.Fatalf("not sound: %v", err)
		}
		changes, m = append(changes, r.Changes...), r.Model
		if p.Once {
			return m, changes
		}
	}
	t.Fatalf("%s never ends: %v", p.Name, changes[max(len(changes)-3, 0):])
	return nil, nil
}

func ops(m *onnx.Model) string {
	var list []string
	for _, n := range m.Graph().GetNode() {
		list = append(list, n.GetOpType())
	}
	return strings.Join(list, " ")
}

// passCase is a model before and the operators after; a near miss keeps its operators.
type passCase struct {
	pass, what string
	model      *graph
	after      string // operators
}

var cases = []passCase{
	{"fold-batchnorm", "Conv", picture("y").c("w", []int64{4, 3, 3, 3}).c("g", []int64{4}).c("v", []int64{4}, 0.5, 2).n("Conv", "x w", "t").n("BatchNormalization", "t g g g v", "y"), "Conv"},
	{"fold-batchnorm", "ConvTranspose with groups", picture("y").c("w0", []int64{4, 3, 1, 1}).c("w", []int64{4, 2, 2, 2}).c("b", []int64{4}).c("g", []int64{4}).c("v", []int64{4}, 0.5, 2).n("Conv", "x w0", "s").n("ConvTranspose", "s w b", "t", onnx.IntAttr("group", 2)).n("BatchNormalization", "t g g g v", "y"), "Conv ConvTranspose"},
	{"fold-batchnorm", "Gemm", picture("y").c("w", []int64{240, 4}).c("b", []int64{4}).c("g", []int64{4}).c("v", []int64{4}, 0.5, 2).n("Flatten", "x", "f").n("Gemm", "f w b", "t").n("BatchNormalization", "t g g g v", "y"), "Flatten Gemm"},
	{"fold-batchnorm", "a second consumer", picture("y", "z").c("w", []int64{4, 3, 3, 3}).c("g", []int64{4}).c("v", []int64{4}, 0.5, 2).n("Conv", "x w", "t").n("BatchNormalization", "t g g g v", "y").n("Relu", "t", "z"), "Conv BatchNormalization Relu"},
	{"div-to-mul", "by a constant", picture("y").c("c", []int64{1}, 4).n("Div", "x c", "y"), "Mul"},
	{"div-to-mul", "of a constant", picture("y").c("c", []int64{1}, 4).n("Div", "c x", "y"), "Div"},
	{"div-to-mul", "by zero", picture("y").c("c", []int64{3, 1, 1}, 4, 0, 1).n("Div", "x c", "y"), "Div"},
	{"fuse-mul-add-before-conv", "a chain of four, not padded", picture("y").c("s", []int64{1, 3, 1, 1}, 2, 3, 4).c("a", []int64{3, 1, 1}, 1, -1, 5).c("k", []int64{}, 4).c("w", []int64{4, 3, 3, 3}).c("b", []int64{4}).
		n("Mul", "s x", "p").n("Add", "p a", "q").n("Div", "q k", "r").n("Sub", "k r", "t").n("Conv", "t w b", "y"), "Conv"},
	{"fuse-mul-add-before-conv", "multiplication, padded", picture("y").c("s", []int64{1, 3, 1, 1}, 2, 3, 4).c("w", []int64{4, 3, 3, 3}).n("Mul", "x s", "p").n("Conv", "p w", "y", ints("pads", 1, 1, 1, 1)), "Conv"},
	{"fuse-mul-add-before-conv", "depthwise", picture("y").c("s", []int64{1, 3, 1, 1}, 2, 3, 4).c("w", []int64{6, 1, 3, 3}).n("Sub", "x s", "p").n("Conv", "p w", "y", onnx.IntAttr("group", 3)), "Conv"},
	{"fuse-mul-add-before-conv", "addition, padded", picture("y").c("a", []int64{1}, 2).c("w", []int64{4, 3, 3, 3}).n("Add", "x a", "p").n("Conv", "p w", "y", ints("pads", 1, 1, 1, 1)), "Add Conv"},
	{"fuse-mul-add-before-conv", "addition, padded automatically", picture("y").c("a", []int64{1}, 2).c("w", []int64{4, 3, 3, 3}).n("Add", "x a", "p").n("Conv", "p w", "y", autoPad("SAME_UPPER")), "Add Conv"},
	{"fuse-mul-add-before-conv", "a second consumer", picture("y", "z").c("a", []int64{1}, 2).c("w", []int64{4, 3, 3, 3}).n("Mul", "x a", "p").n("Conv", "p w", "y").n("Relu", "p", "z"), "Mul Conv Relu"},
	{"fuse-mul-add-before-conv", "the tensor between is an output", picture("y", "p").c("a", []int64{1}, 2).c("w", []int64{4, 3, 3, 3}).n("Mul", "x a", "p").n("Conv", "p w", "y"), "Mul Conv"},
	{"fuse-mul-add-before-conv", "not constant", picture("y").c("w", []int64{4, 3, 3, 3}).n("Relu", "x", "r").n("Mul", "x r", "p").n("Conv", "p w", "y"), "Relu Mul Conv"},
	{"fuse-mul-add-before-conv", "varies along the width", picture("y").c("a", []int64{10}, 2, 3).c("w", []int64{4, 3, 3, 3}).n("Mul", "x a", "p").n("Conv", "p w", "y"), "Mul Conv"},
	{"fuse-mul-add-before-conv", "a shared weight", picture("y", "z").c("a", []int64{1}, 2).c("w", []int64{4, 3, 3, 3}).n("Mul", "x a", "p").n("Conv", "p w", "y").n("Conv", "x w", "z"), "Conv Conv"},
	{"fuse-mul-add-after-conv", "a chain, padded", picture("y").c("s", []int64{4, 1, 1}, 2, 3, 4, 5).c("a", []int64{1, 4, 1, 1}).c("k", []int64{1}, 4).c("w", []int64{4, 3, 3, 3}).n("Conv", "x w", "t", ints("pads", 1, 1, 1, 1)).n("Mul", "t s", "p").n("Sub", "a p", "q").n("Div", "q k", "y"), "Conv"},
	{"fuse-mul-add-after-conv", "Gemm", picture("y").c("w", []int64{4, 240}).c("a", []int64{4}).n("Flatten", "x", "f").n("Gemm", "f w", "t", onnx.IntAttr("transB", 1)).n("Add", "t a", "y"), "Flatten Gemm"},
	{"fuse-mul-add-after-conv", "it widens the tensor", picture("y").c("a", []int64{2, 1, 1, 1}).c("w", []int64{4, 3, 3, 3}).n("Conv", "x w", "t").n("Add", "t a", "y"), "Conv Add"},
	{"fuse-mul-add-after-conv", "varies along the height", picture("y").c("a", []int64{6, 1}).c("w", []int64{4, 3, 3, 3}).n("Conv", "x w", "t").n("Add", "t a", "y"), "Conv Add"},
	{"fuse-mul-add-after-conv", "a tensor with itself", picture("y").c("w", []int64{4, 3, 3, 3}).n("Conv", "x w", "t").n("Add", "t t", "y"), "Conv Add"},
	{"uniform-stride", "1 and 2, padded", picture("y").c("w", []int64{4, 3, 3, 3}).n("Conv", "x w", "y", ints("strides", 1, 2), ints("pads", 1, 0, 1, 2)), "Conv Slice"},
	{"uniform-stride", "2 and 4", picture("y").c("w", []int64{4, 3, 3, 3}).n("Conv", "x w", "y", ints("strides", 2, 4)), "Conv Slice"},
	{"uniform-stride", "SAME_LOWER", picture("y").c("w", []int64{4, 3, 3, 2}).n("Conv", "x w", "y", ints("strides", 3, 2), autoPad("SAME_LOWER")), "Conv Slice"},
	{"uniform-stride", "dilated", picture("y").c("w", []int64{4, 3, 2, 3}).n("Conv", "x w", "y", ints("strides", 1, 2), ints("pads", 2, 1, 0, 3), ints("dilations", 3, 2)), "Conv Slice"},
	{"uniform-stride", "groups, SAME_UPPER", picture("y").c("w", []int64{3, 1, 3, 2}).n("Conv", "x w", "y", ints("strides", 1, 2), autoPad("SAME_UPPER"), onnx.IntAttr("group", 3)), "Conv Slice"},
	{"uniform-stride", "equal strides", picture("y").c("w", []int64{4, 3, 3, 3}).n("Conv", "x w", "y", ints("strides", 2, 2)), "Conv"},
	{"uniform-stride", "one dimension", (&graph{input: []int64{1, 3, 20}, output: []string{"y"}}).c("w", []int64{4, 3, 3}).n("Conv", "x w", "y", ints("strides", 2)), "Conv"},
	{"uniform-stride", "one place along an axis", (&graph{input: []int64{1, 3, 1, 20}, output: []string{"y"}}).c("w", []int64{4, 3, 1, 3}).n("Conv", "x w", "y", ints("strides", 1, 2)), "Conv"},
	{"uniform-stride", "one place, by a large stride", (&graph{input: []int64{1, 3, 6, 20}, output: []string{"y"}}).c("w", []int64{4, 3, 4, 3}).n("Conv", "x w", "y", ints("strides", 4, 1)), "Conv Slice"},
	{"uniform-stride", "opset 9", (&graph{input: []int64{1, 3, 8, 10}, output: []string{"y"}, opset: 9}).c("w", []int64{4, 3, 3, 3}).n("Conv", "x w", "y", ints("strides", 1, 2)), "Conv"},
	{"swap-input-channels", "Split and Concat, with constants between", picture("y").c("m", []int64{1, 3, 1, 1}, 1, 2, 3).c("w", []int64{4, 3, 3, 3}).n("Split", "x", "r g b", onnx.IntAttr("axis", 1)).n("Concat", "b g r", "z", onnx.IntAttr("axis", 1)).n("Sub", "z m", "q").n("Conv", "q w", "y"), "Sub Conv"},
	{"swap-input-channels", "Gather, a cycle", picture("y").ints("i", 1, 2, 0).c("w", []int64{4, 3, 3, 3}).n("Gather", "x i", "z", onnx.IntAttr("axis", 1)).n("Conv", "z w", "y", ints("pads", 1, 1, 1, 1)), "Conv"},
	{"swap-input-channels", "a channel is used twice", picture("y").ints("i", 1, 1, 0).c("w", []int64{4, 3, 3, 3}).n("Gather", "x i", "z", onnx.IntAttr("axis", 1)).n("Conv", "z w", "y"), "Gather Conv"},
	{"swap-input-channels", "depthwise", picture("y").ints("i", 2, 1, 0).c("w", []int64{3, 1, 3, 3}).n("Gather", "x i", "z", onnx.IntAttr("axis", 1)).n("Conv", "z w", "y", onnx.IntAttr("group", 3)), "Gather Conv"},
	{"swap-input-channels", "a second consumer", picture("y", "v").ints("i", 2, 1, 0).c("w", []int64{4, 3, 3, 3}).n("Gather", "x i", "z", onnx.IntAttr("axis", 1)).n("Conv", "z w", "y").n("Relu", "z", "v"), "Gather Conv Relu"},
	{"remove-identity", "Cast to the same type", picture("y").n("Cast", "x", "t", onnx.IntAttr("to", 1)).n("Relu", "t", "y"), "Relu"},
	{"remove-identity", "Casts to another type and back", picture("y").n("Cast", "x", "t", onnx.IntAttr("to", 11)).n("Cast", "t", "u", onnx.IntAttr("to", 1)).n("Relu", "u", "y"), "Cast Cast Relu"},
	{"remove-identity", "Identity, Dropout, transposes that cancel", picture("y").n("Identity", "x", "a").n("Dropout", "a", "b").n("Transpose", "b", "c", ints("perm", 0, 2, 3, 1)).n("Transpose", "c", "d", ints("perm", 0, 3, 1, 2)).n("Relu", "d", "y"), "Relu"},
	{"remove-identity", "two transposes become one", picture("y").n("Transpose", "x", "c", ints("perm", 0, 2, 3, 1)).n("Transpose", "c", "d", ints("perm", 0, 2, 1, 3)).n("Relu", "d", "y"), "Transpose Relu"},
	{"remove-identity", "in front of an output", picture("y").n("Relu", "x", "a").n("Identity", "a", "y"), "Relu"},
	{"remove-identity", "Reshape, Pad, Add of 0", picture("y").ints("s", 1, 3, 8, 10).ints("p", 0, 0, 0, 0, 0, 0, 0, 0).c("o", []int64{1, 3, 8, 10}, 0).n("Reshape", "x s", "a").n("Pad", "a p", "b").n("Add", "b o", "c").n("Relu", "c", "y"), "Relu"},
	{"remove-identity", "it is between input and output", picture("y").n("Identity", "x", "y"), "Identity"},
	{"remove-identity", "Reshape to another shape", picture("y").ints("s", 1, 8, 3, 10).n("Reshape", "x s", "a").n("Relu", "a", "y"), "Reshape Relu"},
	{"remove-identity", "a transpose with a second consumer", picture("y", "z").n("Transpose", "x", "c", ints("perm", 0, 2, 3, 1)).n("Transpose", "c", "d", ints("perm", 0, 3, 1, 2)).n("Relu", "d", "y").n("Relu", "c", "z"), "Transpose Transpose Relu Relu"},
	{"constant-fold", "two constants", picture("y").c("a", []int64{1}, 1).c("b", []int64{1}, 2).n("Add", "a b", "c").n("Mul", "x c", "y"), "Mul"},
	{"constant-fold", "depends on the input", picture("y").c("a", []int64{1}, 1).n("Add", "a x", "c").n("Mul", "x c", "y"), "Add Mul"},
	{"constants-to-initializers", "a value", picture("y").n("Constant", "", "c", &onnxpb.AttributeProto{Name: proto.String("value_float"), Type: onnxpb.AttributeProto_FLOAT.Enum(), F: proto.Float32(3)}).n("Mul", "x c", "y"), "Mul"},
	{"constants-to-initializers", "an output", picture("c", "y").n("Constant", "", "c", &onnxpb.AttributeProto{Name: proto.String("value_float"), Type: onnxpb.AttributeProto_FLOAT.Enum(), F: proto.Float32(3)}).n("Mul", "x c", "y"), "Constant Mul"},
	{"drop-unused", "a branch", picture("y").n("Relu", "x", "y").n("Sigmoid", "x", "z").n("Relu", "z", "v"), "Relu"},
	{"drop-unused", "all is used", picture("y").n("Relu", "x", "z").n("Sigmoid", "z", "y"), "Relu Sigmoid"},
	{"matmul-to-conv", "Gemm", picture("y").c("w", []int64{4, 240}).c("b", []int64{4}).n("Flatten", "x", "f").n("Gemm", "f w b", "y", onnx.IntAttr("transB", 1)), "Flatten Reshape Conv Reshape"},
	{"matmul-to-conv", "MatMul of three dimensions", picture("y").ints("s", 1, 24, 10).c("w", []int64{10, 5}).n("Reshape", "x s", "f").n("MatMul", "f w", "y"), "Reshape Transpose Reshape Conv Reshape Transpose"},
	{"matmul-to-conv", "not constant", picture("y").n("Transpose", "x", "t", ints("perm", 0, 1, 3, 2)).n("MatMul", "x t", "y"), "Transpose MatMul"},
	{"equalize", "Conv, Relu, depthwise", picture("y").c("w", []int64{4, 3, 1, 1}, 5, 4, 3, .1, .2, .1, 9, 1, 1, .5, .5, .5).c("b", []int64{4}).c("v", []int64{4, 1, 3, 3}).n("Conv", "x w b", "t").n("Relu", "t", "r").n("Conv", "r v", "y", onnx.IntAttr("group", 4)), "Conv Relu Conv"},
	{"equalize", "Relu6 between", picture("y").c("w", []int64{4, 3, 1, 1}, 5, 4, 3, .1, .2, .1, 9, 1, 1, .5, .5, .5).c("lo", []int64{}, 0).c("hi", []int64{}, 6).c("v", []int64{4, 4, 3, 3}).n("Conv", "x w", "t").n("Clip", "t lo hi", "r").n("Conv", "r v", "y"), "Conv Clip Conv"},
	{"split-gates", "SiLU into a depthwise Conv", gated("y").n("Conv", "r v", "y", onnx.IntAttr("group", 4)).c("v", []int64{4, 1, 3, 3}), "Conv Conv Clip Sigmoid Mul Conv"},
	{"split-gates", "into two Convs", gated("y", "z").n("Conv", "r v", "y").c("v", []int64{2, 4, 1, 1}).n("Conv", "r u", "z").c("u", []int64{3, 4, 3, 3}), "Conv Conv Clip Sigmoid Mul Conv Conv"},
	{"split-gates", "HardSigmoid, opset 10", old(picture("y").c("w", []int64{4, 3, 1, 1}).n("Conv", "x w", "t").n("HardSigmoid", "t", "s").n("Mul", "s t", "r").n("Conv", "r v", "y").c("v", []int64{2, 4, 1, 1})), "Conv Conv Clip HardSigmoid Mul Conv"},
	{"split-gates", "the product is added to", gated("y").c("v", []int64{4, 4, 1, 1}).n("Conv", "r v", "q").n("Add", "q r", "y"), "Conv Sigmoid Mul Conv Add"},
	{"split-gates", "the product is an output", gated("r", "y").c("v", []int64{4, 4, 1, 1}).n("Conv", "r v", "y"), "Conv Sigmoid Mul Conv"},
	{"split-gates", "weights of two readers in one", gated("y").c("v", []int64{4, 4, 1, 1}).n("Conv", "r v", "q").n("Conv", "q v", "y"), "Conv Sigmoid Mul Conv Conv"},
	{"split-gates", "another gate", gated("y").c("v", []int64{4, 4, 1, 1}).n("Relu", "t", "q").n("Conv", "r v", "p").n("Add", "p q", "y"), "Conv Sigmoid Mul Relu Conv Add"},
	{"split-gates", "Sigmoid of something else", picture("y").c("w", []int64{4, 3, 1, 1}).c("v", []int64{2, 4, 1, 1}).n("Conv", "x w", "t").n("Relu", "t", "q").n("Sigmoid", "q", "s").n("Mul", "t s", "r").n("Conv", "r v", "y"), "Conv Relu Sigmoid Mul Conv"},
}

// gated begins a graph with a Conv of four channels and its SiLU, r.
func gated(outputs ...string) *graph {
	return picture(outputs...).c("w", []int64{4, 3, 1, 1}).c("b", []int64{4}).n("Conv", "x w b", "t").n("Sigmoid", "t", "s").n("Mul", "t s", "r")
}

func old(g *graph) *graph {
	g.opset = 10
	return g
}

func TestPassesFitWhereTheyShouldAndKeepTheOutputs(t *testing.T) {
	r := fixture.Runtime(t)
	fits, misses := map[string]bool{}, map[string]bool{}
	for _, c := range slices.Concat(cases, viewCases, maskCases(), splitCases, scaleCases, fuseCases(), transformerCases()) {
		t.Run(c.pass+"/"+c.what, func(t *testing.T) {
			p, err := rewrite.Find(c.pass)
			if err != nil {
				t.Fatal(err)
			}
			m := c.model.model()
			before := ops(m)
			after, changes := apply(t, p, m)
			if ops(after) != c.after {
				t.Errorf("%s became %s, want %s", before, ops(after), c.after)
			}
			if len(changes) > 0 {
				fits[c.pass] = true
			} else {
				misses[c.pass] = true
			}
			if _, again := apply(t, p, after); len(again) > 0 && !p.Once {
				t.Errorf("a second run changes more: %v", again)
			}
			a, b := outputs(t, r, m), outputs(t, r, after)
			if p.Once {
				join(t, r, resultOf(t, p, m), after, b)
			} else if !slices.Equal(m.Outputs(), after.Outputs()) {
				t.Errorf("outputs %v, were %v", after.Outputs(), m.Outputs())
			}
			near(t, a, b, p.Tolerance+1e-6)
		})
	}
	for _, p := range rewrite.All {
		if !fits[p.Name] || !misses[p.Name] {
			t.Errorf("%s: a case that fits: %v, a near miss: %v", p.Name, fits[p.Name], misses[p.Name])
		}
		if !strings.Contains(p.Doc, "After") || p.Why == "" || p.Title == "" || p.Order == "" {
			t.Errorf("%s is not documented", p.Name)
		}
	}
}

func near(t interface{ Errorf(string, ...any) }, a, b map[string][]float32, tolerance float64) {
	for name := range a {
		scale := 1e-12
		for _, v := range a[name] {
			scale = math.Max(scale, math.Abs(float64(v)))
		}
		if len(a[name]) != len(b[name]) {
			t.Errorf("%s has %d values, had %d", name, len(b[name]), len(a[name]))
			continue
		}
		for i := range a[name] {
			if d := math.Abs(float64(a[name][i]-b[name][i])) / scale; a[name][i] != b[name][i] && !(d <= tolerance) {
				t.Errorf("%s[%d] was %g, is %g", name, i, a[name][i], b[name][i])
				break
			}
		}
	}
}

func TestEqualizeBringsRangesTogether(t *testing.T) {
	for _, c := range cases {
		if c.pass != "equalize" || c.what != "Conv, Relu, depthwise" {
			continue
		}
		p, _ := rewrite.Find("equalize")
		after, changes := apply(t, p, c.model.model())
		if len(changes) != 1 {
			t.Fatalf("%v", changes)
		}
		x := onnx.NewIndex(after)
		w, _ := after.Tensor(x.Initializer["w"])
		v, _ := after.Tensor(x.Initializer["v"])
		for ch := range 4 {
			a, b := float32(0), float32(0)
			for i := range 3 {
				a = max(a, float32(math.Abs(float64(w.F32[ch*3+i]))))
			}
			for i := range 9 {
				b = max(b, float32(math.Abs(float64(v.F32[ch*9+i]))))
			}
			if math.Abs(float64(a-b)) > 1e-4*float64(a) {
				t.Errorf("channel %d: ranges %g and %g", ch, a, b)
			}
		}
	}
}

func TestSplitGatesAsksForSamplesAndForAGain(t *testing.T) {
	p, err := rewrite.Find("split-gates")
	if err != nil {
		t.Fatal(err)
	}
	m := gated("y").c("v", []int64{2, 4, 1, 1}).n("Conv", "r v", "y").model()
	spans := func(high ...float64) func([]string) (map[string]rewrite.Span, error) {
		return func([]string) (map[string]rewrite.Span, error) {
			return map[string]rewrite.Span{"t": {Low: []float64{-1, -1, -1, -1}, High: high}}, nil
		}
	}
	for _, c := range []struct {
		what  string
		spans func([]string) (map[string]rewrite.Span, error)
		split bool
		left  string
	}{
		{"no samples", nil, false, "give samples (--verify-on)"},
		{"like channels", spans(4, 4, 5, 4), false, ""},
		{"a little unlike", spans(90, 9, 9, 90), false, "15 dB would be worth a second Conv"},
		{"unlike", spans(90, 0.1, 0.1, 0.1), true, ""},
		{"channels without values", spans(90, 0, 0, 0), true, ""},
		{"other channels than it has", spans(90, 0.1), false, ""},
		{"no values at all", spans(math.Inf(-1), math.Inf(-1), math.Inf(-1), math.Inf(-1)), false, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			e := env(t, m)
			e.Spans = c.spans
			got, err := p.Run(m, e)
			if err != nil {
				t.Fatal(err)
			}
			if (len(got.Changes) > 0) != c.split || !strings.Contains(strings.Join(got.Left, "; "), c.left) {
				t.Errorf("changes %v, left %v", got.Changes, got.Left)
			}
		})
	}
}

// TestNoPassChangesARandomGraph runs all passes over random chains and branches.
func TestNoPassChangesARandomGraph(t *testing.T) {
	r := fixture.Runtime(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := picture()
		name, channels := "x", int64(3)
		height, width := int64(8), int64(10)
		names := []string{"x"}
		for i := range rapid.IntRange(1, 8).Draw(rt, "nodes") {
			out := fmt.Sprintf("t%d", i)
			switch op := rapid.SampledFrom([]string{"Conv", "Conv", "Mul", "Add", "Sub", "Div", "Relu", "Identity", "Transpose", "Gather", "Blocks", "Parts", "SiLU"}).Draw(rt, "op"); op {
			case "Conv":
				k := rapid.SampledFrom([]int64{1, 3}).Draw(rt, "kernel")
				pad := rapid.SampledFrom([]int64{0, 1}).Draw(rt, "pad")
				if height+2*pad < k+1 || width+2*pad < k+1 {
					continue
				}
				strides := rapid.SampledFrom([][]int64{{1, 1}, {1, 2}, {2, 1}}).Draw(rt, "strides")
				next := rapid.Int64Range(1, 4).Draw(rt, "channels")
				g.c("w"+out, []int64{next, channels, k, k}).n(op, name+" w"+out, out, ints("pads", pad, pad, pad, pad), ints("strides", strides...))
				channels, height, width = next, (height+2*pad-k)/strides[0]+1, (width+2*pad-k)/strides[1]+1
			case "Mul", "Add", "Sub", "Div":
				shape := rapid.SampledFrom([][]int64{{}, {1}, {channels, 1, 1}, {1, channels, 1, 1}, {width}}).Draw(rt, "shape")
				g.c("c"+out, shape, 2, -0.5, 1.5, 3)
				inputs := name + " c" + out
				if op != "Div" && rapid.Bool().Draw(rt, "first") {
					inputs = "c" + out + " " + name
				}
				g.n(op, inputs, out)
			case "Transpose":
				g.n(op, name, out+"_", ints("perm", 0, 2, 3, 1)).n(op, out+"_", out, ints("perm", 0, 3, 1, 2))
			case "Blocks":
				if height%2 != 0 || width%2 != 0 || channels > 6 {
					continue
				}
				switch rapid.SampledFrom([]string{"Slices", "SpaceToDepth", "Reshape"}).Draw(rt, "blocks") {
				case "Slices":
					g.focus(name, out, rapid.Permutation(yolox).Draw(rt, "quarters")...)
				case "SpaceToDepth":
					g.n("SpaceToDepth", name, out, onnx.IntAttr("blocksize", 2))
				default:
					perm := rapid.Permutation([]int64{1, 3, 5}).Draw(rt, "perm")
					g.unshuffle(name, out, []int64{1, channels, height / 2, 2, width / 2, 2}, []int64{0, perm[0], perm[1], perm[2], 2, 4}, []int64{1, channels * 4, height / 2, width / 2})
				}
				channels, height, width = channels*4, height/2, width/2
			case "Parts":
				first := rapid.Int64Range(1, channels).Draw(rt, "first")
				g.cut(name, out+"a", 1, 0, first, 1).cut(name, out+"b", 1, -1, math.MinInt64, -1).n("Concat", out+"b "+out+"a", out, onnx.IntAttr("axis", 1))
				channels += first
			case "SiLU":
				g.n("Sigmoid", name, out+"s").n("Mul", name+" "+out+"s", out)
			case "Gather":
				var order []int64
				for c := range channels {
					order = append(order, channels-1-c)
				}
				g.ints("i"+out, order...).n(op, name+" i"+out, out, onnx.IntAttr("axis", 1))
			default:
				g.n(op, name, out)
			}
			name = out
			names = append(names, out)
		}
		if len(names) < 2 {
			return
		}
		g.output = []string{name}
		if extra := rapid.SampledFrom(names[1:]).Draw(rt, "output"); extra != name {
			g.output = append(g.output, extra)
		}
		m := g.model()
		want := outputs(t, r, m)
		for i := range rewrite.All {
			p := &rewrite.All[i]
			before := ops(m)
			m, want = applyJoined(t, r, p, m, want)
			got := outputs(t, r, m)
			failed := false
			near(reporter(func(format string, args ...any) { failed = true; rt.Logf(format, args...) }), want, got, 2e-3)
			if failed {
				rt.Fatalf("%s: %s -> %s", p.Name, before, ops(m))
			}
		}
	})
}

type reporter func(string, ...any)

func (r reporter) Errorf(format string, args ...any) { r(format, args...) }
