package onnx

import (
	"slices"

	"quantcheck/internal/onnx/onnxpb"
)

// Uses lists every tensor name a node reads: its inputs and what its subgraphs take from outside, without empty names.
func Uses(n *onnxpb.NodeProto) []string {
	var names []string
	for _, in := range n.GetInput() {
		if in != "" {
			names = append(names, in)
		}
	}
	return append(names, Captures(n)...)
}

// Captures lists the tensors that a node's subgraphs (If, Loop, Scan) take from the graph around it.
func Captures(n *onnxpb.NodeProto) []string {
	var names []string
	for _, a := range n.GetAttribute() {
		subgraphs := a.GetGraphs()
		if a.GetG() != nil {
			subgraphs = append([]*onnxpb.GraphProto{a.GetG()}, subgraphs...)
		}
		for _, g := range subgraphs {
			own := map[string]bool{}
			for _, in := range g.GetInput() {
				own[in.GetName()] = true
			}
			for _, t := range g.GetInitializer() {
				own[t.GetName()] = true
			}
			for _, inner := range g.GetNode() {
				for _, name := range Uses(inner) {
					if !own[name] && !slices.Contains(names, name) {
						names = append(names, name)
					}
				}
				for _, out := range inner.GetOutput() {
					own[out] = true
				}
			}
			for _, out := range g.GetOutput() {
				if name := out.GetName(); !own[name] && !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// Index answers who makes and who uses a tensor. It is a snapshot: it does not follow later changes of the graph.
type Index struct {
	Nodes       []*onnxpb.NodeProto
	Producer    map[string]int   // tensor → node that makes it
	Consumers   map[string][]int // tensor → nodes that use it, each once, in order
	Initializer map[string]*onnxpb.TensorProto
	Input       map[string]bool // real graph inputs
	Output      map[string]bool // graph outputs
}

// NewIndex indexes the model's main graph.
func NewIndex(m *Model) *Index {
	g := m.Graph()
	x := &Index{
		Nodes: g.GetNode(), Producer: map[string]int{}, Consumers: map[string][]int{},
		Initializer: map[string]*onnxpb.TensorProto{}, Input: map[string]bool{}, Output: map[string]bool{},
	}
	for _, t := range g.GetInitializer() {
		x.Initializer[t.GetName()] = t
	}
	for _, in := range m.Inputs() {
		x.Input[in.GetName()] = true
	}
	for _, out := range g.GetOutput() {
		x.Output[out.GetName()] = true
	}
	for i, n := range g.GetNode() {
		for _, in := range Uses(n) {
			if users := x.Consumers[in]; len(users) == 0 || users[len(users)-1] != i {
				x.Consumers[in] = append(users, i)
			}
		}
		for _, out := range n.GetOutput() {
			if out != "" {
				x.Producer[out] = i
			}
		}
	}
	return x
}

// SoleConsumer is the only node that uses a tensor; ok is false if there are none or more, or it is a graph output.
func (x *Index) SoleConsumer(name string) (node int, ok bool) {
	users := x.Consumers[name]
	if len(users) != 1 || x.Output[name] {
		return 0, false
	}
	return users[0], true
}

// LastUser is the last node that uses a tensor, −1 if none does.
func (x *Index) LastUser(name string) int {
	users := x.Consumers[name]
	if len(users) == 0 {
		return -1
	}
	return users[len(users)-1]
}

// varying operators are not constant although their inputs are: random ones, and DequantizeLinear, whose constant input
// is a quantized weight that has to be seen as such.
var varying = map[string]bool{
	"DequantizeLinear": true,
	"RandomNormal":     true, "RandomUniform": true, "RandomNormalLike": true, "RandomUniformLike": true, "Multinomial": true, "Bernoulli": true,
}

// Constants finds the nodes that do not depend on any graph input; their outputs are the same in every inference. A
// dequantized weight does not count.
func (x *Index) Constants() map[int]bool {
	constant := map[int]bool{}
	for i, n := range x.Nodes {
		all := !varying[n.GetOpType()]
		for _, in := range Uses(n) {
			p, made := x.Producer[in]
			if made && !constant[p] || !made && x.Initializer[in] == nil {
				all = false
			}
		}
		if all {
			constant[i] = true
		}
	}
	return constant
}

// Attr finds a node's attribute, nil if it is not there.
func Attr(n *onnxpb.NodeProto, name string) *onnxpb.AttributeProto {
	for _, a := range n.GetAttribute() {
		if a.GetName() == name {
			return a
		}
	}
	return nil
}

// AttrInt reads an integer attribute or gives the default.
func AttrInt(n *onnxpb.NodeProto, name string, otherwise int64) int64 {
	if a := Attr(n, name); a != nil {
		return a.GetI()
	}
	return otherwise
}

// AttrFloat reads a float attribute or gives the default.
func AttrFloat(n *onnxpb.NodeProto, name string, otherwise float32) float32 {
	if a := Attr(n, name); a != nil {
		return a.GetF()
	}
	return otherwise
}

// AttrString reads a string attribute or gives the default.
func AttrString(n *onnxpb.NodeProto, name, otherwise string) string {
	if a := Attr(n, name); a != nil {
		return string(a.GetS())
	}
	return otherwise
}

// IntsAttr is a list of whole numbers as an attribute of a node.
func IntsAttr(name string, values []int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_INTS.Enum(), Ints: values}
}

// Transpose is a node that gives a tensor with its axes in another order: axis i of the result is axis perm[i] of what goes in.
func Transpose(name, from, to string, perm []int64) *onnxpb.NodeProto {
	op := "Transpose"
	return &onnxpb.NodeProto{OpType: &op, Name: &name, Input: []string{from}, Output: []string{to}, Attribute: []*onnxpb.AttributeProto{IntsAttr("perm", perm)}}
}

// IntAttr makes an integer attribute.
func IntAttr(name string, value int64) *onnxpb.AttributeProto {
	kind := onnxpb.AttributeProto_INT
	return &onnxpb.AttributeProto{Name: &name, I: &value, Type: &kind}
}

// FloatAttr makes an attribute of a real number.
func FloatAttr(name string, value float32) *onnxpb.AttributeProto {
	kind := onnxpb.AttributeProto_FLOAT
	return &onnxpb.AttributeProto{Name: &name, F: &value, Type: &kind}
}
