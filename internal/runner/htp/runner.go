package htp

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner"
	"quantcheck/internal/tensor"
)

// Options says what a runner yields and how it is divided.
type Options struct {
	// Groups are the tensors to yield, a group per segment.
	Groups [][]string
	// Bytes is the size of a tapped tensor, as far as it is known, and PassBytes how many of them may be exposed at once:
	// beyond that the graph is run several times, each time with other taps. 0: no bound.
	Bytes     func(tap string) int64
	PassBytes int64
	Arena     *runner.Arena
	// Outputs are the tapped tensors that SameWithoutTaps compares. Without them the graph is one of operators apart, all of whose taps are exposed or none.
	Outputs []string
	// Shape is a tapped tensor's shape; without it a tensor may come with one axis.
	Shape func(tap string) []int64
}

// Runner is a runner.Fed and a runner.Untapped on the emulator.
type Runner struct {
	engine  Engine
	model   *onnx.Model
	outputs []string

	groups    [][]string
	passes    [][]*pass // a segment's taps may come from several graphs that are run one after the other
	passOf    []int     // segment → pass
	arena     *runner.Arena
	cpu       []string
	shape     func(tap string) []int64
	unexposed map[string]string
}

// pass is the whole graph with some of its taps.
type pass struct {
	*session
	boundary *qdq.Boundary
	places   map[string]slot // by the boundary graph's names
}

// New compiles a model, whose shapes are fixed, for the emulator. The workers end with ctx. The error is a *RefusedError if
// the HTP does not take it whole and the engine has no fallback.
func New(ctx context.Context, e Engine, m *onnx.Model, o Options) (*Runner, error) {
	r := &Runner{engine: e, model: m, outputs: o.Outputs, shape: o.Shape, unexposed: map[string]string{}, arena: o.Arena}
	if r.arena == nil {
		r.arena = runner.NewArena(1 << 28)
	}
	var err error
	if m, err = taken(m); err != nil {
		return nil, err
	}
	sizes := make([]int64, len(o.Groups))
	for k, group := range o.Groups {
		for _, tap := range group {
			if o.Bytes != nil {
				sizes[k] += o.Bytes(tap)
			}
		}
	}
	r.passOf = runner.Passes(sizes, o.PassBytes)
	var exposed [][]string // per pass; only the first can have none, and is then the only one
	for k, group := range o.Groups {
		if len(exposed) <= r.passOf[k] {
			exposed = append(exposed, nil)
		}
		exposed[r.passOf[k]] = append(exposed[r.passOf[k]], group...)
	}
	for _, taps := range exposed {
		if len(taps) == 0 {
			continue
		}
		graphs, left, err := e.exposed(ctx, m, taps, o)
		if err != nil {
			r.Close()
			return nil, err
		}
		r.passes = append(r.passes, graphs)
		for _, tap := range left {
			r.unexposed[tap] = reasonUnexposed
		}
		for _, p := range graphs {
			nodes := map[string]bool{}
			for _, n := range p.told.OnCPU {
				nodes[n] = true
			}
			r.cpu = append(r.cpu, onCPU(m, taps, nodes)...)
		}
	}
	if len(r.unexposed) > 0 {
		for _, group := range o.Groups {
			r.groups = append(r.groups, slices.DeleteFunc(slices.Clone(group), func(tap string) bool { return r.unexposed[tap] != "" }))
		}
	} else {
		r.groups = o.Groups
	}
	return r, nil
}

// open starts a worker for the graph with some taps, each behind a Reshape to one axis if flat.
func (e Engine) open(ctx context.Context, m *onnx.Model, taps []string, flat bool) (*pass, error) {
	integers := qdq.Integers
	if flat {
		integers = qdq.FlatIntegers
	}
	b, err := integers(m, taps)
	if err != nil {
		return nil, err
	}
	l := load{
		Library: e.Library, Provider: e.Kit.Provider(), Options: e.options(), AllowCPU: e.Fallback, External: externalDir(m),
		Inputs: slots(b.Model), Outputs: b.Model.Outputs(),
	}
	data, err := b.Model.Bytes()
	if err != nil {
		return nil, err
	}
	s, err := openSession(ctx, l, data)
	if err != nil {
		return nil, err
	}
	p := &pass{session: s, boundary: b, places: map[string]slot{}}
	for _, list := range [][]slot{s.told.Inputs, s.told.Outputs} {
		for _, x := range list {
			if x.Offset < 0 || x.Bytes < 0 || x.Offset+x.Bytes > len(s.Memory) {
				s.close()
				return nil, fmt.Errorf("the worker places %s outside of the shared memory", x.Name)
			}
			p.places[x.Name] = x
		}
	}
	return p, nil
}

// graphs are those of all passes.
func (r *Runner) graphs() []*pass { return slices.Concat(r.passes...) }

// Unexposed gives the tapped tensors that the runner does not yield, with the reason.
func (r *Runner) Unexposed() map[string]string { return r.unexposed }

// OnCPU lists the tapped tensors whose operator the HTP refuses and the CPU computes.
func (r *Runner) OnCPU() []string { return r.cpu }

// Passes is how often one inference runs the graph.
func (r *Runner) Passes() int { return len(r.graphs()) }

// Segments implements runner.Runner.
func (r *Runner) Segments() [][]string { return r.groups }

// Close implements runner.Runner.
func (r *Runner) Close() {
	for _, graphs := range r.passes {
		closeAll(graphs)
	}
}

// Start implements runner.Runner. The emulator begins to compute at once, beside whatever the caller does next.
func (r *Runner) Start(s runner.Sample) runner.Inference {
	f := r.Begin()
	for _, name := range slices.Sorted(maps.Keys(s.Inputs)) {
		f.Feed(name, s.Inputs[name])
	}
	f.Go()
	return f
}

// Inputs lists the float tensors that the graph takes.
func (r *Runner) Inputs() []string {
	names := map[string]bool{}
	for _, p := range r.graphs() {
		for _, in := range p.boundary.Inputs {
			names[in.Tensor] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Begin implements runner.Fed. There may be one inference at a time.
func (r *Runner) Begin() runner.FedInference {
	return &Inference{r: r, fed: map[string]bool{}, schedule: runner.NewSchedule(r.passOf, func(k int) error {
		for _, p := range r.passes[k] {
			if err := p.Run(context.Background()); err != nil { // the worker ends with the runner's context
				return err
			}
		}
		return nil
	})}
}

// Inference is a runner.FedInference on the emulator.
type Inference struct {
	r        *Runner
	fed      map[string]bool
	err      error
	next     int // segment
	schedule *runner.Schedule
}

// Feed implements runner.FedInference: it writes an input into the shared memory, on its grid if it has one.
func (f *Inference) Feed(name string, t tensor.Tensor) {
	for _, p := range f.r.graphs() {
		for _, in := range p.boundary.Inputs {
			if in.Tensor != name {
				continue
			}
			place := p.places[in.Name]
			to := p.Memory[place.Offset : place.Offset+place.Bytes]
			switch {
			case in.Grid != nil:
				values, ok := t.AsFloat32()
				if !ok || len(values)*in.Grid.DType.Bits()/8 != len(to) {
					f.fail(name, t, place)
					continue
				}
				in.Grid.Quantize(to, values)
			case t.DType == tensor.Float32 && place.DType == tensor.Float32 && len(t.F32)*4 == len(to):
				copy(onnxruntime.Mapped(to), t.F32)
			case t.DType == place.DType && t.DType != tensor.Float32 && len(t.Raw) == len(to):
				copy(to, t.Raw)
			default:
				f.fail(name, t, place)
				continue
			}
			f.fed[name] = true
		}
	}
}

func (f *Inference) fail(name string, t tensor.Tensor, place slot) {
	if f.err == nil {
		f.err = fmt.Errorf("input %q is %s%v, the sample has %s%v", name, place.DType, place.Shape, t.DType, t.Shape)
	}
}

// Go implements runner.FedInference.
func (f *Inference) Go() {
	for _, name := range f.r.Inputs() {
		if !f.fed[name] && f.err == nil {
			f.err = fmt.Errorf("the sample has no input %q", name)
		}
	}
	if f.err == nil && len(f.r.passes) > 0 {
		f.schedule.Begin(0)
	}
}

// Next implements runner.Inference.
func (f *Inference) Next(ctx context.Context) (*runner.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f.err != nil {
		return nil, f.err
	}
	k := f.next
	f.next++
	if len(f.r.groups[k]) == 0 {
		return runner.NewBatch(nil, nil), nil
	}
	which, err := f.schedule.Pass(k)
	if err != nil {
		return nil, err
	}
	var taps []runner.Tap
	for _, tap := range f.r.groups[k] {
		t, err := dequantized(f.r.passes[which], tap, f.r.arena)
		if err != nil {
			return nil, err
		}
		if f.r.shape != nil {
			t.Shape = restored(t.Shape, f.r.shape(tap))
		}
		taps = append(taps, runner.Tap{Name: tap, Tensor: t})
	}
	return runner.NewBatch(taps, func() {
		for _, t := range taps {
			if t.Tensor.DType == tensor.Float32 {
				f.r.arena.GiveBack(t.Tensor)
			}
		}
	}), nil
}

// Close implements runner.Inference.
func (f *Inference) Close() { _ = f.schedule.Wait() }

// dequantized gives a tap in lent memory.
func dequantized(graphs []*pass, tap string, arena *runner.Arena) (tensor.Tensor, error) {
	for _, p := range graphs {
		for _, out := range p.boundary.Outputs {
			if out.Tensor != tap {
				continue
			}
			place := p.places[out.Name]
			from := p.Memory[place.Offset : place.Offset+place.Bytes]
			switch {
			case out.Grid != nil && out.Grid.DType == place.DType:
				t := arena.Lend(tensor.Float32, place.Shape)
				out.Grid.Dequantize(t.F32, from)
				return t, nil
			case out.Grid == nil && place.DType == tensor.Float32:
				t := arena.Lend(tensor.Float32, place.Shape)
				copy(t.F32, onnxruntime.Mapped(from))
				return t, nil
			case out.Grid == nil:
				return tensor.Tensor{DType: place.DType, Shape: place.Shape, Raw: slices.Clone(from)}, nil
			}
			return tensor.Tensor{}, fmt.Errorf("the emulator gives %s as %s, expected %s", tap, place.DType, out.Grid.DType)
		}
	}
	return tensor.Tensor{}, fmt.Errorf("the emulator does not expose %s", tap)
}

// restored gives a tensor that came with one axis its own shape, if that has as many values.
func restored(came, own []int64) []int64 {
	n, err := tensor.Count(own)
	if len(came) != 1 || err != nil || int64(n) != came[0] {
		return came
	}
	return own
}

// Raw gives what the emulator holds of each tap, in its own type. The memory is good until the next inference.
func (r *Runner) Raw(tap string) ([]byte, bool) {
	for _, p := range r.graphs() {
		for _, out := range p.boundary.Outputs {
			if out.Tensor == tap {
				place := p.places[out.Name]
				return p.Memory[place.Offset : place.Offset+place.Bytes], true
			}
		}
	}
	return nil, false
}

// SameWithoutTaps implements runner.Untapped, for the outputs that New was given.
func (r *Runner) SameWithoutTaps(ctx context.Context, s runner.Sample) (same, outputs int, err error) {
	if len(r.outputs) == 0 {
		return 0, 0, nil
	}
	bare, err := New(ctx, r.engine, r.model, Options{Groups: [][]string{r.outputs}, Arena: r.arena, Outputs: r.outputs})
	if err != nil {
		return 0, 0, err
	}
	defer bare.Close()
	f := bare.Start(s)
	defer f.Close()
	batch, err := f.Next(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer batch.Release()
	for _, name := range r.outputs {
		a, there := r.Raw(name)
		b, also := bare.Raw(name)
		if there && also && bytes.Equal(a, b) {
			same++
		}
	}
	return same, len(r.outputs), nil
}
