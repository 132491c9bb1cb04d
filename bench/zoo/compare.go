package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/bench/zoo/networks"
	"quantcheck/internal/dataset"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// What is taken for the same.
const (
	sameDB    = 0.05 // of an SQNR: the model that was checked and the file that was written
	sameValue = 1e-3 // of the greatest magnitude of an output: the model before and behind optimize
	slower    = 1.01 // times the cycles
)

// lookApart lets a process of its own look at what a command wrote: what ONNX Runtime takes there is not counted as the next command's memory,
// and a file that ends it ends nothing else.
func (b *bench) lookApart(ctx context.Context, n networks.Network, c command, o *outcome) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "-dir", b.zoo.Dir, "-pictures", b.pictures, "-program", b.program, "-look", n.Name+"/"+c.name)
	var out, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failed
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		o.Problem = "what it wrote was not run: " + short(strings.TrimPrefix(failed.String(), "zoo: "), b.work(n))
		return nil //nolint:nilerr // the outcome says so
	}
	return json.Unmarshal(out.Bytes(), o)
}

// lookNow is what that process does: it prints an outcome that holds what it found.
func (b *bench) lookNow(ctx context.Context) error {
	network, name, _ := strings.Cut(b.look, "/")
	list, err := b.zoo.Table.Named([]string{network})
	if err != nil {
		return err
	}
	at := slices.IndexFunc(commands, func(c command) bool { return c.name == name && c.look != nil })
	if at < 0 {
		return fmt.Errorf("-look %s: the command writes nothing to look at", b.look)
	}
	found := map[string]any{}
	var o outcome
	if err := commands[at].look(ctx, b, list[0], &o); err != nil {
		return err
	}
	for key, v := range map[string]any{"note": o.Note, "problem": o.Problem, "cycles": o.Cycles} {
		found[key] = v
	}
	return json.NewEncoder(b.out).Encode(found)
}

func (b *bench) runtime() (ort.Engine, error) {
	if b.engine == nil {
		library, err := onnxruntime.Find(filepath.Join(filepath.Dir(b.program), onnxruntime.LibraryName()))
		if err != nil {
			return nil, err
		}
		r, err := onnxruntime.Open(library, 2)
		if err != nil {
			return nil, err
		}
		b.engine = ort.InProcess(r)
	}
	return b.engine, nil
}

// pair holds the outputs of two models on one sample, by name.
type pair struct{ ref, got map[string]tensor.Tensor }

// outputsOf runs a network's float model and a file on its samples of a seed.
func (b *bench) outputsOf(ctx context.Context, n networks.Network, file string, seed uint64) (pairs []pair, err error) {
	e, err := b.runtime()
	if err != nil {
		return nil, err
	}
	d, err := n.Description()
	if err != nil {
		return nil, err
	}
	shapes, err := d.Shapes()
	if err != nil {
		return nil, err
	}
	float, err := opened(e, b.zoo.Model(n), shapes)
	if err != nil {
		return nil, fmt.Errorf("float model: %w", err)
	}
	defer float.run.Close()
	got, err := opened(e, file, nil)
	if err != nil {
		return nil, err
	}
	defer got.run.Close()
	path, err := b.zoo.Samples(n, b.pictures, perNetwork, seed)
	if err != nil {
		return nil, err
	}
	set, err := dataset.Find(path, perNetwork)
	if err != nil {
		return nil, err
	}
	loader := dataset.Loader{Inputs: float.inputs, Description: d, Pictures: dataset.NewBudget(1 << 30)}
	for _, source := range set.Sources {
		s, err := loader.Load(source)
		if err != nil {
			return nil, err
		}
		var p pair
		if p.ref, err = float.infer(ctx, s.Inputs); err != nil {
			return nil, fmt.Errorf("float model: %w", err)
		}
		again, err := float.infer(ctx, s.Inputs)
		if err != nil {
			return nil, fmt.Errorf("float model: %w", err)
		}
		if d := model.Furthest([]map[string]tensor.Tensor{p.ref}, []map[string]tensor.Tensor{again}); d > 0 {
			return nil, errRandom
		}
		if p.got, err = got.infer(ctx, s.Inputs); err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// errRandom says that a network gives other outputs each time.
var errRandom = errors.New("the float model gives other outputs each time it is run")

// opened is a model that can be run.
type openedModel struct {
	run    *ort.Runner
	inputs []dataset.Input
}

func opened(e ort.Engine, path string, shapes map[string][]int64) (*openedModel, error) {
	m, _, err := model.Read(path)
	if err != nil {
		return nil, err
	}
	if m, _, err = onnx.FixInputs(m, shapes); err != nil {
		return nil, err
	}
	x := onnx.NewIndex(m)
	taps := slices.DeleteFunc(slices.Clone(m.Outputs()), func(name string) bool { _, made := x.Producer[name]; return !made })
	run, err := ort.New(e, m, ort.Options{Taps: taps})
	if err != nil {
		return nil, err
	}
	return &openedModel{run, model.InputsOf(m)}, nil
}

// infer gives the outputs on one sample. Inputs that the model does not have are left out.
func (o *openedModel) infer(ctx context.Context, inputs map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	mine := map[string]tensor.Tensor{}
	for _, in := range o.inputs {
		mine[in.Name] = inputs[in.Name]
	}
	got := map[string]tensor.Tensor{}
	f := o.run.Start(runner.Sample{Inputs: mine})
	defer f.Close()
	for range o.run.Segments() {
		batch, err := f.Next(ctx)
		if err != nil {
			return nil, err
		}
		for _, tap := range batch.Taps {
			got[tap.Name] = tap.Tensor.Clone()
		}
		batch.Release()
	}
	return got, nil
}

// sqnr is 10·log₁₀ of the power of a signal over that of its error, in dB; ok is false where there are no numbers to compare.
func sqnr(ref, got tensor.Tensor) (db float64, ok bool) {
	p, isReal := ref.AsFloat32()
	q, also := got.AsFloat32()
	if !isReal || !also || len(p) != len(q) {
		return 0, false
	}
	signal, noise := 0.0, 0.0
	for i := range p {
		x, d := float64(p[i]), float64(p[i])-float64(q[i])
		signal, noise = signal+x*x, noise+d*d
	}
	return 10 * math.Log10(signal/noise), !math.IsNaN(signal) && !math.IsInf(signal, 0)
}

// worst gives the least SQNR of each output over the samples.
func worst(pairs []pair) (map[string]float64, error) {
	least := map[string]float64{}
	for _, p := range pairs {
		for name, ref := range p.ref {
			got, there := p.got[name]
			if !there {
				return nil, fmt.Errorf("the file has no output %q", name)
			}
			if !slices.Equal(ref.Shape, got.Shape) {
				return nil, fmt.Errorf("the output %q has the shape %v, the float model's %v", name, got.Shape, ref.Shape)
			}
			db, ok := sqnr(ref, got)
			if !ok {
				continue
			}
			if math.IsNaN(db) {
				db = math.Inf(-1)
			}
			if before, seen := least[name]; !seen || db < before {
				least[name] = db
			}
		}
	}
	return least, nil
}

// checkedRun is what is read of a check's JSON.
type checkedRun struct {
	Layers []struct {
		Name   string `json:"name"`
		Output bool   `json:"output"`
	} `json:"layers"`
	Variants []struct {
		Layers []struct {
			Status  string `json:"status"`
			Reason  string `json:"reason"`
			Summary map[string]struct {
				Min float64 `json:"min"`
			} `json:"summary"`
		} `json:"layers"`
	} `json:"variants"`
}

// lookAtQuantized holds the SQNR of the QDQ file's outputs, on the check's samples, against what the check said of them.
func lookAtQuantized(ctx context.Context, b *bench, n networks.Network, o *outcome) error {
	file := filepath.Join(b.work(n), quantizedFile)
	pairs, err := b.outputsOf(ctx, n, file, 0)
	if errors.Is(err, errRandom) {
		o.Note = errRandom.Error()
		return nil
	}
	if err != nil {
		return err
	}
	written, err := worst(pairs)
	if err != nil {
		return err
	}
	fresh := "none"
	if pairs, err = b.outputsOf(ctx, n, file, 1); err != nil {
		return err
	}
	if least, err := worst(pairs); err == nil {
		fresh = figures(least)
	}
	o.Note = fmt.Sprintf("written %s dB, on fresh samples %s dB", figures(written), fresh)
	data, err := os.ReadFile(filepath.Join(b.zoo.Dir, "outcomes", n.Name, "check.stdout"))
	if err != nil {
		return nil //nolint:nilerr // it was not checked
	}
	var c checkedRun
	if json.Unmarshal(data, &c) != nil || len(c.Variants) != 1 {
		return nil //nolint:nilerr // nor was it checked whole
	}
	for i, l := range c.Layers {
		db, there := written[l.Name]
		said, ok := c.Variants[0].Layers[i].Summary["SQNR"]
		if !l.Output || !there || !ok {
			continue
		}
		if math.Abs(said.Min-db) > sameDB && !(math.IsInf(db, 1) && said.Min > 150) {
			o.Problem = strings.TrimPrefix(o.Problem+fmt.Sprintf("; output %s: the check said %.2f dB, the written file has %.2f dB", l.Name, said.Min, db), "; ")
		}
	}
	return nil
}

// figures writes the least and the greatest of several.
func figures(list map[string]float64) string {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range list {
		lo, hi = min(lo, v), max(hi, v)
	}
	switch {
	case len(list) == 0:
		return "no"
	case lo == hi:
		return decibels(lo)
	}
	return decibels(lo) + " to " + decibels(hi)
}

func decibels(v float64) string {
	if math.IsInf(v, 1) {
		return "∞"
	}
	return fmt.Sprintf("%.2f", v)
}

// lookAtOptimized holds the rewritten model's outputs against the float model's, on the samples of the proof and on fresh ones.
func lookAtOptimized(ctx context.Context, b *bench, n networks.Network, o *outcome) error {
	file := filepath.Join(b.work(n), optimizedFile)
	far := 0.0
	for seed := range uint64(2) {
		pairs, err := b.outputsOf(ctx, n, file, seed)
		if errors.Is(err, errRandom) {
			o.Note = errRandom.Error()
			return nil
		}
		if err != nil {
			return err
		}
		for _, p := range pairs {
			far = max(far, model.Furthest([]map[string]tensor.Tensor{p.ref}, []map[string]tensor.Tensor{p.got}))
		}
	}
	o.Note = fmt.Sprintf("outputs move by %.1e", far)
	if far == 0 {
		o.Note = "outputs do not move"
	}
	if far > sameValue {
		o.Problem = fmt.Sprintf("outputs move by %.1e of their greatest magnitude", far)
	}
	before, err := os.Stat(b.zoo.Model(n))
	if err != nil {
		return err
	}
	after, err := os.Stat(file)
	if err != nil {
		return err
	}
	if growth := float64(after.Size()) / float64(before.Size()); growth > 1.1 {
		o.Problem = strings.TrimPrefix(o.Problem+fmt.Sprintf("; the file is %.2f times as large", growth), "; ")
	}
	return nil
}

// estimated is what is read of an estimate's JSON.
type estimated struct {
	Cycles  float64  `json:"cycles"`
	Refused []string `json:"refused"`
}

func noteCycles(_ context.Context, b *bench, n networks.Network, o *outcome) error {
	data, err := os.ReadFile(filepath.Join(b.work(n), "stdout"))
	if err != nil {
		return err
	}
	var e estimated
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("its JSON: %w", err)
	}
	o.Cycles = e.Cycles
	o.Note = fmt.Sprintf("%.0f cycles", e.Cycles)
	switch k := len(e.Refused); {
	case k == 1:
		o.Note += " without an operator that the HTP refuses"
	case k > 1:
		o.Note += fmt.Sprintf(" without %d operators that the HTP refuses", k)
	}
	return nil
}

// lookAtCycles holds the optimized model's cycles against the model's.
func lookAtCycles(ctx context.Context, b *bench, n networks.Network, o *outcome) error {
	if err := noteCycles(ctx, b, n, o); err != nil {
		return err
	}
	if before, ok := b.kept(n, "estimate"); ok && before.Status == fine && before.Cycles > 0 {
		times := o.Cycles / before.Cycles
		o.Note += fmt.Sprintf(", %.3f times those before", times)
		if times > slower {
			o.Problem = fmt.Sprintf("%.3f times the cycles of the model before optimize", times)
		}
	}
	return nil
}
