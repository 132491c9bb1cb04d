package main

import (
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// The networks of qualcomm/ai-hub-models that make larger or cleaner pictures, with random weights.

func text(name, value string) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte(value)}
}

// toPixels moves 16 channels to blocks of 4 × 4 pixels, as PyTorch's PixelShuffle does.
func (n *net) toPixels() {
	n.op("DepthToSpace", []string{n.at}, onnx.IntAttr("blocksize", 4), text("mode", "CRD"))
}

func (n *net) clip() { n.op("Clip", []string{n.at, n.scalar(0), n.scalar(1)}) }

// quicksrnet is QuickSRNet with so many channels and convolutions in the middle.
func quicksrnet(channels, middle int64) *onnx.Model {
	n := begin(1, 3, 128, 128)
	in := int64(3)
	for range middle + 1 {
		n.conv(in, channels, 3, 1, 1)
		n.clip()
		in = channels
	}
	n.conv(in, 48, 3, 1, 1)
	n.clip()
	n.toPixels()
	return n.model()
}

func xlsr() *onnx.Model {
	n := begin(1, 3, 128, 128)
	x := n.at
	n.conv(3, 32, 3, 1, 1)
	n.relu()
	n.conv(32, 32, 1, 1, 0)
	for range 3 {
		n.convAt(n.at, 32, 32, 3, 1, 1, 1, 4)
		n.relu()
		n.conv(32, 32, 1, 1, 0)
	}
	body := n.at
	n.op("Concat", []string{body, n.convAt(x, 3, 16, 3, 1, 1, 1, 1)}, onnx.IntAttr("axis", 1))
	n.conv(48, 32, 1, 1, 0)
	n.relu()
	n.conv(32, 48, 3, 1, 1)
	n.toPixels()
	n.clip()
	return n.model()
}

// sesr is SESR-M5, whose convolutions are widened to 256 channels and come back.
func sesr() *onnx.Model {
	n := begin(1, 3, 128, 128)
	wide := func(x string, in, out, kernel int64) string {
		n.op("Conv", []string{x, n.floats(0.05, 256, in, kernel, kernel)}, ints("kernel_shape", kernel, kernel), ints("pads", kernel/2, kernel/2, kernel/2, kernel/2))
		return n.conv(256, out, 1, 1, 0)
	}
	x := n.at
	anchor := n.convAt(x, 3, 48, 1, 1, 1, 0, 1)
	wide(x, 3, 16, 5)
	first := n.relu()
	for range 5 {
		from := n.at
		n.op("Add", []string{from, wide(from, 16, 16, 3)})
		n.relu()
	}
	n.op("Add", []string{n.at, first})
	n.op("Add", []string{wide(n.at, 16, 48, 5), anchor})
	n.toPixels()
	return n.model()
}

func dncnn() *onnx.Model {
	n := begin(1, 1, 256, 256)
	x := n.at
	n.conv(1, 64, 3, 1, 1)
	n.relu()
	for range 15 {
		n.conv(64, 64, 3, 1, 1)
		n.relu()
	}
	n.op("Sub", []string{x, n.conv(64, 1, 3, 1, 1)})
	n.clip()
	return n.model()
}

// esrgan is Real-ESRGAN's general network for four times the size.
func esrgan() *onnx.Model {
	n := begin(1, 3, 128, 128)
	x := n.at
	prelu := func() { n.op("PRelu", []string{n.at, n.floats(0.1, 64, 1, 1)}) }
	n.conv(3, 64, 3, 1, 1)
	prelu()
	for range 32 {
		n.conv(64, 64, 3, 1, 1)
		prelu()
	}
	n.conv(64, 48, 3, 1, 1)
	n.toPixels()
	body := n.at
	scales := n.constant(&onnxpb.TensorProto{Name: proto.String("scales"), DataType: proto.Int32(1), Dims: []int64{4}, FloatData: []float32{1, 1, 4, 4}})
	n.op("Resize", []string{x, "", scales}, text("mode", "nearest"), text("coordinate_transformation_mode", "asymmetric"), text("nearest_mode", "floor"))
	n.op("Add", []string{body, n.at})
	return n.model()
}
