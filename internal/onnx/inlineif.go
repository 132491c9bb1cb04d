package onnx

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
)

// InlineIf puts the nodes of one branch in the place of every If whose condition is known, as converters for devices do. known gives the value of
// a condition. Tensors of a branch keep their names where these are free. The second value names the nodes that are gone.
func InlineIf(m *Model, known func(condition string) (value, ok bool)) (*Model, []string) {
	g := m.Graph()
	in := inliner{taken: map[string]bool{}}
	for _, t := range g.GetInitializer() {
		in.taken[t.GetName()] = true
	}
	for _, v := range g.GetInput() {
		in.taken[v.GetName()] = true
	}
	for _, n := range g.GetNode() {
		for _, out := range n.GetOutput() {
			in.taken[out] = true
		}
	}
	for i, n := range g.GetNode() {
		branch := chosenBranch(n, known)
		if branch == nil {
			in.nodes = append(in.nodes, n)
			continue
		}
		name := n.GetName()
		if name == "" {
			name = fmt.Sprintf("If_%d", i)
		}
		in.gone = append(in.gone, name)
		in.put(n, name, branch)
	}
	if len(in.gone) == 0 {
		return m, nil
	}
	after := Rebuild(m, in.nodes, in.constants...)
	after.SHA256 = m.SHA256
	return after, in.gone
}

// chosenBranch is the branch of an If whose condition is known; nil for any other node.
func chosenBranch(n *onnxpb.NodeProto, known func(string) (bool, bool)) *onnxpb.GraphProto {
	if n.GetOpType() != "If" || len(n.GetInput()) != 1 {
		return nil
	}
	value, ok := known(n.GetInput()[0])
	if !ok {
		return nil
	}
	name := "else_branch"
	if value {
		name = "then_branch"
	}
	branch := Attr(n, name).GetG()
	if branch == nil || len(branch.GetOutput()) != len(n.GetOutput()) || len(branch.GetSparseInitializer()) > 0 {
		return nil
	}
	return branch
}

// inliner collects the nodes and constants of a graph into which branches are put.
type inliner struct {
	taken     map[string]bool
	nodes     []*onnxpb.NodeProto
	constants []*onnxpb.TensorProto
	gone      []string
}

func (in *inliner) free(name, of string) string {
	for k := 0; in.taken[name]; k++ {
		name = fmt.Sprintf("%s_of_%s", name, of)
		if k > 0 {
			name = fmt.Sprintf("%s_%d", name, k)
		}
	}
	in.taken[name] = true
	return name
}

func (in *inliner) put(n *onnxpb.NodeProto, name string, branch *onnxpb.GraphProto) {
	made := map[string]bool{}
	for _, inner := range branch.GetNode() {
		for _, out := range inner.GetOutput() {
			made[out] = true
		}
	}
	rename := map[string]string{}
	same := map[string]string{} // further outputs that are one tensor of the branch, and outputs that it only hands on
	for k, out := range branch.GetOutput() {
		to := n.GetOutput()[k]
		if _, twice := rename[out.GetName()]; to == "" {
			continue
		} else if made[out.GetName()] && !twice {
			rename[out.GetName()] = to
		} else {
			same[to] = out.GetName()
		}
	}
	for _, t := range branch.GetInitializer() {
		to := in.free(t.GetName(), name)
		rename[t.GetName()] = to
		c := proto.CloneOf(t)
		c.Name = &to
		in.constants = append(in.constants, c)
	}
	for _, inner := range branch.GetNode() {
		c := proto.CloneOf(inner)
		RenameUses(c, rename)
		for k, out := range c.GetOutput() {
			if out == "" {
				continue
			}
			if rename[out] == "" {
				rename[out] = in.free(out, name)
			}
			c.Output[k] = rename[out]
		}
		in.nodes = append(in.nodes, c)
	}
	for _, to := range n.GetOutput() {
		from, ok := same[to]
		if !ok {
			continue
		}
		if renamed := rename[from]; renamed != "" {
			from = renamed
		}
		in.nodes = append(in.nodes, &onnxpb.NodeProto{OpType: proto.String("Identity"), Name: proto.String(to), Input: []string{from}, Output: []string{to}})
	}
}

// ControlFlow says whether an operator runs subgraphs: a branch, or a loop's body.
func ControlFlow(opType string) bool { return opType == "If" || opType == "Loop" || opType == "Scan" }

// Branching counts the nodes with subgraphs (If, Loop, Scan) and the nodes in these, at any depth.
func Branching(nodes ...*onnxpb.NodeProto) (outer, inner int) {
	for _, n := range nodes {
		has := false
		for _, a := range n.GetAttribute() {
			for _, g := range append([]*onnxpb.GraphProto{a.GetG()}, a.GetGraphs()...) {
				if g == nil {
					continue
				}
				has = true
				_, deeper := Branching(g.GetNode()...)
				inner += len(g.GetNode()) + deeper
			}
		}
		if has {
			outer++
		}
	}
	return outer, inner
}
