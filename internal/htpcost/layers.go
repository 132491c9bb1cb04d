package htpcost

import (
	"cmp"
	"maps"
	"slices"
)

// Kind says what a layer is.
type Kind string

// The kinds: an operator of the graph, the graph's inputs and outputs, and the moments when nothing works.
const (
	Operator Kind = "operator"
	Input    Kind = "input"
	Output   Kind = "output"
	Idle     Kind = "idle"
)

// The numbers that the compiler gives to all inputs and all outputs.
const (
	inputNode  = 2
	outputNode = 3
)

// Work is what layers take.
type Work struct {
	Cycles    float64 `json:"cycles"` // its part of the timeline; all layers' add up to the whole
	Share     float64 `json:"share"`  // of the whole, 0 to 1
	HMX       int64   `json:"hmx"`    // cycles in which the unit is busy with it, threads summed up
	HVX       int64   `json:"hvx"`
	DMA       int64   `json:"dma"`
	Scalar    int64   `json:"scalar"`
	DRAMBytes int64   `json:"dram_bytes"` // read and written
}

// Layer is an operator of the graph that was compiled, or a row for what belongs to none.
type Layer struct {
	Kind Kind   `json:"kind"`
	Node uint32 `json:"node"` // the compiler's number; 0 for idle moments
	Raw  string `json:"raw"`  // its name as the compiler has it; "" if it has none
	Name string `json:"name"` // Raw, or the model's name of it (Rename)
	Op   string `json:"op"`   // its type, QNN's or the model's (Rename), "" if it is not known
	// Added means that no node of the model has its name: it was put in on the way.
	Added bool `json:"added,omitempty"`
	// Events is how many events work for it. 0: it costs nothing, being free or done within another one's.
	Events int `json:"events"`
	Work
}

// Layers divides a timeline among the operators. At every moment the time is shared equally among those for which something
// works, on whatever unit; Cycles add up to the timeline's. There is a layer for every operator that has a name, input and
// output first and last, then the idle row; the others come in the order of their numbers.
func Layers(t *Timeline, names map[uint32]string) []Layer {
	place := map[uint32]int{}
	var list []Layer
	add := func(node uint32) {
		if _, known := place[node]; known {
			return
		}
		l := Layer{Kind: Operator, Node: node, Raw: names[node], Name: names[node]}
		switch node {
		case inputNode:
			l.Kind = Input
		case outputNode:
			l.Kind = Output
		}
		place[node] = len(list)
		list = append(list, l)
	}
	nodes := slices.Collect(maps.Keys(names))
	for _, e := range t.Events {
		nodes = append(nodes, e.Node())
	}
	slices.SortFunc(nodes, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	for _, n := range slices.Compact(nodes) {
		add(n)
	}
	cycles, idle := divide(t, place)
	for i := range list {
		list[i].Cycles = cycles[i]
	}
	busy(t, list, place)
	if idle > 0 {
		list = append(list, Layer{Kind: Idle, Work: Work{Cycles: idle}})
	}
	for i := range list {
		if t.Cycles > 0 {
			list[i].Share = list[i].Cycles / float64(t.Cycles)
		}
	}
	return list
}

// rank puts inputs first and outputs last.
func rank(node uint32) int {
	switch node {
	case inputNode:
		return -1
	case outputNode:
		return 1
	}
	return 0
}

// divide sweeps over the timeline. What one operator among k has got by a moment is the integral of 1/k up to there, the same
// for all; each gets the difference between its ends.
func divide(t *Timeline, place map[uint32]int) (cycles []float64, idle float64) {
	type edge struct {
		at    int64
		layer int
		step  int
	}
	edges := make([]edge, 0, 2*len(t.Events))
	for _, e := range t.Events {
		if e.Cycles > 0 {
			k := place[e.Node()]
			edges = append(edges, edge{e.Start, k, 1}, edge{e.End(), k, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
	cycles = make([]float64, len(place))
	since := make([]float64, len(place))
	events := make([]int, len(place)) // at work now
	working, before := 0, int64(0)
	each := 0.0
	pass := func(to int64) {
		if working == 0 {
			idle += float64(to - before)
		} else {
			each += float64(to-before) / float64(working)
		}
		before = to
	}
	for _, e := range edges {
		pass(e.at)
		if events[e.layer] == 0 {
			working++
			since[e.layer] = each
		}
		if events[e.layer] += e.step; events[e.layer] == 0 {
			working--
			cycles[e.layer] += each - since[e.layer]
		}
	}
	pass(t.Cycles)
	return cycles, idle
}

// busy adds up what the units do for each layer, and the bytes, once per step.
func busy(t *Timeline, list []Layer, place map[uint32]int) {
	type work struct {
		id   uint64
		step int
	}
	bytes := map[work]int64{}
	for _, e := range t.Events {
		l := &list[place[e.Node()]]
		l.Events++
		switch e.Unit {
		case HMX:
			l.HMX += e.Cycles
		case HVX:
			l.HVX += e.Cycles
		case DMA:
			l.DMA += e.Cycles
		case Scalar:
			l.Scalar += e.Cycles
		}
		w := work{e.ID, e.Step}
		if more := e.Bytes.DRAMRead + e.Bytes.DRAMWrite - bytes[w]; more > 0 {
			bytes[w] += more
			l.DRAMBytes += more
		}
	}
}
