package deployed_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/deployed"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

func node(op string, inputs []string, outputs ...string) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: proto.String(op), Input: inputs, Output: outputs}
}

// quantized puts a tensor on a grid: NAME to NAME_q.
func quantized(name, scale string) []*onnxpb.NodeProto {
	return []*onnxpb.NodeProto{node("QuantizeLinear", []string{name, scale, "zero"}, name+"_i"), node("DequantizeLinear", []string{name + "_i", scale, "zero"}, name+"_q")}
}

// network is a model of nodes that read x, whose outputs have the given shapes; s and t are scales, w a kernel of 1×1 from 3 to 5 channels.
func network(t *testing.T, x []int64, nodes []*onnxpb.NodeProto, outputs map[string][]int64) *onnx.Model {
	t.Helper()
	g := &onnxpb.GraphProto{
		Node: nodes, Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, x)},
		Initializer: []*onnxpb.TensorProto{
			onnx.TensorProto("s", tensor.Floats([]float32{0.03})), onnx.TensorProto("s_again", tensor.Floats([]float32{0.03})), onnx.TensorProto("t", tensor.Floats([]float32{0.05})),
			onnx.TensorProto("zero", tensor.Tensor{DType: tensor.Uint8, Shape: []int64{}, Raw: []byte{120}}),
			onnx.TensorProto("w", tensor.Floats([]float32{1, -1, .5, .2, .3, -.7, .1, 0, 2, -.4, .6, .8, .9, -.2, .7}, 5, 3, 1, 1)),
		},
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for k := range outputs {
			if !yield(k) {
				return
			}
		}
	}) {
		g.Output = append(g.Output, onnx.ValueInfo(name, tensor.Float32, outputs[name]))
	}
	data, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// values runs a model on x, whose shape is given, and gives its outputs.
func values(t *testing.T, m *onnx.Model, x tensor.Tensor) map[string]tensor.Tensor {
	t.Helper()
	r, err := ort.New(fixture.Runtime(t), m, ort.Options{Taps: m.Outputs()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	inference := r.Start(runner.Sample{Inputs: map[string]tensor.Tensor{"x": x}})
	defer inference.Close()
	batch, err := inference.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Release()
	list := map[string]tensor.Tensor{}
	for _, tap := range batch.Taps {
		list[tap.Name] = tensor.Floats(slices.Clone(tap.Tensor.F32), slices.Clone(tap.Tensor.Shape)...)
	}
	return list
}

// last moves the channels of a tensor of rank 4 behind its rows and columns.
func last(x tensor.Tensor) tensor.Tensor {
	n, c, h, w := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	out := make([]float32, len(x.F32))
	for i := range n {
		for k := range c {
			for y := range h {
				for z := range w {
					out[((i*h+y)*w+z)*c+k] = x.F32[((i*c+k)*h+y)*w+z]
				}
			}
		}
	}
	return tensor.Floats(out, n, h, w, c)
}

func TestTheFormComputesTheSame(t *testing.T) {
	conv := []*onnxpb.NodeProto{node("Conv", []string{"x_q", "w"}, "conv")}
	all := slices.Concat[[]*onnxpb.NodeProto]
	for name, c := range map[string]struct {
		x       []int64
		nodes   []*onnxpb.NodeProto
		outputs map[string][]int64
		in, out string // ports
		turned  []string
	}{
		"pictures in, maps out": {
			[]int64{1, 3, 4, 6}, all(quantized("x", "s"), conv, quantized("conv", "t")), map[string][]int64{"conv_q": {1, 5, 4, 6}},
			"[{x uint8 [1 4 6 3]}]", "[{conv_q uint8 [1 4 6 5]}]", []string{"x", "conv_q"},
		},
		"float": {
			[]int64{1, 3, 4, 6}, []*onnxpb.NodeProto{node("Conv", []string{"x", "w"}, "conv")}, map[string][]int64{"conv": {1, 5, 4, 6}},
			"[{x float32 [1 4 6 3]}]", "[{conv float32 [1 4 6 5]}]", []string{"x", "conv"},
		},
		"an output of rank 2": {
			[]int64{2, 3, 4, 6}, all(quantized("x", "s"), conv, []*onnxpb.NodeProto{node("Flatten", []string{"conv"}, "flat")}, quantized("flat", "t")), map[string][]int64{"flat_q": {2, 120}},
			"[{x uint8 [2 4 6 3]}]", "[{flat_q uint8 [2 120]}]", []string{"x"},
		},
		"channels that are last already": {
			[]int64{1, 6, 4, 3}, all(quantized("x", "s"), []*onnxpb.NodeProto{node("Relu", []string{"x_q"}, "relu")}, quantized("relu", "t")), map[string][]int64{"relu_q": {1, 6, 4, 3}},
			"[{x uint8 [1 6 4 3]}]", "[{relu_q uint8 [1 6 4 3]}]", nil,
		},
		"an output that is used within, too": {
			[]int64{1, 3, 4, 6}, all(quantized("x", "s"), conv, quantized("conv", "t"), []*onnxpb.NodeProto{node("Relu", []string{"conv_q"}, "relu")}, quantized("relu", "t")),
			map[string][]int64{"conv_q": {1, 5, 4, 6}, "relu_q": {1, 5, 4, 6}},
			"[{x uint8 [1 4 6 3]}]", "[{conv_q uint8 [1 4 6 5]} {relu_q uint8 [1 4 6 5]}]", []string{"x", "conv_q", "relu_q"},
		},
		"an input on two grids": {
			[]int64{1, 3, 4, 6}, []*onnxpb.NodeProto{
				node("QuantizeLinear", []string{"x", "s", "zero"}, "a"), node("DequantizeLinear", []string{"a", "s", "zero"}, "a_q"),
				node("QuantizeLinear", []string{"x", "t", "zero"}, "b"), node("DequantizeLinear", []string{"b", "t", "zero"}, "b_q"), node("Add", []string{"a_q", "b_q"}, "sum"),
			}, map[string][]int64{"sum": {1, 3, 4, 6}},
			"[{x float32 [1 4 6 3]}]", "[{sum float32 [1 4 6 3]}]", []string{"x", "sum"},
		},
		"an input on one grid twice": {
			[]int64{1, 3, 4, 6}, all(quantized("x", "s"), []*onnxpb.NodeProto{
				node("QuantizeLinear", []string{"x", "s_again", "zero"}, "b"), node("DequantizeLinear", []string{"b", "s_again", "zero"}, "b_q"), node("Add", []string{"x_q", "b_q"}, "sum"),
			}), map[string][]int64{"sum": {1, 3, 4, 6}},
			"[{x uint8 [1 4 6 3]}]", "[{sum float32 [1 4 6 3]}]", []string{"x", "sum"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := network(t, c.x, c.nodes, c.outputs)
			count := c.x[0] * c.x[1] * c.x[2] * c.x[3]
			rng, data := rand.New(rand.NewPCG(1, 2)), make([]float32, count)
			for i := range data {
				data[i] = float32(rng.NormFloat64())
			}
			x := tensor.Floats(data, c.x...)
			want := values(t, m, x)
			if slices.Contains(c.turned, "x") {
				x = last(x)
			}
			turned, err := deployed.ChannelsLast(m)
			if err != nil {
				t.Fatal(err)
			}
			got := values(t, turned, x)
			for out, w := range want {
				if slices.Contains(c.turned, out) {
					w = last(w)
				}
				if !slices.Equal(got[out].F32, w.F32) || !slices.Equal(got[out].Shape, w.Shape) {
					t.Errorf("%s: %v of shape %v, want %v of shape %v", out, got[out].F32, got[out].Shape, w.F32, w.Shape)
				}
			}
			form, ports, err := deployed.Form(m)
			if err != nil {
				t.Fatal(err)
			}
			if in, out := fmt.Sprint(ports.Inputs), fmt.Sprint(ports.Outputs); in != c.in || out != c.out {
				t.Errorf("%s in, %s out", in, out)
			}
			if d, shape, _ := onnx.TypeOf(form.Inputs()[0]); d.String() != ports.Inputs[0].Type || !slices.Equal(shape, ports.Inputs[0].Shape) {
				t.Errorf("the input is %s %v", d, shape)
			}
			r, err := ort.New(fixture.Runtime(t), form, ort.Options{Taps: form.Outputs()}) // it can be loaded
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
		})
	}
}
