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
	r       *onnxruntime.Runtime
	session *onnxruntime.Session
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
func NewPart(r *onnxruntime.Runtime, m *onnx.Model, piece Piece, types map[string]onnxruntime.Type) (*Part, error) {
	infos := make([]*onnxpb.ValueInfoProto, len(piece.Inputs))
	for i, name := range piece.Inputs {
		infos[i] = onnx.ValueInfo(name, types[name].DType, types[name].Shape)
	}
	built := onnx.Rebuild(m, piece.Nodes, piece.Initializers...)
	session, err := compileAs(r, built, 0, len(piece.Nodes), infos, piece.Outputs, onnxruntime.Options{Rewrite: piece.Rewrite, OneThread: true})
	if err != nil {
		return nil, err
	}
	p := &Part{r: r, session: session, inputs: piece.Inputs, outputs: piece.Outputs}
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

// Run computes the part. Outputs are lent from the arena where their shape is known: the caller gives them back.
func (p *Part) Run(ctx context.Context, inputs []tensor.Tensor, arena *runner.Arena) ([]tensor.Tensor, error) {
	in, err := p.values(inputs)
	defer closeValues(in)
	if err != nil {
		return nil, err
	}
	list := make([]tensor.Tensor, len(p.outputs))
	out := make([]*onnxruntime.Value, len(p.outputs))
	defer closeValues(out)
	for i, t := range p.types {
		if !t.Fixed() {
			continue
		}
		list[i] = arena.Lend(t.DType, t.Shape)
		if out[i], err = p.r.NewValue(list[i]); err != nil {
			break
		}
	}
	var allocated []tensor.Tensor
	if err == nil {
		allocated, err = p.session.Run(ctx, in, out)
	}
	for i := range list {
		switch {
		case err != nil && out[i] != nil:
			arena.GiveBack(list[i])
		case err == nil && out[i] == nil:
			if list[i] = allocated[i]; list[i].DType == tensor.Undefined {
				err = fmt.Errorf("%s is no numeric tensor", p.outputs[i])
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

func (p *Part) values(list []tensor.Tensor) ([]*onnxruntime.Value, error) {
	values := make([]*onnxruntime.Value, len(list))
	for i, t := range list {
		var err error
		if values[i], err = p.r.NewValue(t); err != nil {
			return values, err
		}
	}
	return values, nil
}

func closeValues(list []*onnxruntime.Value) {
	for _, v := range list {
		if v != nil {
			v.Close()
		}
	}
}
