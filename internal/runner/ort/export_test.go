package ort

import (
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
)

// What tests look at.
const (
	PieceNodes = pieceNodes
	TypedNodes = typedNodes
)

// TypesOf is Types with other parts.
var TypesOf = typesOf

// NewInPieces compiles a model in segments that end at the positions, in pieces of at most so many nodes.
func NewInPieces(r Engine, m *onnx.Model, types map[string]onnxruntime.Type, tapped map[string]bool, positions []int, most int) (*Runner, *runner.Arena, error) {
	x := onnx.NewIndex(m)
	all := newCarried(x, types).pieces(positions, len(x.Nodes), most, weights(x))
	pieces, err := divide(r, m, x, types, tapped, all)
	if err != nil {
		return nil, nil, err
	}
	run := &Runner{r: r, arena: runner.NewArena(0), inputs: map[string]onnxruntime.Type{}}
	for _, in := range m.Inputs() {
		run.inputs[in.GetName()] = types[in.GetName()]
	}
	from := 0
	for _, to := range steps(positions, all) {
		run.segments = append(run.segments, pieces[from:to])
		from = to
	}
	return run, run.arena, nil
}
