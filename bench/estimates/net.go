package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// net is a network that is being built, with random weights of a size that keeps values in bounds.
type net struct {
	g   *onnxpb.GraphProto
	rng *rand.Rand
	at  string // the last tensor
}

func begin(shape ...int64) *net {
	return &net{
		g:   &onnxpb.GraphProto{Name: proto.String("net"), Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, shape)}},
		rng: rand.New(rand.NewPCG(3, 4)), at: "x",
	}
}

// model ends the network at what was made last.
func (n *net) model() *onnx.Model {
	n.g.Output = []*onnxpb.ValueInfoProto{onnx.Untyped(n.at)}
	return &onnx.Model{Proto: &onnxpb.ModelProto{
		IrVersion: proto.Int64(8), Graph: n.g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}},
	}}
}

func ints(name string, v ...int64) *onnxpb.AttributeProto { return onnx.IntsAttr(name, v) }

// op puts an operator behind what was made last, or behind what it is given.
func (n *net) op(op string, inputs []string, attrs ...*onnxpb.AttributeProto) string {
	name := fmt.Sprintf("%s_%d", op, len(n.g.Node))
	n.g.Node = append(n.g.Node, &onnxpb.NodeProto{OpType: &op, Name: &name, Input: inputs, Output: []string{name + "_out"}, Attribute: attrs})
	n.at = name + "_out"
	return n.at
}

func (n *net) constant(t *onnxpb.TensorProto) string {
	n.g.Initializer = append(n.g.Initializer, t)
	return t.GetName()
}

func (n *net) floats(scale float64, shape ...int64) string {
	count, err := tensor.Count(shape)
	if err != nil {
		panic(err)
	}
	v := make([]float32, count)
	for i := range v {
		v[i] = float32(n.rng.NormFloat64() * scale)
	}
	return n.constant(onnx.TensorProto(fmt.Sprintf("c%d", len(n.g.Initializer)), tensor.Floats(v, shape...)))
}

// each is a value per channel, about v.
func (n *net) each(v float32, channels int64) string {
	list := make([]float32, channels)
	for i := range list {
		list[i] = v * (1 + 0.01*float32(i))
	}
	return n.constant(onnx.TensorProto(fmt.Sprintf("c%d", len(n.g.Initializer)), tensor.Floats(list, 1, channels, 1, 1)))
}

func (n *net) int64s(v ...int64) string {
	return n.constant(&onnxpb.TensorProto{Name: proto.String(fmt.Sprintf("c%d", len(n.g.Initializer))), DataType: proto.Int32(int32(tensor.Int64)), Dims: []int64{int64(len(v))}, Int64Data: v})
}

// convAt is a convolution with a bias; groups divide the channels.
func (n *net) convAt(x string, in, out, kernel, strideY, strideX, pad, groups int64) string {
	w := n.floats(math.Sqrt(2/float64(in/groups*kernel*kernel)), out, in/groups, kernel, kernel)
	return n.op("Conv", []string{x, w, n.floats(0.1, out)}, ints("kernel_shape", kernel, kernel), ints("strides", strideY, strideX), ints("pads", pad, pad, pad, pad), onnx.IntAttr("group", groups))
}

func (n *net) conv(in, out, kernel, stride, pad int64) string {
	return n.convAt(n.at, in, out, kernel, stride, stride, pad, 1)
}

func (n *net) relu() string { return n.op("Relu", []string{n.at}) }

func (n *net) relu6() { n.op("Clip", []string{n.at, n.scalar(0), n.scalar(6)}) }

func (n *net) scalar(v float32) string {
	return n.constant(onnx.TensorProto(fmt.Sprintf("c%d", len(n.g.Initializer)), tensor.Floats([]float32{v})))
}

// maxPool takes the greatest of 3×3, every other time.
func (n *net) maxPool(pad, ceil int64) {
	n.op("MaxPool", []string{n.at}, ints("kernel_shape", 3, 3), ints("strides", 2, 2), ints("pads", pad, pad, pad, pad), onnx.IntAttr("ceil_mode", ceil))
}

// slice takes part of an axis.
func (n *net) slice(x string, axis, from, to, step int64) string {
	return n.op("Slice", []string{x, n.int64s(from), n.int64s(to), n.int64s(axis), n.int64s(step)})
}

// classifier ends a network in a thousand classes.
func (n *net) classifier(in int64) *onnx.Model {
	n.op("GlobalAveragePool", []string{n.at})
	n.op("Flatten", []string{n.at})
	n.op("Gemm", []string{n.at, n.floats(math.Sqrt(1/float64(in)), 1000, in), n.floats(0.1, 1000)}, onnx.IntAttr("transB", 1))
	return n.model()
}

// pictures begins a network on pictures of 224 × 224, whose colours it centres and scales, as published ones do.
func pictures() *net {
	n := begin(1, 3, 224, 224)
	n.op("Sub", []string{n.at, n.each(0.45, 3)})
	n.op("Div", []string{n.at, n.each(0.22, 3)})
	return n
}

// resnet is torchvision's ResNet; bottleneck for 50 layers, whose middle is widened.
func resnet(blocks [4]int, bottleneck bool, widened int64) *onnx.Model {
	n := pictures()
	n.conv(3, 64, 7, 2, 3)
	n.relu()
	n.maxPool(1, 0)
	in := int64(64)
	for stage, count := range blocks {
		width := int64(64) << stage
		out := width
		if bottleneck {
			out = 4 * width
		}
		for b := range count {
			stride := int64(1)
			if b == 0 && stage > 0 {
				stride = 2
			}
			x := n.at
			var y string
			if bottleneck {
				n.conv(in, widened*width, 1, 1, 0)
				n.relu()
				n.conv(widened*width, widened*width, 3, stride, 1)
				n.relu()
				y = n.conv(widened*width, out, 1, 1, 0)
			} else {
				n.conv(in, width, 3, stride, 1)
				n.relu()
				y = n.conv(width, out, 3, 1, 1)
			}
			if in != out || stride != 1 {
				x = n.convAt(x, in, out, 1, stride, stride, 0, 1)
			}
			n.op("Add", []string{y, x})
			n.relu()
			in = out
		}
	}
	return n.classifier(in)
}

func mobilenet() *onnx.Model {
	n := pictures()
	n.conv(3, 32, 3, 2, 1)
	n.relu6()
	in := int64(32)
	for _, s := range [][4]int64{{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}} {
		for b := range s[2] {
			stride, x, wide := s[3], n.at, in*s[0]
			if b > 0 {
				stride = 1
			}
			if s[0] > 1 {
				n.conv(in, wide, 1, 1, 0)
				n.relu6()
			}
			n.convAt(n.at, wide, wide, 3, stride, stride, 1, wide)
			n.relu6()
			y := n.conv(wide, s[1], 1, 1, 0)
			if stride == 1 && in == s[1] {
				n.op("Add", []string{x, y})
			}
			in = s[1]
		}
	}
	n.conv(in, 1280, 1, 1, 0)
	n.relu6()
	return n.classifier(1280)
}

func squeezenet() *onnx.Model {
	n := pictures()
	n.conv(3, 64, 3, 2, 0)
	n.relu()
	fire := func(in, squeeze, expand int64) {
		n.conv(in, squeeze, 1, 1, 0)
		s := n.relu()
		n.conv(squeeze, expand, 1, 1, 0)
		a := n.relu()
		n.convAt(s, squeeze, expand, 3, 1, 1, 1, 1)
		b := n.relu()
		n.op("Concat", []string{a, b}, onnx.IntAttr("axis", 1))
	}
	n.maxPool(0, 1)
	fire(64, 16, 64)
	fire(128, 16, 64)
	n.maxPool(0, 1)
	fire(128, 32, 128)
	fire(256, 32, 128)
	n.maxPool(0, 1)
	fire(256, 48, 192)
	fire(384, 48, 192)
	fire(384, 64, 256)
	fire(512, 64, 256)
	n.conv(512, 1000, 1, 1, 0)
	n.relu()
	n.op("GlobalAveragePool", []string{n.at})
	n.op("Flatten", []string{n.at})
	return n.model()
}

// small is the network of the seed's findings: four convolutions, with what a case puts in.
func small(before func(*net), second [2]int64, behind func(*net), each func(n *net, channels int64)) *onnx.Model {
	n := begin(1, 3, 288, 512)
	if before != nil {
		before(n)
	}
	in := int64(3)
	for i, out := range []int64{16, 32, 64, 128} {
		sy, sx := int64(2), int64(2)
		if i == 1 && second != [2]int64{} {
			sy, sx = second[0], second[1]
		}
		n.convAt(n.at, in, out, 3, sy, sx, 1, 1)
		if i == 1 && behind != nil {
			behind(n)
		}
		if each != nil {
			each(n, out)
		}
		n.relu()
		in = out
	}
	return n.model()
}
