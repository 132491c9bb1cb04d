package align

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/onnx/onnxpb"
)

// kinds says into which operators of a DLC an ONNX operator can turn. An operator that is not listed can turn into any.
var kinds = map[string][]string{
	"Conv":          {"Conv2d", "DepthWiseConv2d", "Conv1d", "Conv3d", "Convolutional", "convolutional", "GroupConv2d"},
	"ConvTranspose": {"TransposeConv2d", "TransposeConv1d", "Deconvolution", "deconvolution", "DepthWiseTransposeConv2d"},
	"Gemm":          {"FullyConnected", "MatMul", "fully_connected", "Conv2d"},
	"MatMul":        {"MatMul", "FullyConnected", "fully_connected", "Conv2d"},
	"Sigmoid":       neurons, "Relu": neurons, "Tanh": neurons, "Clip": neurons, "Elu": neurons, "HardSwish": neurons, "HardSigmoid": neurons, "Softplus": neurons, "Gelu": neurons,
	"LeakyRelu": {"Prelu", "LeakyRelu", "Neuron", "neuron"}, "PRelu": {"Prelu"},
	"Add": append([]string{"ElementWiseAdd"}, binaries...), "Sub": append([]string{"ElementWiseSubtract"}, binaries...), "Mul": append([]string{"ElementWiseMultiply"}, binaries...),
	"Div": append([]string{"ElementWiseDivide"}, binaries...), "Pow": append([]string{"ElementWisePower"}, binaries...), "Max": append([]string{"ElementWiseMaximum"}, binaries...),
	"Min":     append([]string{"ElementWiseMinimum"}, binaries...),
	"MaxPool": {"Pool", "PoolMax2d", "PoolMax3d", "pooling"}, "AveragePool": {"Pool", "PoolAvg2d", "PoolAvg3d", "pooling"},
	"GlobalAveragePool": {"Pool", "PoolAvg2d", "PoolAvg3d", "pooling", "Reduce", "ReduceMean"}, "GlobalMaxPool": {"Pool", "PoolMax2d", "pooling", "Reduce", "ReduceMax"},
	"ReduceMean": {"Reduce", "ReduceMean", "Pool", "PoolAvg2d"}, "ReduceMax": {"Reduce", "ReduceMax"}, "ReduceSum": {"Reduce", "ReduceSum"},
	"Concat": {"Concat", "concatenation"}, "Split": {"Split", "Slice", "slice"}, "Slice": {"StridedSlice", "strided_slice", "Crop"},
	"Softmax": {"Softmax", "softmax"}, "LogSoftmax": {"LogSoftmax"},
	"Resize": {"Resize", "ResizeBilinear", "ResizeNearestNeighbor", "resize"}, "Upsample": {"Resize", "ResizeBilinear", "ResizeNearestNeighbor", "resize"},
	"DepthToSpace": {"DepthToSpace"}, "SpaceToDepth": {"SpaceToDepth"}, "Gather": {"Gather"}, "Pad": {"Pad"}, "ArgMax": {"Argmax", "ArgMax"},
	"BatchNormalization": {"Batchnorm", "BatchNorm"}, "InstanceNormalization": {"InstanceNorm"}, "LayerNormalization": {"LayerNorm"},
}

// Operators of a DLC that stand for many functions.
var (
	neurons  = []string{"Neuron", "ElementWiseNeuron", "neuron", "Relu", "ReluMinMax", "Relu6", "Sigmoid", "Tanh", "Elu", "HardSwish", "Softplus", "Gelu"}
	binaries = []string{"Eltwise_Binary", "ElementWiseBinary", "elementwise_binary_op"}
)

// functions says which of them an ONNX operator can be.
var functions = map[string][]string{
	"Sigmoid": {"Sigmoid", "Logistic"}, "Relu": {"Relu", "ReluMinMax", "Relu6"}, "Clip": {"ReluMinMax", "Relu6", "Relu"}, "Tanh": {"Tanh"}, "Elu": {"Elu"},
	"HardSwish": {"HardSwish"}, "HardSigmoid": {"HardSigmoid"}, "Softplus": {"Softplus"}, "Gelu": {"Gelu"}, "LeakyRelu": {"LeakyRelu", "Prelu"}, "PRelu": {"Prelu"},
	"Add": {"Add"}, "Sub": {"Subtract"}, "Mul": {"Multiply"}, "Div": {"Divide"}, "Pow": {"Power"}, "Max": {"Maximum"}, "Min": {"Minimum"},
}

// The numbers of the attribute "operation", from QNN's operator definitions (QnnOpDef.h).
var (
	neuronOperations = []string{"Elu", "Gelu", "HardSigmoid", "HardSwish", "Relu", "ReluMinMax", "Sigmoid", "Softplus", "Tanh"}
	binaryOperations = []string{
		"Add", "And", "Divide", "Equal", "FloorDiv", "Fmod", "Greater", "GreaterEqual", "Less", "LessEqual", "Maximum", "Minimum", "Mod", "Multiply", "NotEqual", "Or", "Power",
		"SquaredDifference", "Subtract", "Xor",
	}
)

// function says which function an operator of a DLC computes, "" if it does not tell.
func function(n *dlc.Node) string {
	for _, a := range n.Attributes {
		text := strings.TrimSpace(a.Text)
		switch a.Name {
		case "neuron_type", "func":
			return text
		case "eltwise_type":
			return strings.TrimPrefix(text, "ElementWise")
		case "operation":
			number := a.Int
			if v, err := strconv.Atoi(text); err == nil {
				number = v
			}
			names := binaryOperations
			if slices.Contains(neurons, n.Type) {
				names = neuronOperations
			} else if !slices.Contains(binaries, n.Type) {
				return ""
			}
			if number >= 0 && number < len(names) {
				return names[number]
			}
		}
	}
	if slices.Contains(neurons[3:], n.Type) {
		return n.Type
	}
	return ""
}

// becomes says whether an ONNX operator can have turned into an operator of a DLC. A result may be handed on by one that
// moves data.
func becomes(op string, n *dlc.Node) bool {
	if slices.Contains(copying, n.Type) {
		return true
	}
	list, known := kinds[op]
	if known && !slices.Contains(list, n.Type) {
		return false
	}
	f := function(n)
	which, many := functions[op]
	return f == "" || !many || slices.Contains(which, f)
}

// commutes are the operators whose inputs may stand in any order.
func commutes(op string) bool { return op == "Add" || op == "Mul" || op == "Max" || op == "Min" }

// byStructure pairs layers whose names say nothing; it says whether there were some.
func (a *aligner) byStructure() bool {
	signatures := map[string][]string{} // signature → layers that have it
	var order []string
	for _, name := range a.Layers {
		if _, done := a.out.Pairs[name]; done || a.Constant(name) {
			continue
		}
		p, made := a.Index.Producer[name]
		if !made || a.Index.Nodes[p].GetOutput()[0] != name {
			continue
		}
		if s, ok := a.signature(a.Index.Nodes[p], name); ok {
			if len(signatures[s]) == 0 {
				order = append(order, s)
			}
			signatures[s] = append(signatures[s], name)
		}
	}
	found := false
	for _, s := range order {
		if len(signatures[s]) != 1 { // a twin: which is which is not told
			continue
		}
		name := signatures[s][0]
		if node, ok := a.only(name); ok {
			found = true
			outputs := a.Index.Nodes[a.Index.Producer[name]].GetOutput()
			a.pair(name, node.Outputs[0], Structure)
			for i := 1; i < len(outputs) && len(outputs) == len(node.Outputs); i++ { // of a Split
				if _, done := a.out.Pairs[outputs[i]]; !done && a.taken[node.Outputs[i]] == "" && a.fits(outputs[i], node.Outputs[i]) {
					a.pair(outputs[i], node.Outputs[i], Structure)
				}
			}
		}
	}
	return found
}

// signature describes an operator by its kind, its inputs and its size; ok is false as long as an input is not paired.
func (a *aligner) signature(n *onnxpb.NodeProto, name string) (string, bool) {
	inputs, ok := a.dataInputs(n)
	if !ok {
		return "", false
	}
	if commutes(n.GetOpType()) {
		sort.Strings(inputs)
	}
	shape, _ := a.Shape(name)
	return fmt.Sprint(n.GetOpType(), inputs, elements(shape)), true
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// dataInputs are the paired tensors of a node's inputs that are no constants; a layer that is fused away stands for the one
// before it, which the operator got.
func (a *aligner) dataInputs(n *onnxpb.NodeProto) ([]string, bool) {
	var list []string
	for _, in := range n.GetInput() {
		if in == "" || a.Index.Initializer[in] != nil || a.Constant(in) {
			continue
		}
		tensor, ok := a.paired(in)
		if !ok {
			return nil, false
		}
		list = append(list, tensor)
	}
	return list, len(list) > 0
}

// only finds the one operator of the DLC of the layer's kind, with a free output, that takes the layer's inputs.
func (a *aligner) only(name string) (*dlc.Node, bool) {
	n := a.Index.Nodes[a.Index.Producer[name]]
	inputs, _ := a.dataInputs(n)
	var found *dlc.Node
	for i := range a.g.Nodes {
		node := &a.g.Nodes[i]
		if len(node.Outputs) == 0 || len(node.Outputs) > 1 && len(n.GetOutput()) == 1 {
			continue
		}
		out := node.Outputs[0]
		if a.taken[out] != "" || !sameKind(n.GetOpType(), node) || a.g.Tensor(out) == nil || !a.fits(name, out) {
			continue
		}
		var theirs []string
		for _, in := range node.Inputs {
			if t := a.g.Tensor(in); t != nil && t.Location != dlc.Static {
				theirs = append(theirs, in)
			}
		}
		if !a.g.sameInputs(inputs, theirs, commutes(n.GetOpType())) {
			continue
		}
		if found != nil {
			return nil, false
		}
		found = node
	}
	return found, found != nil
}

// sameKind is stricter than becomes: an operator that moves data is only what the layer's is, too.
func sameKind(op string, n *dlc.Node) bool {
	switch n.Type {
	case "Transpose", "Permute", "permute":
		return op == "Transpose"
	case "Reshape":
		return slices.Contains([]string{"Reshape", "Flatten", "Squeeze", "Unsqueeze"}, op)
	case "Cast", "Convert":
		return op == "Cast"
	case "Quantize", "Dequantize":
		return false
	}
	return becomes(op, n)
}

// fuse finds the layers that went into the operator behind them, and gives their tensor, if a name gave it to them, to the
// layer whose values it holds.
func (a *aligner) fuse() {
	for i := len(a.Layers) - 1; i >= 0; i-- {
		name := a.Layers[i]
		if a.Constant(name) {
			continue
		}
		p, here := a.out.Pairs[name]
		if here && p.Into != "" {
			continue
		}
		behind := a.behind(name)
		if behind == "" {
			continue
		}
		next, there := a.out.Pairs[behind]
		switch {
		case !here && there && (next.Into != "" || a.makes(name, next.Tensor)):
			into := behind
			if next.Into != "" {
				into = next.Into
			}
			a.fused(name, into)
		case here && !there && a.makes(name, p.Tensor) && !a.g.takenAs(p.Tensor, a.op(behind)):
			for next := a.behind(behind); next != "" && !a.g.takenAs(p.Tensor, a.op(next)); next = a.behind(behind) {
				if _, there := a.out.Pairs[next]; there {
					break
				}
				a.fused(behind, next)
				behind = next
			}
			a.out.Counts[p.Rule]--
			a.pair(behind, p.Tensor, p.Rule)
			a.fused(name, behind)
		}
	}
}

func (a *aligner) fused(name, into string) {
	a.out.Pairs[name] = Pairing{Rule: FusedRule, Into: into}
	a.out.Counts[FusedRule]++
}

// behind is the layer that a layer can have been fused into; "" if there is none.
func (f Float) behind(name string) string {
	k, sole := f.Index.SoleConsumer(name)
	if !sole || f.Index.Output[name] || len(f.Index.Nodes[k].GetOutput()) == 0 || !fusesBackward(f.Index.Nodes[k].GetOpType(), f.op(name)) {
		return ""
	}
	return f.Index.Nodes[k].GetOutput()[0]
}

// makes says whether a tensor of the DLC is made by an operator of the layer's own kind.
func (a *aligner) makes(name, tensor string) bool {
	for _, t := range a.g.sources(tensor) {
		k, made := a.g.producer[t]
		if !made {
			return false
		}
		if n := &a.g.Nodes[k]; !slices.Contains(copying, n.Type) {
			return becomes(a.op(name), n)
		}
	}
	return false
}

func (f Float) op(name string) string {
	if p, made := f.Index.Producer[name]; made {
		return f.Index.Nodes[p].GetOpType()
	}
	return ""
}

// fusesBackward says whether converters put an operator into the one before it.
func fusesBackward(op, before string) bool {
	switch op {
	case "Relu", "Clip", "BatchNormalization":
		return true
	case "Add":
		return before == "MatMul"
	}
	return false
}
