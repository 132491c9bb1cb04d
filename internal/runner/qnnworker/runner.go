package qnnworker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"quantcheck/internal/dlc"
	"quantcheck/internal/qnn/compose"
	"quantcheck/internal/runner/worker"
)

// Runner is a DLC in a worker. Its methods may be called from one goroutine at a time.
type Runner struct {
	session         *worker.Session
	told            told
	tensors         []Tensor
	inputs, outputs []port
	notes           []string
	model           *os.File
}

// port is an input or an output in the shared memory.
type port struct {
	Tensor
	at, end int
}

// New starts a worker with a DLC; it ends with ctx. What is wrong with the file is ErrNotDLC, ErrOldVersion or an error of
// the file system; what the libraries say against its graph is a *compose.Error, with the node if it was one; libraries of
// another version are a *compose.VersionError, or ErrOtherResults if they are taken and fail at a known network, names that cannot be exposed an *UnknownTensorError, and a worker that died
// twice is a *worker.DiedError.
func New(ctx context.Context, e Engine, path string, o Options) (*Runner, error) {
	if e.AnyVersion {
		if err := e.tryKnown(ctx, o.Scratch, knownResult); err != nil {
			return nil, err
		}
	}
	r, err := open(ctx, e, path, o, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func open(ctx context.Context, e Engine, path string, o Options, estimate bool) (*Runner, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is no regular file", ErrNotDLC)
	}
	// What our reader does not understand the libraries may; they have the last word.
	file, unread := dlc.Open(path)
	if unread == nil {
		defer file.Close()
	}
	if errors.Is(unread, dlc.ErrVersion2) || unread == nil && file.Major < 4 {
		return nil, ErrOldVersion
	}
	var graph *dlc.Graph
	if unread == nil && len(file.Graphs) == 1 {
		graph = &file.Graphs[0]
	}
	r := &Runner{}
	if r.model, err = os.Open(path); err != nil {
		return nil, reason(err)
	}
	r.session, err = worker.Open(ctx, worker.Job{
		Kind: kind, Model: r.model, Scratch: o.Scratch, Failed: failed(path),
		Request: request{Libraries: e.Kit.Dir, SoC: e.soc(), AnyVersion: e.AnyVersion, All: o.All, Expose: candidates(graph, o.Expose), Estimate: estimate},
	})
	if err != nil {
		r.model.Close()
		var q *compose.Error
		if unread != nil && errors.As(err, &q) && q.Code == compose.CodeNotTaken {
			return nil, fmt.Errorf("%w: %w", ErrNotDLC, bare(unread))
		}
		return nil, err
	}
	if err := r.describe(graph, unread, o.Expose); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// describe takes over what the worker says of the graph.
func (r *Runner) describe(graph *dlc.Graph, unread error, expose []string) error {
	if err := json.Unmarshal(r.session.Opened.Detail, &r.told); err != nil {
		return fmt.Errorf("the worker's answer: %w", err)
	}
	d := &r.told.Graph
	names := own(graph, d)
	for i, t := range d.Tensors {
		r.tensors = append(r.tensors, Tensor{t, names[i]})
	}
	end := 0
	for _, list := range []struct {
		from []int
		to   *[]port
	}{{d.Inputs, &r.inputs}, {d.Outputs, &r.outputs}} {
		for _, i := range list.from {
			if i < 0 || i >= len(r.tensors) || r.tensors[i].Bytes() <= 0 || r.tensors[i].Bytes() > int64(len(r.session.Memory)) {
				return errors.New("the worker's answer does not fit itself")
			}
		}
		var places []int
		places, end = place(end, d.Pick(list.from))
		for k, i := range list.from {
			*list.to = append(*list.to, port{r.tensors[i], places[k], places[k] + int(r.tensors[i].Bytes())})
		}
	}
	if end > len(r.session.Memory) {
		return errors.New("the worker shares less memory than its tensors take")
	}
	r.notes = append(slices.Clone(d.Notes), disagreements(graph, r.tensors)...)
	if unread != nil {
		r.notes = append(r.notes, fmt.Sprintf("the libraries take a file that our reader does not understand: %s", bare(unread)))
	}
	var unknown []string
	for _, name := range expose {
		if !slices.ContainsFunc(r.outputs, func(p port) bool { return p.Own == name || p.Name == name }) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return &UnknownTensorError{unknown}
	}
	return nil
}

// reason takes the path out of a file system's error; it is said once, in front.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// bare takes the path out of our reader's error.
func bare(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return reason(inner)
	}
	return reason(err)
}

// Name is the graph's.
func (r *Runner) Name() string { return r.told.Graph.Name }

// Core is the version of the libraries' core API.
func (r *Runner) Core() [3]int { return r.told.Core }

// Tensors are all that the composer reports, in its order.
func (r *Runner) Tensors() []Tensor { return r.tensors }

// Nodes are the graph's, as the composer reports them; tensors go by the composer's names.
func (r *Runner) Nodes() []dlc.Node { return r.told.Graph.Nodes }

// Inputs are what Run takes.
func (r *Runner) Inputs() []Tensor { return tensorsOf(r.inputs) }

// Outputs are what Run gives, the graph's own and the exposed ones, in the composer's order.
func (r *Runner) Outputs() []Tensor { return tensorsOf(r.outputs) }

// Notes are what was not understood or left out, and encodings on which the composer and our reader disagree.
func (r *Runner) Notes() []string { return r.notes }

func tensorsOf(places []port) []Tensor {
	var list []Tensor
	for _, p := range places {
		list = append(list, p.Tensor)
	}
	return list
}

// Run makes an inference on inputs by name, the file's or the composer's, in the tensors' own types, and gives the outputs by
// the composer's names. Their memory is good until the next Run or Close. Inputs that are not the graph's are an *InputError
// or a *compose.SizeError, before anything runs. An inference that failed is runner.ErrSample, with a *compose.Error if the
// libraries refused it and a *worker.DiedError if the worker died twice on it; the runner is good for others. ctx ends it.
func (r *Runner) Run(ctx context.Context, inputs map[string][]byte) (map[string][]byte, error) {
	if err := r.feed(inputs); err != nil {
		return nil, err
	}
	if err := r.session.Run(ctx); err != nil {
		return nil, err
	}
	outputs := make(map[string][]byte, len(r.outputs))
	for _, p := range r.outputs {
		outputs[p.Name] = r.session.Memory[p.at:p.end:p.end]
	}
	return outputs, nil
}

// feed writes the inputs into the shared memory.
func (r *Runner) feed(inputs map[string][]byte) error {
	var e InputError
	used := map[string]bool{}
	for _, p := range r.inputs {
		name, data := p.Own, inputs[p.Own]
		if p.Own == "" || data == nil {
			name, data = p.Name, inputs[p.Name]
		}
		switch {
		case data == nil:
			e.Missing = append(e.Missing, p.Called())
			continue
		case len(data) != p.end-p.at:
			return &compose.SizeError{Tensor: p.Called(), Got: int64(len(data)), Want: int64(p.end - p.at)}
		}
		used[name] = true
		copy(r.session.Memory[p.at:p.end], data)
	}
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		if !used[name] {
			e.Unknown = append(e.Unknown, name)
		}
	}
	if len(e.Missing)+len(e.Unknown) > 0 {
		return &e
	}
	return nil
}

// Close ends the worker.
func (r *Runner) Close() {
	r.session.Close()
	r.model.Close()
}
