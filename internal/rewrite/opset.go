package rewrite

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// firstRaised is the oldest operator set that is raised: below it Clip, Pad, Slice and Resize are written otherwise.
const firstRaised = 11

// steady are operators of the sets 11 to 23 that a raised set leaves as they are: what was added since are types and attributes whose
// absence means what was before (https://github.com/onnx/onnx/blob/main/docs/Changelog.md).
var steady = setOf(
	"Abs", "Acos", "Add", "And", "ArgMax", "ArgMin", "Asin", "Atan", "AveragePool", "Cast", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape",
	"Conv", "ConvInteger", "ConvTranspose", "Cos", "CumSum", "DepthToSpace", "DequantizeLinear", "Div", "DynamicQuantizeLinear", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike",
	"Flatten", "Floor", "GRU", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "Greater", "GreaterOrEqual",
	"HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LSTM", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LpNormalization",
	"LpPool", "MatMul", "MatMulInteger", "Max", "MaxPool", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "RMSNormalization", "NonMaxSuppression", "NonZero", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow",
	"QLinearConv", "QLinearMatMul", "QuantizeLinear", "RNN", "Range", "Reciprocal", "Relu", "Reshape", "Resize", "ReverseSequence", "Round", "ScatterElements", "ScatterND", "Selu", "Shape", "Shrink",
	"Sigmoid", "Sign", "Sin", "Size", "Slice", "Softplus", "Softsign", "SpaceToDepth", "Sqrt", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu", "Where", "Xor",
)

// axesFrom are operators whose axes became an input, with the set that made them one.
var axesFrom = map[string]int64{
	"Squeeze": 13, "Unsqueeze": 13, "ReduceSum": 13, "ReduceL1": 18, "ReduceL2": 18, "ReduceLogSum": 18, "ReduceLogSumExp": 18, "ReduceMax": 18,
	"ReduceMean": 18, "ReduceMin": 18, "ReduceProd": 18, "ReduceSumSquare": 18,
}

func setOf(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

// opset says whether the model can be written in a newer operator set, and why not: then nothing of it changes but the way in which it is
// written. A pass that needs the set calls it; the model is raised behind the pass.
func (s *sweep) opset(needed int64) error {
	now := s.m.Opset()
	if now >= needed {
		return nil
	}
	if now < firstRaised {
		return fmt.Errorf("it needs operator set %d, and the model has %d, which is too old to be raised: export it anew", needed, now)
	}
	if len(s.m.Proto.GetFunctions()) > 0 {
		return fmt.Errorf("it needs operator set %d, and the model has functions of its own", needed)
	}
	for _, n := range s.x.Nodes {
		if n.GetDomain() != "" && n.GetDomain() != "ai.onnx" {
			continue
		}
		if reason := unraisable(s.facts, n, now, needed); reason != "" {
			return fmt.Errorf("it needs operator set %d, and %s (%s) %s", needed, nameOf(n), n.GetOpType(), reason)
		}
	}
	s.raise = max(s.raise, needed)
	return nil
}

// unraisable says why an operator cannot be written in a newer set; "" if it can.
func unraisable(f *facts, n *onnxpb.NodeProto, from, to int64) string {
	op := n.GetOpType()
	if slices.ContainsFunc(n.GetAttribute(), func(a *onnxpb.AttributeProto) bool { return a.GetG() != nil || len(a.GetGraphs()) > 0 }) {
		return "has a graph of its own"
	}
	switch {
	case steady[op], axesFrom[op] > 0, op == "Dropout", op == "RoiAlign", op == "GridSample", op == "Split":
		return ""
	case op == "BatchNormalization":
		if from < 14 && len(n.GetOutput()) > 1 {
			return "is written for training"
		}
		return ""
	case op == "Softmax" || op == "LogSoftmax" || op == "Hardmax":
		shape, known := f.shapes(n.GetInput()[0])
		axis := onnx.AttrInt(n, "axis", 1)
		if from < 13 && to >= 13 && (!known || axis != int64(len(shape))-1 && axis != -1) {
			return "is over several axes, as older sets have it"
		}
		return ""
	}
	return "is not known to mean the same there"
}

// raised writes the model in a newer operator set. opset said that this can be done.
func (s *sweep) raised(m *onnx.Model, to int64) *onnx.Model {
	from := m.Opset()
	var nodes []*onnxpb.NodeProto
	var added []*onnxpb.TensorProto
	constant := func(n *onnxpb.NodeProto, what string, values []int64) string {
		name := s.unique(n.GetOutput()[0] + "_" + what)
		added = append(added, onnx.TensorProto(name, int64s(values)))
		return name
	}
	for _, n := range m.Graph().GetNode() {
		if n.GetDomain() != "" && n.GetDomain() != "ai.onnx" {
			nodes = append(nodes, n)
			continue
		}
		c := proto.CloneOf(n)
		drop := func(name string) {
			c.Attribute = slices.DeleteFunc(c.Attribute, func(a *onnxpb.AttributeProto) bool { return a.GetName() == name })
		}
		switch op := n.GetOpType(); {
		case axesFrom[op] > from && axesFrom[op] <= to:
			if axes := onnx.Attr(n, "axes"); axes != nil {
				c.Input = append(c.Input[:1:1], constant(n, "axes", axes.GetInts()))
				drop("axes")
			}
		case op == "Dropout" && from < 12:
			drop("ratio")
		case op == "Softmax" || op == "LogSoftmax" || op == "Hardmax":
			if from < 13 && to >= 13 {
				drop("axis")
				c.Attribute = append(c.Attribute, onnx.IntAttr("axis", -1))
			}
		case op == "RoiAlign" && from < 16 && to >= 16:
			c.Attribute = append(c.Attribute, textAttr("coordinate_transformation_mode", "output_half_pixel"))
		case op == "GridSample" && from < 20 && to >= 20:
			mode := onnx.AttrString(n, "mode", "bilinear")
			if newer := map[string]string{"bilinear": "linear", "bicubic": "cubic"}[mode]; newer != "" {
				mode = newer
			}
			drop("mode")
			c.Attribute = append(c.Attribute, textAttr("mode", mode))
		case op == "Split":
			if sizes := onnx.Attr(n, "split"); from < 13 && to >= 13 && sizes != nil {
				c.Input = append(c.Input[:1:1], constant(n, "split", sizes.GetInts()))
				drop("split")
			}
			if from < 18 && to >= 18 && (len(c.Input) < 2 || c.Input[1] == "") {
				c.Input = c.Input[:1:1]
				c.Attribute = append(c.Attribute, onnx.IntAttr("num_outputs", int64(len(c.Output))))
			}
		}
		nodes = append(nodes, c)
	}
	out := onnx.Rebuild(m, nodes, added...)
	out.SHA256 = m.SHA256
	var sets []*onnxpb.OperatorSetIdProto
	for _, o := range out.Proto.GetOpsetImport() {
		if o.GetDomain() == "" || o.GetDomain() == "ai.onnx" {
			o = &onnxpb.OperatorSetIdProto{Domain: o.Domain, Version: proto.Int64(to)}
		}
		sets = append(sets, o)
	}
	out.Proto.OpsetImport = sets
	return out
}

func textAttr(name, value string) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte(value)}
}
