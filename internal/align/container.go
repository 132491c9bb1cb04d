package align

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/onnx"
)

// Rule says how a layer's tensor was found in a DLC.
type Rule string

// The rules, in the order in which they are tried.
const (
	Exact     Rule = "exact name"
	Ending    Rule = "name with the writer's ending"
	NodeName  Rule = "name of its operator"
	Cleaned   Rule = "cleaned name"
	Structure Rule = "position in the graph"
	FusedRule Rule = "fused into the layer behind it"
	Moved     Rule = "its input's values in another order"
	Duplicate Rule = "computed once with another layer"
)

// Rules lists them.
var Rules = []Rule{Exact, Ending, NodeName, Cleaned, Structure, FusedRule, Moved, Duplicate}

// Pairing is what became of one layer of the float model in a DLC.
type Pairing struct {
	Tensor string // of the DLC; "" if the layer is fused
	Rule   Rule
	Into   string // the layer that a fused one went into
	Layout Layout // how the DLC's values lie, against the layer's
	// Unknown says why the layout is not known; "" if it is.
	Unknown string
}

// Container is a DLC's first graph held against a float model.
type Container struct {
	Graph *dlc.Graph
	Pairs map[string]Pairing // by layer
	// Inputs are the DLC's tensors of the float model's graph inputs.
	Inputs map[string]Pairing
	// Added are tensors of the DLC without a layer.
	Added map[string]Copy
	// Missing are layers that the DLC does not have, in the model's order.
	Missing []string
	Counts  map[Rule]int
}

// Copy is a tensor of the DLC that holds the values of a layer or of an input of the model once more, in another layout or
// type.
type Copy struct {
	Of      string // "" if it is not known to be a copy of anything
	Layout  Layout
	Unknown string // why the layout is not known
}

// Float is what the alignment needs of a float model: the layers' tensors in graph order, and shapes.
type Float struct {
	Index  *onnx.Index
	Layers []string
	Shape  func(tensor string) ([]int64, bool)
	// Constant says whether a tensor does not depend on the inputs.
	Constant func(tensor string) bool
}

// Contain finds each layer's tensor in a DLC, by name where the names allow it, else by its place in the graph: an operator
// of the same kind on the same inputs, if there is exactly one such on both sides. A pair of names whose operators or
// element counts contradict each other is no pair. The error names two tensors that the cleaned names confuse.
func Contain(f Float, file *dlc.File) (*Container, error) {
	g := newDLCGraph(file)
	a := &aligner{
		Float: f, g: g, taken: map[string]string{},
		out: &Container{Graph: g.Graph, Pairs: map[string]Pairing{}, Inputs: map[string]Pairing{}, Added: map[string]Copy{}, Counts: map[Rule]int{}},
	}
	if err := a.byName(); err != nil {
		return nil, err
	}
	a.inputsByPlace()
	a.fuse()
	for range a.Layers { // a pair can be what the next one needs to be found
		if !a.byStructure() {
			break
		}
		a.fuse()
	}
	a.describe()
	return a.out, nil
}

// aligner pairs the layers of a float model with the tensors of a DLC.
type aligner struct {
	Float
	g     *dlcGraph
	out   *Container
	taken map[string]string // tensor of the DLC → layer or graph input
}

// names are the graph inputs and the layers that are no constants.
func (f Float) names() []string {
	var list []string
	for name := range f.Index.Input {
		if f.Index.Initializer[name] == nil {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	for _, l := range f.Layers {
		if !f.Constant(l) {
			list = append(list, l)
		}
	}
	return list
}

// byName pairs tensors by their names.
func (a *aligner) byName() error {
	names := a.names()
	bare, clean := map[string][]string{}, map[string][]string{}
	for _, t := range a.g.Tensors {
		if t.Location == dlc.Static {
			continue
		}
		base, _ := Bare(t.Name)
		bare[base] = append(bare[base], t.Name)
		clean[Clean(base)] = append(clean[Clean(base)], t.Name)
	}
	left := []string{}
	for _, name := range names {
		candidates := bare[name]
		// The quantized form, where both are there, is the one that the next operators take.
		slices.SortStableFunc(candidates, func(x, y string) int { return rank(x, name) - rank(y, name) })
		found := false
		for _, c := range candidates {
			rule := Ending
			if c == name {
				rule = Exact
			}
			if a.fits(name, c) {
				a.pair(name, c, rule)
				found = true
				break
			}
		}
		if !found {
			left = append(left, name)
		}
	}
	left = slices.DeleteFunc(left, func(name string) bool {
		p, made := a.Index.Producer[name]
		if !made || a.Index.Nodes[p].GetName() == "" || len(a.Index.Nodes[p].GetOutput()) != 1 {
			return false
		}
		for _, c := range bare[a.Index.Nodes[p].GetName()] {
			if a.taken[c] == "" && a.fits(name, c) {
				a.pair(name, c, NodeName)
				return true
			}
		}
		return false
	})
	ours := map[string]string{}
	for _, name := range left {
		key := Clean(name)
		var candidates []string
		for _, c := range clean[key] {
			if a.taken[c] == "" && a.fits(name, c) {
				candidates = append(candidates, c)
			}
		}
		if len(candidates) == 0 {
			continue
		}
		if other, twice := ours[key]; twice {
			return fmt.Errorf("the layers %q and %q both become %q when their names are cleaned, and %q could be either", other, name, key, candidates[0])
		}
		if len(candidates) > 1 && a.g.sources(candidates[0])[0] != candidates[0] || len(candidates) > 1 && !a.g.related(candidates) {
			return fmt.Errorf("the DLC's tensors %q and %q both become %q when their names are cleaned, and the layer %q could be either", candidates[0], candidates[1], key, name)
		}
		ours[key] = name
		a.pair(name, candidates[0], Cleaned)
	}
	return nil
}

// rank orders the forms of one name: quantized, plain, dequantized.
func rank(tensor, name string) int {
	switch ending := strings.TrimPrefix(tensor, name); {
	case strings.HasPrefix(ending, "_Quantize"):
		return 0
	case ending == "":
		return 1
	}
	return 2
}

func (a *aligner) pair(name, tensor string, rule Rule) {
	a.taken[tensor] = name
	p := Pairing{Tensor: tensor, Rule: rule}
	if a.Index.Input[name] {
		a.out.Inputs[name] = p
		return
	}
	a.out.Pairs[name] = p
	a.out.Counts[rule]++
}

// paired gives the tensor of a layer or a graph input.
func (a *aligner) paired(name string) (string, bool) {
	p, ok := a.out.Pairs[name]
	if !ok {
		p, ok = a.out.Inputs[name]
	}
	return p.Tensor, ok && p.Tensor != ""
}

// fits says whether a tensor can be a layer at all: as many elements, and made by an operator of a kind that the layer's
// can have become.
func (a *aligner) fits(name, tensor string) bool {
	t := a.g.Tensor(tensor)
	shape, known := a.Shape(name)
	if known && len(t.Shape) > 0 && !sameElements(shape, t) {
		return false
	}
	ours, made := a.Index.Producer[name]
	theirs, also := a.g.producer[tensor]
	if !made {
		return t.Location == dlc.Input || t.Location == dlc.InOut || also && slices.Contains(copying, a.g.Nodes[theirs].Type)
	}
	if !also {
		return false
	}
	n := a.Index.Nodes[ours]
	for range a.Index.Nodes { // its values may be handed out by the operator that it was fused into
		if becomes(n.GetOpType(), &a.g.Nodes[theirs]) {
			return true
		}
		if len(n.GetInput()) == 0 || !fusesBackward(n.GetOpType(), a.op(n.GetInput()[0])) {
			return false
		}
		before, made := a.Index.Producer[n.GetInput()[0]]
		if _, sole := a.Index.SoleConsumer(n.GetInput()[0]); !made || !sole {
			return false
		}
		n = a.Index.Nodes[before]
	}
	return false
}

func sameElements(shape []int64, t *dlc.Tensor) bool {
	n := int64(1)
	for _, d := range shape {
		if d < 0 {
			return true // not known before the run
		}
		n *= d
	}
	return n == t.Elements()
}

// inputsByPlace pairs the model's inputs that have no name in the DLC with its inputs, if there is one of that size.
func (a *aligner) inputsByPlace() {
	for _, name := range slices.Sorted(maps.Keys(a.Index.Input)) {
		if _, ok := a.out.Inputs[name]; ok || a.Index.Initializer[name] != nil {
			continue
		}
		var free []string
		for _, t := range a.g.At(dlc.Input) {
			if a.taken[t.Name] == "" && a.fits(name, t.Name) {
				free = append(free, t.Name)
			}
		}
		if len(free) == 1 {
			a.pair(name, free[0], Structure)
		}
	}
}
