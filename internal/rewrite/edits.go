package rewrite

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// edits collects changes of a graph's nodes that do not touch each other, and makes the changed graph.
type edits struct {
	of       *facts                      // the graph that is changed
	replaced map[int][]*onnxpb.NodeProto // node → what takes its place
	touched  map[int]bool                // nodes that were changed or that a change relies on
	added    []*onnxpb.TensorProto
	names    onnx.Names
	rename   map[string]string // tensor → what its consumers take instead
}

func newEdits(of *facts) *edits {
	return &edits{of: of, replaced: map[int][]*onnxpb.NodeProto{}, touched: map[int]bool{}, names: onnx.NewNames(of.m), rename: map[string]string{}}
}

// free says whether none of the nodes was touched in this sweep.
func (e *edits) free(nodes ...int) bool {
	return !slices.ContainsFunc(nodes, func(i int) bool { return e.touched[i] })
}

// replace puts nodes in the place of one, and marks it and those around it as touched.
func (e *edits) replace(node int, with ...*onnxpb.NodeProto) {
	e.replaced[node] = with
	e.touch(node)
}

func (e *edits) touch(nodes ...int) {
	for _, i := range nodes {
		e.touched[i] = true
	}
}

// unique makes a name that is free.
func (e *edits) unique(name string) string { return e.names.Unique(name) }

// put adds a changed constant for a node. It keeps the old name if nobody else uses it, so that encodings are found under it.
func (e *edits) put(old string, node int, t tensor.Tensor) string {
	name := old
	if old == "" || len(e.of.x.Consumers[old]) != 1 || e.of.x.Output[old] {
		name = e.unique(fmt.Sprintf("%s_%s_%d", old, "rewritten", node))
	}
	e.added = append(e.added, onnx.TensorProto(name, t))
	return name
}

// fresh adds a new constant.
func (e *edits) fresh(name string, t tensor.Tensor) string {
	name = e.unique(name)
	e.added = append(e.added, onnx.TensorProto(name, t))
	return name
}

func (e *edits) freshInts(name string, values ...int64) string {
	return e.fresh(name, int64s(values))
}

// sole gives the only consumer of a tensor, if there is one, it takes the tensor once, and it is untouched.
func (e *edits) sole(name string) (int, bool) {
	k, ok := e.of.x.SoleConsumer(name)
	if !ok || e.touched[k] {
		return 0, false
	}
	uses := 0
	for _, in := range e.of.x.Nodes[k].GetInput() {
		if in == name {
			uses++
		}
	}
	return k, uses == 1
}

// bypass removes a node whose output equals one of its inputs. A graph output keeps its name: then the tensor before takes
// it. It is false where that cannot be done.
func (e *edits) bypass(node int, from, to string) bool {
	if !e.of.x.Output[to] {
		e.rename[to] = from
		e.replace(node)
		e.touch(e.of.x.Consumers[to]...)
		return true
	}
	p, made := e.of.x.Producer[from]
	if !made || e.of.x.Output[from] || e.touched[p] || !e.free(e.of.x.Consumers[from]...) {
		return false
	}
	c := proto.CloneOf(e.of.x.Nodes[p])
	for i, out := range c.GetOutput() {
		if out == from {
			c.Output[i] = to
		}
	}
	e.rename[from] = to
	e.replace(p, c)
	e.replace(node)
	e.touch(e.of.x.Consumers[from]...)
	return true
}

func (e *edits) rebuild() *onnx.Model { return e.rebuildFrom(e.of.m) }

// rebuildFrom makes the changed graph with the inputs, outputs and constants of another form of the model.
func (e *edits) rebuildFrom(of *onnx.Model) *onnx.Model {
	var nodes []*onnxpb.NodeProto
	for i, n := range e.of.x.Nodes {
		with, changed := e.replaced[i]
		if !changed {
			with = []*onnxpb.NodeProto{n}
		}
		for _, w := range with {
			nodes = append(nodes, e.renamed(w))
		}
	}
	m := onnx.Rebuild(of, nodes, e.added...)
	m.SHA256 = e.of.m.SHA256
	return m
}

// renamed gives a node whose inputs follow the renames, those of its subgraphs too.
func (e *edits) renamed(n *onnxpb.NodeProto) *onnxpb.NodeProto {
	if len(e.rename) == 0 || !slices.ContainsFunc(onnx.Uses(n), func(in string) bool { _, ok := e.rename[in]; return ok }) {
		return n
	}
	c := proto.CloneOf(n)
	onnx.RenameUses(c, e.rename)
	return c
}
