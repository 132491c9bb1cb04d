package rewrite

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

var einsumToMatmul = Pass{
	Name: "einsum-to-matmul", Title: "an Einsum that is a matrix product becomes a MatMul with the transposes that it needs", Tolerance: 1e-5,
	Order: "behind the folding of constants, whose values it moves, and before split-qkv, four-axes and matmul-to-conv, which look for MatMul",
	Why:   "The HTP takes few equations of Einsum and refuses the others, and a weight in an Einsum is not quantized as one.",
	Doc: `
    Before   Einsum(a [B,Q,H,D], b [B,K,H,D]; bqhd,bkhd->bhqk)
    After    Transpose(a) [B,H,Q,D] ─ MatMul ─ y [B,H,Q,K],   Transpose(b) [B,H,D,K] ─ the same MatMul

Letters of both operands and the result are axes of the batch, letters of both operands alone are summed over. Operands are exchanged where the
result is in order then; axes that follow each other become one where more than four would be left; constants are moved at once. An Einsum of one
operand that only moves axes becomes a Transpose. Ellipses are taken like letters.
Conditions: two operands (or one) of known shapes; no letter twice in an operand; at least one letter that is summed over, and none that
one operand has alone; no broadcasting.
`,
	apply: func(s *sweep) error {
		for i, n := range s.x.Nodes {
			if n.GetOpType() != "Einsum" || n.GetDomain() != "" || !s.free(i) {
				continue
			}
			e, err := equationOf(s, n)
			if err != nil {
				s.leave(n, "%v", err)
				continue
			}
			nodes, err := e.written(s, n)
			if err != nil {
				return err
			}
			s.replace(i, nodes...)
			s.changed("%s: %s", nameOf(n), onnx.AttrString(n, "equation", ""))
		}
		return nil
	},
}

// equation is an Einsum of one or two operands, with a letter for each axis.
type equation struct {
	operands [][]rune
	out      []rune
	size     map[rune]int64
}

// firstOfEllipsis is the letter of an ellipsis's last axis; those before it follow.
const firstOfEllipsis = rune(0x100)

// equationOf reads an Einsum's equation and holds it against the shapes; the error says why it is no matrix product.
func equationOf(s *sweep, n *onnxpb.NodeProto) (*equation, error) {
	e := &equation{size: map[rune]int64{}}
	left, right, explicit := strings.Cut(strings.ReplaceAll(onnx.AttrString(n, "equation", ""), " ", ""), "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(n.GetInput()) || len(terms) > 2 {
		return nil, fmt.Errorf("it has %d operands", len(n.GetInput()))
	}
	ellipsis := 0
	for k, term := range terms {
		shape, known := s.shapes(n.GetInput()[k])
		if !known || slices.ContainsFunc(shape, func(d int64) bool { return d < 1 }) {
			return nil, errors.New("its shapes are not known")
		}
		dots := len(shape) - len([]rune(strings.Replace(term, "...", "", 1)))
		letters, err := spelt(term, dots)
		if err != nil || len(letters) != len(shape) {
			return nil, errors.New("its equation is not understood")
		}
		if strings.Contains(term, "...") {
			ellipsis = max(ellipsis, dots)
		}
		for d, c := range letters {
			if slices.Index(letters, c) != d {
				return nil, errors.New("it takes a diagonal")
			}
			if was, seen := e.size[c]; seen && was != shape[d] {
				return nil, errors.New("it broadcasts an axis")
			}
			e.size[c] = shape[d]
		}
		e.operands = append(e.operands, letters)
	}
	if !explicit {
		right = implied(terms)
	}
	var err error
	if e.out, err = spelt(right, ellipsis); err != nil {
		return nil, errors.New("its equation is not understood")
	}
	for d, c := range e.out {
		if _, known := e.size[c]; !known || slices.Index(e.out, c) != d {
			return nil, errors.New("its equation is not understood")
		}
	}
	return e, e.fits()
}

// spelt gives the letters of a term, with those of an ellipsis of some axes.
func spelt(term string, ellipsis int) ([]rune, error) {
	before, after, dots := strings.Cut(term, "...")
	letters := []rune(before)
	if dots {
		for d := ellipsis - 1; d >= 0; d-- {
			letters = append(letters, firstOfEllipsis+rune(d))
		}
	}
	letters = append(letters, []rune(after)...)
	for _, c := range letters {
		if c < firstOfEllipsis && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return nil, fmt.Errorf("%q is no letter", c)
		}
	}
	return letters, nil
}

// implied is the result of an equation that has none: the ellipsis, and the letters that stand once, in their order
// (https://onnx.ai/onnx/operators/onnx__Einsum.html).
func implied(terms []string) string {
	all := strings.Join(terms, "")
	var out strings.Builder
	if strings.Contains(all, "...") {
		out.WriteString("...")
	}
	all = strings.ReplaceAll(all, ".", "")
	letters := []rune(all)
	slices.Sort(letters)
	for _, c := range letters {
		if strings.Count(all, string(c)) == 1 {
			out.WriteRune(c)
		}
	}
	return out.String()
}

// fits says why an equation is no matrix product.
func (e *equation) fits() error {
	if len(e.operands) == 1 {
		if len(e.out) != len(e.operands[0]) {
			return errors.New("it sums over axes of one operand")
		}
		return nil
	}
	for k, letters := range e.operands {
		for _, c := range letters {
			if !slices.Contains(e.out, c) && !slices.Contains(e.operands[1-k], c) {
				return errors.New("it sums over an axis of one operand")
			}
		}
	}
	if len(e.letters(func(a, b, out bool) bool { return a && b && !out })) == 0 {
		return errors.New("it sums over nothing: it is a product of elements")
	}
	return nil
}

// letters lists the letters of one kind in the order of the result, then of the first operand.
func (e *equation) letters(kind func(a, b, out bool) bool) []rune {
	var list []rune
	for _, c := range slices.Concat(e.out, e.operands[0], e.operands[1]) {
		if kind(slices.Contains(e.operands[0], c), slices.Contains(e.operands[1], c), slices.Contains(e.out, c)) && !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return list
}

// written gives the operators that compute the equation.
func (e *equation) written(s *sweep, n *onnxpb.NodeProto) ([]*onnxpb.NodeProto, error) {
	w := &einsumWriter{s: s, name: nameOf(n), y: n.GetOutput()[0], size: e.size}
	inputs := n.GetInput()
	if len(inputs) == 1 {
		w.last("Transpose", []*onnxpb.AttributeProto{onnx.IntsAttr("perm", order(e.operands[0], e.out))}, inputs[0])
		return w.nodes, nil
	}
	batch := e.letters(func(a, b, out bool) bool { return a && b && out })
	rows := e.letters(func(a, b, _ bool) bool { return a && !b })
	columns := e.letters(func(a, b, _ bool) bool { return b && !a })
	summed := e.letters(func(_, _, out bool) bool { return !out })
	if len(columns) > 0 && len(rows) == 0 || len(columns) > 0 && slices.Index(e.out, columns[0]) < slices.Index(e.out, rows[0]) {
		inputs, rows, columns = []string{inputs[1], inputs[0]}, columns, rows
		e = &equation{operands: [][]rune{e.operands[1], e.operands[0]}, out: e.out, size: e.size}
	}
	lead := [][]rune{} // axes of the batch as they are multiplied
	for _, c := range batch {
		lead = append(lead, []rune{c})
	}
	if len(batch) > mostAxes-2 {
		lead = [][]rune{batch}
	}
	left := append(slices.Clone(lead), rows, summed)
	if len(batch) == 0 && len(rows) > 0 && len(rows) < mostAxes { // a matrix serves all of them
		left = nil
		for _, c := range rows {
			left = append(left, []rune{c})
		}
		left = append(left, summed)
	}
	a, err := w.operand("a", inputs[0], e.operands[0], left)
	if err != nil {
		return nil, err
	}
	b, err := w.operand("b", inputs[1], e.operands[1], append(slices.Clone(lead), summed, columns))
	if err != nil {
		return nil, err
	}
	made := append(slices.Clone(left[:len(left)-1]), columns)
	flat := slices.Concat(made...)
	shaped, moved := !w.single(made), !slices.Equal(flat, e.out)
	if !shaped && !moved {
		w.last("MatMul", nil, a, b)
		return w.nodes, nil
	}
	y := w.node("MatMul", "product", nil, a, b)
	perm := []*onnxpb.AttributeProto{onnx.IntsAttr("perm", order(flat, e.out))}
	switch {
	case shaped && moved:
		w.last("Transpose", perm, w.node("Reshape", "axes", nil, y, w.shape("axes", w.dims(flat))))
	case shaped:
		w.last("Reshape", nil, y, w.shape("axes", w.dims(flat)))
	default:
		w.last("Transpose", perm, y)
	}
	return w.nodes, nil
}

// order is the perm of a Transpose that brings letters into another order.
func order(from, to []rune) []int64 {
	perm := make([]int64, len(to))
	for i, c := range to {
		perm[i] = int64(slices.Index(from, c))
	}
	return perm
}

// einsumWriter writes the operators in the place of an Einsum.
type einsumWriter struct {
	s       *sweep
	name, y string
	size    map[rune]int64
	nodes   []*onnxpb.NodeProto
}

func (w *einsumWriter) node(op, suffix string, attributes []*onnxpb.AttributeProto, inputs ...string) string {
	out := w.s.unique(w.y + "_" + suffix)
	w.nodes = append(w.nodes, &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(w.name + "_" + suffix), Input: inputs, Output: []string{out}, Attribute: attributes})
	return out
}

// last is the operator that makes the result.
func (w *einsumWriter) last(op string, attributes []*onnxpb.AttributeProto, inputs ...string) {
	w.nodes = append(w.nodes, &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(w.name), Input: inputs, Output: []string{w.y}, Attribute: attributes})
}

func (w *einsumWriter) dims(letters []rune) []int64 {
	dims := make([]int64, len(letters))
	for i, c := range letters {
		dims[i] = w.size[c]
	}
	return dims
}

func (w *einsumWriter) shape(suffix string, dims []int64) string {
	return w.s.freshInts(w.y+"_"+suffix+"_shape", dims...)
}

// single says whether each group of axes is one axis.
func (w *einsumWriter) single(groups [][]rune) bool {
	return !slices.ContainsFunc(groups, func(g []rune) bool { return len(g) != 1 })
}

// operand brings an operand into groups of axes, each of which becomes one.
func (w *einsumWriter) operand(suffix, name string, letters []rune, groups [][]rune) (string, error) {
	flat := slices.Concat(groups...)
	var dims []int64
	for _, g := range groups {
		d := int64(1)
		for _, c := range g {
			d *= w.size[c]
		}
		dims = append(dims, d)
	}
	moved, shaped := !slices.Equal(flat, letters), !w.single(groups)
	if c, ok, err := w.s.constant(name); err != nil {
		return "", err
	} else if ok && (moved || shaped) {
		return w.s.fresh(name+"_"+suffix, permuted(c, order(letters, flat), dims)), nil
	}
	if moved {
		name = w.node("Transpose", suffix+"_moved", []*onnxpb.AttributeProto{onnx.IntsAttr("perm", order(letters, flat))}, name)
	}
	if shaped {
		name = w.node("Reshape", suffix+"_matrix", nil, name, w.shape(suffix, dims))
	}
	return name, nil
}

// permuted gives a constant with its axes in another order, under a shape.
func permuted(t tensor.Tensor, perm []int64, shape []int64) tensor.Tensor {
	stride := make([]int, len(t.Shape)) // in the old tensor
	step := 1
	for d := len(t.Shape) - 1; d >= 0; d-- {
		stride[d] = step
		step *= int(t.Shape[d])
	}
	out := make([]float32, len(t.F32))
	at := make([]int64, len(perm))
	for i := range out {
		from := 0
		for d, p := range perm {
			from += int(at[d]) * stride[p]
		}
		out[i] = t.F32[from]
		for d := len(perm) - 1; d >= 0; d-- {
			if at[d]++; at[d] < t.Shape[perm[d]] {
				break
			}
			at[d] = 0
		}
	}
	return tensor.Floats(out, shape...)
}
