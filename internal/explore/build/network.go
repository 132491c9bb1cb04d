package build

import (
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/onnx"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// Quantizers lists the quantizers of the float model's activations in the order of the graph.
func (b *Builder) Quantizers() []candidate.Quantizer {
	groups := b.float.Placement.Groups()
	number := map[string]int{}
	for k, l := range b.float.Layers {
		number[l.Name] = k
	}
	heads := head(b.float.Base, groups)
	list := make([]candidate.Quantizer, len(groups))
	for i, g := range groups {
		q := candidate.Quantizer{Tensors: g, Head: heads[i], Layer: -1, Op: "input"}
		if k, made := number[g[0]]; made {
			q.Layer, q.Op, q.Node = k, b.float.Layers[k].Op, b.float.Layers[k].Node
		}
		for _, name := range g {
			if t, ok := b.float.Types[name]; ok {
				if n, err := tensor.Count(t.Shape); err == nil {
					q.Elements += float64(n)
				}
			}
		}
		list[i] = q
	}
	return list
}

// head says of every quantizer whether it belongs to the output head: no operator with weights follows it.
func head(base *onnx.Model, groups [][]string) []bool {
	index := onnx.NewIndex(base)
	weighted := map[string]bool{"Conv": true, "ConvTranspose": true, "Gemm": true, "MatMul": true}
	follows := make(map[string]bool) // tensor → a weighted operator follows
	for i := len(index.Nodes) - 1; i >= 0; i-- {
		n := index.Nodes[i]
		leads := weighted[n.GetOpType()]
		for _, out := range n.GetOutput() {
			leads = leads || follows[out]
		}
		if leads {
			for _, in := range n.GetInput() {
				follows[in] = true
			}
		}
	}
	list := make([]bool, len(groups))
	for i, g := range groups {
		list[i] = !follows[g[0]]
	}
	return list
}

// Widths counts the activations of a candidate that have a quantizer, and those of them that are wider than 8 bits.
func (b *Builder) Widths(c candidate.Candidate) (wide, all int, err error) {
	m, err := b.Build(c)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range m.Made.Encodings {
		all++
		if e.Bits > 8 {
			wide++
		}
	}
	return wide, all, nil
}

// Neighbours are the quantizers of what the operators around those at 16 bits take and make, in the graph's order, without those that have a
// choice already.
func (b *Builder) Neighbours(choices variant.Choices) []string {
	index, placement, groups := b.float.Index, b.float.Placement, b.float.Placement.Groups()
	near := map[string]bool{}
	mark := func(names []string) {
		for _, name := range names {
			if head, ok := placement.Head(name); ok {
				near[head] = true
			}
		}
	}
	for _, g := range groups {
		if choices[g[0]].Bits != 16 {
			continue
		}
		for _, name := range g {
			if p, made := index.Producer[name]; made {
				mark(index.Nodes[p].GetInput())
			}
			for _, k := range index.Consumers[name] {
				mark(index.Nodes[k].GetOutput())
				mark(index.Nodes[k].GetInput())
			}
		}
	}
	var list []string
	for _, g := range groups {
		if _, chosen := choices[g[0]]; near[g[0]] && !chosen {
			list = append(list, g[0])
		}
	}
	return list
}

// BitOps are the model's multiply-adds, each times the widths of both its factors.
func (b *Builder) BitOps(m *Built) float64 {
	ref := b.float
	weights := map[string]int{}
	for _, p := range m.Made.Params {
		weights[p.Tensor] = p.Encodings[0].Bits
	}
	const float = 16 // what is not quantized runs in half precision
	shapes := func(name string) ([]int64, bool) {
		if t, ok := ref.Types[name]; ok && t.Tensor && t.Shape != nil {
			return t.Shape, true
		}
		if t := ref.Index.Initializer[name]; t != nil {
			return t.GetDims(), true
		}
		return nil, false
	}
	sum := 0.0
	x := onnx.NewIndex(ref.Base)
	for _, n := range x.Nodes {
		macs := rewrite.MACs(n, shapes)
		if macs <= 0 {
			continue
		}
		factors := 1.0
		for _, in := range n.GetInput()[:2] {
			bits := float
			if w, ok := weights[in]; ok {
				bits = w
			} else if e, ok := m.Made.Encodings[in]; ok {
				bits = e.Bits
			}
			factors *= float64(bits)
		}
		sum += float64(macs) * factors
	}
	return sum
}
