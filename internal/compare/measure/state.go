package measure

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"quantcheck/internal/dataset"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/resume"
	"quantcheck/internal/session"
)

// extent says how much of a comparison is whole. All that it gathers is kept by sample, and nothing is summed before the last one is
// done: so what lies beyond the extent, of a sample that was interrupted, can be left out, and a run that goes on gets the bits of
// one that was not interrupted.
type extent struct {
	sources  int   // that were read, or passed over
	first    int   // sources up to the first sample, inclusive
	warnings int   // of the run
	skipped  int   // sources that could not be read
	inARow   []int // of the variants
}

// settle notes that so many sources are done. Measuring may still be going on.
func (c *comparison) settle(sources int) {
	c.done.sources, c.done.warnings, c.done.skipped = sources, len(c.b.Run.Warnings), len(c.b.Skipped)
	c.done.inARow = make([]int, len(c.variants))
	for i, v := range c.variants {
		c.done.inARow[i] = v.inARow
	}
	if len(c.b.Run.Samples) == 1 && c.done.first == 0 {
		c.done.first = sources
	}
}

// all compares the samples, from where an earlier run was interrupted.
func (c *comparison) all(ctx context.Context, set *dataset.Set, loader dataset.Loader) error {
	b, total := c.b, len(set.Sources)
	from, err := c.goOn(ctx, set, loader)
	if err != nil {
		return err
	}
	b.Progress.Phase("comparing", total)
	if from > 0 {
		b.Progress.Step(from)
	}
	err = b.EachSample(ctx, &dataset.Set{Sources: set.Sources[from:]}, loader, func(n int, s *dataset.Sample) error {
		n += from
		if s != nil {
			if err := c.sample(ctx, n-1, s); err != nil {
				return err
			}
		}
		c.settle(n)
		if b.Keeper.Due(0) {
			c.pool.Wait()
			c.put(total)
			b.Keeper.WriteIfOld()
		}
		b.Progress.Step(n)
		return nil
	})
	c.pool.Wait()
	if err != nil && c.done.sources > from {
		c.put(total)
	}
	return err
}

func (c *comparison) put(total int) {
	if k := c.b.Keeper; k != nil && c.done.sources > 0 {
		k.Put(&k.Work, fmt.Sprintf("the results of %d of %d samples", c.done.sources, total), c.code)
	}
}

// goOn takes up the state of an interrupted run and says how many sources it had done. The first sample is run once more if its
// tensors are to be saved: what was staged of them is gone.
func (c *comparison) goOn(ctx context.Context, set *dataset.Set, loader dataset.Loader) (from int, err error) {
	k := c.b.Keeper
	if k == nil || len(k.Work) == 0 || k.Saved.IsZero() {
		return 0, nil
	}
	fresh := c.fresh()
	if !k.Restore(&k.Work, c.code) {
		fresh()
		return 0, nil
	}
	total := len(set.Sources)
	k.What = fmt.Sprintf("the results of %d of %d samples", c.done.sources, total)
	k.GoesOn("sample", c.done.sources+1, total)
	if !c.b.Options.AllLayers || c.done.first == 0 {
		return c.done.sources, nil
	}
	head := &dataset.Set{Sources: set.Sources[:c.done.first]}
	fresh()
	err = c.b.EachSample(ctx, head, loader, func(n int, s *dataset.Sample) error {
		if s == nil {
			return nil
		}
		return c.sample(ctx, n-1, s)
	})
	c.pool.Wait()
	fresh()
	if err == nil && !k.Restore(&k.Work, c.code) {
		err = fmt.Errorf("the state %s was readable before and is not any more", k.To.File.Path())
	}
	return c.done.sources, err
}

// fresh gives a function that takes everything back that was gathered since.
func (c *comparison) fresh() func() {
	warnings, skipped := len(c.b.Run.Warnings), len(c.b.Skipped)
	return func() {
		run := c.b.Run
		run.Warnings, c.b.Skipped = run.Warnings[:warnings], c.b.Skipped[:skipped]
		run.Samples = []result.Sample{}
		c.done = extent{}
		c.judge.Clear()
		for _, v := range c.variants {
			v.fresh()
		}
		c.settle(0)
	}
}

// fresh takes back what was measured of a variant.
func (v *compared) fresh() {
	if v.Result.Emulator != nil {
		v.Result.Emulator.Taps = ""
	}
	v.inARow, v.checks = 0, map[string][]checked{}
	for k := range v.Result.Layers {
		v.Result.Layers[k].Histogram = nil
		clear(v.values[k])
		clear(v.clipped[k])
		v.problems[k] = nil
		for p := range session.Parts {
			clear(v.alone[k][p])
			clear(v.wholes[k][p])
		}
		for _, a := range []*against{&v.emulation[k], &v.isolatedEmulation[k]} {
			clear(a.values)
			clear(a.apart)
			clear(a.count)
		}
	}
}

// code writes what is whole of the comparison, or reads it into one that has not begun. Nothing may be measured meanwhile.
func (c *comparison) code(x *resume.Coder) {
	run, d := c.b.Run, &c.done
	x.Int(&d.sources)
	x.Int(&d.first)
	samples := run.Samples
	resume.Slice(x, &samples, func(s *result.Sample) { session.CodeSample(x, s) })
	warnings, skipped := run.Warnings[c.before:], c.b.Skipped
	if x.Reading() {
		warnings, skipped = nil, nil
	} else {
		warnings, skipped = run.Warnings[c.before:d.warnings], c.b.Skipped[:d.skipped]
	}
	resume.Slice(x, &warnings, x.String)
	resume.Slice(x, &skipped, x.String)
	resume.Slice(x, &d.inARow, x.Int)
	variants, layers := len(run.Variants), len(run.Layers)
	x.Int(&variants)
	x.Int(&layers)
	n := len(samples)
	x.Need(variants == len(run.Variants) && layers == len(run.Layers) && len(d.inARow) == variants, "it has other variants or layers")
	if sources := 0; x.Err() == nil {
		if variants > 0 && layers > 0 {
			sources = len(c.variants[0].values[0])
		}
		x.Need(d.sources >= n && d.sources <= sources && d.first >= 0 && d.first <= d.sources, "it has other samples")
	}
	c.judge.Code(x, n)
	for _, v := range c.variants {
		if x.Err() != nil {
			return
		}
		v.code(x, n)
	}
	if x.Reading() && x.Err() == nil {
		run.Samples = samples
		run.Warnings = append(run.Warnings, warnings...)
		c.b.Skipped = append(c.b.Skipped, skipped...)
		for i, v := range c.variants {
			v.inARow = d.inARow[i]
		}
		d.warnings, d.skipped = len(run.Warnings), len(c.b.Skipped)
	}
}

// code is one variant on the first n samples.
func (v *compared) code(x *resume.Coder, n int) {
	rv := v.Result
	if rv.Emulator != nil {
		x.String(&rv.Emulator.Taps)
	}
	v.codeChecks(x, n)
	for k := range rv.Layers {
		if x.Err() != nil {
			return
		}
		there := rv.Layers[k].HasMetrics() // else nothing is gathered
		x.Bool(&there)
		x.Need(there == rv.Layers[k].HasMetrics(), "it has other layers")
		if !there {
			continue
		}
		resume.Optional(x, &rv.Layers[k].Histogram, func(h *result.Histogram) { codeHistogram(x, h) })
		codeValues(x, v.values[k], n)
		resume.Each(x, v.clipped[k][:min(n, len(v.clipped[k]))], x.Float64)
		for p := range session.Parts {
			codeValues(x, v.alone[k][p], n)
			codeValues(x, v.wholes[k][p], n)
		}
		for _, a := range []*against{&v.emulation[k], &v.isolatedEmulation[k]} {
			if rv.Counterpart >= 0 {
				codeValues(x, a.values, n)
				resume.Each(x, a.apart[:min(n, len(a.apart))], x.Int)
				resume.Each(x, a.count[:min(n, len(a.count))], x.Int)
			}
		}
		problems := v.problems[k]
		if !x.Reading() {
			problems = slices.DeleteFunc(slices.Clone(problems), func(p problem) bool { return p.sample >= n })
		}
		resume.Slice(x, &problems, func(p *problem) {
			x.Int(&p.sample)
			x.String(&p.reason)
			x.Bool(&p.ofFloat)
			x.Need(p.sample >= 0 && p.sample < n, "a problem of a sample that is not there")
		})
		if x.Reading() {
			v.problems[k] = problems
		}
	}
}

func (v *compared) codeChecks(x *resume.Coder, n int) {
	inputs := slices.Sorted(maps.Keys(v.checks))
	resume.Slice(x, &inputs, func(name *string) {
		x.String(name)
		list := v.checks[*name]
		if !x.Reading() {
			list = slices.DeleteFunc(slices.Clone(list), func(c checked) bool { return c.sample >= n })
		}
		resume.Slice(x, &list, func(c *checked) {
			x.Int(&c.sample)
			x.Need(c.sample >= 0 && c.sample < n, "an input of a sample that is not there")
			x.Float64(&c.clipped)
			for _, v := range []**metric.Values{&c.as, &c.swapped} {
				resume.Optional(x, v, func(v *metric.Values) { v.Code(x) })
			}
		})
		if x.Reading() {
			v.checks[*name] = list
		}
	})
}

// codeValues are the values of the first n samples, or of all that there is room for.
func codeValues(x *resume.Coder, list []*metric.Values, n int) {
	resume.Each(x, list[:min(n, len(list))], func(v **metric.Values) {
		resume.Optional(x, v, func(v *metric.Values) { v.Code(x) })
	})
}

func codeHistogram(x *resume.Coder, h *result.Histogram) {
	x.Float64(&h.Min)
	x.Float64(&h.Max)
	resume.Slice(x, &h.Float, x.Int)
	resume.Slice(x, &h.Variant, x.Int)
	x.Need(len(h.Float) == len(h.Variant), "a histogram of two lengths")
	h.Clipped.Code(x)
}
