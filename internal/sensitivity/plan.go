package sensitivity

import (
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner/ort"
)

// step is a part that is run; release lets go of it.
type step struct {
	part    *ort.Part
	release func()
}

// plan finds what has to be computed for an edit: the blocks that it changes, as they are then, with what lies between
// them, and what follows.
func (e *engine) plan(ed *edit) ([]step, error) {
	var steps []step
	dirty := map[string]bool{}
	last := 0
	for k, b := range e.division.blocks {
		if b.edited(ed) {
			last = k
		}
	}
	add := func(part *ort.Part, release func(), err error) error {
		if err != nil {
			closeSteps(steps)
			return err
		}
		if part != nil {
			steps = append(steps, step{part, release})
			mark(dirty, part.Outputs())
		}
		return nil
	}
	for k, b := range e.division.blocks[:last+1] {
		switch follows := slices.ContainsFunc(b.inputs, func(name string) bool { return dirty[name] }); {
		case b.edited(ed):
			piece := e.division.changed(b, ed, dirty)
			if len(piece.Outputs) == 0 {
				continue
			}
			part, err := ort.NewPart(e.r, e.base, piece, e.types)
			if err := add(part, func() { part.Close() }, err); err != nil {
				return nil, err
			}
		case follows:
			if err := add(e.parts[k], func() {}, nil); err != nil {
				return nil, err
			}
		}
	}
	return steps, add(e.suffix(last, dirty))
}

func (b *block) edited(ed *edit) bool {
	return slices.ContainsFunc(b.nodes, func(i int) bool { _, ok := ed.nodes[i]; return ok })
}

func mark(set map[string]bool, names []string) {
	for _, name := range names {
		set[name] = true
	}
}

func closeSteps(steps []step) {
	for _, s := range steps {
		s.release()
	}
}

// changed is the piece that computes those of a block's outputs that an edit changes, or that follow from tensors that
// have changed.
func (d *division) changed(b *block, ed *edit, dirty map[string]bool) ort.Piece {
	within := map[string]bool{} // changed tensors that the block makes
	var nodes []*onnxpb.NodeProto
	for _, i := range b.nodes {
		n := d.x.Nodes[i]
		list, edited := ed.nodes[i]
		if !edited {
			list = []*onnxpb.NodeProto{n}
		}
		if edited || slices.ContainsFunc(onnx.Uses(n), func(in string) bool { return within[in] || dirty[in] }) {
			mark(within, n.GetOutput())
		}
		for _, n := range list {
			if !slices.Contains(nodes, n) {
				nodes = append(nodes, n)
			}
		}
	}
	piece := ort.Piece{Initializers: ed.inits}
	want := map[string]bool{}
	for _, out := range b.outputs {
		if within[out] {
			piece.Outputs = append(piece.Outputs, out)
			want[out] = true
		}
	}
	for k := len(nodes) - 1; k >= 0; k-- {
		if slices.ContainsFunc(nodes[k].GetOutput(), func(out string) bool { return want[out] }) {
			piece.Nodes = append(piece.Nodes, nodes[k])
			mark(want, onnx.Uses(nodes[k]))
		}
	}
	slices.Reverse(piece.Nodes)
	for _, in := range b.inputs {
		if want[in] {
			piece.Inputs = append(piece.Inputs, in)
		}
	}
	piece.Nodes = d.withConstants(piece.Nodes)
	return piece
}
