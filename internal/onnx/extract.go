package onnx

import (
	"quantcheck/internal/onnx/onnxpb"
)

// Extract makes a model of the nodes [from, to) that takes the inputs and gives the outputs. It carries those
// initializers that its nodes use. An output may be listed without a type: runtimes infer it.
func Extract(m *Model, from, to int, inputs, outputs []*onnxpb.ValueInfoProto) *Model {
	g := m.Graph()
	used := map[string]bool{}
	for _, n := range g.GetNode()[from:to] {
		for _, name := range Uses(n) {
			used[name] = true
		}
	}
	part := &onnxpb.GraphProto{Name: g.Name, Node: g.GetNode()[from:to], Input: inputs, Output: outputs}
	for _, t := range g.GetInitializer() {
		if used[t.GetName()] {
			part.Initializer = append(part.Initializer, t)
		}
	}
	for _, t := range g.GetSparseInitializer() {
		if used[t.GetValues().GetName()] {
			part.SparseInitializer = append(part.SparseInitializer, t)
		}
	}
	return m.With(part)
}

// Live lists, in the order in which they are made, the tensors that exist before node at and are used by it or later,
// be it by a node or as a graph output: graph inputs first. Initializers do not count.
func (x *Index) Live(m *Model, at int) []string {
	var live []string
	last := func(name string) int {
		if users := x.Consumers[name]; len(users) > 0 {
			return users[len(users)-1]
		}
		return -1
	}
	for _, in := range m.Inputs() {
		if last(in.GetName()) >= at {
			live = append(live, in.GetName())
		}
	}
	for _, n := range x.Nodes[:at] {
		for _, out := range n.GetOutput() {
			if out != "" && last(out) >= at {
				live = append(live, out)
			}
		}
	}
	return live
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
