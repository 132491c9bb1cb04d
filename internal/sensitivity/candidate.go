package sensitivity

import (
	"fmt"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
)

// Kind is what a candidate is.
type Kind string

// The kinds.
const (
	Activation Kind = "activation" // the quantizer of a tensor, and of all that share it
	Weight     Kind = "weight"     // a node's constants: weight and bias, or operand
	Layer      Kind = "layer"      // all quantizers of a node: its constants and what it makes
)

// Candidate is a group of quantizers that are switched together.
type Candidate struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"` // of the tensor, or of the node's first output
	// Tensors carry the activation quantizers; Params are constants, as node of the float graph and input.
	Tensors []string `json:"tensors,omitempty"`
	Params  [][2]int `json:"params,omitempty"`
}

// Activations makes a candidate of every activation's quantizer, in the graph's order.
func Activations(p *qdq.Placement) []Candidate {
	var list []Candidate
	for _, g := range p.Groups() {
		list = append(list, Candidate{Kind: Activation, Name: g[0], Tensors: g[:1]})
	}
	return list
}

// Weights makes a candidate of every node's quantized constants, in the graph's order.
func Weights(m *onnx.Model, p *qdq.Placement) []Candidate {
	var list []Candidate
	for i, n := range m.Graph().GetNode() {
		if params := paramsOf(p, i); len(params) > 0 && len(n.GetOutput()) > 0 {
			list = append(list, Candidate{Kind: Weight, Name: n.GetOutput()[0], Params: params})
		}
	}
	return list
}

// Layers makes a candidate of every node that has quantizers: those of its constants, of what it makes, and of graph inputs
// that it takes. A node that only moves data has one in models that were built for a device.
func Layers(m *onnx.Model, p *qdq.Placement) []Candidate {
	var list []Candidate
	x := onnx.NewIndex(m)
	for i, n := range x.Nodes {
		c := Candidate{Kind: Layer, Params: paramsOf(p, i)}
		for _, in := range n.GetInput() {
			if x.Input[in] && heads(p, in) {
				c.Tensors = append(c.Tensors, in)
			}
		}
		for _, out := range n.GetOutput() {
			if heads(p, out) || p.Tensors[out].Role == qdq.Shares {
				c.Tensors = append(c.Tensors, out)
			}
		}
		if len(c.Params)+len(c.Tensors) > 0 && len(n.GetOutput()) > 0 {
			c.Name = n.GetOutput()[0]
			list = append(list, c)
		}
	}
	return list
}

func heads(p *qdq.Placement, name string) bool {
	head, ok := p.Head(name)
	return ok && head == name
}

func paramsOf(p *qdq.Placement, node int) [][2]int {
	var params [][2]int
	for _, q := range p.Params {
		if q.Node == node {
			params = append(params, [2]int{q.Node, q.Input})
		}
	}
	return params
}

// check says what is wrong with a candidate.
func (c Candidate) check(p *onnx.Index) error {
	for _, at := range c.Params {
		if at[0] < 0 || at[0] >= len(p.Nodes) || at[1] < 0 || at[1] >= len(p.Nodes[at[0]].GetInput()) {
			return fmt.Errorf("candidate %s: the graph has no input %d of node %d", c.Name, at[1], at[0])
		}
	}
	for _, t := range c.Tensors {
		if _, made := p.Producer[t]; !made && !p.Input[t] {
			return fmt.Errorf("candidate %s: the graph has no tensor %q", c.Name, t)
		}
	}
	return nil
}

// sortedUnique gives each value once, in order.
func sortedUnique(list []int) []int {
	slices.Sort(list)
	return slices.Compact(list)
}
