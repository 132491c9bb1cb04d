package onnx

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
)

// Names are the names of a graph that are in use, of its tensors and of its nodes, those of its subgraphs too. Whoever adds a tensor
// or a node to a graph asks it for a name.
type Names map[string]bool

// NewNames collects the names of a model's graph, and of more nodes that will stand in it.
func NewNames(m *Model, more ...*onnxpb.NodeProto) Names {
	used := Names{}
	used.graph(m.Graph())
	used.nodes(more)
	return used
}

func (used Names) graph(g *onnxpb.GraphProto) {
	for _, list := range [][]*onnxpb.ValueInfoProto{g.GetInput(), g.GetOutput()} {
		for _, v := range list {
			used[v.GetName()] = true
		}
	}
	for _, t := range g.GetInitializer() {
		used[t.GetName()] = true
	}
	for _, t := range g.GetSparseInitializer() {
		used[t.GetValues().GetName()] = true
	}
	used.nodes(g.GetNode())
}

func (used Names) nodes(list []*onnxpb.NodeProto) {
	for _, n := range list {
		used[n.GetName()] = true
		for _, out := range n.GetOutput() {
			used[out] = true
		}
		for _, a := range n.GetAttribute() {
			if a.GetG() != nil {
				used.graph(a.GetG())
			}
			for _, g := range a.GetGraphs() {
				used.graph(g)
			}
		}
	}
}

// Unique gives a name that is free, the one that is wanted if it is, and takes it.
func (used Names) Unique(name string) string {
	for used[name] || name == "" {
		name += "_"
	}
	used[name] = true
	return name
}

// distinct gives nodes of which no two have the same name: a later one of several gets another. Runtimes refuse a graph in which two
// nodes are called the same. Nodes without a name stay so.
func distinct(m *Model, list []*onnxpb.NodeProto) []*onnxpb.NodeProto {
	var used Names
	seen := make(map[string]bool, len(list))
	for i, n := range list {
		name := n.GetName()
		if name == "" || !seen[name] {
			seen[name] = true
			continue
		}
		if used == nil {
			used, list = NewNames(m, list...), slices.Clone(list)
		}
		c := proto.CloneOf(n)
		c.Name = proto.String(used.Unique(name))
		seen[c.GetName()], list[i] = true, c
	}
	return list
}
