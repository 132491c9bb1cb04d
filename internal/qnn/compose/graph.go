package compose

import (
	"errors"
	"fmt"

	"quantcheck/internal/abi"
	"quantcheck/internal/dlc"
)

// Graph is a DLC's graph, ready to run.
type Graph struct {
	Description
	b                    *Backend
	context, file, graph uint64
	estimate             *Estimate
	ins, outs            []qnnTensor // what the library is handed, in the order of Inputs and Outputs
	keep                 [][]byte    // names and dimensions that they point to
}

// Compose builds the one graph of a DLC of version 4 in a context of its own and lets the backend compile it. The error is
// an *Error if the libraries do not take it; its code is CodeNotTaken for what is no DLC or one of version 3.
func (b *Backend) Compose(path string, o GraphOptions) (*Graph, error) {
	g := &Graph{b: b}
	if err := g.compose(path, o); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *Graph) compose(path string, o GraphOptions) error {
	b := g.b
	var h hold
	defer h.release()
	if err := b.callSystem(dlcCreateFromFile, uintptr(b.systemLogger), h.text(path), at(&h, &g.file)); err != nil {
		return err
	}
	if err := b.call(contextCreate, uintptr(b.backend), uintptr(b.device), 0, at(&h, &g.context)); err != nil {
		return err
	}
	c := &composition{expose: o.Expose, seen: map[string]int{}}
	b.now = c
	defer func() { b.now = nil }()
	infos, count := new(uint64), new(uint32)
	const infoVersion = 1
	// dlc, graph configurations, their number, backend, context, the table by value, version, infos, their number
	b.journal.take()
	status, err := abi.Call(wordAt(b.system, dlcComposeGraphs),
		[6]uintptr{uintptr(g.file), 0, 0, uintptr(b.backend), uintptr(g.context), infoVersion},
		append(append([]uintptr{}, b.ours...), at(&h, infos), at(&h, count)))
	if err != nil {
		return err
	}
	if err := b.failed(dlcComposeGraphs, status); err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.Where = c.refused
		}
		return err
	}
	if *count != 1 {
		return fmt.Errorf("the file holds %d graphs; one is what can be run", *count)
	}
	g.Description = c.Description
	g.Name = textAt(foreign[qnnGraphInfo](*infos).name)
	if err := g.places(c); err != nil {
		return err
	}
	if err := b.call(graphRetrieve, uintptr(g.context), h.text(g.Name), at(&h, &g.graph)); err != nil {
		return err
	}
	if o.Estimate {
		return g.finalizeEstimated()
	}
	return b.call(graphFinalize, uintptr(g.graph), 0, 0)
}

// places finds what goes in and comes out, and prepares the structs for it.
func (g *Graph) places(c *composition) error {
	for i, t := range g.Tensors {
		out := t.Location == dlc.Output || c.exposed[i]
		switch {
		case t.Location == dlc.InOut:
			return fmt.Errorf("the tensor %s is input and output at once, which is not understood", t.Name)
		case t.Location != dlc.Input && !out:
			continue
		case t.Bytes() <= 0:
			return fmt.Errorf("the tensor %s has no size that is known: %s%v", t.Name, t.DType, t.Shape)
		}
		name, dims := append([]byte(t.Name), 0), make([]byte, 0, 4*len(t.Shape))
		for _, d := range t.Shape {
			d := uint32(d)
			dims = append(dims, bytesOf(&d)...)
		}
		g.keep = append(g.keep, name, dims)
		q := qnnTensor{
			version: c.version[i], id: uint64(t.ID), name: uint64(addressOf(&name[0])), kind: uint32(t.Location), dtype: uint32(t.DType),
			format: dense, defined: undefined, encoding: undefined, rank: uint32(len(t.Shape)), memory: buffer, rest: [3]uint64{},
		}
		if len(dims) > 0 {
			q.dims = uint64(addressOf(&dims[0]))
		}
		if out {
			q.kind = appRead
			g.Outputs, g.outs = append(g.Outputs, i), append(g.outs, q)
		} else {
			g.Inputs, g.ins = append(g.Inputs, i), append(g.ins, q)
		}
	}
	if len(g.Outputs) == 0 {
		return errors.New("the graph has no output")
	}
	return nil
}

// Execute makes one inference: a buffer for each of Inputs, whose bytes are read, and one for each of Outputs, whose bytes
// are written, both in the tensors' own types. Buffers of another size are refused, with a *SizeError, before the library
// sees them; its own refusal is an *Error. The buffers are the caller's and may be used again.
func (g *Graph) Execute(inputs, outputs [][]byte) error {
	var h hold
	defer h.release()
	if err := g.bind(&h, g.ins, g.Inputs, inputs); err != nil {
		return err
	}
	if err := g.bind(&h, g.outs, g.Outputs, outputs); err != nil {
		return err
	}
	return g.b.call(graphExecute, uintptr(g.graph), first(&h, g.ins), uintptr(len(g.ins)), first(&h, g.outs), uintptr(len(g.outs)), 0, 0)
}

// bind lets the structs point to the buffers.
func (g *Graph) bind(h *hold, list []qnnTensor, places []int, buffers [][]byte) error {
	if len(buffers) != len(list) {
		return fmt.Errorf("%d buffers for %d tensors", len(buffers), len(list))
	}
	for i, buffer := range buffers {
		t := g.Tensors[places[i]]
		if int64(len(buffer)) != t.Bytes() {
			return &SizeError{Tensor: t.Name, Got: int64(len(buffer)), Want: t.Bytes()}
		}
		list[i].data, list[i].size = uint64(at(h, &buffer[0])), uint64(len(buffer))
	}
	return nil
}

// first is the address of a list, 0 if it is empty.
func first(h *hold, list []qnnTensor) uintptr {
	if len(list) == 0 {
		return 0
	}
	return at(h, &list[0])
}

// Close frees the graph.
func (g *Graph) Close() {
	if g.context != 0 {
		_ = g.b.call(contextFree, uintptr(g.context), 0)
	}
	if g.file != 0 {
		_ = g.b.callSystem(dlcFree, uintptr(g.file))
	}
	g.context, g.file, g.graph = 0, 0, 0
}
