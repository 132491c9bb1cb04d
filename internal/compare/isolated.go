package compare

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"slices"
)

// isolatedRun is one sample's pass through all islands, in step with the float model's segments.
type isolatedRun struct {
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

func (c *comparison) startLocal(number int, inputs map[string]tensor.Tensor) *isolatedRun {
	r := &isolatedRun{c: c, sample: number, last: map[string]int{}}
	for _, l := range c.b.Locals {
		fed := map[string]tensor.Tensor{}
		for name, t := range inputs {
			fed[name] = t
		}
		r.fed = append(r.fed, fed)
		if l.CPU == nil {
			r.running = append(r.running, nil)
			continue
		}
		r.running = append(r.running, l.CPU.Start(fed))
		for k := range l.CPU.Segments() {
			for _, name := range l.CPU.Inputs(k) {
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
			r.c.b.Run.Warnings = append(r.c.b.Run.Warnings, fmt.Sprintf("%s, layers alone, sample %d: %v", r.c.b.Run.Variants[i].Spec.Name, r.sample+1, err))
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
	for i, l := range r.c.b.Locals {
		for name, float := range floats {
			for _, one := range l.Of[name] {
				if got, ok := values[i][one.Tap]; ok && !r.c.b.Spec.Bare {
					r.measure(i, name, one, float, got, batch, batches[i])
				}
			}
		}
		if j := r.c.b.Run.Variants[i].Twin; j >= 0 && !r.c.b.Spec.Bare {
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
func (r *isolatedRun) measure(variant int, name string, one session.Island, float, got tensor.Tensor, batch, islands *runner.Batch) {
	layer := r.c.index[name]
	batch.Retain()
	islands.Retain()
	r.c.pool.Do(got.Bytes(), func() {
		defer batch.Release()
		defer islands.Release()
		if v, err := measure(float, got, r.c.sizes[variant][layer]); err == nil {
			r.c.locals[variant][layer][one.Part][r.sample] = &v
		}
	})
}

// measureTwins compares the layers that were emulated alone with those that were simulated alone.
func (r *isolatedRun) measureTwins(emulated, simulated int, floats map[string]tensor.Tensor, values []map[string]tensor.Tensor, batches []*runner.Batch) {
	full := func(variant int, name string) (tensor.Tensor, bool) {
		for _, one := range r.c.b.Locals[variant].Of[name] {
			if one.Part == session.PartFull {
				t, ok := values[variant][one.Tap]
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
		r.c.pool.Do(a.Bytes()+b.Bytes(), func() {
			defer batches[emulated].Release()
			defer batches[simulated].Release()
			r.c.localTwins[emulated][layer].put(r.sample, a, b, r.c.sizes[emulated][layer])
		})
	}
}

func (r *isolatedRun) close() {
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
	for i, l := range c.b.Locals {
		for part, r := range map[int]runner.Runner{session.PartWeights: l.WeightsOnly, session.PartActs: l.ActsOnly} {
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
					layer := l.Outputs[tap.Name]
					if float, ok := floats[c.b.Run.Layers[layer].Name]; ok && !c.b.Spec.Bare {
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
	n := min(c.b.Spec.LocalSamples, len(c.b.Run.Samples))
	if n == 0 || len(c.b.Locals) == 0 {
		return
	}
	for i, l := range c.b.Locals {
		v := &c.b.Run.Variants[i]
		total := 0.0
		for k := range v.Layers {
			layer := &v.Layers[k]
			if layer.Status != result.Compared {
				continue
			}
			name := c.b.Run.Layers[k].Name
			values := c.locals[i][k]
			full := part(values[session.PartFull], n)
			if full == nil {
				layer.LocalReason = l.Skipped[name]
				if layer.LocalReason == "" {
					layer.LocalReason = "no value"
				}
				continue
			}
			layer.Local = &result.Local{Full: *full, Weights: part(values[session.PartWeights], n), Acts: part(values[session.PartActs], n), Share: noise(full.Summary)}
			total += layer.Local.Share
		}
		for k := range v.Layers {
			if layer := &v.Layers[k]; layer.Local != nil && total > 0 {
				layer.Local.Share /= total
			}
		}
		for k := range v.Layers {
			w, a := part(c.wholes[i][k][session.PartWeights], n), part(c.wholes[i][k][session.PartActs], n)
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
