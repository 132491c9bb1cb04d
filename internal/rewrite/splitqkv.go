package rewrite

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

var splitQKV = Pass{
	Name: "split-qkv", Title: "a product that gives query, key and value together becomes one for each", Tolerance: 1e-5,
	Order: "before four-axes and matmul-to-conv, which would take the operators apart otherwise",
	Why:   "The HTP moves tensors of five axes slowly, in 16 bits above all, and one encoding holds three tensors of unlike ranges. By the estimate five blocks of transformers take 8 to 26 % fewer cycles in 8 bits, and 41 to 78 % fewer in 16.",
	Doc: `
    Before   x ─ MatMul(W [K,3·H·D]) ─ (+b) ─ Reshape [B,T,3,H,D] ─ Transpose(2,0,3,1,4) ─ Gather(k), or Split and Squeeze ─ yₖ [B,H,T,D]
    After    x ─ MatMul(Wₖ [K,H·D])  ─ (+bₖ) ─ Reshape [B,T,H,D]  ─ Transpose(0,2,1,3) ─ yₖ                        for each k

Wₖ are the columns of W that yₖ is made of, wherever the axis of the parts stands. Gemm is taken as well, and a Reshape without a Transpose.
Conditions: W and b are constant, and nobody else takes them; everything that takes the parts takes single ones; the shapes are known;
what lies between is no graph output.
`,
	apply: func(s *sweep) error {
		for i, n := range s.x.Nodes {
			if n.GetOpType() == "Reshape" && n.GetDomain() == "" && s.free(i) {
				if err := splitProduct(s, i); err != nil {
					return err
				}
			}
		}
		return nil
	},
}

// columnProduct is a MatMul or Gemm with constant weights, with the Add of its bias, whose columns can be taken apart.
type columnProduct struct {
	nodes   []int // the product, and the Add behind it
	from    string
	weight  tensor.Tensor // [K, columns]
	bias    []float32     // of the columns; nil: none
	columns int64
	gemm    bool
}

// productOf finds the product that makes a tensor, which nothing but one operator reads.
func productOf(s *sweep, name string) (*columnProduct, error) {
	p := &columnProduct{}
	k, made := s.x.Producer[name]
	if !made {
		return nil, nil //nolint:nilnil // there is none
	}
	n := s.x.Nodes[k]
	var added string
	if n.GetOpType() == "Add" && n.GetDomain() == "" && len(n.GetInput()) == 2 {
		p.nodes = append(p.nodes, k)
		added = n.GetInput()[1]
		name = n.GetInput()[0]
		if s.x.Initializer[name] != nil {
			name, added = added, name
		}
		if _, sole := s.sole(name); !sole {
			return nil, nil //nolint:nilnil // another operator reads the product
		}
		if k, made = s.x.Producer[name]; !made {
			return nil, nil //nolint:nilnil // there is none
		}
		n = s.x.Nodes[k]
	}
	p.nodes = append(p.nodes, k)
	if op := n.GetOpType(); op != "MatMul" && op != "Gemm" || n.GetDomain() != "" || len(n.GetInput()) < 2 || !s.free(p.nodes...) {
		return nil, nil //nolint:nilnil // there is none
	}
	w, ok, err := s.constant(n.GetInput()[1])
	if err != nil || !ok || len(w.Shape) != 2 {
		return nil, err
	}
	if _, sole := s.sole(n.GetInput()[1]); !sole {
		return nil, nil //nolint:nilnil // a copy would be left
	}
	p.from, p.weight = n.GetInput()[0], w
	if n.GetOpType() == "Gemm" {
		l, ok, err := s.linearOf(k)
		if err != nil || !ok {
			return nil, err
		}
		p.gemm = true
		if onnx.AttrInt(n, "transB", 0) != 0 {
			p.weight = transposed(w)
		}
		if len(n.GetInput()) > 2 && n.GetInput()[2] != "" {
			for _, v := range l.bias {
				p.bias = append(p.bias, float32(v))
			}
		}
	}
	p.columns = p.weight.Shape[1]
	if added == "" {
		return p, nil
	}
	b, ok, err := s.constant(added)
	if err != nil || !ok || p.bias != nil {
		return nil, err
	}
	shape, known := s.shapes(name)
	if !known || len(shape) == 0 {
		return nil, nil //nolint:nilnil // the Add may widen the tensor
	}
	values, ok := perChannel(b, p.columns, len(shape), len(shape)-1)
	if !ok {
		return nil, nil //nolint:nilnil // it is more than a bias
	}
	for _, v := range values {
		p.bias = append(p.bias, float32(v))
	}
	return p, nil
}

// single is what takes one part of a tensor along an axis, and nothing else of it.
type single struct {
	nodes []int // a Gather; or a Squeeze behind the Split
	out   string
	index int64
}

// singles finds how a tensor's parts along one axis are taken; ok is false unless all that reads it takes single ones along the same axis.
func singles(s *sweep, name string, rank int) (axis int64, list []single, split []int, ok bool, err error) {
	axis = -1
	on := func(n *onnxpb.NodeProto) bool {
		a := onnx.AttrInt(n, "axis", 0)
		if a < 0 {
			a += int64(rank)
		}
		if axis < 0 {
			axis = a
		}
		return a == axis && a >= 0 && a < int64(rank)
	}
	if s.x.Output[name] || len(s.x.Consumers[name]) == 0 || !s.free(s.x.Consumers[name]...) {
		return 0, nil, nil, false, nil
	}
	shape, known := s.shapes(name)
	if !known || len(shape) != rank {
		return 0, nil, nil, false, nil
	}
	for _, k := range s.x.Consumers[name] {
		n := s.x.Nodes[k]
		switch {
		case n.GetDomain() != "" || n.GetInput()[0] != name || !on(n):
			return 0, nil, nil, false, nil
		case n.GetOpType() == "Gather":
			at, known, err := s.ints(n.GetInput()[1])
			dims, scalar := s.shapes(n.GetInput()[1])
			if err != nil || !known || len(at) != 1 || !scalar || len(dims) != 0 {
				return 0, nil, nil, false, err
			}
			if at[0] < 0 {
				at[0] += shape[axis]
			}
			if at[0] < 0 || at[0] >= shape[axis] {
				return 0, nil, nil, false, nil
			}
			list = append(list, single{[]int{k}, n.GetOutput()[0], at[0]})
		case n.GetOpType() == "Split":
			if int64(len(n.GetOutput())) != shape[axis] {
				return 0, nil, nil, false, nil
			}
			split = append(split, k)
			for i, out := range n.GetOutput() {
				if len(s.x.Consumers[out]) == 0 && !s.x.Output[out] {
					continue
				}
				part, known := s.shapes(out)
				q, sole := s.sole(out)
				if !known || !sole || len(part) != rank || part[axis] != 1 || s.x.Nodes[q].GetOpType() != "Squeeze" || s.x.Nodes[q].GetDomain() != "" {
					return 0, nil, nil, false, nil
				}
				left, known := s.shapes(s.x.Nodes[q].GetOutput()[0])
				if !known || !slices.Equal(left, slices.Delete(slices.Clone(part), int(axis), int(axis)+1)) {
					return 0, nil, nil, false, nil
				}
				list = append(list, single{[]int{q}, s.x.Nodes[q].GetOutput()[0], int64(i)})
			}
		default:
			return 0, nil, nil, false, nil
		}
	}
	return axis, list, split, len(list) > 0, nil
}

// splitProduct takes a product in front of a Reshape apart, where single parts are taken behind it.
func splitProduct(s *sweep, i int) error {
	reshape := s.x.Nodes[i]
	shape, known := s.shapes(reshape.GetOutput()[0])
	if !known || len(shape) < 3 || slices.ContainsFunc(shape, func(d int64) bool { return d < 1 }) {
		return nil
	}
	perm := make([]int64, len(shape))
	for d := range perm {
		perm[d] = int64(d)
	}
	read, between := reshape.GetOutput()[0], []int{i}
	if k, sole := s.sole(read); sole && s.x.Nodes[k].GetOpType() == "Transpose" && s.x.Nodes[k].GetDomain() == "" {
		given := onnx.Attr(s.x.Nodes[k], "perm").GetInts()
		if len(given) != len(shape) {
			return nil
		}
		perm, read, between = given, s.x.Nodes[k].GetOutput()[0], append(between, k)
	}
	axis, parts, split, ok, err := singles(s, read, len(shape))
	if err != nil || !ok {
		return err
	}
	if _, sole := s.sole(reshape.GetInput()[0]); !sole || s.x.Output[reshape.GetOutput()[0]] {
		return nil
	}
	p, err := productOf(s, reshape.GetInput()[0])
	if err != nil || p == nil {
		return err
	}
	at := int(perm[axis]) // of the parts in the Reshape
	first, inner := len(shape), int64(1)
	for first > 0 && inner < p.columns {
		first--
		inner *= shape[first]
	}
	if inner != p.columns || at < first {
		return nil
	}
	step := int64(1) // columns from one part to the next
	for _, d := range shape[at+1:] {
		step *= d
	}
	takeApart(s, p, parts, shape, perm, at, int(axis), step)
	for _, k := range slices.Concat(p.nodes, between, split) {
		s.replace(k)
	}
	s.changed("%s into %d", nameOf(s.x.Nodes[p.nodes[len(p.nodes)-1]]), len(parts))
	return nil
}

// takeApart writes a product for each part, in the place of what has taken it.
func takeApart(s *sweep, p *columnProduct, parts []single, shape, perm []int64, at, axis int, step int64) {
	smaller := slices.Delete(slices.Clone(shape), at, at+1)
	var order []int64
	for d, from := range perm {
		if d == axis {
			continue
		}
		if from > int64(at) {
			from--
		}
		order = append(order, from)
	}
	moved := !slices.IsSorted(order)
	target := s.freshInts(parts[0].out+"_shape", smaller...)
	for _, part := range parts {
		var columns []int64
		for c := range p.columns {
			if c/step%shape[at] == part.index {
				columns = append(columns, c)
			}
		}
		var w, b []float32
		for r := range p.weight.Shape[0] {
			for _, c := range columns {
				w = append(w, p.weight.F32[r*p.columns+c])
			}
		}
		for _, c := range columns {
			if p.bias != nil {
				b = append(b, p.bias[c])
			}
		}
		var nodes []*onnxpb.NodeProto
		node := func(op, suffix, out string, attributes []*onnxpb.AttributeProto, inputs ...string) string {
			if out == "" {
				out = s.unique(part.out + "_" + suffix)
			}
			nodes = append(nodes, &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(s.unique(part.out + "_" + suffix + "_node")), Input: inputs, Output: []string{out}, Attribute: attributes})
			return out
		}
		inputs := []string{p.from, s.fresh(part.out+"_weight", tensor.Floats(w, p.weight.Shape[0], int64(len(columns))))}
		var y string
		switch {
		case p.gemm:
			if b != nil {
				inputs = append(inputs, s.fresh(part.out+"_bias", tensor.Floats(b, int64(len(b)))))
			}
			y = node("Gemm", "product", "", nil, inputs...)
		case b != nil:
			y = node("Add", "biased", "", nil, node("MatMul", "product", "", nil, inputs...), s.fresh(part.out+"_bias", tensor.Floats(b, int64(len(b)))))
		default:
			y = node("MatMul", "product", "", nil, inputs...)
		}
		if moved {
			y = node("Reshape", "heads", "", nil, y, target)
			node("Transpose", "moved", part.out, []*onnxpb.AttributeProto{onnx.IntsAttr("perm", order)}, y)
		} else {
			node("Reshape", "heads", part.out, nil, y, target)
		}
		s.replace(part.nodes[0], nodes...)
	}
}
