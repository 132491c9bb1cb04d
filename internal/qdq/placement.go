// Package qdq decides where a model is quantized and writes the model that simulates it.
//
//  1. Place finds out, once per model, which tensors the HTP quantizes: what carries an encoding of its own, what
//     shares one, what is fused away, which constants are weights, biases or operands.
//  2. Build writes, for one recipe and the ranges that were observed, a float model with QuantizeLinear and
//     DequantizeLinear pairs (domain com.microsoft, which works at every opset) in these places; BuildHalf writes
//     the same with half-precision roundings.
//  3. Read finds the pairs and their encodings in a model that someone else has quantized.
package qdq

import (
	"encoding/binary"
	"math"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// Role is what quantization does with an activation.
type Role int

// The roles.
const (
	None   Role = iota // stays float, for a reason
	Own                // has a quantizer with an encoding of its own range
	Shares             // only moves data: carries the encoding of the tensor it was made from
	Union              // joins tensors: its encoding is the union of their ranges
	Fused              // exists only within a fused operator; the quantizer stands behind that
)

// Place is where and how one activation is quantized.
type Place struct {
	Role   Role
	Of     string   // Shares: the tensor whose encoding it carries. Fused: the tensor it goes into.
	Joins  []string // Union: the joined tensors
	Reason string   // None: why
}

// ParamRole is what a constant operand is to its node.
type ParamRole int

// The roles of constants.
const (
	Weight  ParamRole = iota
	Bias              // added to the products of its node's activation and weight
	Operand           // of an element-wise operation: quantized like an activation
)

// Param is a constant float input of a node that is quantized.
type Param struct {
	Node, Input int
	Role        ParamRole
	Axis        int // of the output channels; −1 if the node's weights have one encoding only
}

// Placement says for a whole model where it is quantized.
type Placement struct {
	Tensors map[string]Place // float graph inputs and float outputs of nodes
	Order   []string         // their names: graph inputs, then as nodes make them
	Params  []Param
}

// movers only move data; their first input's encoding holds for their output.
var movers = map[string]bool{
	"Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true, "Transpose": true, "Slice": true, "Split": true,
	"Gather": true, "GatherElements": true, "GatherND": true, "DepthToSpace": true, "SpaceToDepth": true, "Expand": true,
	"Tile": true, "Identity": true, "Dropout": true, "MaxPool": true, "Crop": true, "ReverseSequence": true,
	"GlobalMaxPool": true, "ReduceMax": true, "ReduceMin": true, "TopK": true,
}

// activations are fused into the operator before them (AIMET's supergroups for the HTP).
var activations = map[string]bool{"Relu": true, "Clip": true}

// fusing are the operators that take a following activation in.
var fusing = map[string]bool{"Conv": true, "ConvTranspose": true, "Gemm": true, "MatMul": true, "Add": true, "Sum": true, "BatchNormalization": true}

// unquantized are operators whose results stay float.
var unquantized = map[string]string{
	"If": "result of control flow", "Loop": "result of control flow", "Scan": "result of control flow",
	"QuantizeLinear": "already quantized", "DequantizeLinear": "already quantized",
	"SequenceAt": "taken from a sequence", "NonMaxSuppression": "indices",
}

// isNorm are operators that scale and shift what they have normalized. The HTP computes them with integers only if scale and shift are
// quantized, else in half precision.
var isNorm = map[string]bool{"LayerNormalization": true, "InstanceNormalization": true, "RMSNormalization": true, "SimplifiedLayerNormalization": true}

// operands are element-wise operators whose constant operands are quantized like activations.
var operands = map[string]bool{
	"Add": true, "Sub": true, "Mul": true, "Div": true, "Min": true, "Max": true, "PRelu": true, "Where": true,
	"Concat": true, "Sum": true, "Mean": true,
}

// Find looks at a model without constant nodes (fold them first). isFloat tells whether a tensor holds real numbers that
// can be quantized: quantizers take float32.
func Find(m *onnx.Model, isFloat func(tensor string) bool) *Placement {
	x := onnx.NewIndex(m)
	p := &Placement{Tensors: map[string]Place{}}
	counts := indices(m, x, isFloat)
	for _, in := range m.Inputs() {
		if d, _, ok := onnx.TypeOf(in); ok && d.IsFloat() && isFloat(in.GetName()) {
			p.Tensors[in.GetName()] = Place{Role: Own}
			if counts[in.GetName()] {
				p.Tensors[in.GetName()] = Place{Role: None, Reason: becomesIndex}
			}
			p.Order = append(p.Order, in.GetName())
		}
	}
	for i, n := range x.Nodes {
		for _, out := range n.GetOutput() {
			if out != "" && isFloat(out) {
				p.Tensors[out] = p.output(x, n, out, counts)
				p.Order = append(p.Order, out)
			}
		}
		if !slices.ContainsFunc(n.GetOutput(), func(out string) bool { return counts[out] }) {
			p.Params = append(p.Params, params(x, i, n)...)
		}
	}
	return p
}

// output finds the place of one output of a node; its inputs' places are known. counts are the tensors that become shapes or indices.
func (p *Placement) output(x *onnx.Index, n *onnxpb.NodeProto, out string, counts map[string]bool) Place {
	op := n.GetOpType()
	if counts[out] {
		return Place{Role: None, Reason: becomesIndex}
	}
	if reason, ok := unquantized[op]; ok {
		return Place{Role: None, Reason: reason}
	}
	if moves(x, n) && len(n.GetInput()) > 0 {
		return p.sharing(n.GetInput()[0])
	}
	if op == "Concat" {
		return Place{Role: Union, Joins: n.GetInput()}
	}
	if into, ok := fusedInto(x, n, out); ok && !counts[into] {
		return Place{Role: Fused, Of: into}
	}
	return Place{Role: Own}
}

// sharing is the place of a tensor that is made by moving another one's data.
func (p *Placement) sharing(from string) Place {
	switch source := p.Tensors[from]; source.Role {
	case Shares:
		return Place{Role: Shares, Of: source.Of}
	case Own, Union:
		return Place{Role: Shares, Of: from}
	case Fused: // cannot be: a fused tensor's only consumer is the activation
		return Place{Role: Own}
	default:
		if source.Reason == "" || source.Reason == becomesIndex { // what is computed with has an encoding
			return Place{Role: Own} // moves something that is no float activation, as Gather from a constant table
		}
		return source
	}
}

func moves(x *onnx.Index, n *onnxpb.NodeProto) bool {
	switch op := n.GetOpType(); op {
	case "Resize", "Upsample":
		return onnx.AttrString(n, "mode", "nearest") == "nearest"
	case "Pad":
		if onnx.AttrString(n, "mode", "constant") != "constant" {
			return true
		}
		return padsOnGrid(x, n)
	case "Cast":
		a := onnx.Attr(n, "to")
		return a != nil && tensor.DType(a.GetI()).IsFloat() && x.Initializer[n.GetInput()[0]] == nil
	default:
		return movers[op]
	}
}

// padsOnGrid says whether a padding value leaves the range of the data as it is: zero is on every grid, and minus
// infinity (or what exporters write for it) stands before a MaxPool, which drops it. Another value may widen the range.
func padsOnGrid(x *onnx.Index, n *onnxpb.NodeProto) bool {
	value, known := onnx.AttrFloat(n, "value", 0), true
	if len(n.GetInput()) > 2 && n.GetInput()[2] != "" {
		value, known = scalar(x.Initializer[n.GetInput()[2]])
	}
	const minusInfinity = -1e30
	return known && (value == 0 || value <= minusInfinity)
}

// scalar reads a constant of one float32.
func scalar(t *onnxpb.TensorProto) (float32, bool) {
	switch {
	case t == nil || tensor.DType(t.GetDataType()) != tensor.Float32:
		return 0, false
	case len(t.GetRawData()) == 4:
		return math.Float32frombits(binary.LittleEndian.Uint32(t.GetRawData())), true
	case len(t.GetFloatData()) == 1:
		return t.GetFloatData()[0], true
	}
	return 0, false
}

// fusedInto finds the tensor behind the activation that the HTP fuses into the node. A MatMul whose bias is added by a node of its
// own is not fused with that: neither ONNX Runtime nor QNN takes a float tensor between the two, so both have a quantizer.
func fusedInto(x *onnx.Index, n *onnxpb.NodeProto, out string) (string, bool) {
	k, sole := x.SoleConsumer(out)
	if !sole || !fusing[n.GetOpType()] {
		return "", false
	}
	next := x.Nodes[k]
	if activations[next.GetOpType()] && next.GetInput()[0] == out {
		return next.GetOutput()[0], true
	}
	return "", false
}

// params finds the constant float inputs of a node that are quantized.
func params(x *onnx.Index, i int, n *onnxpb.NodeProto) []Param {
	var list []Param
	for k, in := range n.GetInput() {
		t := x.Initializer[in]
		if t == nil || tensor.DType(t.GetDataType()) != tensor.Float32 || x.Input[in] {
			continue
		}
		q := Param{Node: i, Input: k, Axis: -1}
		switch op := n.GetOpType(); {
		case op == "Conv" && k == 1:
			q.Axis = 0
		case op == "ConvTranspose" && k == 1:
			q.Axis = 1
		case op == "Gemm" && k == 1:
			q.Axis = 1 - int(onnx.AttrInt(n, "transB", 0))
		case op == "MatMul" && k == 1:
			// QNN has no per-channel MatMul.
		case (op == "Conv" || op == "ConvTranspose" || op == "Gemm") && k == 2:
			q.Role = Bias
		case isNorm[op] && k == 1:
			// one encoding: QNN has no normalization per channel.
		case isNorm[op] && k == 2:
			q.Role = Bias
		case operands[op]:
			q.Role = Operand
		case recurrent[op]:
			var ok bool
			if q, ok = recurrentParam(q, t.GetDims()); !ok {
				continue
			}
		default:
			continue
		}
		list = append(list, q)
	}
	return list
}

// Moves says whether an operator of this type only moves data, whatever its attributes.
func Moves(opType string) bool { return movers[opType] }
