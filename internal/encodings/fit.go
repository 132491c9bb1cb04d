package encodings

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/suggest"
	"quantcheck/internal/tensor"
)

// MisfitKind is how an entry of a file and a model do not fit each other.
type MisfitKind string

// The kinds, worst first.
const (
	Broken        MisfitKind = "makes no encoding"
	Channels      MisfitKind = "wrong number of encodings"
	WrongAxis     MisfitKind = "wrong axis"
	WrongSection  MisfitKind = "wrong section"
	Unknown       MisfitKind = "not in the model"
	NotQuantized  MisfitKind = "not quantized"
	Contradictory MisfitKind = "contradicts itself"
	Unshared      MisfitKind = "must share an encoding"
	Lacking       MisfitKind = "missing in the file"
)

// MisfitKinds lists them.
var MisfitKinds = []MisfitKind{Broken, Channels, WrongAxis, WrongSection, Unknown, NotQuantized, Contradictory, Unshared, Lacking}

// Refused says whether nothing can be quantized with such an entry.
func (k MisfitKind) Refused() bool { return k == Broken || k == Channels || k == WrongAxis }

// Misfit is one of them.
type Misfit struct {
	Tensor string     `json:"tensor"`
	Kind   MisfitKind `json:"kind"`
	Text   string     `json:"text"`
	Line   int        `json:"line,omitempty"` // of the file; 0: none
}

// Ground is the form of a float model that encodings are for.
type Ground struct {
	Model     *onnx.Model
	Placement *qdq.Placement
	Folded    map[string]string // tensors that a batch normalization's folding has taken out of Model
	Whole     *onnx.Index       // of the model with them
}

// fitting holds a file against a model.
type fitting struct {
	f    *File
	g    *Ground
	x    *onnx.Index
	of   map[string][]qdq.Param // constant → how nodes take it
	list []Misfit

	absents int
}

// Fit says how a file's encodings and a model do not fit each other: the worst kinds first, then by name.
func Fit(f *File, g *Ground) []Misfit {
	t := &fitting{f: f, g: g, x: onnx.NewIndex(g.Model), of: map[string][]qdq.Param{}}
	for _, p := range g.Placement.Params {
		name := t.x.Nodes[p.Node].GetInput()[p.Input]
		t.of[name] = append(t.of[name], p)
	}
	for _, p := range f.Problems {
		kind := Contradictory
		if p.Unusable {
			kind = Broken
		}
		t.list = append(t.list, Misfit{Tensor: p.Tensor, Kind: kind, Text: p.Text, Line: p.Line})
	}
	known := slices.Concat(g.Placement.Order, slices.Sorted(maps.Keys(t.of)))
	for _, name := range slices.Sorted(maps.Keys(f.Tensors)) {
		t.entry(name, f.Tensors[name], known)
	}
	t.shared()
	t.lacking()
	slices.SortStableFunc(t.list, func(a, b Misfit) int {
		return cmp.Or(cmp.Compare(slices.Index(MisfitKinds, a.Kind), slices.Index(MisfitKinds, b.Kind)), strings.Compare(a.Tensor, b.Tensor))
	})
	return t.list
}

func (t *fitting) say(name string, kind MisfitKind, format string, args ...any) {
	t.list = append(t.list, Misfit{Tensor: short(name), Kind: kind, Text: fmt.Sprintf(format, args...), Line: t.f.Tensors[name].Line})
}

func (t *fitting) entry(name string, a Asked, known []string) {
	place, activation := t.g.Placement.Tensors[name]
	constant := t.x.Initializer[name]
	switch {
	case activation:
		switch {
		case a.Section == Params:
			t.say(name, WrongSection, "it is an activation, and stands in %s: converters do not look for it there", Params)
		case place.Role == qdq.None:
			t.say(name, NotQuantized, "it stays float: %s", place.Reason)
		}
		if len(a.Encodings) > 1 {
			t.say(name, Channels, "%d encodings for an activation, which has one", len(a.Encodings))
		}
	case constant != nil && tensor.DType(constant.GetDataType()) == tensor.Float32:
		t.constant(name, a, constant)
	case constant != nil:
		t.say(name, NotQuantized, "it is a constant of type %s", tensor.DType(constant.GetDataType()))
	default:
		t.absent(name, known)
	}
}

func (t *fitting) absent(name string, known []string) {
	_, made := t.x.Producer[name]
	if into, gone := t.g.Folded[name]; gone {
		t.say(name, NotQuantized, "it is folded into %s", into)
		return
	}
	if made || t.x.Input[name] {
		t.say(name, NotQuantized, "it holds no real numbers")
		return
	}
	text := "the model has no tensor of this name"
	const most = 20 // names that are looked for
	if t.absents++; t.absents <= most {
		if near := suggest.Nearest(name, known); len(near) > 0 && suggest.Distance(name, near[0]) <= max(2, len(name)/2) {
			text += "; did you mean " + near[0] + "?"
		}
	}
	t.say(name, Unknown, "%s", text)
}

// constant holds the entry of a constant against its shape and against how it is used.
func (t *fitting) constant(name string, a Asked, c *onnxpb.TensorProto) {
	uses := t.of[name]
	axis := -1
	weight, product := false, false
	for _, u := range uses {
		weight = weight || u.Role != qdq.Operand
		axis = max(axis, u.Axis)
		if u.Role == qdq.Bias {
			axis = max(axis, 0)
		}
		product = product || t.x.Nodes[u.Node].GetOpType() == "MatMul"
	}
	if a.Section == Activations && weight {
		t.say(name, WrongSection, "it is a weight or a bias, and stands in %s: converters do not look for it there", Activations)
	}
	if a.Float || a.Unusable {
		return
	}
	shape := c.GetDims()
	g := givenOf(a, shape)
	if a.Axis != nil && (g.Axis < 0 || g.Axis >= len(shape)) {
		t.say(name, WrongAxis, "axis %d, and the tensor has %d dimensions", *a.Axis, len(shape))
		return
	}
	if a.Block > 0 {
		if err := g.CheckBlocks(shape, axis); err != nil {
			t.say(name, Channels, "%v", err)
		}
		return
	}
	if len(a.Encodings) < 2 {
		return
	}
	if a.Axis != nil && axis >= 0 && g.Axis != axis {
		t.say(name, WrongAxis, "axis %d, and %s has its channels along axis %d of shape %v", *a.Axis, t.x.Nodes[uses[0].Node].GetOpType(), axis, shape)
		return
	}
	if _, err := g.AxisIn(shape, axis); err != nil {
		t.say(name, Channels, "%v", err)
		return
	}
	if product {
		t.say(name, Unshared, "%d encodings for the weights of a MatMul, which has one on the HTP", len(a.Encodings))
	}
}

// shared names the places where a device needs one encoding for several tensors that have different ones.
func (t *fitting) shared() {
	for _, n := range t.x.Nodes {
		if len(n.GetOutput()) == 0 || len(n.GetInput()) == 0 {
			continue
		}
		if n.GetOpType() == "Concat" {
			t.joined(n)
			continue
		}
		if !qdq.Carries(t.x, n) {
			continue
		}
		for _, out := range n.GetOutput() {
			if t.g.Placement.Tensors[out].Role == qdq.Shares && t.differ(n.GetInput()[0], out) {
				t.say(out, Unshared, "%s only moves values, and what it takes, %s, has another encoding: converters take one of them", n.GetOpType(), n.GetInput()[0])
			}
		}
	}
}

// joined holds the tensors of a Concat against what it makes, or against the first if that has no entry.
func (t *fitting) joined(n *onnxpb.NodeProto) {
	out := n.GetOutput()[0]
	if t.g.Placement.Tensors[out].Role == qdq.None {
		return
	}
	one, others := out, n.GetInput()
	if _, has := t.f.Tensors[out]; !has {
		i := slices.IndexFunc(others, func(name string) bool { _, has := t.f.Tensors[name]; return has })
		if i < 0 {
			return
		}
		one, others = others[i], others[i+1:]
	}
	var apart []string
	for _, in := range others {
		if t.differ(in, one) && !slices.Contains(apart, in) {
			apart = append(apart, in)
		}
	}
	if len(apart) == 0 {
		return
	}
	const most = 4
	more := ""
	if len(apart) > most {
		more = fmt.Sprintf(" and %d more", len(apart)-most)
	}
	t.say(one, Unshared, "Concat requantizes %s%s, whose encodings are not that of %s: AIMET and converters give all of them one", strings.Join(apart[:min(len(apart), most)], ", "), more, one)
}

// differ says whether both tensors have entries, and not the same.
func (t *fitting) differ(a, b string) bool {
	x, ok := t.f.Tensors[a]
	y, also := t.f.Tensors[b]
	if !ok || !also || x.Unusable || y.Unusable {
		return false
	}
	if x.Float || y.Float || x.Bits != y.Bits {
		return x.Float != y.Float || x.Bits != y.Bits
	}
	if len(x.Encodings) != 1 || len(y.Encodings) != 1 {
		return false
	}
	return !sameGrid(x.Encodings[0], y.Encodings[0])
}

func sameGrid(a, b quant.Encoding) bool {
	return a.Offset == b.Offset && math.Abs(a.Scale-b.Scale) <= 1e-5*max(a.Scale, b.Scale)
}

// lacking names the activations and weights that a device quantizes and the file says nothing of.
func (t *fitting) lacking() {
	has := func(name string) bool { _, ok := t.f.Tensors[name]; return ok }
	for _, group := range t.g.Placement.Groups() {
		head := group[0]
		if t.g.Placement.Tensors[head].Role != qdq.Own || slices.ContainsFunc(group, has) {
			continue
		}
		text := "an activation without an entry: a converter calibrates it on its own samples"
		if t.f.Version == "2.0.0" {
			text += "; in version 2.0.0 tensors in half precision have no entry either"
		}
		t.say(head, Lacking, "%s", text)
	}
	for _, name := range slices.Sorted(maps.Keys(t.of)) {
		weight := slices.ContainsFunc(t.of[name], func(p qdq.Param) bool { return p.Role == qdq.Weight })
		if weight && !has(name) {
			t.say(name, Lacking, "a weight without an entry: a converter quantizes it by its own range")
		}
	}
}

// Given is what a file's usable entries say of a model's tensors.
func Given(f *File, g *Ground) map[string]qdq.Given {
	x := onnx.NewIndex(g.Model)
	given := map[string]qdq.Given{}
	for name, a := range f.Tensors {
		c := x.Initializer[name]
		if _, activation := g.Placement.Tensors[name]; a.Unusable || !activation && c == nil {
			continue
		}
		given[name] = givenOf(a, c.GetDims())
	}
	return given
}

func givenOf(a Asked, shape []int64) qdq.Given {
	g := qdq.Given{Float: a.Float, Bits: a.Bits, Encodings: a.Encodings, Axis: -1, Block: a.Block}
	if a.Axis != nil {
		if g.Axis = *a.Axis; g.Axis < 0 {
			g.Axis += len(shape)
		}
		if g.Axis < 0 {
			g.Axis = len(shape) // nowhere
		}
	}
	return g
}
