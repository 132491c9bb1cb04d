package qdq

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// BlockOpset is the operator set from which DequantizeLinear has blocks.
const BlockOpset = 21

// blocks says how a constant is divided, with the encodings in the order of the grid. With an axis of their own the encodings lie as the tensor
// does, the axis divided by the size of a block, and the places of a kernel may share one; without an axis they are in the order of the
// channels, and the blocks lie along the other axis.
func (g Given) blocks(shape []int64, channel int) (b quant.Blocks, list []quant.Encoding, err error) {
	if len(shape) < 2 {
		return b, nil, fmt.Errorf("blocks of %d in a tensor of shape %v", g.Block, shape)
	}
	b = quant.Blocks{Axis: g.Axis, Size: g.Block, Grid: slices.Clone(shape)}
	ordered := b.Axis >= 0
	if !ordered {
		if channel < 0 {
			channel = len(shape) - 1 // MatMul
		}
		b.Axis = 1 - min(channel, 1)
	}
	if b.Axis >= len(shape) || shape[b.Axis]%int64(g.Block) != 0 {
		return b, nil, fmt.Errorf("blocks of %d do not divide axis %d of shape %v", g.Block, b.Axis, shape)
	}
	b.Grid[b.Axis] /= int64(g.Block)
	if n, err := tensor.Count(b.Grid); ordered && err == nil && n == len(g.Encodings) {
		return b, g.Encodings, nil
	}
	for d := range b.Grid {
		if d != b.Axis && (!ordered && d != channel || ordered && d > 1) { // the kernel's places share an encoding
			b.Grid[d] = 1
		}
	}
	if n, err := tensor.Count(b.Grid); err != nil || n != len(g.Encodings) {
		return b, nil, fmt.Errorf("%d encodings for blocks of %d in shape %v, which are %d", len(g.Encodings), g.Block, shape, n)
	}
	if ordered || channel < b.Axis {
		return b, g.Encodings, nil
	}
	each, channels := int(b.Grid[b.Axis]), int(b.Grid[channel])
	for block := range each {
		for c := range channels {
			list = append(list, g.Encodings[c*each+block])
		}
	}
	return b, list, nil
}

// CheckBlocks says what is wrong with the encodings of a constant's blocks; channel is the axis of its operator's channels.
func (g Given) CheckBlocks(shape []int64, channel int) error {
	_, _, err := g.blocks(shape, channel)
	return err
}

// divided quantizes a constant with an encoding for each block. The simulation takes the dequantized values, which every operator set has; what
// is written for a device has integers with a DequantizeLinear of ONNX's own domain, if the model's operator set has blocks.
func (k *constants) divided(name string, values tensor.Tensor, q Param, g Given) (string, error) {
	b, list, err := g.blocks(values.Shape, q.Axis)
	if err != nil {
		return "", fmt.Errorf("constant %s: %w", name, err)
	}
	list = slices.Clone(list)
	for i, e := range list {
		list[i] = quant.FromScale(e.Bits, e.Symmetric, e.Scale, e.Offset)
	}
	alike(list)
	device := k.spec.Engine != variant.CPU
	if device {
		k.built.Warnings = append(k.built.Warnings, fmt.Sprintf("constant %s has an encoding for every %d values, which the HTP does not take: the emulator computes with its dequantized values, in half precision", name, g.Block))
	}
	k.built.Params = append(k.built.Params, ParamEncoding{Tensor: name, Axis: b.Axis, Encodings: list, Blocks: &b})
	if !device || g.Bits > 16 || k.m.Opset() < BlockOpset {
		fake := Given{Encodings: list}.fake(values, func(i int) int { return b.Of(values.Shape, i) })
		return k.floats(name+dequantizeSuffix, fake), nil
	}
	return k.dequantizeBlocks(name, values, b, list), nil
}

// dequantizeBlocks adds a constant's integers with the DequantizeLinear of their blocks. Its scales have the tensor's shape but for the axis of
// the blocks, so that what a kernel's places share is repeated.
func (k *constants) dequantizeBlocks(name string, values tensor.Tensor, b quant.Blocks, list []quant.Encoding) string {
	bits, signed := list[0].Bits, list[0].Symmetric
	d := storage(bits, signed)
	least, most := 0, quant.Levels(bits)
	if signed {
		least, most = -1<<(bits-1), 1<<(bits-1)-1
	}
	integers := tensor.Tensor{DType: d, Shape: values.Shape, Raw: make([]byte, tensor.ByteSize(d, len(values.F32)))}
	for i, v := range values.F32 {
		if v != v {
			v = 0
		}
		e := list[b.Of(values.Shape, i)]
		e = quant.FromScale(e.Bits, e.Symmetric, float64(float32(e.Scale)), e.Offset)
		putInt(integers, i, min(max(e.Quantize(float64(v))+e.Offset+e.ZeroPoint(signed), least), most))
	}
	full := slices.Clone(values.Shape)
	full[b.Axis] = b.Grid[b.Axis]
	count, _ := tensor.Count(full)
	scales := make([]float32, count)
	zeros := tensor.Tensor{DType: d, Shape: full, Raw: make([]byte, tensor.ByteSize(d, count))}
	whole := quant.Blocks{Axis: b.Axis, Size: 1, Grid: b.Grid}
	for i := range scales {
		e := list[whole.Of(full, i)]
		scales[i] = float32(e.Scale)
		putInt(zeros, i, e.ZeroPoint(signed))
	}
	add := func(suffix string, t tensor.Tensor) string {
		unique := k.draft.unique(name + suffix)
		k.draft.inits = append(k.draft.inits, onnx.TensorProto(unique, t))
		return unique
	}
	n := &onnxpb.NodeProto{OpType: proto.String("DequantizeLinear"), Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("axis", int64(b.Axis)), onnx.IntAttr("block_size", int64(b.Size))}}
	n.Input = []string{add("_quantized", integers), add("_scale", tensor.Floats(scales, full...)), add("_zero_point", zeros)}
	out := k.draft.unique(name + dequantizeSuffix)
	n.Name, n.Output = proto.String(out), []string{out}
	k.dequant[out] = n
	return out
}
