package sensitivity

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner/ort"
)

// suffixes keeps sessions of what follows from a set of changed tensors, up to the outputs. Candidates that are near to each
// other share them.
type suffixes struct {
	mu    sync.Mutex
	byKey map[string]*suffix
	order []string // least lately used first
}

type suffix struct {
	once  sync.Once
	part  *ort.Part
	err   error
	users int
}

// idle is how many suffixes are kept that nobody uses.
const idle = 4

// suffix gives the session of what follows from changed tensors in the blocks behind one; nil if nothing does. The caller
// lets go of it with release.
func (e *engine) suffix(after int, dirty map[string]bool) (part *ort.Part, release func(), err error) {
	piece := e.division.following(after, dirty)
	if len(piece.Outputs) == 0 {
		return nil, func() {}, nil
	}
	piece.Rewrite = e.o.Question != Rest
	return e.suffixes.of(dirty, func() (*ort.Part, error) { return ort.NewPart(e.r, e.base, piece, e.types) })
}

// of gives the session of what follows from changed tensors; open makes it if it is not there. The caller lets go of it with release.
func (c *suffixes) of(dirty map[string]bool, open func() (*ort.Part, error)) (part *ort.Part, release func(), err error) {
	key := strings.Join(slices.Sorted(maps.Keys(dirty)), "\x00")
	c.mu.Lock()
	s := c.byKey[key]
	if s == nil {
		s = &suffix{}
		c.byKey[key] = s
	}
	s.users++
	c.order = append(slices.DeleteFunc(c.order, func(k string) bool { return k == key }), key)
	c.mu.Unlock()
	s.once.Do(func() { s.part, s.err = open() })
	return s.part, func() { c.release(s) }, s.err
}

func (c *suffixes) release(s *suffix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.users--
	unused := 0
	for i := len(c.order) - 1; i >= 0; i-- {
		old := c.byKey[c.order[i]]
		if old.users > 0 {
			continue
		}
		if unused++; unused > idle {
			old.close()
			delete(c.byKey, c.order[i])
			c.order = slices.Delete(c.order, i, i+1)
		}
	}
}

func (s *suffix) close() {
	if s.part != nil {
		s.part.Close()
	}
}

func (c *suffixes) close() {
	for _, s := range c.byKey {
		s.close()
	}
}

// following is the piece that computes what the blocks behind one make of changed tensors.
func (d *division) following(after int, dirty map[string]bool) ort.Piece {
	changed := maps.Clone(dirty)
	var piece ort.Piece
	var nodes []*onnxpb.NodeProto
	own := map[string]bool{}
	for _, b := range d.blocks[after+1:] {
		if !slices.ContainsFunc(b.inputs, func(name string) bool { return changed[name] }) {
			continue
		}
		mark(changed, b.outputs)
		for _, i := range b.nodes {
			nodes = append(nodes, d.x.Nodes[i])
			mark(own, d.x.Nodes[i].GetOutput())
		}
		for _, out := range b.outputs {
			if d.wanted[out] {
				piece.Outputs = append(piece.Outputs, out)
			}
		}
	}
	seen := map[string]bool{}
	for _, n := range nodes {
		for _, name := range onnx.Uses(n) {
			p, made := d.x.Producer[name]
			if varies := d.x.Input[name] || made && !d.constant[p]; varies && !own[name] && !seen[name] {
				seen[name] = true
				piece.Inputs = append(piece.Inputs, name)
			}
		}
	}
	piece.Nodes = d.withConstants(nodes)
	return piece
}
