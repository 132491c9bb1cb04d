// Package rewrite changes a model's graph without changing what it computes.
package rewrite

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// FoldBatchNorm puts every BatchNormalization behind a convolution into the convolution's weights, as the converters
// for the DSP do before they quantize.
//
//	Before   x ─ Conv(W, b) ─ t ─ BatchNormalization(γ, β, μ, σ²) ─ y
//	After    x ─ Conv(W·s, (b − μ)·s + β) ─ y          s = γ / √(σ² + ε), per output channel
//
// Conditions: Conv or ConvTranspose; W, b and the four statistics are initializers; t has no other consumer and is no
// output of the graph; the normalization has one output. The result names, for each tensor t that is gone, the y that
// it went into.
func FoldBatchNorm(m *onnx.Model) (*onnx.Model, map[string]string, error) {
	x := onnx.NewIndex(m)
	folded := map[string]string{}
	replaced := map[int]*onnxpb.NodeProto{}
	gone := map[int]bool{}
	var added []*onnxpb.TensorProto
	for i, n := range x.Nodes {
		if op := n.GetOpType(); op != "Conv" && op != "ConvTranspose" || n.GetDomain() != "" || len(n.GetInput()) < 2 {
			continue
		}
		t := n.GetOutput()[0]
		k, sole := x.SoleConsumer(t)
		if !sole || x.Nodes[k].GetOpType() != "BatchNormalization" || x.Nodes[k].GetInput()[0] != t || len(x.Nodes[k].GetOutput()) != 1 {
			continue
		}
		bn := x.Nodes[k]
		tensors, err := constants(m, x, append(n.GetInput()[1:len(n.GetInput()):len(n.GetInput())], bn.GetInput()[1:]...))
		if err != nil {
			return nil, nil, err
		}
		if tensors == nil {
			continue
		}
		weight, stats := tensors[0], tensors[len(tensors)-4:]
		channels := len(stats[0].F32)
		bias := make([]float32, channels)
		if len(tensors) == 6 {
			bias = tensors[1].F32
		}
		axis := outputChannels(n, weight)
		if weight.DType != tensor.Float32 || axis == nil || len(bias) != channels || channels == 0 {
			continue
		}
		epsilon := onnx.AttrFloat(bn, "epsilon", 1e-5)
		scale := make([]float64, channels)
		shifted := make([]float32, channels)
		for c := range scale {
			scale[c] = float64(stats[0].F32[c]) / math.Sqrt(float64(stats[3].F32[c])+float64(epsilon))
			shifted[c] = float32((float64(bias[c])-float64(stats[2].F32[c]))*scale[c] + float64(stats[1].F32[c]))
		}
		scaled := make([]float32, len(weight.F32))
		for e, w := range weight.F32 {
			scaled[e] = float32(float64(w) * scale[axis(e)%channels])
		}
		y := bn.GetOutput()[0]
		c := proto.CloneOf(n)
		c.Input = []string{n.GetInput()[0], rename(x, n.GetInput()[1], i), fmt.Sprintf("%s_bias_%d", n.GetInput()[1], i)}
		if len(n.GetInput()) > 2 && n.GetInput()[2] != "" {
			c.Input[2] = rename(x, n.GetInput()[2], i)
		}
		c.Output = []string{y}
		added = append(added,
			onnx.TensorProto(c.Input[1], tensor.Floats(scaled, weight.Shape...)),
			onnx.TensorProto(c.Input[2], tensor.Floats(shifted, int64(channels))))
		replaced[i], gone[k], folded[t] = c, true, y
	}
	if len(folded) == 0 {
		return m, folded, nil
	}
	var nodes []*onnxpb.NodeProto
	for i, n := range x.Nodes {
		if gone[i] {
			continue
		}
		if c, ok := replaced[i]; ok {
			n = c
		}
		nodes = append(nodes, n)
	}
	return onnx.Rebuild(m, nodes, added...), folded, nil
}

// rename gives a changed constant its old name if nobody else uses it, so that its encoding is found under that name.
func rename(x *onnx.Index, name string, node int) string {
	if len(x.Consumers[name]) == 1 && !x.Output[name] {
		return name
	}
	return fmt.Sprintf("%s_folded_%d", name, node)
}

// constants decodes initializers; the result is nil if one of the names is something else or is not float32.
func constants(m *onnx.Model, x *onnx.Index, names []string) ([]tensor.Tensor, error) {
	var list []tensor.Tensor
	for _, name := range names {
		p := x.Initializer[name]
		if p == nil || tensor.DType(p.GetDataType()) != tensor.Float32 {
			return nil, nil
		}
		t, err := m.Tensor(p)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

// outputChannels gives the function from a weight element to its output channel, nil if the shape is not understood.
func outputChannels(n *onnxpb.NodeProto, weight tensor.Tensor) func(element int) int {
	if len(weight.Shape) < 3 {
		return nil
	}
	kernel := 1
	for _, d := range weight.Shape[2:] {
		kernel *= int(d)
	}
	first, second := int(weight.Shape[0]), int(weight.Shape[1])
	if kernel == 0 || first == 0 || second == 0 {
		return nil
	}
	if n.GetOpType() == "Conv" {
		return func(e int) int { return e / (kernel * second) }
	}
	group := max(int(onnx.AttrInt(n, "group", 1)), 1)
	if first%group != 0 {
		return nil
	}
	return func(e int) int {
		return e/(kernel*second)/(first/group)*second + e/kernel%second
	}
}
