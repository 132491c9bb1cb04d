package qdq

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/tensor"
)

// Island names the tensors of one layer that was quantized alone.
type Island struct {
	Layer string
	Full  string // inputs, weights and output quantized
	// Weights has the weights quantized only; Acts the inputs and the output only. Both are "" if the layer has no
	// weights: then its weights make no error, and its activations all of it.
	Weights, Acts string
}

// IsolatedLayers is one graph in which every layer of a variant is computed alone, from the float values of its inputs.
type IsolatedLayers struct {
	Model  *onnx.Model
	Layers []Island
	// Skipped names the layers that have no island, with the reason.
	Skipped map[string]string
}

// LayerTap says which tensor of a variant belongs to a layer of the float model.
type LayerTap struct {
	Layer, Tap string
	Clamp      *Bounds // of the activation that makes the layer in the float model; nil: none does
}

// Isolator takes a quantized model apart: it knows its quantizers, its weights, and which of its tensors are layers.
type Isolator struct {
	v      *onnx.Model
	x      *onnx.Index
	layers []LayerTap
	order  map[string]int    // layer → position in the float graph
	source map[string]string // tensor of the variant that is a layer or a quantized input → layer or input
	float  map[string]*onnxpb.TensorProto
	types  map[string]onnxruntime.Type
	// removed has the activations that the variant has not, by the tensor before the quantizer whose range stands for them.
	removed map[string]Bounds
}

// NewIsolator prepares a variant: layers in the float graph's order; floats gives, for a constant of the variant that is
// quantized, its float original if it is known; types are those of the float model's tensors.
func NewIsolator(v *onnx.Model, layers []LayerTap, floats map[string]*onnxpb.TensorProto, types map[string]onnxruntime.Type) *Isolator {
	s := &Isolator{v: v, x: onnx.NewIndex(v), layers: layers, order: map[string]int{}, source: map[string]string{}, float: floats, types: types, removed: map[string]Bounds{}}
	for i, l := range layers {
		s.order[l.Layer] = i
		s.source[l.Tap] = l.Layer
	}
	for _, in := range v.Inputs() {
		name := in.GetName()
		s.order[name] = -1
		for _, k := range s.x.Consumers[name] {
			first := s.x.Nodes[k]
			for _, k2 := range s.x.Consumers[first.GetOutput()[0]] {
				if out := s.x.Nodes[k2].GetOutput()[0]; len(s.rounder(out)) == 2 && s.source[out] == "" {
					s.source[out] = name
				}
			}
		}
	}
	s.findRemoved()
	return s
}

// rounder finds the pair of nodes that rounds a tensor to the grid it is on, following data movement back; nil if there
// is none. The first node's first input is what is rounded.
func (s *Isolator) rounder(name string) []*onnxpb.NodeProto {
	for range s.x.Nodes {
		p, ok := s.x.Producer[name]
		if !ok {
			return nil
		}
		n := s.x.Nodes[p]
		switch {
		case n.GetOpType() == "DequantizeLinear" || isCastTo(n, tensor.Float32):
			q, made := s.x.Producer[n.GetInput()[0]]
			if made && (s.x.Nodes[q].GetOpType() == "QuantizeLinear" || isCastTo(s.x.Nodes[q], tensor.Float16)) {
				return []*onnxpb.NodeProto{s.x.Nodes[q], n}
			}
			return nil
		case moves(s.x, n) && len(n.GetInput()) > 0:
			name = n.GetInput()[0]
		default:
			return nil
		}
	}
	return nil
}

func isCastTo(n *onnxpb.NodeProto, d tensor.DType) bool {
	return n.GetOpType() == "Cast" && tensor.DType(onnx.AttrInt(n, "to", 0)) == d
}

// unit is what computes one layer in the variant.
type unit struct {
	end    string              // the layer's tensor before it is rounded
	round  []*onnxpb.NodeProto // its own rounding, nil if it only carries another's grid
	nodes  []int               // in graph order
	inputs []string            // tensors of the variant that are layers or quantized inputs
	params map[string]bool     // dequantized constants that it uses
}

// unitOf walks back from a layer's tensor to the layers that it is computed from.
func (s *Isolator) unitOf(l LayerTap) (*unit, error) {
	u := &unit{end: l.Tap, params: map[string]bool{}}
	if p, ok := s.x.Producer[l.Tap]; ok && !moves(s.x, s.x.Nodes[p]) || isPairEnd(s.x, l.Tap) {
		if u.round = s.rounder(l.Tap); u.round != nil {
			u.end = u.round[0].GetInput()[0]
		}
	}
	seen := map[string]bool{}
	nodes := map[int]bool{}
	var walk func(name string) error
	walk = func(name string) error {
		if seen[name] || s.x.Initializer[name] != nil {
			if s.float[name] != nil {
				u.params[name] = true
			}
			return nil
		}
		seen[name] = true
		if of, ok := s.source[name]; ok && of != l.Layer {
			if s.order[of] > s.order[l.Layer] {
				return fmt.Errorf("the variant computes it from %s, which comes later in the float model", of)
			}
			u.inputs = append(u.inputs, name)
			return nil
		}
		p, made := s.x.Producer[name]
		if !made {
			return nil // a graph input that is not quantized
		}
		n := s.x.Nodes[p]
		if len(onnx.Captures(n)) > 0 {
			return fmt.Errorf("%s takes tensors into a subgraph", n.GetOpType())
		}
		if n.GetOpType() == "DequantizeLinear" && s.x.Initializer[n.GetInput()[0]] != nil {
			u.params[name] = true
			return nil
		}
		nodes[p] = true
		for _, in := range onnx.Uses(n) {
			if err := walk(in); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(u.end); err != nil {
		return nil, err
	}
	for p := range nodes {
		u.nodes = append(u.nodes, p)
	}
	slices.Sort(u.nodes)
	if len(u.nodes) == 0 {
		return nil, errors.New("nothing in the variant computes it")
	}
	return u, nil
}

// isPairEnd says whether a tensor comes out of a rounding pair directly.
func isPairEnd(x *onnx.Index, name string) bool {
	p, ok := x.Producer[name]
	return ok && (x.Nodes[p].GetOpType() == "DequantizeLinear" || isCastTo(x.Nodes[p], tensor.Float32))
}

const localPrefix = "quantcheck.local."

// Isolate builds the graph of all layers quantized alone. Its inputs are the float model's tensors, under their names;
// those that are not used are left out. With parts, every layer stands in it with only its weights and only its
// activations quantized, too.
func (s *Isolator) Isolate(parts bool) *IsolatedLayers {
	b := &islandBuilder{s: s, out: &IsolatedLayers{Skipped: map[string]string{}}, made: map[string]bool{}, inputs: map[string]bool{}, used: map[string]bool{}}
	for _, l := range s.layers {
		u, err := s.unitOf(l)
		if err != nil {
			b.out.Skipped[l.Layer] = err.Error()
			continue
		}
		i := Island{Layer: l.Layer, Full: b.add(l.Layer, u, "full.", true, true)}
		if parts && len(u.params) > 0 {
			known := true
			for p := range u.params {
				known = known && s.float[p] != nil
			}
			i.Weights = b.add(l.Layer, u, "weights.", false, true)
			if known {
				i.Acts = b.add(l.Layer, u, "acts.", true, false)
			}
		}
		b.out.Layers = append(b.out.Layers, i)
	}
	b.finish()
	return b.out
}

// InIsolated says whether a node of the isolated layers' graph belongs to a layer with both weights and activations quantized.
func InIsolated(node, layer string) bool {
	return strings.HasPrefix(node, localPrefix+"full."+layer+".")
}

type islandBuilder struct {
	s      *Isolator
	out    *IsolatedLayers
	nodes  []*onnxpb.NodeProto
	inits  []*onnxpb.TensorProto
	made   map[string]bool // tensors of the new graph that are there already
	inputs map[string]bool // float tensors that it takes
	used   map[string]bool // initializers of the variant that it uses
}

// add copies a unit: acts says whether its inputs and its output are rounded, weights whether its constants are. It
// gives the copy's output.
func (b *islandBuilder) add(layer string, u *unit, mode string, acts, weights bool) string {
	prefix := localPrefix + mode + layer + "."
	rename := map[string]string{}
	for _, in := range u.inputs {
		source := b.s.source[in]
		b.inputs[source] = true
		rename[in] = source
		if pair := b.s.rounder(in); acts && pair != nil {
			rename[in] = b.round(source, pair)
		}
	}
	for p := range u.params {
		rename[p] = b.param(p, weights)
	}
	for _, k := range u.nodes {
		n := proto.CloneOf(b.s.x.Nodes[k])
		for i, in := range n.GetInput() {
			n.Input[i] = b.input(in, rename)
		}
		for i, out := range n.GetOutput() {
			if out != "" {
				rename[out] = prefix + out
				n.Output[i] = rename[out]
			}
		}
		n.Name = proto.String(prefix + strconv.Itoa(k))
		b.nodes = append(b.nodes, n)
	}
	end := b.input(u.end, rename)
	if acts && u.round != nil {
		return b.pair(u.round, end, prefix+"rounded")
	}
	if bounds, ok := b.s.removed[u.end]; ok && !acts {
		n, constants := b.s.clamp(end, prefix+"clamped", bounds)
		b.nodes, b.inits = append(b.nodes, n), append(b.inits, constants...)
		return n.GetOutput()[0]
	}
	return end
}

// input names a unit's input in the new graph.
func (b *islandBuilder) input(name string, rename map[string]string) string {
	if to, ok := rename[name]; ok {
		return to
	}
	if b.s.x.Initializer[name] != nil {
		b.used[name] = true
	} else if b.s.x.Input[name] {
		b.inputs[name] = true
	}
	return name
}

// round gives the float tensor rounded as its layer is; islands share it.
func (b *islandBuilder) round(source string, pair []*onnxpb.NodeProto) string {
	to := localPrefix + "input." + source
	if !b.made[to] {
		b.made[to] = true
		b.pair(pair, source, to)
	}
	return to
}

func (b *islandBuilder) pair(pair []*onnxpb.NodeProto, from, to string) string {
	for k, n := range pair {
		c := proto.CloneOf(n)
		c.Input[0] = from
		for _, in := range c.GetInput()[1:] {
			b.used[in] = true
		}
		from = to
		if k == 0 {
			from = to + ".integer"
		}
		c.Output, c.Name = []string{from}, proto.String(from)
		b.nodes = append(b.nodes, c)
	}
	return to
}

// param gives a dequantized constant, or its float original.
func (b *islandBuilder) param(name string, quantized bool) string {
	if !quantized {
		to := localPrefix + "float." + name
		if !b.made[to] {
			b.made[to] = true
			t := proto.CloneOf(b.s.float[name])
			t.Name = proto.String(to)
			b.inits = append(b.inits, t)
		}
		return to
	}
	p, made := b.s.x.Producer[name]
	if !made {
		b.used[name] = true
		return name
	}
	if !b.made[name] {
		b.made[name] = true
		n := b.s.x.Nodes[p]
		for _, in := range n.GetInput() {
			b.used[in] = true
		}
		b.nodes = append(b.nodes, n)
	}
	return name
}

func (b *islandBuilder) finish() {
	g := &onnxpb.GraphProto{Name: proto.String("layers alone"), Node: b.nodes, Initializer: b.inits}
	for _, t := range b.s.v.Graph().GetInitializer() {
		if b.used[t.GetName()] {
			g.Initializer = append(g.Initializer, t)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.inputs)) {
		t := b.s.types[name]
		g.Input = append(g.Input, onnx.ValueInfo(name, t.DType, t.Shape))
	}
	for _, l := range b.out.Layers {
		g.Output = append(g.Output, onnx.Untyped(l.Full))
	}
	b.out.Model = b.s.v.With(g)
}

// Strip gives the variant with its activations float (weightsOnly), or with its weights float. Where a quantizer's range stands for
// an activation that was removed, the clamping stays. It fails if a weight's float original is not known. The second value names what has taken the place of tensors that are gone.
func (s *Isolator) Strip(weightsOnly bool) (*onnx.Model, map[string]string, error) {
	g := s.v.Graph()
	after := &onnxpb.GraphProto{Name: g.Name, Input: g.GetInput(), Output: g.GetOutput(), SparseInitializer: g.GetSparseInitializer()}
	rename := map[string]string{}
	added := map[string]bool{}
	for _, n := range s.x.Nodes {
		if !weightsOnly && n.GetOpType() == "DequantizeLinear" && s.x.Initializer[n.GetInput()[0]] != nil {
			original := s.float[n.GetOutput()[0]]
			if original == nil {
				return nil, nil, fmt.Errorf("the float values of %s are not known", strings.TrimSuffix(n.GetInput()[0], "_quantized"))
			}
			t := proto.CloneOf(original)
			t.Name = proto.String(n.GetOutput()[0])
			after.Initializer = append(after.Initializer, t)
			added[t.GetName()] = true
			continue
		}
		c := proto.CloneOf(n)
		for i, in := range n.GetInput() {
			if to, ok := rename[in]; ok {
				c.Input[i] = to
			}
		}
		if out := n.GetOutput()[0]; weightsOnly && isPairEnd(s.x, out) {
			if pair := s.rounder(out); pair != nil {
				rename[out] = pair[0].GetInput()[0]
				if to, ok := rename[rename[out]]; ok {
					rename[out] = to
				}
				if bounds, ok := s.removed[pair[0].GetInput()[0]]; ok {
					to := localPrefix + "clamped." + pair[0].GetInput()[0]
					if !added[to] {
						added[to] = true
						clip, constants := s.clamp(rename[out], to, bounds)
						after.Node, after.Initializer = append(after.Node, clip), append(after.Initializer, constants...)
					}
					rename[out] = to
				}
				if !s.x.Output[out] {
					continue
				}
				c = &onnxpb.NodeProto{OpType: proto.String("Identity"), Input: []string{rename[out]}, Output: []string{out}}
			}
		}
		after.Node = append(after.Node, c)
	}
	for _, t := range g.GetInitializer() {
		if original := s.float[t.GetName()]; !weightsOnly && original != nil { // half-precision weights are plain constants
			name := t.GetName()
			t = proto.CloneOf(original)
			t.Name = &name
		}
		if !added[t.GetName()] {
			after.Initializer = append(after.Initializer, t)
		}
	}
	x := onnx.NewIndex(s.v.With(after))
	after.Node = slices.DeleteFunc(after.Node, func(n *onnxpb.NodeProto) bool { // it would be computed all the same, and kept to the end
		out := n.GetOutput()[0]
		return n.GetOpType() == "QuantizeLinear" && len(x.Consumers[out]) == 0 && !x.Output[out]
	})
	return s.v.With(after), rename, nil
}

// Entrance finds the tensor that the variant's first operator behind a graph input gets in the input's place: the input
// itself, its rounded form, or what something in between has made of it. float indexes the float model. It is "" if it
// is the input itself or cannot be found.
func (s *Isolator) Entrance(input string, float *onnx.Index) string {
	taps := map[string]LayerTap{}
	for _, l := range s.layers {
		taps[l.Layer] = l
	}
	for _, k := range float.Consumers[input] {
		n := float.Nodes[k]
		layer, behind := n.GetOutput()[0], 0 // operators of n's type on the way to the first layer that the variant has
		for range float.Nodes {
			if _, ok := taps[layer]; ok {
				break
			}
			next, sole := float.SoleConsumer(layer)
			if !sole {
				break
			}
			layer = float.Nodes[next].GetOutput()[0]
			if float.Nodes[next].GetOpType() == n.GetOpType() {
				behind++
			}
		}
		l, ok := taps[layer]
		if !ok {
			continue
		}
		u, err := s.unitOf(l)
		if err != nil {
			continue
		}
		at := slices.Index(n.GetInput(), input)
		for _, p := range slices.Backward(u.nodes) {
			same := s.x.Nodes[p]
			if same.GetOpType() != n.GetOpType() || at >= len(same.GetInput()) {
				continue
			}
			if behind--; behind >= 0 {
				continue
			}
			if _, made := s.x.Producer[same.GetInput()[at]]; made {
				return same.GetInput()[at]
			}
			return ""
		}
	}
	return ""
}
