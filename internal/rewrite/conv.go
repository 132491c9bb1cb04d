package rewrite

import (
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// linear is a Conv, ConvTranspose or Gemm with constant weights.
type linear struct {
	node   *onnxpb.NodeProto
	weight tensor.Tensor
	bias   []float64 // per output channel, zeros if it has none
	// output and input give a weight element's channel.
	output, input func(element int) int
	outputs       int // channels
	inputs        int
	rank, axis    int // of the output tensor, and of its channels
}

// linearOf reads a node's weights; ok is false if it is none, or they are no constants.
func (f *facts) linearOf(i int) (*linear, bool, error) {
	n := f.x.Nodes[i]
	op := n.GetOpType()
	if op != "Conv" && op != "ConvTranspose" && op != "Gemm" || n.GetDomain() != "" || len(n.GetInput()) < 2 {
		return nil, false, nil
	}
	w, ok, err := f.constant(n.GetInput()[1])
	if err != nil || !ok {
		return nil, false, err
	}
	l := &linear{node: n, weight: w}
	if op == "Gemm" {
		if len(w.Shape) != 2 || onnx.AttrFloat(n, "alpha", 1) != 1 || onnx.AttrFloat(n, "beta", 1) != 1 || onnx.AttrInt(n, "transA", 0) != 0 {
			return nil, false, nil
		}
		rows, columns := int(w.Shape[0]), int(w.Shape[1])
		first, second := func(e int) int { return e / max(columns, 1) }, func(e int) int { return e % max(columns, 1) }
		l.rank, l.axis = 2, 1
		if onnx.AttrInt(n, "transB", 0) != 0 {
			l.outputs, l.inputs, l.output, l.input = rows, columns, first, second
		} else {
			l.outputs, l.inputs, l.output, l.input = columns, rows, second, first
		}
	} else {
		if l.output = outputChannels(n, w); l.output == nil {
			return nil, false, nil
		}
		group := max(int(onnx.AttrInt(n, "group", 1)), 1)
		kernel := 1
		for _, d := range w.Shape[2:] {
			kernel *= int(d)
		}
		first, second := int(w.Shape[0]), int(w.Shape[1])
		l.rank, l.axis = len(w.Shape), 1
		if op == "Conv" {
			if first%group != 0 {
				return nil, false, nil
			}
			l.outputs, l.inputs = first, second*group
			l.input = func(e int) int { return e/(kernel*second)/(first/group)*second + e/kernel%second }
		} else {
			l.outputs, l.inputs = second*group, first
			l.input = func(e int) int { return e / (kernel * second) }
		}
	}
	l.bias = make([]float64, l.outputs)
	if len(n.GetInput()) > 2 && n.GetInput()[2] != "" {
		b, ok, err := f.constant(n.GetInput()[2])
		if err != nil || !ok {
			return nil, false, err
		}
		values, ok := perChannel(b, int64(l.outputs), 2, 1)
		if !ok || op != "Gemm" && len(b.F32) != l.outputs {
			return nil, false, nil
		}
		copy(l.bias, values)
	}
	return l, true, nil
}

// rewritten gives the node with other weights and another bias.
func (l *linear) rewritten(s *sweep, i int, weight []float64, bias []float64) *onnxpb.NodeProto {
	return l.reshaped(s, i, l.weight.Shape, weight, bias)
}

// reshaped is rewritten with weights of another shape; attributes are the caller's.
func (l *linear) reshaped(s *sweep, i int, shape []int64, weight []float64, bias []float64) *onnxpb.NodeProto {
	c := proto.CloneOf(l.node)
	floats := func(list []float64) []float32 {
		f := make([]float32, len(list))
		for i, v := range list {
			f[i] = float32(v)
		}
		return f
	}
	c.Input = append([]string{}, l.node.GetInput()[:2]...)
	c.Input[1] = s.put(l.node.GetInput()[1], i, tensor.Floats(floats(weight), shape...))
	old := ""
	if len(l.node.GetInput()) > 2 {
		old = l.node.GetInput()[2]
	}
	withBias := old != ""
	for _, b := range bias {
		withBias = withBias || b != 0
	}
	if withBias {
		if old == "" {
			c.Input = append(c.Input, s.fresh(l.node.GetInput()[1]+"_bias", tensor.Floats(floats(bias), int64(len(bias)))))
		} else {
			c.Input = append(c.Input, s.put(old, i, tensor.Floats(floats(bias), int64(len(bias)))))
		}
	}
	return c
}

// padded says whether a Conv sees values that are not in its input.
func padded(n *onnxpb.NodeProto) bool {
	if auto := onnx.AttrString(n, "auto_pad", "NOTSET"); auto != "NOTSET" && auto != "VALID" {
		return true
	}
	if a := onnx.Attr(n, "pads"); a != nil {
		for _, p := range a.GetInts() {
			if p != 0 {
				return true
			}
		}
	}
	return false
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
