package sensitivity

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// engine runs edits of a base graph.
type engine struct {
	r        ort.Engine
	o        Options
	base     *onnx.Model
	types    map[string]onnxruntime.Type
	editor   *editor
	division *division
	parts    []*ort.Part // per block
	float    *ort.Part   // with the question Rest: the float model, whole
	outputs  []string
	arena    *runner.Arena
	suffixes suffixes
}

func newEngine(ctx context.Context, r ort.Engine, o Options) (*engine, error) {
	e := &engine{r: r, o: o, base: o.Float.WithDomain(quantizerDomain, 1), types: o.Types, arena: r.NewArena(int64(o.MemoryMiB) << 20 / 4)}
	e.suffixes.byKey = map[string]*suffix{}
	err := e.look()
	if err != nil {
		return nil, err
	}
	if o.Question == Rest {
		if e.float, err = ort.NewPart(r, o.Float, e.wholeFloat(), e.types); err != nil {
			return nil, err
		}
		e.base = o.Quantized.Model
		if e.types, err = ort.Types(r, e.base); err != nil {
			e.close()
			return nil, err
		}
	}
	if e.editor, err = newEditor(o); err != nil {
		e.close()
		return nil, err
	}
	e.divide()
	if err := e.compile(ctx); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// look finds the types of the float model's tensors, if they are not known, and the outputs that are compared.
func (e *engine) look() (err error) {
	if e.types == nil {
		if e.types, err = ort.Types(e.r, e.o.Float); err != nil {
			return err
		}
	}
	e.outputs, err = comparedOutputs(e.o, e.types)
	return err
}

// comparedOutputs lists the outputs that are compared.
func comparedOutputs(o Options, types map[string]onnxruntime.Type) ([]string, error) {
	names := o.Outputs
	if names == nil {
		for _, name := range o.Float.Outputs() {
			if t := types[name]; t.Tensor && t.DType == tensor.Float32 {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the model has no outputs of real numbers to compare")
	}
	x := onnx.NewIndex(o.Float)
	for _, name := range names {
		if _, made := x.Producer[name]; !made || types[name].DType != tensor.Float32 {
			return nil, fmt.Errorf("%q is no tensor of real numbers that the model makes", name)
		}
	}
	return names, nil
}

// target is the tensor of the base graph that stands for an output.
func (e *engine) target(output string) string {
	if tap := e.o.Quantized.Taps[output]; e.o.Question == Rest && tap != "" {
		return tap
	}
	return output
}

func (e *engine) targets() []string {
	names := make([]string, len(e.outputs))
	for i, name := range e.outputs {
		names[i] = e.target(name)
	}
	return names
}

// wholeFloat is the float model in one piece.
func (e *engine) wholeFloat() ort.Piece {
	d := divide(e.o.Float, e.outputs, e.crosses, len(e.o.Float.Graph().GetNode()))
	var nodes []*onnxpb.NodeProto
	needed := d.leading(e.outputs)
	for i, n := range d.x.Nodes {
		if needed[i] {
			nodes = append(nodes, n)
		}
	}
	p := ort.Piece{Nodes: nodes, Outputs: e.outputs, Rewrite: true}
	for _, in := range e.o.Float.Inputs() {
		if slices.ContainsFunc(nodes, func(n *onnxpb.NodeProto) bool { return slices.Contains(onnx.Uses(n), in.GetName()) }) {
			p.Inputs = append(p.Inputs, in.GetName())
		}
	}
	return p
}

func (e *engine) crosses(name string) bool {
	t, known := e.types[name]
	return known && t.Tensor && t.DType != tensor.String
}

// divide divides the base; a graph where something else than tensors would go from block to block is one block. The two
// nodes of a quantizer stay together: between them the type may change.
func (e *engine) divide() {
	x := onnx.NewIndex(e.base)
	crosses := func(name string) bool {
		p, made := x.Producer[name]
		return e.crosses(name) && (!made || x.Nodes[p].GetOpType() != "QuantizeLinear")
	}
	e.division = divide(e.base, e.targets(), crosses, blockNodes)
	if !e.division.whole(crosses) {
		e.division = divide(e.base, e.targets(), crosses, len(x.Nodes))
	}
}

// compile makes the blocks' sessions. Float blocks may be rewritten by the library; quantized ones must compute as they
// stand.
func (e *engine) compile(ctx context.Context) error {
	e.parts = make([]*ort.Part, len(e.division.blocks))
	for k, b := range e.division.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		nodes := make([]*onnxpb.NodeProto, len(b.nodes))
		for i, n := range b.nodes {
			nodes[i] = e.division.x.Nodes[n]
		}
		piece := ort.Piece{Nodes: e.division.withConstants(nodes), Inputs: b.inputs, Outputs: b.outputs, Rewrite: e.o.Question != Rest}
		var err error
		if e.parts[k], err = ort.NewPart(e.r, e.base, piece, e.types); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) close() {
	e.suffixes.close()
	for _, p := range e.parts {
		if p != nil {
			p.Close()
		}
	}
	if e.float != nil {
		e.float.Close()
	}
	e.arena.Empty()
}

// kept is what the base makes of one sample.
type kept struct {
	tensors map[string]tensor.Tensor // what blocks take, and the targets
	ref     []tensor.Tensor          // the float model's outputs
}

// prepare computes the base on a sample.
func (e *engine) prepare(ctx context.Context, n int) (*kept, error) {
	sample, err := e.o.Sample(ctx, n)
	if err != nil {
		return nil, err
	}
	k := &kept{tensors: map[string]tensor.Tensor{}}
	for _, in := range e.base.Inputs() {
		t, ok := sample[in.GetName()]
		if !ok {
			e.forget(k)
			return nil, fmt.Errorf("sample %d has no input %q", n+1, in.GetName())
		}
		lent := e.arena.Lend(t.DType, t.Shape) // where every run reads it without a copy
		copy(onnxruntime.Bytes(lent), onnxruntime.Bytes(t))
		k.tensors[in.GetName()] = lent
	}
	for i := range e.division.blocks {
		if err := e.runPart(ctx, e.parts[i], k, k.tensors); err != nil {
			e.forget(k)
			return nil, err
		}
	}
	if e.float == nil {
		for _, name := range e.outputs {
			k.ref = append(k.ref, k.tensors[name])
		}
		return k, nil
	}
	if k.ref, err = e.reference(ctx, k.tensors); err != nil {
		e.forget(k)
		return nil, err
	}
	return k, nil
}

// reference runs the whole float model.
func (e *engine) reference(ctx context.Context, sample map[string]tensor.Tensor) ([]tensor.Tensor, error) {
	inputs := make([]tensor.Tensor, len(e.float.Inputs()))
	for i, name := range e.float.Inputs() {
		t, ok := sample[name]
		if !ok {
			return nil, fmt.Errorf("it has no input %q", name)
		}
		inputs[i] = t
	}
	return e.float.Run(ctx, inputs, e.arena)
}

// forget gives a sample's memory back.
func (e *engine) forget(k *kept) {
	for _, t := range k.tensors {
		e.arena.GiveBack(t)
	}
	e.forgetReference(k)
}

func (e *engine) forgetReference(k *kept) {
	if e.float != nil {
		for _, t := range k.ref {
			e.arena.GiveBack(t)
		}
	}
}

// runPart runs a part on what has changed, else on what is kept, and adds what it makes to changed.
func (e *engine) runPart(ctx context.Context, p *ort.Part, k *kept, changed map[string]tensor.Tensor) error {
	inputs := make([]tensor.Tensor, len(p.Inputs()))
	for i, name := range p.Inputs() {
		t, ok := changed[name]
		if !ok {
			t = k.tensors[name]
		}
		inputs[i] = t
	}
	outputs, err := p.Run(ctx, inputs, e.arena)
	if err != nil {
		return err
	}
	for i, name := range p.Outputs() {
		changed[name] = outputs[i]
	}
	return nil
}

// compare runs steps on a sample, and gives the sums of all outputs with the outputs themselves, which use may read.
func (e *engine) compare(ctx context.Context, steps []step, k *kept, use func(outputs map[string]tensor.Tensor) error) (sums, error) {
	changed := map[string]tensor.Tensor{}
	defer func() {
		for _, t := range changed {
			e.arena.GiveBack(t)
		}
	}()
	for _, s := range steps {
		if err := e.runPart(ctx, s.part, k, changed); err != nil {
			return sums{}, err
		}
	}
	outputs := map[string]tensor.Tensor{}
	for _, name := range e.outputs {
		got, differs := changed[e.target(name)]
		if !differs {
			got = k.tensors[e.target(name)]
		}
		outputs[name] = got
	}
	return e.judged(k, outputs, use)
}

// judged compares outputs with the float model's.
func (e *engine) judged(k *kept, outputs map[string]tensor.Tensor, use func(map[string]tensor.Tensor) error) (sums, error) {
	var total sums
	for i, name := range e.outputs {
		got := outputs[name]
		if len(got.F32) == 0 {
			continue
		}
		if len(got.F32) != len(k.ref[i].F32) {
			return sums{}, fmt.Errorf("output %s has %d values, the float model's has %d", name, len(got.F32), len(k.ref[i].F32))
		}
		pair, err := metric.Measure(k.ref[i].F32, got.F32)
		if err != nil {
			return sums{}, &notFiniteError{name, err}
		}
		total.add(sums{pair.SumXX, pair.SumDD})
	}
	if use != nil {
		return total, use(outputs)
	}
	return total, nil
}

// notFiniteError marks a candidate whose outputs cannot be compared.
type notFiniteError struct {
	output string
	err    error
}

func (n *notFiniteError) Error() string { return fmt.Sprintf("output %s: %v", n.output, n.err) }
