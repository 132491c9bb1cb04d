package sensitivity

import (
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// block is a piece of the graph that is computed whole or not at all.
type block struct {
	nodes     []int
	inputs    []string // from other blocks and the graph's inputs
	outputs   []string // taken by later blocks, or wanted
	ancestors map[int]bool
}

// division is a graph in blocks, in an order in which they can be computed.
type division struct {
	x        *onnx.Index
	blocks   []*block
	of       []int           // node → block; −1: not needed, or constant
	constant map[int]bool    // nodes that depend on no input; they go with whoever takes what they make
	wanted   map[string]bool // outputs
}

// blockNodes is how many nodes a block has at most. Smaller blocks cost more calls, larger ones more that is computed
// before a changed tensor.
const blockNodes = 12

// divide divides what leads to the wanted tensors. A node joins the latest block that it takes something from, if whatever
// else it takes comes from blocks before that: then a change of any of these changes the block, too. crosses says whether
// a tensor can be handed from block to block.
func divide(m *onnx.Model, wanted []string, crosses func(tensor string) bool, most int) *division {
	d := &division{x: onnx.NewIndex(m), wanted: map[string]bool{}}
	d.of = make([]int, len(d.x.Nodes))
	d.constant = d.unvarying()
	for _, name := range wanted {
		d.wanted[name] = true
	}
	needed := d.leading(wanted)
	for i := range d.x.Nodes {
		if d.of[i] = -1; needed[i] && !d.constant[i] {
			d.place(i, crosses, most)
		}
	}
	d.borders()
	return d
}

// unvarying finds the nodes that take nothing that varies.
func (d *division) unvarying() map[int]bool {
	constant := d.x.Constants()
	for i, n := range d.x.Nodes {
		if n.GetOpType() == "DequantizeLinear" && d.x.Initializer[n.GetInput()[0]] != nil {
			constant[i] = true
		}
	}
	return constant
}

// leading marks the nodes that lead to tensors.
func (d *division) leading(names []string) []bool {
	needed := make([]bool, len(d.x.Nodes))
	want := map[string]bool{}
	for _, name := range names {
		want[name] = true
	}
	for i := len(needed) - 1; i >= 0; i-- {
		if slices.ContainsFunc(d.x.Nodes[i].GetOutput(), func(out string) bool { return out != "" && want[out] }) {
			needed[i] = true
			for _, in := range onnx.Uses(d.x.Nodes[i]) {
				want[in] = true
			}
		}
	}
	return needed
}

func (d *division) place(i int, crosses func(string) bool, most int) {
	var from []int
	bound := -1 // a block that it must be in
	for _, in := range onnx.Uses(d.x.Nodes[i]) {
		if p, made := d.x.Producer[in]; made && d.of[p] >= 0 && !d.constant[p] {
			from = append(from, d.of[p])
			if !crosses(in) {
				bound = d.of[p]
			}
		}
	}
	from = sortedUnique(from)
	if len(from) > 0 {
		at := from[len(from)-1]
		b := d.blocks[at]
		joins := len(b.nodes) < most || bound == at
		for _, other := range from[:len(from)-1] {
			joins = joins && b.ancestors[other]
		}
		if joins {
			b.nodes = append(b.nodes, i)
			d.of[i] = at
			return
		}
	}
	b := &block{nodes: []int{i}, ancestors: map[int]bool{}}
	for _, k := range from {
		b.ancestors[k] = true
		for a := range d.blocks[k].ancestors {
			b.ancestors[a] = true
		}
	}
	d.of[i] = len(d.blocks)
	d.blocks = append(d.blocks, b)
}

// borders finds what goes from block to block.
func (d *division) borders() {
	taken := map[string]bool{}
	for k, b := range d.blocks {
		for _, name := range d.uses(b.nodes) {
			p, made := d.x.Producer[name]
			if made && d.of[p] != k || d.x.Input[name] {
				b.inputs = append(b.inputs, name)
				taken[name] = true
			}
		}
	}
	for _, b := range d.blocks {
		for _, i := range b.nodes {
			for _, out := range d.x.Nodes[i].GetOutput() {
				if taken[out] || d.wanted[out] {
					b.outputs = append(b.outputs, out)
				}
			}
		}
	}
}

// uses lists what nodes take, but for constants, each once.
func (d *division) uses(nodes []int) []string {
	var names []string
	seen := map[string]bool{}
	for _, i := range nodes {
		for _, name := range onnx.Uses(d.x.Nodes[i]) {
			p, made := d.x.Producer[name]
			if !seen[name] && (d.x.Input[name] || made && !d.constant[p]) {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

// whole says whether everything that goes from block to block can.
func (d *division) whole(crosses func(string) bool) bool {
	for _, b := range d.blocks {
		if slices.ContainsFunc(b.inputs, func(name string) bool { return !crosses(name) }) {
			return false
		}
	}
	return true
}

// withConstants puts the constant nodes that some nodes take before them.
func (d *division) withConstants(nodes []*onnxpb.NodeProto) []*onnxpb.NodeProto {
	var before []*onnxpb.NodeProto
	seen := map[int]bool{}
	own := map[string]bool{}
	for _, n := range nodes {
		for _, out := range n.GetOutput() {
			own[out] = true
		}
	}
	var add func(n *onnxpb.NodeProto)
	add = func(n *onnxpb.NodeProto) {
		for _, in := range onnx.Uses(n) {
			if p, made := d.x.Producer[in]; made && d.constant[p] && !seen[p] && !own[in] {
				seen[p] = true
				add(d.x.Nodes[p])
				before = append(before, d.x.Nodes[p])
			}
		}
	}
	for _, n := range nodes {
		add(n)
	}
	return append(before, nodes...)
}
