package qdq

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// Operators that were chosen to stay float compute in half precision, for a device as nodes of that type: it would take an
// operator between a DequantizeLinear and a QuantizeLinear for a quantized one.
//
//	x ─► Q ─► DQ ─► Cast ─► op (fp16) ─┬─► op (fp16)
//	                                   └─► Cast ─► Q ─► DQ ─► op
//
// On the CPU they compute in single precision, with roundings to half precision before and behind them: ONNX Runtime leaves
// some of them out between nodes of that type.

const floatReason = "computed in half precision, as chosen"

// floats marks the nodes that compute in half precision.
func (a *actEncodings) floats(inputs []*onnxpb.ValueInfoProto) error {
	for _, in := range inputs {
		if a.spec.Choices[in.GetName()].Float {
			return fmt.Errorf("the input %q is not computed, so it cannot be in half precision", in.GetName())
		}
	}
	for i, n := range a.x.Nodes {
		a.half[i] = slices.ContainsFunc(n.GetOutput(), func(out string) bool { return a.spec.Choices[out].Float })
	}
	return nil
}

// halfNode adds a node that computes in half precision, with the casts around it; current are the tensors that carry
// activations.
func (b *builder) halfNode(n *onnxpb.NodeProto, current map[string]string) error {
	c := proto.CloneOf(n)
	for k, in := range n.GetInput() {
		if singles := n.GetOpType() == "Resize" || n.GetOpType() == "Upsample"; singles && k > 0 {
			continue // not of the data's type
		}
		half, err := b.halfInput(in, current)
		if err != nil {
			return err
		}
		c.Input[k] = half
	}
	if n.GetOpType() == "Cast" && !b.simulates() {
		c.Attribute = []*onnxpb.AttributeProto{onnx.IntAttr("to", int64(tensor.Float16))}
	}
	b.built.Nodes = append(b.built.Nodes, len(b.nodes))
	b.nodes = append(b.nodes, c)
	for k, name := range n.GetOutput() {
		if _, float := b.p.Tensors[name]; float {
			b.halfOutput(c, k)
			b.leaveHalf(name, current)
		}
	}
	return nil
}

// simulates says whether half precision is simulated by roundings.
func (b *builder) simulates() bool { return b.spec.Engine == variant.CPU }

// halfOutput names a half node's output in its half-precision form.
func (b *builder) halfOutput(c *onnxpb.NodeProto, k int) {
	name := c.GetOutput()[k]
	half := b.unique(name + "_fp16")
	c.Output[k] = half
	if b.simulates() {
		if half = name; !b.x.Output[name] {
			half = b.unique(name + halfSuffix)
		}
		b.castPair(name, c.Output[k], half)
	}
	b.halves[name], b.built.Taps[name] = half, half
}

// halfInput gives the half-precision form of a half node's input.
func (b *builder) halfInput(name string, current map[string]string) (string, error) {
	if done, ok := b.halves[name]; ok {
		return done, nil
	}
	t := b.x.Initializer[name]
	_, activation := b.p.Tensors[name]
	switch {
	case t != nil && tensor.DType(t.GetDataType()) == tensor.Float32 && !b.x.Input[name]:
		values, err := b.m.Tensor(t)
		if err != nil {
			return "", err
		}
		half := tensor.Tensor{DType: tensor.Float16, Shape: values.Shape, Raw: make([]byte, 2*len(values.F32))}
		overflown := 0
		for i, v := range values.F32 {
			h := tensor.FloatToHalf(v)
			half.Raw[2*i], half.Raw[2*i+1] = byte(h), byte(h>>8)
			if wide := tensor.HalfToFloat(h); wide-wide != 0 {
				overflown++
			}
		}
		if overflown > 0 {
			b.built.Warnings = append(b.built.Warnings, fmt.Sprintf("constant %s: %d of %d values are too large for half precision", name, overflown, len(values.F32)))
		}
		b.halves[name] = b.unique(name + "_fp16")
		if b.simulates() {
			rounded, _ := half.AsFloat32()
			half = tensor.Floats(rounded, values.Shape...)
			b.built.Floats[b.halves[name]] = t
		}
		b.inits = append(b.inits, onnx.TensorProto(b.halves[name], half))
	case activation:
		from, ok := current[name]
		if !ok {
			from = name
		}
		if b.simulates() {
			b.halves[name] = b.unique(name + halfSuffix)
			b.castPair(name, from, b.halves[name])
			break
		}
		b.halves[name] = b.unique(name + "_fp16")
		b.cast(from, b.halves[name], tensor.Float16)
	default:
		return name, nil
	}
	return b.halves[name], nil
}

// leaveHalf gives what a half node makes to operators that are not half, quantized, and to the graph's output, in single
// precision under its name.
func (b *builder) leaveHalf(name string, current map[string]string) {
	quantized := slices.ContainsFunc(b.x.Consumers[name], func(i int) bool { return !b.acts.half[i] })
	if !quantized && !b.x.Output[name] {
		return
	}
	single := b.halves[name]
	if !b.simulates() {
		if single = name; !b.x.Output[name] {
			single = b.unique(name + halfSuffix)
		}
		b.cast(b.halves[name], single, tensor.Float32)
	}
	b.built.Taps[name], current[name] = single, single
	if e, ok := b.acts.encoding(name); ok && quantized {
		current[name] = b.unique(name + dequantizeSuffix)
		b.round(name, single, current[name], e)
	}
}
