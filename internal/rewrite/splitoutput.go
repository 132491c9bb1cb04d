package rewrite

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// SplitOutput is the name of the pass that cuts outputs into parts.
const SplitOutput = "split-output"

// unlikeRanges is how much longer one part's range is than another's, from which one encoding does not do for both.
const unlikeRanges = 8

var splitOutput = Pass{
	Name: SplitOutput, Title: "an output that a Concat makes of parts with unlike ranges becomes one output for each part", Tolerance: 0, Off: true, Once: true,
	Order: "behind what changes operators, since it looks at what is left in front of the outputs",
	Why:   "A Concat has one encoding for all its parts: with boxes of 0..640 beside scores of 0..1, one step of 8 bits is 2.5, and every score is 0. It changes the model's outputs, so it is asked for by name, and whoever reads them has to know.",
	Doc: `
    Before   a, b ─ Concat ─ y (output)                           After   a ─ y_a,  b ─ y_b (outputs)
    Before   a, b ─ Concat ─ Transpose or Reshape ─ y (output)    After   a ─ Transpose or Reshape ─ y_a,  b ─ … ─ y_b (outputs)

The parts, joined again along the axis, are exactly the old output, which the proof holds them against. A part is called after the output
and the tensor that it is made of. Conditions: nobody else reads what lies between the Concat and the output; a Reshape keeps the axis of
the Concat as an axis of its own. With --pass every output that a Concat makes is cut; else only those whose parts' ranges (with zero) differ
more than 8-fold on the samples (--verify-on). An output is cut once, at its last Concat.
`,
	apply: func(s *sweep) error {
		var heads []*head
		var names []string
		for _, out := range s.m.Outputs() {
			if h := s.headOf(out); h != nil {
				heads = append(heads, h)
				names = append(names, s.x.Nodes[h.concat].GetInput()...)
			}
		}
		if len(heads) == 0 {
			return nil
		}
		var spans map[string]Span // nil: there are no samples
		if s.measured != nil && !s.asked {
			var err error
			if spans, err = s.measured(names); err != nil {
				return err
			}
		}
		instead := map[string][]string{}
		for _, h := range heads {
			if reason := h.alike(s.x.Nodes[h.concat].GetInput(), spans); reason != "" && !s.asked {
				s.leave(s.x.Nodes[h.concat], "%s", reason)
				continue
			}
			j := s.cutHead(h)
			instead[h.output] = j.Parts
			s.joins = append(s.joins, j)
			s.changed("%s becomes %s", h.output, strings.Join(j.Parts, ", "))
		}
		if len(s.changes) > 0 {
			s.whole = s.withOutputs(instead)
		}
		return nil
	},
}

// Join says how an output that was cut is made of its parts again.
type Join struct {
	Output string   `json:"output"`
	Axis   int      `json:"axis"`
	Parts  []string `json:"parts"`
}

// head is an output with the Concat that makes it, and what stands between them, from the Concat on.
type head struct {
	output  string
	concat  int
	behind  []int
	axis    int   // of the Concat
	axes    []int // behind each operator of behind
	reshape [][]int64
}

// headOf finds the Concat that makes an output; nil if it is not made by one that can be cut.
func (f *facts) headOf(output string) *head {
	h := &head{output: output}
	name := output
	for range farthest {
		k, made := f.x.Producer[name]
		if !made || name != output && (f.x.Output[name] || len(f.x.Consumers[name]) != 1) || name == output && len(f.x.Consumers[name]) > 0 {
			return nil
		}
		n := f.x.Nodes[k]
		if n.GetDomain() != "" || len(n.GetOutput()) != 1 {
			return nil
		}
		switch n.GetOpType() {
		case "Concat":
			h.concat = k
			return f.axesOf(h)
		case "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity":
			h.behind = append([]int{k}, h.behind...)
			name = n.GetInput()[0]
		default:
			return nil
		}
	}
	return nil
}

// axesOf follows the Concat's axis to the output; nil if it does not stay an axis of its own.
func (f *facts) axesOf(h *head) *head {
	n := f.x.Nodes[h.concat]
	shape, known := f.shapes(n.GetOutput()[0])
	axis := int(onnx.AttrInt(n, "axis", 0))
	if axis < 0 {
		axis += len(shape)
	}
	if !known || axis < 0 || axis >= len(shape) || len(n.GetInput()) < 2 {
		return nil
	}
	h.axis = axis
	for _, k := range h.behind {
		b := f.x.Nodes[k]
		after, known := f.shapes(b.GetOutput()[0])
		if !known {
			return nil
		}
		switch b.GetOpType() {
		case "Identity":
		case "Transpose":
			perm := onnx.Attr(b, "perm").GetInts()
			if perm == nil {
				for d := range shape {
					perm = append(perm, int64(len(shape)-1-d))
				}
			}
			axis = slices.Index(perm, int64(axis))
		default:
			if !fixed(shape) || !fixed(after) {
				return nil
			}
			axis = sameAxis(shape, after, axis)
		}
		if axis < 0 {
			return nil
		}
		shape = after
		h.axes, h.reshape = append(h.axes, axis), append(h.reshape, after)
	}
	return h
}

// fixed says whether all dimensions are known.
func fixed(shape []int64) bool {
	return !slices.ContainsFunc(shape, func(d int64) bool { return d < 1 })
}

// sameAxis finds the axis of a reshaped tensor that holds the same elements as one before: as long, with as many elements in front. It is −1 if
// there is none.
func sameAxis(before, after []int64, axis int) int {
	product := func(list []int64) int64 {
		p := int64(1)
		for _, d := range list {
			p *= d
		}
		return p
	}
	for d := range after {
		if after[d] == before[axis] && product(after[:d]) == product(before[:axis]) {
			return d
		}
	}
	return -1
}

// alike says why an output is not worth cutting; it is "" if it is.
func (h *head) alike(parts []string, spans map[string]Span) string {
	if spans == nil {
		return "what ranges its parts have is not known: give samples (--verify-on), or --pass " + SplitOutput
	}
	least, greatest := math.Inf(1), 0.0
	for _, part := range parts {
		span, known := spans[part]
		if !known || len(span.Low) == 0 {
			return fmt.Sprintf("the range of %s is not known", part)
		}
		r := math.Max(slices.Max(span.High), 0) - math.Min(slices.Min(span.Low), 0)
		if r > 0 && !math.IsInf(r, 0) {
			least, greatest = math.Min(least, r), math.Max(greatest, r)
		}
	}
	if !(greatest > unlikeRanges*least) {
		return fmt.Sprintf("the ranges of its parts go from %.3g to %.3g: one encoding does for all", least, greatest)
	}
	return ""
}

// cutHead puts an output of its own in the place of each part.
func (e *edits) cutHead(h *head) Join {
	concat := e.of.x.Nodes[h.concat]
	j := Join{Output: h.output, Axis: h.axis}
	if len(h.axes) > 0 {
		j.Axis = h.axes[len(h.axes)-1]
	}
	e.replace(h.concat)
	for _, k := range h.behind {
		e.replace(k)
	}
	last := h.concat
	if len(h.behind) > 0 {
		last = h.behind[len(h.behind)-1]
	}
	var nodes []*onnxpb.NodeProto
	for i, part := range concat.GetInput() {
		out := e.unique(h.output + "_" + plain(part))
		j.Parts = append(j.Parts, out)
		if len(h.behind) == 0 && e.renameMade(part, out) {
			continue
		}
		nodes = append(nodes, e.branch(h, i, part, out)...)
	}
	e.replaced[last] = nodes
	return j
}

// renameMade gives a tensor another name where it is made, for all that read it; it is false if that cannot be done.
func (e *edits) renameMade(from, to string) bool {
	p, made := e.of.x.Producer[from]
	if !made || e.of.x.Output[from] || e.touched[p] {
		return false
	}
	if _, done := e.rename[from]; done {
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
	return true
}

// branch gives one part the operators that stood behind the Concat.
func (e *edits) branch(h *head, part int, from, to string) []*onnxpb.NodeProto {
	if len(h.behind) == 0 {
		return []*onnxpb.NodeProto{{OpType: proto.String("Identity"), Name: proto.String(to), Input: []string{from}, Output: []string{to}}}
	}
	length := int64(0)
	if shape, known := e.of.shapes(from); known && h.axis < len(shape) {
		length = shape[h.axis]
	}
	var nodes []*onnxpb.NodeProto
	for i, k := range h.behind {
		n := proto.CloneOf(e.of.x.Nodes[k])
		n.Name = proto.String(fmt.Sprintf("%s_part%d", nameOf(n), part))
		n.Input[0] = from
		if i == len(h.behind)-1 {
			n.Output[0] = to
		} else {
			n.Output[0] = e.unique(fmt.Sprintf("%s_part%d", n.GetOutput()[0], part))
		}
		if op := n.GetOpType(); op != "Transpose" && op != "Identity" {
			shape := slices.Clone(h.reshape[i])
			shape[h.axes[i]] = length
			n.OpType, n.Attribute = proto.String("Reshape"), nil
			n.Input = []string{from, e.freshInts(n.GetOutput()[0]+"_shape", shape...)}
		}
		from = n.GetOutput()[0]
		nodes = append(nodes, n)
	}
	return nodes
}

// plain is a tensor's name as a part of another's.
func plain(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, name), "_")
}

// withOutputs makes the changed graph, with other outputs in the place of some.
func (e *edits) withOutputs(instead map[string][]string) *onnx.Model {
	m := e.of.m
	g := m.Graph()
	cut := &onnxpb.GraphProto{
		Name: g.Name, Node: g.GetNode(), Initializer: g.GetInitializer(), SparseInitializer: g.GetSparseInitializer(), Input: g.GetInput(),
	}
	for _, out := range g.GetOutput() {
		parts, replaced := instead[out.GetName()]
		if !replaced {
			cut.Output = append(cut.Output, out)
			continue
		}
		for _, part := range parts {
			cut.Output = append(cut.Output, onnx.Untyped(part))
		}
	}
	return e.rebuildFrom(m.With(cut))
}

// Tensor joins the parts of an output again, all float32 or converted to it. The error says which part does not fit.
func (j Join) Tensor(parts map[string]tensor.Tensor) (tensor.Tensor, error) {
	var shape []int64
	var lists [][]float32
	var lengths []int
	for _, name := range j.Parts {
		t := parts[name]
		values, ok := t.AsFloat32()
		if !ok || j.Axis < 0 || j.Axis >= len(t.Shape) || shape != nil && len(t.Shape) != len(shape) {
			return tensor.Tensor{}, fmt.Errorf("the part %s of the output %s has the shape %v", name, j.Output, t.Shape)
		}
		if shape == nil {
			shape = slices.Clone(t.Shape)
			shape[j.Axis] = 0
		}
		each := 1
		for d, n := range t.Shape {
			switch {
			case d >= j.Axis:
				each *= int(n)
			case n != shape[d]:
				return tensor.Tensor{}, fmt.Errorf("the part %s of the output %s has the shape %v", name, j.Output, t.Shape)
			}
		}
		shape[j.Axis] += t.Shape[j.Axis]
		lists, lengths = append(lists, values), append(lengths, each)
	}
	var all []float32
	for at := 0; len(lists) > 0 && lengths[0] > 0 && at*lengths[0] < len(lists[0]); at++ {
		for i, values := range lists {
			if (at+1)*lengths[i] > len(values) {
				return tensor.Tensor{}, fmt.Errorf("the part %s of the output %s has %d values", j.Parts[i], j.Output, len(values))
			}
			all = append(all, values[at*lengths[i]:(at+1)*lengths[i]]...)
		}
	}
	return tensor.Floats(all, shape...), nil
}
