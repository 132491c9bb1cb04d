package onnx

import (
	"quantcheck/internal/onnx/onnxpb"
)

// Extract makes a model of the nodes [from, to) that takes the inputs and gives the outputs. It carries those
// initializers that its nodes use, in the order of their use; x indexes the model. An output may be listed without a type: runtimes
// infer it. What it costs depends on the part, not on the model.
func Extract(m *Model, x *Index, from, to int, inputs, outputs []*onnxpb.ValueInfoProto) *Model {
	g := m.Graph()
	used := map[string]bool{}
	part := &onnxpb.GraphProto{Name: g.Name, Node: g.GetNode()[from:to], Input: inputs, Output: outputs}
	for _, n := range part.GetNode() {
		for _, name := range Uses(n) {
			if t := x.Initializer[name]; t != nil && !used[name] {
				part.Initializer = append(part.Initializer, t)
			}
			used[name] = true
		}
	}
	for _, t := range g.GetSparseInitializer() {
		if used[t.GetValues().GetName()] {
			part.SparseInitializer = append(part.SparseInitializer, t)
		}
	}
	return m.With(part)
}

// Rebuild gives the model with other nodes. Of its initializers and of the added ones it keeps those that a node uses or
// that are graph outputs; an added one takes the place of one of the same name.
func Rebuild(m *Model, nodes []*onnxpb.NodeProto, added ...*onnxpb.TensorProto) *Model {
	g := m.Graph()
	nodes = distinct(m, nodes)
	wanted := map[string]bool{}
	for _, out := range g.GetOutput() {
		wanted[out.GetName()] = true
	}
	for _, n := range nodes {
		for _, name := range Uses(n) {
			wanted[name] = true
		}
	}
	replaced := map[string]bool{}
	for _, t := range added {
		replaced[t.GetName()] = true
	}
	after := &onnxpb.GraphProto{Name: g.Name, Node: nodes, Input: g.GetInput(), Output: g.GetOutput(), SparseInitializer: g.GetSparseInitializer()}
	for _, t := range g.GetInitializer() {
		if wanted[t.GetName()] && !replaced[t.GetName()] {
			after.Initializer = append(after.Initializer, t)
		}
	}
	for _, t := range added {
		if wanted[t.GetName()] {
			after.Initializer = append(after.Initializer, t)
		}
	}
	return m.With(after)
}
