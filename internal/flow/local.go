package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// local measures, for one variant, the error that each layer makes alone, and that of the whole model with only its
// weights or only its activations quantized.
type local struct {
	islands  runner.Runner       // nil if there are none
	cpu      *ort.Runner         // the same, if they run on the CPU
	emulated *htp.Runner         // the same, if they run on the emulator
	of       map[string][]island // layer → its tensors in the islands' graph
	skipped  map[string]string

	weightsOnly, actsOnly runner.Runner // nil if they cannot be built
	outputs               map[string]int
}

// notAlone is the local part of a variant that is a DLC's, run here or elsewhere.
func notAlone(layers []result.Layer, here bool) *local {
	why := "run elsewhere: its layers are not computed alone"
	if here {
		why = "a DLC is run as it is: its layers are not computed alone"
	}
	l := &local{of: map[string][]island{}, skipped: map[string]string{}, outputs: map[string]int{}}
	for _, layer := range layers {
		l.skipped[layer.Name] = why
	}
	return l
}

// island is one tensor of a layer that was computed alone.
type island struct {
	tap  string
	part int
}

// The parts of a local error, and those of the whole model.
const (
	partFull = iota
	partWeights
	partActs
	parts
)

// addLocal builds what measures the local errors of variant i; groups are the float model's segments, mapped the same with
// the variant's tensors.
func (b *build) addLocal(i int, surgeon *qdq.Surgeon, groups, mapped [][]string) error {
	v := &b.run.Variants[i]
	islands := surgeon.Islands(true)
	l := &local{of: map[string][]island{}, skipped: islands.Skipped, outputs: map[string]int{}}
	b.locals = append(b.locals, l)
	var taps []string
	for _, one := range islands.Layers {
		for part, tap := range []string{one.Full, one.Weights, one.Acts} {
			if tap != "" {
				l.of[one.Layer] = append(l.of[one.Layer], island{tap, part})
				taps = append(taps, tap)
			}
		}
	}
	follow := make([][]string, len(groups))
	for k, group := range groups {
		for _, layer := range group {
			for _, one := range l.of[layer] {
				follow[k] = append(follow[k], one.tap)
			}
		}
	}
	var err error
	if len(taps) > 0 {
		if l.cpu, err = ort.New(b.r, islands.Model, ort.Options{Taps: taps, Follow: follow, Arena: b.arena}); err != nil {
			return fmt.Errorf("layers alone: %w", err)
		}
		l.islands = l.cpu
	}
	var outputs []string
	for k, layer := range v.Layers {
		if b.ref.layers[k].Output && layer.Status == result.Compared {
			l.outputs[layer.Tap] = k
			outputs = append(outputs, layer.Tap)
		}
	}
	for _, weightsOnly := range []bool{true, false} {
		m, instead, err := surgeon.Strip(weightsOnly)
		if err == nil && len(outputs) > 0 {
			follow := make([][]string, len(mapped))
			for k, group := range mapped {
				for _, name := range group {
					if to, gone := instead[name]; gone {
						name = to
					}
					follow[k] = append(follow[k], name)
				}
			}
			r, err := b.wholeRunner(m, outputs, follow)
			if err != nil {
				return err
			}
			if weightsOnly {
				l.weightsOnly = r
			} else {
				l.actsOnly = r
			}
		}
	}
	return nil
}

// wholeRunner runs a stripped variant for its outputs.
func (b *build) wholeRunner(m *onnx.Model, outputs []string, follow [][]string) (runner.Runner, error) {
	x := onnx.NewIndex(m)
	taps := slices.DeleteFunc(slices.Clone(outputs), func(name string) bool { _, ok := x.Producer[name]; return !ok })
	r, err := ort.New(b.r, m, ort.Options{Taps: taps, Follow: follow, Arena: b.arena})
	if err != nil {
		return nil, fmt.Errorf("whole model, partly quantized: %w", err)
	}
	return r, nil
}

func (l *local) close() {
	if l == nil {
		return
	}
	if l.islands != nil {
		l.islands.Close()
	}
	for _, r := range []runner.Runner{l.weightsOnly, l.actsOnly} {
		if r != nil {
			r.Close()
		}
	}
}

// localRun is one sample's pass through all islands, in step with the float model's segments.
type localRun struct {
	c       *comparison
	sample  int
	fed     []map[string]tensor.Tensor // per variant: what its islands take
	running []runner.Inference
	last    map[string]int // float tensor → last segment whose islands take it
	kept    []keptBatch
}

type keptBatch struct {
	batch *runner.Batch
	until int
}

func (c *comparison) startLocal(number int, inputs map[string]tensor.Tensor) *localRun {
	r := &localRun{c: c, sample: number, last: map[string]int{}}
	for _, l := range c.b.locals {
		fed := map[string]tensor.Tensor{}
		for name, t := range inputs {
			fed[name] = t
		}
		r.fed = append(r.fed, fed)
		if l.cpu == nil {
			r.running = append(r.running, nil)
			continue
		}
		r.running = append(r.running, l.cpu.Start(fed))
		for k := range l.cpu.Segments() {
			for _, name := range l.cpu.Inputs(k) {
				r.last[name] = max(r.last[name], k)
			}
		}
	}
	return r
}

// step feeds a segment of the float model to the islands that need it and measures theirs.
func (r *localRun) step(ctx context.Context, segment int, batch *runner.Batch) error {
	floats := map[string]tensor.Tensor{}
	until := -1
	for _, tap := range batch.Taps {
		floats[tap.Name] = tap.Tensor
		if last, ok := r.last[tap.Name]; ok {
			until = max(until, last)
			for _, fed := range r.fed {
				fed[tap.Name] = tap.Tensor
			}
		}
	}
	if until > segment {
		batch.Retain()
		r.kept = append(r.kept, keptBatch{batch, until})
	}
	values := make([]map[string]tensor.Tensor, len(r.running))
	batches := make([]*runner.Batch, len(r.running))
	defer func() {
		for _, b := range batches {
			if b != nil {
				b.Release()
			}
		}
	}()
	for i, inference := range r.running {
		if inference == nil {
			continue
		}
		islands, err := inference.Next(ctx)
		if errors.Is(err, runner.ErrSample) {
			r.c.b.run.Warnings = append(r.c.b.run.Warnings, fmt.Sprintf("%s, layers alone, sample %d: %v", r.c.b.run.Variants[i].Spec.Name, r.sample+1, err))
			inference.Close()
			r.running[i] = nil
			continue
		}
		if err != nil {
			return fmt.Errorf("layers alone: %w", err)
		}
		batches[i], values[i] = islands, map[string]tensor.Tensor{}
		for _, tap := range islands.Taps {
			values[i][tap.Name] = tap.Tensor
		}
	}
	for i, l := range r.c.b.locals {
		for name, float := range floats {
			for _, one := range l.of[name] {
				if got, ok := values[i][one.tap]; ok && !r.c.b.spec.Bare {
					r.measure(i, name, one, float, got, batch, batches[i])
				}
			}
		}
		if j := r.c.b.run.Variants[i].Twin; j >= 0 && !r.c.b.spec.Bare {
			r.measureTwins(i, j, floats, values, batches)
		}
	}
	for _, fed := range r.fed { // what nobody takes any more must not be held
		maps.DeleteFunc(fed, func(name string, _ tensor.Tensor) bool { return r.last[name] <= segment })
	}
	r.kept = slices.DeleteFunc(r.kept, func(k keptBatch) bool {
		if k.until > segment {
			return false
		}
		k.batch.Release()
		return true
	})
	return nil
}

// measure compares a layer that was computed alone with the float model's.
func (r *localRun) measure(variant int, name string, one island, float, got tensor.Tensor, batch, islands *runner.Batch) {
	layer := r.c.index[name]
	batch.Retain()
	islands.Retain()
	r.c.pool.do(got.Bytes(), func() {
		defer batch.Release()
		defer islands.Release()
		if v, err := measure(float, got, r.c.sizes[variant][layer]); err == nil {
			r.c.locals[variant][layer][one.part][r.sample] = &v
		}
	})
}

// measureTwins compares the layers that were emulated alone with those that were simulated alone.
func (r *localRun) measureTwins(emulated, simulated int, floats map[string]tensor.Tensor, values []map[string]tensor.Tensor, batches []*runner.Batch) {
	full := func(variant int, name string) (tensor.Tensor, bool) {
		for _, one := range r.c.b.locals[variant].of[name] {
			if one.part == partFull {
				t, ok := values[variant][one.tap]
				return t, ok
			}
		}
		return tensor.Tensor{}, false
	}
	for name := range floats {
		a, ok := full(emulated, name)
		b, also := full(simulated, name)
		if !ok || !also {
			continue
		}
		layer := r.c.index[name]
		batches[emulated].Retain()
		batches[simulated].Retain()
		r.c.pool.do(a.Bytes()+b.Bytes(), func() {
			defer batches[emulated].Release()
			defer batches[simulated].Release()
			r.c.localTwins[emulated][layer].put(r.sample, a, b, r.c.sizes[emulated][layer])
		})
	}
}

func (r *localRun) close() {
	for _, f := range r.running {
		if f != nil {
			f.Close()
		}
	}
	for _, k := range r.kept {
		k.batch.Release()
	}
}

// whole runs the partly quantized models on a sample and compares their outputs with the float model's.
func (c *comparison) whole(ctx context.Context, number int, inputs, floats map[string]tensor.Tensor) error {
	for i, l := range c.b.locals {
		for part, r := range map[int]runner.Runner{partWeights: l.weightsOnly, partActs: l.actsOnly} {
			if r == nil {
				continue
			}
			inference := r.Start(inputs)
			for range r.Segments() {
				batch, err := inference.Next(ctx)
				if err != nil {
					inference.Close()
					return err
				}
				for _, tap := range batch.Taps {
					layer := l.outputs[tap.Name]
					if float, ok := floats[c.b.run.Layers[layer].Name]; ok && !c.b.spec.Bare {
						if v, err := measure(float, tap.Tensor, c.sizes[i][layer]); err == nil {
							c.wholes[i][layer][part][number] = &v
						}
					}
				}
				batch.Release()
			}
			inference.Close()
		}
	}
	return nil
}

// concludeLocal turns the values into the result: summaries, shares, and where the first diverging layer's error comes
// from.
func (c *comparison) concludeLocal() {
	n := min(c.b.spec.LocalSamples, len(c.b.run.Samples))
	if n == 0 || len(c.b.locals) == 0 {
		return
	}
	for i, l := range c.b.locals {
		v := &c.b.run.Variants[i]
		total := 0.0
		for k := range v.Layers {
			layer := &v.Layers[k]
			if layer.Status != result.Compared {
				continue
			}
			name := c.b.run.Layers[k].Name
			values := c.locals[i][k]
			full := part(values[partFull], n)
			if full == nil {
				layer.LocalReason = l.skipped[name]
				if layer.LocalReason == "" {
					layer.LocalReason = "no value"
				}
				continue
			}
			layer.Local = &result.Local{Full: *full, Weights: part(values[partWeights], n), Acts: part(values[partActs], n), Share: noise(full.Summary)}
			total += layer.Local.Share
		}
		for k := range v.Layers {
			if layer := &v.Layers[k]; layer.Local != nil && total > 0 {
				layer.Local.Share /= total
			}
		}
		for k := range v.Layers {
			w, a := part(c.wholes[i][k][partWeights], n), part(c.wholes[i][k][partActs], n)
			if w == nil && a == nil {
				continue
			}
			whole := result.Whole{Layer: k}
			if w != nil {
				whole.WeightsOnly = w.Summary
			}
			if a != nil {
				whole.ActsOnly = a.Summary
			}
			v.Whole = append(v.Whole, whole)
		}
	}
}

// part gathers the first n samples, nil if there is no value.
func part(samples []*metric.Values, n int) *result.Part {
	samples = samples[:min(n, len(samples))]
	if !slices.ContainsFunc(samples, func(v *metric.Values) bool { return v != nil }) {
		return nil
	}
	return &result.Part{Summary: metric.Summarize(samples), Samples: samples}
}

// noise is a layer's noise against its own signal, 1/SNR; an SQNR without a value counts as none, and one below 0 dB as
// 0 dB: a layer can lose no more than all of its signal.
func noise(s result.Summary) float64 {
	sqnr := s[metric.SQNR].Mean
	if !sqnr.OK {
		return 0
	}
	return math.Pow(10, -max(sqnr.V, 0)/10)
}

// birth says where a layer's error comes from: it is born there if the layer makes at least half of its noise alone.
func birth(l *result.LayerResult, samples int) result.Birth {
	if l.Local == nil {
		return ""
	}
	accumulated := part(l.Samples, samples)
	if accumulated == nil {
		return ""
	}
	if noise(l.Local.Full.Summary) >= noise(accumulated.Summary)/2 {
		return result.BornHere
	}
	return result.Inherited
}
