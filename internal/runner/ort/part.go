package ort

import (
	"context"
	"fmt"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/tensor"
)

// Part is a piece of a model as a session of its own, which is given tensors and gives tensors. Runs may overlap; each stays
// on its caller's thread.
type Part struct {
	session *compiled
	inputs  []string
	outputs []string
	types   []onnxruntime.Type // of the outputs
}

// Piece says what a part consists of.
type Piece struct {
	Nodes        []*onnxpb.NodeProto
	Initializers []*onnxpb.TensorProto // besides the model's own
	Inputs       []string
	Outputs      []string
	// Rewrite lets the library rewrite the piece: faster, equal but for the rounding of floats, and wrong for pieces with
	// quantizers, which it fuses.
	Rewrite bool
}

// NewPart compiles a piece. types are those of its inputs and outputs.
func NewPart(r Engine, m *onnx.Model, piece Piece, types map[string]onnxruntime.Type) (*Part, error) {
	infos := make([]*onnxpb.ValueInfoProto, len(piece.Inputs))
	for i, name := range piece.Inputs {
		infos[i] = onnx.ValueInfo(name, types[name].DType, types[name].Shape)
	}
	built := onnx.Rebuild(m, piece.Nodes, piece.Initializers...)
	session, err := compile(r, graph{
		m: built, x: onnx.NewIndex(built), to: len(piece.Nodes), inputs: infos, outputs: piece.Outputs, options: onnxruntime.Options{Rewrite: piece.Rewrite, OneThread: true},
	})
	if err != nil {
		return nil, err
	}
	p := &Part{session: session, inputs: piece.Inputs, outputs: piece.Outputs}
	for _, name := range piece.Outputs {
		p.types = append(p.types, types[name])
	}
	return p, nil
}

// Close frees the part; it must not be running.
func (p *Part) Close() { p.session.Close() }

// Inputs and Outputs name what Run takes and gives, in order.
func (p *Part) Inputs() []string { return p.inputs }

// Outputs names what Run gives.
func (p *Part) Outputs() []string { return p.outputs }

// Run computes the part. Outputs are lent from the arena: the caller gives them back.
func (p *Part) Run(ctx context.Context, inputs []tensor.Tensor, arena *runner.Arena) ([]tensor.Tensor, error) {
	outputs, err := p.session.run(ctx, inputs, p.types, arena)
	if err != nil {
		return nil, err
	}
	for i, t := range outputs {
		if t.DType == tensor.Undefined {
			giveBack(arena, outputs)
			return nil, fmt.Errorf("%s is no numeric tensor", p.outputs[i])
		}
	}
	return outputs, nil
}
