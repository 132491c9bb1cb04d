package ort

import (
	"maps"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/tensor"
)

// typedNodes is how many nodes are compiled at once for their types. It is more than pieceNodes: where a part ends, the library forgets
// what it has inferred of values.
const typedNodes = 2048

// Types tells, without running the model, the type of every tensor that a node of it makes. The model is compiled
// for this, a part at a time if it is large, so what ONNX Runtime has against the model is said here, and a tensor that would take more
// memory than the engine's bound is a *MemoryError.
func Types(r Engine, m *onnx.Model) (map[string]onnxruntime.Type, error) {
	return typesOf(r, m, typedNodes)
}

func typesOf(r Engine, m *onnx.Model, most int) (map[string]onnxruntime.Type, error) {
	types := inputTypes(m)
	x := onnx.NewIndex(m)
	nodes := x.Nodes
	w := window{x: x, live: slices.Sorted(maps.Keys(x.Input))}
	for from, size := 0, most; from < len(nodes); {
		to := min(from+size, len(nodes))
		if err := typesIn(r, m, x, types, from, to); err != nil {
			return nil, err
		}
		if to == len(nodes) {
			break
		}
		if at := w.parting(types, from, from+max(size/2, 1), to); at > 0 {
			w.move(from, at)
			from, size = at, most
		} else {
			size *= 2 // there is no place to part the graph: the part is compiled again, with more
		}
	}
	return types, nil
}

// inputTypes are the types of a model's inputs.
func inputTypes(m *onnx.Model) map[string]onnxruntime.Type {
	types := map[string]onnxruntime.Type{}
	for _, in := range m.Inputs() {
		d, shape, ok := onnx.TypeOf(in)
		types[in.GetName()] = onnxruntime.Type{Tensor: ok, DType: d, Shape: shape}
	}
	return types
}

// typesIn compiles the nodes [from, to) and adds the types of what they make.
func typesIn(r Engine, m *onnx.Model, x *onnx.Index, types map[string]onnxruntime.Type, from, to int) error {
	var names []string
	for _, n := range x.Nodes[from:to] {
		for _, out := range n.GetOutput() {
			if out != "" {
				names = append(names, out)
			}
		}
	}
	var inputs []*onnxpb.ValueInfoProto
	if from == 0 && to == len(x.Nodes) {
		inputs = m.Inputs()
	} else {
		for _, name := range taken(x, from, to) {
			inputs = append(inputs, onnx.ValueInfo(name, types[name].DType, types[name].Shape))
		}
	}
	session, err := typed(r, graph{m: m, x: x, from: from, to: to, inputs: inputs, outputs: names})
	if err != nil {
		return err
	}
	defer session.Close()
	list, err := session.OutputTypes()
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := within(r.About().Memory, names[i:i+1], list[i:i+1]); err != nil {
			return err
		}
		types[name] = list[i]
	}
	return nil
}

// typed compiles a graph for its types alone: without its weights if the library takes it so. What it has against the graph is said of the
// graph as it is.
func typed(r Engine, g graph) (Session, error) {
	if light, ok := g.weightless(); ok {
		if s, err := light.open(r); err == nil {
			return s, nil
		}
	}
	c, err := compile(r, g)
	if err != nil {
		return nil, err
	}
	return c.session, nil
}

// window is the graph around the place where it is parted: the tensors that are made before some node and used by it or later.
type window struct {
	x    *onnx.Index
	live []string
}

// move makes the window one that begins at another node, behind the one before.
func (w *window) move(from, to int) {
	w.live = append(w.live, w.made(from, to)...)
	w.live = slices.DeleteFunc(w.live, func(name string) bool { return w.x.LastUser(name) < to })
}

func (w *window) made(from, to int) []string {
	var names []string
	for _, n := range w.x.Nodes[from:to] {
		names = append(names, n.GetOutput()...)
	}
	return names
}

// parting is the position in [from, to] at which a graph whose types are known up to there is best parted; 0 if there is none. start is where
// the window begins. No sequence or map may cross the position, as few tensors as possible whose shape is not known whole (a scalar's is not
// told apart from an unknown one), then as few integers as possible, which may be parts of shapes whose values the library follows.
func (w *window) parting(types map[string]onnxruntime.Type, start, from, to int) int {
	const open, integer = 1000, 1
	weights, barred := make([]int, to-start+2), make([]int, to-start+2)
	for _, name := range append(w.made(start, to), w.live...) {
		first := max(w.x.Producer[name]+1, start) // 1 for an input of the graph, which crosses the position 0 as well
		last := min(w.x.LastUser(name), to)
		if last < first {
			continue
		}
		weight, bar := 0, 0
		switch t := types[name]; {
		case !t.Tensor || t.DType == tensor.String:
			bar = 1
		case !t.Fixed():
			weight = open
		case !t.DType.IsFloat():
			weight = integer
		}
		weights[first-start] += weight
		barred[first-start] += bar
		weights[last-start+1] -= weight
		barred[last-start+1] -= bar
	}
	best, least := 0, 0
	for at := start; at <= to; at++ {
		if k := at - start; k > 0 {
			weights[k] += weights[k-1]
			barred[k] += barred[k-1]
		}
		if at >= from && barred[at-start] == 0 && (best == 0 || weights[at-start] <= least) {
			best, least = at, weights[at-start]
		}
	}
	return best
}
