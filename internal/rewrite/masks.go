package rewrite

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

const (
	hugeFrom   = 1e4  // magnitude from which a constant's value is no ordinary number
	shutMargin = 20   // how far below the others a shut place's score lies: e^−20 is 2e-9
	shutBlind  = 50   // the same where nothing is known of the others
	maskSteps  = 4096 // bounds the search of one constant
)

// mask is a constant with huge or non-finite values, and how they come to a Softmax.
type mask struct {
	name   string
	values tensor.Tensor
	sign   float64   // of the huge values
	value  float64   // the greatest magnitude among them
	count  int       // how many there are
	open   []float64 // least and greatest of the other values; nil: there are none
	ends   []maskEnd
	reason string // why it is no mask; "" if it is one
	at     int    // the node that the reason is about, or the first one on the way
}

// maskEnd is one way of a constant to a Softmax. A value v of the constant is gain·v there.
type maskEnd struct {
	gain    float64
	added   []scaledOperand // what is added on the way
	beside  []scaledOperand // what a Where or a Max puts beside the constant
	toggles []string        // tensors of 0 and 1 that the constant is multiplied by
}

// scaledOperand is a tensor that meets the constant where the constant's values are multiplied by gain.
type scaledOperand struct {
	tensor string
	gain   float64
}

// maskFinder follows constants to the Softmaxes.
type maskFinder struct {
	f        *facts
	carriers map[string]bool // tensors that carry a mask's values
	steps    int
}

// masks finds the constants of the graph with huge or non-finite values, in the order of their names.
func (f *facts) masks() ([]*mask, *maskFinder, error) {
	w := &maskFinder{f: f, carriers: map[string]bool{}}
	var list []*mask
	for _, name := range slices.Sorted(maps.Keys(f.x.Initializer)) {
		if f.x.Input[name] || len(f.x.Consumers[name]) == 0 {
			continue
		}
		t, ok, err := f.constant(name)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			continue
		}
		m := maskOf(name, t)
		if m == nil {
			continue
		}
		m.at = f.x.Consumers[name][0]
		if m.reason == "" {
			w.steps = 0
			w.follow(m, name, maskEnd{gain: 1})
		}
		list = append(list, m)
	}
	return list, w, nil
}

// maskOf looks for huge values; nil if there are none.
func maskOf(name string, t tensor.Tensor) *mask {
	m := &mask{name: name, values: t}
	low, high := math.Inf(1), math.Inf(-1)
	negative, positive, nan := 0, 0, 0
	for _, v := range t.F32 {
		switch x := float64(v); {
		case math.IsNaN(x):
			nan++
		case x <= -hugeFrom:
			negative++
			m.value = math.Min(m.value, x)
		case x >= hugeFrom:
			positive++
			if negative == 0 {
				m.value = math.Max(m.value, x)
			}
		default:
			low, high = math.Min(low, x), math.Max(high, x)
		}
	}
	if low <= high {
		m.open = []float64{low, high}
	}
	switch {
	case nan > 0:
		m.reason = fmt.Sprintf("its constant %s holds NaN in %d of %d values", name, nan, len(t.F32))
	case negative == 0 && positive == 0:
		return nil
	case negative > 0 && positive > 0:
		m.reason = fmt.Sprintf("its constant %s holds huge values of both signs", name)
	}
	m.count, m.sign = negative+positive, -1
	if positive > 0 {
		m.sign = 1
	}
	return m
}

// isHuge says whether a value is one of a mask's.
func isHuge(v float32) bool { return !(math.Abs(float64(v)) < hugeFrom) }

// carrying are operators that only move the values of their first input.
var carrying = map[string]bool{
	"Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true, "Transpose": true, "Slice": true, "Split": true,
	"Gather": true, "Expand": true, "Tile": true, "Identity": true, "Cast": true, "Trilu": true, "Dropout": true,
}

// follow goes from a tensor that carries a mask's values to every reader of it, until a Softmax.
func (w *maskFinder) follow(m *mask, name string, s maskEnd) {
	w.carriers[name] = true
	if w.f.x.Output[name] {
		w.fail(m, m.at, "its values are in the output %s", name)
	}
	for _, k := range w.f.x.Consumers[name] {
		for i, in := range w.f.x.Nodes[k].GetInput() {
			if in == name {
				w.through(m, k, i, s)
			}
		}
		if slices.Contains(onnx.Captures(w.f.x.Nodes[k]), name) {
			w.fail(m, k, "a subgraph reads it")
		}
	}
}

func (w *maskFinder) fail(m *mask, node int, format string, args ...any) {
	if m.reason == "" {
		m.at, m.reason = node, fmt.Sprintf("its constant %s holds %s: ", m.name, spelled(m.value))+fmt.Sprintf(format, args...)
	}
}

// through takes a mask's values from input i of a node to its output.
func (w *maskFinder) through(m *mask, k, i int, s maskEnd) {
	n := w.f.x.Nodes[k]
	if w.steps++; m.reason != "" || w.steps > maskSteps {
		w.fail(m, k, "there are too many ways from it")
		return
	}
	op := n.GetOpType()
	if n.GetDomain() != "" {
		w.fail(m, k, "it does not only reach a Softmax")
		return
	}
	s = maskEnd{s.gain, slices.Clone(s.added), slices.Clone(s.beside), slices.Clone(s.toggles)}
	scores := len(s.added) > 0 || len(s.beside) > 0
	switch {
	case op == "Softmax" && i == 0:
		m.ends = append(m.ends, s)
		return
	case carrying[op] && i == 0, op == "Concat" && !scores:
	case op == "Neg":
		s.gain = -s.gain
	case op == "Add", op == "Sub":
		s.added = append(s.added, scaledOperand{n.GetInput()[1-i], s.gain})
		if op == "Sub" && i == 1 {
			s.gain = -s.gain
		}
	case op == "Where" && i > 0 && len(n.GetInput()) == 3:
		if !w.beside(m, k, n.GetInput()[3-i], scores, &s) {
			return
		}
	case op == "Max" && len(n.GetInput()) == 2:
		if !w.beside(m, k, n.GetInput()[1-i], scores, &s) {
			return
		}
	case op == "Mul" || op == "Div" && i == 0:
		if !w.scaled(m, k, i, scores, &s) {
			return
		}
	default:
		w.fail(m, k, "it does not only reach a Softmax")
		return
	}
	for _, out := range n.GetOutput() {
		if out != "" {
			w.follow(m, out, s)
		}
	}
}

// beside takes a mask into a Where or a Max with another tensor.
func (w *maskFinder) beside(m *mask, k int, other string, scores bool, s *maskEnd) bool {
	if !scores {
		s.beside = append(s.beside, scaledOperand{other, s.gain})
		return true
	}
	if t, ok, err := w.f.constant(other); err == nil && ok && len(t.F32) > 0 && !slices.ContainsFunc(t.F32, func(v float32) bool { return !isHuge(v) }) {
		return true // another mask
	}
	w.fail(m, k, "scores are mixed with others behind it")
	return false
}

// scaled takes a mask into a multiplication or a division: by constants of one sign, or by a tensor of 0 and 1.
func (w *maskFinder) scaled(m *mask, k, i int, scores bool, s *maskEnd) bool {
	n := w.f.x.Nodes[k]
	other := n.GetInput()[1-i]
	t, ok, err := w.f.constant(other)
	switch {
	case err != nil || !ok && (scores || n.GetOpType() != "Mul"):
		w.fail(m, k, "it is scaled by values that are not known")
		return false
	case !ok:
		s.toggles = append(s.toggles, other)
		return true
	}
	least, greatest, sign := math.Inf(1), 0.0, 0.0
	for _, v := range t.F32 {
		x := float64(v)
		if x == 0 && n.GetOpType() == "Mul" {
			continue
		}
		if sign == 0 {
			sign = math.Copysign(1, x)
		}
		if isHuge(v) || x*sign <= 0 {
			w.fail(m, k, "it is scaled by zero or by values of both signs")
			return false
		}
		least, greatest = math.Min(least, x*sign), math.Max(greatest, x*sign)
	}
	if sign == 0 {
		w.fail(m, k, "it is scaled by zero")
		return false
	}
	if n.GetOpType() == "Div" {
		s.gain /= sign * greatest
	} else {
		s.gain *= sign * least
	}
	return true
}

// maskRanges tells the least and the greatest value that was seen of a tensor.
type maskRanges func(tensor string) (low, high float64, ok bool)

// openRange is the range of a tensor without the values of masks that it carries.
func (w *maskFinder) openRange(name string, seen maskRanges) (low, high float64, ok bool) {
	if t, constant, err := w.f.constant(name); err == nil && constant {
		low, high = math.Inf(1), math.Inf(-1)
		for _, v := range t.F32 {
			if !isHuge(v) {
				low, high = math.Min(low, float64(v)), math.Max(high, float64(v))
			}
		}
		if low > high {
			return 0, 0, true
		}
		return low, high, true
	}
	k, made := w.f.x.Producer[name]
	if !made || !w.carriers[name] {
		return seen(name)
	}
	n := w.f.x.Nodes[k]
	in := n.GetInput()
	switch op := n.GetOpType(); {
	case carrying[op]:
		return w.openRange(in[0], seen)
	case op == "Neg":
		low, high, ok = w.openRange(in[0], seen)
		return -high, -low, ok
	case op == "Concat", op == "Where", op == "Max":
		if op == "Where" {
			in = in[1:]
		}
		low, high, ok = math.Inf(1), math.Inf(-1), true
		for _, part := range in {
			l, h, known := w.openRange(part, seen)
			low, high, ok = math.Min(low, l), math.Max(high, h), ok && known
		}
		return low, high, ok
	case op == "Add" || op == "Sub":
		l, h, known := w.openRange(in[0], seen)
		l2, h2, known2 := w.openRange(in[1], seen)
		if op == "Sub" {
			l2, h2 = -h2, -l2
		}
		return l + l2, h + h2, known && known2
	case op == "Mul" && !w.scales(n):
		return 0, 0, true // the places that the tensor of 0 and 1 leaves open
	case op == "Mul" || op == "Div":
		return w.scaledRange(n, seen)
	}
	return seen(name)
}

// scales says whether a multiplication is by a constant without huge values.
func (w *maskFinder) scales(n *onnxpb.NodeProto) bool {
	for i, in := range n.GetInput() {
		if t, ok, err := w.f.constant(in); err == nil && ok && w.carriers[n.GetInput()[1-i]] && !slices.ContainsFunc(t.F32, isHuge) {
			return true
		}
	}
	return false
}

// scaledRange is the range of a tensor that is multiplied or divided by a constant.
func (w *maskFinder) scaledRange(n *onnxpb.NodeProto, seen maskRanges) (low, high float64, ok bool) {
	x, by := n.GetInput()[0], n.GetInput()[1]
	if _, constant, _ := w.f.constant(x); constant && n.GetOpType() == "Mul" {
		x, by = by, x
	}
	l, h, known := w.openRange(x, seen)
	t, constant, err := w.f.constant(by)
	if err != nil || !known || !constant {
		return 0, 0, false
	}
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range t.F32 {
		f := float64(v)
		if n.GetOpType() == "Div" {
			f = 1 / f
		}
		low, high = math.Min(low, math.Min(f*l, f*h)), math.Max(high, math.Max(f*l, f*h))
	}
	return low, high, true
}

// clamp is the value of least magnitude that does what the mask's huge values do, and what was known for it. The reason says why there
// is none.
func (w *maskFinder) clamp(m *mask, seen maskRanges) (value float64, blind bool, reason string) {
	value = math.Inf(-int(m.sign)) // nothing yet
	for _, e := range m.ends {
		if m.sign*e.gain > 0 {
			return 0, false, "its values open places instead of shutting them"
		}
		for _, name := range e.toggles {
			if reason := w.toggles(name, seen); reason != "" {
				return 0, false, reason
			}
		}
		v, known := w.endClamp(m, e, seen)
		if !known {
			blind, v = true, m.sign*shutBlind/math.Abs(e.gain)
		}
		if m.sign < 0 {
			value = math.Min(value, math.Floor(v))
		} else {
			value = math.Max(value, math.Ceil(v))
		}
	}
	if isHuge(float32(value)) || math.Abs(value) >= math.Abs(m.value) {
		return 0, blind, fmt.Sprintf("%s would have to take its place", spelled(value))
	}
	return value, blind, ""
}

// endClamp is the clamp for one way: the range of what is added and the margin below the least value of an open place.
func (w *maskFinder) endClamp(m *mask, e maskEnd, seen maskRanges) (value float64, ok bool) {
	reach := shutMargin / math.Abs(e.gain)
	for _, a := range e.added {
		low, high, known := w.openRange(a.tensor, seen)
		if !known {
			return 0, false
		}
		reach += (high - low) / math.Abs(a.gain)
	}
	var bases []float64
	if len(m.open) > 0 {
		bases = append(bases, m.open...)
	}
	if len(e.beside) == 0 {
		bases = append(bases, 0)
	}
	for _, b := range e.beside {
		low, high, known := w.openRange(b.tensor, seen)
		if !known {
			return 0, false
		}
		bases = append(bases, low/b.gain, high/b.gain)
	}
	base := slices.Min(bases)
	if m.sign > 0 {
		base = slices.Max(bases)
	}
	value = base + m.sign*reach
	return value, !math.IsNaN(value) && !math.IsInf(value, 0)
}

// toggles says why a tensor does not hold 0 and 1 only; it is "" if it does, as far as is seen.
func (w *maskFinder) toggles(name string, seen maskRanges) string {
	low, high, known := seen(name)
	if known && (low < 0 || high > 1) {
		return fmt.Sprintf("it is multiplied by %s, which goes from %g to %g on the samples", name, low, high)
	}
	if !known && !w.binary(name) {
		return fmt.Sprintf("it is multiplied by %s, and it is not known that this is 0 or 1", name)
	}
	return ""
}

// binary says whether a tensor is made of truth values or of integers that stand for them, or is 1 minus such a tensor.
func (w *maskFinder) binary(name string) bool {
	for range farthest {
		k, made := w.f.x.Producer[name]
		if !made {
			return false
		}
		n := w.f.x.Nodes[k]
		switch op := n.GetOpType(); {
		case op == "Cast" && !w.f.float(n.GetInput()[0]):
			return true
		case carrying[op]:
			name = n.GetInput()[0]
		case op == "Sub":
			t, ok, err := w.f.constant(n.GetInput()[0])
			if err != nil || !ok || slices.ContainsFunc(t.F32, func(v float32) bool { return v != 1 }) {
				return false
			}
			name = n.GetInput()[1]
		default:
			return false
		}
	}
	return false
}

// spelled writes a value as people write it.
func spelled(v float64) string {
	switch {
	case math.IsInf(v, -1):
		return "-inf"
	case math.IsInf(v, 1):
		return "+inf"
	}
	return fmt.Sprintf("%.4g", v)
}

// Mask is a constant that shuts places of a Softmax by huge or infinite values, and that clamp-masks can clamp.
type Mask struct {
	Name  string
	Value float64 // the one of greatest magnitude
}

// Masks finds the masks of a model, in the order of their names.
func Masks(m *onnx.Model, shapes Shapes) ([]Mask, error) {
	f := &facts{m: m, x: onnx.NewIndex(m), shapes: shapes, seen: map[string]*view{}, float: func(string) bool { return false }}
	found, _, err := f.masks()
	if err != nil {
		return nil, err
	}
	var list []Mask
	for _, k := range found {
		if k.reason == "" {
			list = append(list, Mask{k.name, k.value})
		}
	}
	return list, nil
}
