package quantize_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/compare"
	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/progress"
	"quantcheck/internal/quantize"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
)

// network is one that a test invents: nodes that read x and give y, with constants of random values by their shapes.
type network struct {
	shape     []int64
	constants map[string][]int64
	ints      map[string][]int64
	scales    map[string][]float32
	nodes     []*onnxpb.NodeProto
	opset     int64
}

func node(op string, inputs []string, output string, attributes ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(output + "_node"), Input: inputs, Output: []string{output}, Attribute: attributes}
}

func ints(name string, values ...int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Ints: values, Type: onnxpb.AttributeProto_INTS.Enum()}
}

func text(name, value string) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), S: []byte(value), Type: onnxpb.AttributeProto_STRING.Enum()}
}

// body is a branch of an If, of one node that takes tensors from outside.
func body(name string, n *onnxpb.NodeProto) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: &onnxpb.GraphProto{
		Name: proto.String(name), Node: []*onnxpb.NodeProto{n}, Output: []*onnxpb.ValueInfoProto{onnx.ValueInfo(n.GetOutput()[0], tensor.Float32, nil)},
	}}
}

// write writes the network, and three samples of it with their list.
func (n network) write(t *testing.T, dir string) (model, list string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	random := func(shape []int64) tensor.Tensor {
		count, err := tensor.Count(shape)
		if err != nil {
			t.Fatal(err)
		}
		v := make([]float32, count)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return tensor.Floats(v, shape...)
	}
	g := &onnxpb.GraphProto{Name: proto.String("g"), Node: n.nodes, Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, n.shape)}, Output: []*onnxpb.ValueInfoProto{onnx.ValueInfo("y", tensor.Float32, nil)}}
	for _, n2 := range n.nodes { // in the order of their use
		for _, in := range n2.GetInput() {
			if shape, ok := n.constants[in]; ok {
				c := random(shape)
				if in == "var" {
					for i, v := range c.F32 {
						c.F32[i] = v*v + 0.5
					}
				}
				g.Initializer = append(g.Initializer, onnx.TensorProto(in, c))
			}
			if values, ok := n.scales[in]; ok {
				g.Initializer = append(g.Initializer, onnx.TensorProto(in, tensor.Floats(values, int64(len(values)))))
			}
			if values, ok := n.ints[in]; ok {
				raw := make([]byte, 0, 8*len(values))
				for _, v := range values {
					for b := range 8 {
						raw = append(raw, byte(uint64(v)>>(8*b)))
					}
				}
				g.Initializer = append(g.Initializer, onnx.TensorProto(in, tensor.Tensor{DType: tensor.Int64, Shape: []int64{int64(len(values))}, Raw: raw}))
			}
		}
	}
	data, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(max(n.opset, 13))}}})
	if err != nil {
		t.Fatal(err)
	}
	model = filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(model, data, 0o644); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := range 3 {
		name := fmt.Sprintf("x%d.npy", i)
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := tensor.WriteNpy(f, random(n.shape)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, name)
	}
	list = filepath.Join(dir, "list.txt")
	if err := os.WriteFile(list, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	return model, list
}

// networks are those that check and the written file are compared on: each has an operator whose quantizers could be placed in more
// than one way.
var networks = map[string]network{
	"MatMul with a bias, two dimensions": {
		shape: []int64{4, 8}, constants: map[string][]int64{"w": {8, 6}, "b": {6}, "w2": {6, 5}, "b2": {5}},
		nodes: []*onnxpb.NodeProto{
			node("MatMul", []string{"x", "w"}, "m"), node("Add", []string{"m", "b"}, "a"), node("Relu", []string{"a"}, "r"),
			node("MatMul", []string{"r", "w2"}, "m2"), node("Add", []string{"b2", "m2"}, "y"),
		},
	},
	"MatMul with a bias, three dimensions": {
		shape: []int64{1, 7, 8}, constants: map[string][]int64{"w": {8, 6}, "b": {6}},
		nodes: []*onnxpb.NodeProto{node("MatMul", []string{"x", "w"}, "m"), node("Add", []string{"m", "b"}, "a"), node("Softmax", []string{"a"}, "y")},
	},
	"attention": {
		shape: []int64{1, 6, 8}, constants: map[string][]int64{"wq": {8, 8}, "bq": {8}, "wk": {8, 8}, "bk": {8}, "wv": {8, 8}, "bv": {8}, "wo": {8, 8}, "bo": {8}, "s": {1}},
		ints: map[string][]int64{"heads": {1, 6, 2, 4}, "whole": {1, 6, 8}},
		nodes: []*onnxpb.NodeProto{
			node("MatMul", []string{"x", "wq"}, "q0"), node("Add", []string{"q0", "bq"}, "q1"), node("Reshape", []string{"q1", "heads"}, "q2"), node("Transpose", []string{"q2"}, "q", ints("perm", 0, 2, 1, 3)),
			node("MatMul", []string{"x", "wk"}, "k0"), node("Add", []string{"k0", "bk"}, "k1"), node("Reshape", []string{"k1", "heads"}, "k2"), node("Transpose", []string{"k2"}, "k", ints("perm", 0, 2, 3, 1)),
			node("MatMul", []string{"x", "wv"}, "v0"), node("Add", []string{"v0", "bv"}, "v1"), node("Reshape", []string{"v1", "heads"}, "v2"), node("Transpose", []string{"v2"}, "v", ints("perm", 0, 2, 1, 3)),
			node("MatMul", []string{"q", "k"}, "qk"), node("Mul", []string{"qk", "s"}, "scaled"), node("Softmax", []string{"scaled"}, "p", onnx.IntAttr("axis", -1)),
			node("MatMul", []string{"p", "v"}, "o0"), node("Transpose", []string{"o0"}, "o1", ints("perm", 0, 2, 1, 3)), node("Reshape", []string{"o1", "whole"}, "o2"),
			node("MatMul", []string{"o2", "wo"}, "o3"), node("Add", []string{"o3", "bo"}, "o4"), node("Add", []string{"o4", "x"}, "y"),
		},
	},
	"Gemm and Clip": {
		shape: []int64{2, 8}, constants: map[string][]int64{"w": {6, 8}, "b": {6}, "low": {}},
		nodes: []*onnxpb.NodeProto{node("Gemm", []string{"x", "w", "b"}, "g", onnx.IntAttr("transB", 1)), node("Clip", []string{"g", "low"}, "c"), node("Tanh", []string{"c"}, "y")},
	},
	"ConvTranspose and batch normalization": {
		shape: []int64{1, 3, 5, 5}, constants: map[string][]int64{"w": {3, 4, 2, 2}, "scale": {4}, "bias": {4}, "mean": {4}, "var": {4}},
		nodes: []*onnxpb.NodeProto{
			node("ConvTranspose", []string{"x", "w"}, "c", ints("strides", 2, 2)), node("BatchNormalization", []string{"c", "scale", "bias", "mean", "var"}, "n"), node("Relu", []string{"n"}, "r"),
			node("GlobalAveragePool", []string{"r"}, "y"),
		},
	},
	"LSTM": {
		shape: []int64{5, 1, 4}, constants: map[string][]int64{"w": {1, 12, 4}, "r": {1, 12, 3}, "b": {1, 24}, "w2": {3, 2}, "b2": {2}},
		nodes: []*onnxpb.NodeProto{
			node("LSTM", []string{"x", "w", "r", "b"}, "h", onnx.IntAttr("hidden_size", 3)), node("Squeeze", []string{"h", "one"}, "s"),
			node("MatMul", []string{"s", "w2"}, "m"), node("Add", []string{"m", "b2"}, "y"),
		},
		ints: map[string][]int64{"one": {1}},
	},
	"LSTM of two directions with states and peepholes": {
		shape: []int64{5, 1, 4}, constants: map[string][]int64{"w": {2, 12, 4}, "r": {2, 12, 3}, "b": {2, 24}, "h0": {2, 1, 3}, "c0": {2, 1, 3}, "p": {2, 9}},
		nodes: []*onnxpb.NodeProto{
			node("LSTM", []string{"x", "w", "r", "b", "", "h0", "c0", "p"}, "h", onnx.IntAttr("hidden_size", 3), text("direction", "bidirectional")), node("Tanh", []string{"h"}, "y"),
		},
	},
	"GRU of two directions, and RNN without a bias": {
		shape: []int64{5, 1, 4}, constants: map[string][]int64{"w": {2, 9, 4}, "r": {2, 9, 3}, "b": {2, 18}, "w2": {1, 2, 6}, "r2": {1, 2, 2}},
		ints: map[string][]int64{"flat": {5, 1, 6}},
		nodes: []*onnxpb.NodeProto{
			node("GRU", []string{"x", "w", "r", "b"}, "h", onnx.IntAttr("hidden_size", 3), text("direction", "bidirectional"), onnx.IntAttr("linear_before_reset", 1)),
			node("Transpose", []string{"h"}, "t", ints("perm", 0, 2, 1, 3)), node("Reshape", []string{"t", "flat"}, "f"), node("RNN", []string{"f", "w2", "r2"}, "y", onnx.IntAttr("hidden_size", 2)),
		},
	},
	"padding with minus infinity": {
		shape: []int64{1, 4, 6, 6}, constants: map[string][]int64{"w": {4, 4, 3, 3}},
		ints: map[string][]int64{"pads": {0, 0, 1, 1, 0, 0, 1, 1}, "row": {0, 3}, "none": {}}, scales: map[string][]float32{"below": {-1e38}},
		nodes: []*onnxpb.NodeProto{
			node("Conv", []string{"x", "w"}, "c"), node("Reshape", []string{"below", "none"}, "b"), node("Pad", []string{"c", "pads", "b"}, "p"), node("Gather", []string{"p", "row"}, "g", onnx.IntAttr("axis", 2)), node("Sigmoid", []string{"g"}, "y"),
		},
	},
	"a body of control flow": {
		shape: []int64{1, 4, 6, 6}, constants: map[string][]int64{"w": {4, 4, 3, 3}},
		nodes: []*onnxpb.NodeProto{
			node("Conv", []string{"x", "w"}, "c"), node("Relu", []string{"c"}, "r"), node("ReduceSum", []string{"r"}, "sum", onnx.IntAttr("keepdims", 0)), node("Cast", []string{"sum"}, "on", onnx.IntAttr("to", int64(tensor.Bool))),
			node("If", []string{"on"}, "i", body("then_branch", node("Sqrt", []string{"r"}, "root")), body("else_branch", node("Neg", []string{"r"}, "minus"))), node("Sigmoid", []string{"i"}, "y"),
		},
	},
	"a duration that becomes a shape": {
		shape: []int64{1, 4, 6, 6}, constants: map[string][]int64{"w": {4, 4, 3, 3}}, ints: map[string][]int64{"once": {1, 1, 1}, "first": {0}},
		nodes: []*onnxpb.NodeProto{
			node("Conv", []string{"x", "w"}, "c"), node("Abs", []string{"c"}, "d"), node("ReduceMax", []string{"d"}, "s", onnx.IntAttr("keepdims", 0)), node("Ceil", []string{"s"}, "e"),
			node("Cast", []string{"e"}, "i", onnx.IntAttr("to", int64(tensor.Int64))), node("Unsqueeze", []string{"i", "first"}, "u"), node("Concat", []string{"once", "u"}, "times", onnx.IntAttr("axis", 0)),
			node("Tile", []string{"c", "times"}, "t"), node("Sigmoid", []string{"t"}, "y"),
		},
	},
	"data that is moved": {
		shape: []int64{1, 4, 6, 6}, constants: map[string][]int64{"w": {4, 4, 3, 3}, "b": {4}, "slope": {4, 1, 1}, "k": {1, 4, 1, 1}}, scales: map[string][]float32{"up": {1, 1, 2, 2}},
		ints: map[string][]int64{"pads": {0, 0, 1, 1, 0, 0, 1, 1}, "start": {1}, "end": {4}, "axis": {1}},
		nodes: []*onnxpb.NodeProto{
			node("Pad", []string{"x", "pads"}, "p"), node("Conv", []string{"p", "w", "b"}, "c"), node("PRelu", []string{"c", "slope"}, "r"), node("MaxPool", []string{"r"}, "m", ints("kernel_shape", 2, 2)),
			node("Slice", []string{"m", "start", "end", "axis"}, "s"), node("Concat", []string{"m", "s"}, "cat", onnx.IntAttr("axis", 1)), node("Resize", []string{"cat", "", "up"}, "z", text("mode", "nearest")),
			node("ReduceMax", []string{"z"}, "top", ints("axes", 1)), node("Mul", []string{"z", "top"}, "y"),
		},
	},
}

func TestTheWrittenFileComputesWhatCheckMeasured(t *testing.T) {
	t.Parallel()
	for name, n := range networks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, recipe := range []string{"w8a8", "w8a16", "w8a8,per-tensor,bias8", "w4a8,small8:40,heal"} {
				model, list := n.write(t, t.TempDir())
				same(t, model, list, recipe, dataset.Default())
			}
		})
	}
}

// same quantizes a model and compares what check measures of the recipe with what it measures of the file.
func same(t *testing.T, model, list, recipe string, input dataset.Description) {
	t.Helper()
	engines := session.Engines{ORT: fixture.Runtime(t)}
	q, err := quantize.Run(context.Background(), engines, quantize.Spec{Model: model, Name: "m", Calib: list, Recipe: recipe, Input: input, MemoryMiB: 512}, progress.Silent{})
	if err != nil {
		t.Fatalf("%s: %v", recipe, err)
	}
	file := filepath.Join(filepath.Dir(model), "q.onnx")
	if err := onnx.Save(q.Model, file); err != nil {
		t.Fatal(err)
	}
	run, err := compare.Run(context.Background(), engines, result.CheckSpec{
		Sources: result.Sources{Model: model, Images: list}, Variants: []string{recipe, "written=" + file}, Place: result.Place{Name: "m"}, Input: input, Bounds: result.Bounds{MemoryMiB: 512},
	}, progress.Silent{}, nil, nil)
	if err != nil {
		t.Fatalf("%s: %v", recipe, err)
	}
	compared := 0
	for k, l := range run.Layers {
		checked, written := run.Variants[0].Layers[k], run.Variants[1].Layers[k]
		if !checked.HasMetrics() || !written.HasMetrics() {
			continue
		}
		compared++
		if !reflect.DeepEqual(checked.Summary, written.Summary) {
			t.Errorf("%s: %s (%s): check measured %v, the written file has %v", recipe, l.Name, l.Op, checked.Summary, written.Summary)
		}
	}
	if last := len(run.Layers) - 1; compared == 0 || !run.Variants[1].Layers[last].HasMetrics() || !run.Variants[0].Layers[last].HasMetrics() {
		t.Errorf("%s: %d layers were compared, the output among them must be", recipe, compared)
	}
}
