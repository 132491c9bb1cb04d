package measure

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
)

// isolatedRun is one sample's pass through all islands, in step with the float model's segments.
type isolatedRun struct {
	c        *comparison
	sample   int
	variants []*isolatedVariant
	of       map[*compared]*isolatedVariant
	last     map[string]int // float tensor → last segment whose islands take it
	kept     []keptBatch
}

// isolatedVariant is the pass through one variant's islands.
type isolatedVariant struct {
	of      *compared
	fed     map[string]tensor.Tensor // what the islands take
	running runner.Inference         // nil: there are none, or they failed
	batch   *runner.Batch            // of the segment
	values  map[string]tensor.Tensor // of the segment, by name
}

type keptBatch struct {
	batch *runner.Batch
	until int
}

// isolates says whether layers of some variant are computed alone.
func (c *comparison) isolates() bool {
	return slices.ContainsFunc(c.variants, func(v *compared) bool { return v.Alone != nil })
}

func (c *comparison) startLocal(number int, inputs map[string]tensor.Tensor) *isolatedRun {
	r := &isolatedRun{c: c, sample: number, of: map[*compared]*isolatedVariant{}, last: map[string]int{}}
	for _, v := range c.variants {
		if v.Alone == nil {
			continue
		}
		one := &isolatedVariant{of: v, fed: maps.Clone(inputs)}
		r.variants, r.of[v] = append(r.variants, one), one
		islands, ok := v.Alone.Layers.(runner.Stepped)
		if !ok {
			continue
		}
		one.running = islands.Start(runner.Sample{Inputs: one.fed})
		for k := range islands.Segments() {
			for _, name := range islands.Inputs(k) {
				r.last[name] = max(r.last[name], k)
			}
		}
	}
	return r
}

// step feeds a segment of the float model to the islands that need it and measures theirs.
func (r *isolatedRun) step(ctx context.Context, segment int, batch *runner.Batch) error {
	floats := map[string]tensor.Tensor{}
	until := -1
	for _, tap := range batch.Taps {
		floats[tap.Name] = tap.Tensor
		if last, ok := r.last[tap.Name]; ok {
			until = max(until, last)
			for _, v := range r.variants {
				v.fed[tap.Name] = tap.Tensor
			}
		}
	}
	if until > segment {
		batch.Retain()
		r.kept = append(r.kept, keptBatch{batch, until})
	}
	defer func() {
		for _, v := range r.variants {
			if v.batch != nil {
				v.batch.Release()
			}
			v.batch, v.values = nil, nil
		}
	}()
	for _, v := range r.variants {
		if v.running == nil {
			continue
		}
		islands, err := v.running.Next(ctx)
		if errors.Is(err, runner.ErrSample) {
			r.c.b.Run.Warnings = append(r.c.b.Run.Warnings, fmt.Sprintf("%s, layers alone, sample %d: %v", v.of.Spec.Name, r.sample+1, err))
			v.running.Close()
			v.running = nil
			continue
		}
		if err != nil {
			return fmt.Errorf("layers alone: %w", err)
		}
		v.batch, v.values = islands, map[string]tensor.Tensor{}
		for _, tap := range islands.Taps {
			v.values[tap.Name] = tap.Tensor
		}
	}
	for _, v := range r.variants {
		for name, float := range floats {
			for _, one := range v.of.Alone.Of[name] {
				if got, ok := v.values[one.Tap]; ok {
					r.measure(v, name, one, float, got, batch)
				}
			}
		}
		if simulated := r.of[v.of.counterpart]; simulated != nil {
			r.measureEmulation(v, simulated, floats)
		}
	}
	for _, v := range r.variants { // what nobody takes any more must not be held
		maps.DeleteFunc(v.fed, func(name string, _ tensor.Tensor) bool { return r.last[name] <= segment })
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
func (r *isolatedRun) measure(of *isolatedVariant, name string, one session.IsolatedTensor, float, got tensor.Tensor, batch *runner.Batch) {
	layer, islands := r.c.index[name], of.batch
	batch.Retain()
	islands.Retain()
	r.c.pool.Do(got.Bytes(), func() {
		defer batch.Release()
		defer islands.Release()
		if v, err := measure(float, got, of.of.steps[layer]); err == nil {
			of.of.alone[layer][one.Part][r.sample] = &v
		}
	})
}

// full gives what a layer that was computed alone, with all quantizers, made.
func (v *isolatedVariant) full(name string) (tensor.Tensor, bool) {
	for _, one := range v.of.Alone.Of[name] {
		if one.Part == session.PartFull {
			t, ok := v.values[one.Tap]
			return t, ok
		}
	}
	return tensor.Tensor{}, false
}

// measureEmulation compares the layers that were emulated alone with those that were simulated alone.
func (r *isolatedRun) measureEmulation(emulated, simulated *isolatedVariant, floats map[string]tensor.Tensor) {
	for name := range floats {
		a, ok := emulated.full(name)
		b, also := simulated.full(name)
		if !ok || !also {
			continue
		}
		layer, of := r.c.index[name], emulated.of
		batches := []*runner.Batch{emulated.batch, simulated.batch}
		for _, b := range batches {
			b.Retain()
		}
		r.c.pool.Do(a.Bytes()+b.Bytes(), func() {
			for _, b := range batches {
				defer b.Release()
			}
			of.isolatedEmulation[layer].put(r.sample, a, b, of.steps[layer])
		})
	}
}

func (r *isolatedRun) close() {
	for _, v := range r.variants {
		if v.running != nil {
			v.running.Close()
		}
	}
	for _, k := range r.kept {
		k.batch.Release()
	}
}

// whole runs the partly quantized models on a sample and compares their outputs with the float model's.
func (c *comparison) whole(ctx context.Context, number int, s runner.Sample, floats map[string]tensor.Tensor) error {
	for _, v := range c.variants {
		if v.Alone == nil {
			continue
		}
		for part, r := range map[int]runner.Runner{session.PartWeights: v.Alone.WeightsOnly, session.PartActs: v.Alone.ActsOnly} {
			if r == nil {
				continue
			}
			inference := r.Start(s)
			for range r.Segments() {
				batch, err := inference.Next(ctx)
				if err != nil {
					inference.Close()
					return err
				}
				for _, tap := range batch.Taps {
					layer := v.Alone.Outputs[tap.Name]
					if float, ok := floats[c.b.Run.Layers[layer].Name]; ok {
						if values, err := measure(float, tap.Tensor, v.steps[layer]); err == nil {
							v.wholes[layer][part][number] = &values
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
func (v *compared) concludeLocal(layers []result.Layer, n int) {
	if n == 0 || v.Alone == nil {
		return
	}
	rv := v.Result
	total := 0.0
	for k := range rv.Layers {
		layer := &rv.Layers[k]
		if layer.Status != result.Compared {
			continue
		}
		name := layers[k].Name
		values := v.alone[k]
		full := part(values[session.PartFull], n)
		if full == nil {
			layer.LocalReason = v.Alone.Skipped[name]
			if layer.LocalReason == "" {
				layer.LocalReason = "no value"
			}
			continue
		}
		layer.Local = &result.Local{Full: *full, Weights: part(values[session.PartWeights], n), Acts: part(values[session.PartActs], n), Share: noise(full.Summary)}
		total += layer.Local.Share
	}
	for k := range rv.Layers {
		if layer := &rv.Layers[k]; layer.Local != nil && total > 0 {
			layer.Local.Share /= total
		}
	}
	for k := range rv.Layers {
		w, a := part(v.wholes[k][session.PartWeights], n), part(v.wholes[k][session.PartActs], n)
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
		rv.Whole = append(rv.Whole, whole)
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

// originOf says where the error of a layer comes from: the layer introduces it if it makes at least half of its noise alone.
func originOf(l *result.LayerResult, samples int) result.ErrorOrigin {
	if l.Local == nil {
		return ""
	}
	accumulated := part(l.Samples, samples)
	if accumulated == nil {
		return ""
	}
	if noise(l.Local.Full.Summary) >= noise(accumulated.Summary)/2 {
		return result.Introduced
	}
	return result.Propagated
}
