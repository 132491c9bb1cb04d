package floattwin

import (
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
)

// moves says whether an operator's first output holds values of its first input only.
func moves(n *onnxpb.NodeProto) bool {
	return len(n.GetInput()) > 0 && (qdq.Moves(n.GetOpType()) || n.GetOpType() == "Pad" || n.GetOpType() == "Resize" && onnx.AttrString(n, "mode", "nearest") == "nearest")
}

// movesIntegers says whether a node only moves integers whose real numbers are known.
func (k *maker) movesIntegers(n *onnxpb.NodeProto) bool {
	if len(n.GetInput()) == 0 {
		return false
	}
	first, is := k.grids[n.GetInput()[0]]
	if !is || len(first.values) > 1 {
		return false
	}
	if n.GetOpType() == "Concat" {
		return !slices.ContainsFunc(n.GetInput(), func(in string) bool { g, is := k.grids[in]; return !is || !same(g, first) })
	}
	if n.GetOpType() == "Pad" && optional(n, 2) != "" && (first.dynamic || k.constantOf(n.GetInput()[2]) == nil) {
		return false
	}
	return moves(n)
}

// move lets a node move the real numbers.
func (k *maker) move(n *onnxpb.NodeProto) error {
	g := k.grids[n.GetInput()[0]]
	c := proto.CloneOf(n)
	for i, in := range n.GetInput() {
		if float, is := k.real[in]; is && (i == 0 || n.GetOpType() == "Concat") {
			c.Input[i] = float
		} else if in != "" {
			c.Input[i] = k.now(in)
		}
	}
	if n.GetOpType() == "Pad" && optional(n, 2) != "" {
		value, err := k.dequantized(n.GetInput()[2], n.GetInput()[2], g, 0)
		if err != nil {
			return err
		}
		c.Input[2] = value
	}
	for i, out := range n.GetOutput() {
		if out == "" || i > 0 && n.GetOpType() != "Split" {
			continue
		}
		c.Output[i] = k.floatName(out)
		k.leave(out, c.Output[i], g, false)
	}
	k.add(c)
	return nil
}

// floatName gives the float tensor that takes the place of an integer one the name of what dequantizes that, or one like its own.
func (k *maker) floatName(integers string) string {
	for _, n := range k.users[integers] {
		out := n.GetOutput()[0]
		if n.GetOpType() == "DequantizeLinear" && k.made[out] == nil {
			return out
		}
	}
	return k.names.Unique(plain(integers))
}

// signs says which float tensors of a twin may be negative.
type signs struct {
	*view
	made map[string]*onnxpb.NodeProto // tensor → node of the twin
	low  map[string]float64           // bounds below tensors that are known already
}

// clampOf says which activation a quantizer's range stands for: one that begins at zero in front of values that may be negative is a
// Relu, and one that ends at six as well is a Clip. "" is none.
func (k signs) clampOf(float string, e quant.Encoding) (op string, bounds [2]float32) {
	if n := k.made[float]; e.Offset != 0 || n == nil || !beforeRelu[n.GetOpType()] || k.lowest(float, 0) >= 0 {
		return "", bounds
	}
	const six, near = 6, 1e-4
	if e.Max > six*(1-near) && e.Max < six*(1+near) {
		return "Clip", [2]float32{0, six}
	}
	return "Relu", bounds
}

// clampedBehind says whether all that takes the real numbers of an integer tensor is a Relu or a Clip at zero, which clamps them.
func (k *view) clampedBehind(integers string) bool {
	for _, n := range k.users[integers] {
		if n.GetOpType() != "DequantizeLinear" || k.output[n.GetOutput()[0]] || len(k.users[n.GetOutput()[0]]) == 0 {
			return false
		}
		for _, user := range k.users[n.GetOutput()[0]] {
			if user.GetOpType() != "Relu" && (user.GetOpType() != "Clip" || !(signs{view: k}).clipsAtZero(user)) {
				return false
			}
		}
	}
	return len(k.users[integers]) > 0
}

// lowest is a bound below the values of a float tensor of the twin, minus infinity where none is known. Those of a graph input are the
// user's; they have none but what their quantizers hold.
func (k signs) lowest(name string, depth int) float64 {
	low, known := k.low[name]
	if !known {
		low = k.bound(name, depth)
		k.low[name] = low
	}
	return low
}

// bound is lowest, of the node that makes the tensor.
func (k signs) bound(name string, depth int) float64 {
	unknown := math.Inf(-1)
	if t := k.constantOf(name); t != nil {
		v, err := k.m.Tensor(t)
		floats, ok := v.AsFloat32()
		if err != nil || !ok || len(floats) == 0 {
			return unknown
		}
		return float64(slices.Min(floats))
	}
	n := k.made[name]
	const deepest = 50
	if n == nil || depth > deepest || len(n.GetInput()) == 0 {
		return unknown
	}
	of := func(i int) float64 { return k.lowest(n.GetInput()[i], depth+1) }
	switch op := n.GetOpType(); op {
	case "Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Sqrt", "Exp", "Softplus", "ReduceL1", "ReduceL2", "ReduceSumSquare":
		return 0
	case "Tanh", "Erf", "Sin", "Cos":
		return -1
	case "Clip":
		if k.clipsAtZero(n) {
			return 0
		}
		return of(0)
	case "Add", "Sum":
		sum := 0.0
		for i := range n.GetInput() {
			sum += of(i)
		}
		return sum
	case "Mul":
		if n.GetInput()[0] == n.GetInput()[1] || of(0) >= 0 && of(1) >= 0 {
			return 0
		}
	case "Div":
		if of(0) >= 0 && of(1) >= 0 {
			return 0
		}
	case "Pow":
		if even := of(1); even == 2 || even == 4 || of(0) >= 0 {
			return 0
		}
	case "Concat", "Min", "Max", "Where":
		first := 0
		if op == "Where" {
			first = 1
		}
		least, most := math.Inf(1), unknown
		for i := first; i < len(n.GetInput()); i++ {
			low := of(i)
			least, most = min(least, low), max(most, low)
		}
		if op == "Max" {
			return most
		}
		return least
	case "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReduceMean", "ReduceMax", "Cast":
		return of(0)
	case "ReduceSum":
		if of(0) >= 0 {
			return 0
		}
	default:
		if moves(n) {
			return of(0)
		}
	}
	return unknown
}

// beforeRelu are the operators that tools put the range of a Relu behind.
var beforeRelu = map[string]bool{
	"Conv": true, "ConvTranspose": true, "Gemm": true, "MatMul": true, "Add": true, "Sum": true, "Sub": true, "Mul": true,
	"BatchNormalization": true, "InstanceNormalization": true, "LayerNormalization": true, "GroupNormalization": true,
}

func (k signs) clipsAtZero(n *onnxpb.NodeProto) bool {
	if onnx.AttrFloat(n, "min", -1) >= 0 {
		return true
	}
	t := k.constantOf(optional(n, 1))
	if t == nil {
		return false
	}
	v, err := k.m.Tensor(t)
	floats, ok := v.AsFloat32()
	return err == nil && ok && len(floats) == 1 && floats[0] >= 0
}

// clamp adds a Relu or a Clip.
func (k *maker) clamp(from, to, op string, bounds [2]float32) {
	n := &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(k.names.Unique(to + "_node")), Input: []string{from}, Output: []string{to}}
	const boundsAreInputs = 11 // since this opset
	switch {
	case op == "Clip" && k.m.Opset() < boundsAreInputs:
		n.Attribute = []*onnxpb.AttributeProto{onnx.FloatAttr("min", bounds[0]), onnx.FloatAttr("max", bounds[1])}
	case op == "Clip":
		n.Input = append(n.Input, k.put(to+"_min", tensor.Floats([]float32{bounds[0]})), k.put(to+"_max", tensor.Floats([]float32{bounds[1]})))
	}
	k.add(n)
}
