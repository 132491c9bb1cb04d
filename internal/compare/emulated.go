package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/tensor"
)

// feedEmulated runs the float model on a sample for the sake of the layers alone on the emulator, which take all their
// inputs before they begin.
func (r *isolatedRun) feedEmulated(ctx context.Context, inputs map[string]tensor.Tensor) error {
	var fed []*htp.Inference
	for i, l := range r.c.b.Locals {
		if l.Emulated != nil {
			f := l.Emulated.Begin()
			r.running[i] = f
			fed = append(fed, f)
		}
	}
	if len(fed) == 0 {
		return nil
	}
	for _, f := range fed {
		for name, t := range inputs {
			f.Feed(name, t)
		}
	}
	ref := r.c.b.Reference.Start(inputs)
	defer ref.Close()
	for range r.c.b.Reference.Segments() {
		batch, err := ref.Next(ctx)
		if err != nil {
			return err
		}
		for _, tap := range batch.Taps {
			for _, f := range fed {
				f.Feed(tap.Name, tap.Tensor)
			}
		}
		batch.Release()
	}
	for _, f := range fed {
		f.Go()
	}
	return nil
}

// hopeless is after how many samples in a row a variant is not tried any more.
const hopeless = 3

// lost notes that a variant could not be run on a sample, from a segment on. It gives the error back if it is no matter of
// the sample.
func (c *comparison) lost(variant, sample, segment int, err error) error {
	if !errors.Is(err, runner.ErrSample) {
		return err
	}
	v := &c.b.Run.Variants[variant]
	c.b.Run.Warnings = append(c.b.Run.Warnings, fmt.Sprintf("%s, sample %d: %v", v.Spec.Name, sample+1, err))
	if c.inARow[variant]++; c.inARow[variant] == hopeless {
		c.b.Run.Warnings = append(c.b.Run.Warnings, fmt.Sprintf("%s failed on %d samples in a row and was not run on the rest", v.Spec.Name, hopeless))
	}
	c.without(variant, sample, segment, err.Error())
	return nil
}

// without notes that a variant's layers have no value on a sample, from a segment on.
func (c *comparison) without(variant, sample, segment int, reason string) {
	for _, group := range c.b.Reference.Segments()[segment:] {
		for _, name := range group {
			if layer := c.index[name]; c.b.Run.Variants[variant].Layers[layer].Has() {
				c.problem(variant, layer, sample, reason)
			}
		}
	}
}

// checkTaps runs each emulated variant on the first sample without its taps, and says whether that gives the same bits.
func (c *comparison) checkTaps(ctx context.Context, inputs map[string]tensor.Tensor) error {
	for i := range c.b.Run.Variants {
		v := &c.b.Run.Variants[i]
		if v.Emulator == nil || c.inARow[i] > 0 {
			continue
		}
		var same, outputs int
		var err error
		if d := c.b.Contained[i]; d != nil {
			same, outputs, err = d.Runner.SameWithoutTaps(ctx, inputs)
		} else {
			same, outputs, err = c.sameWithoutTaps(ctx, i, inputs)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			v.Emulator.Taps = fmt.Sprintf("not checked: %v", err)
		case outputs == 0:
			v.Emulator.Taps = "not checked: no output is compared"
			continue
		case same == outputs:
			v.Emulator.Taps = "outputs bit-identical with and without taps"
			continue
		default:
			v.Emulator.Taps = fmt.Sprintf("%d of %d outputs differ when the layers are exposed", outputs-same, outputs)
		}
		c.b.Run.Warnings = append(c.b.Run.Warnings, v.Spec.Name+": "+v.Emulator.Taps)
	}
	return nil
}

// sameWithoutTaps counts the compared outputs of an emulated model, and those that have the same bits without taps.
func (c *comparison) sameWithoutTaps(ctx context.Context, i int, inputs map[string]tensor.Tensor) (same, count int, err error) {
	var outputs []string
	v := &c.b.Run.Variants[i]
	for k := range v.Layers { // workers still write the histograms of some
		if l := &v.Layers[k]; c.b.Run.Layers[k].Output && l.Has() {
			outputs = append(outputs, l.Tap)
		}
	}
	if len(outputs) == 0 {
		return 0, 0, nil
	}
	bare, err := htp.New(ctx, c.b.Emulator, c.b.Models[i], htp.Options{Groups: [][]string{outputs}, Arena: c.b.Arena})
	if err != nil {
		return 0, 0, err
	}
	defer bare.Close()
	f := bare.Start(inputs)
	defer f.Close()
	batch, err := f.Next(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer batch.Release()
	for _, name := range outputs {
		a, there := c.b.Emulated[i].Raw(name)
		b, also := bare.Raw(name)
		if there && also && bytes.Equal(a, b) {
			same++
		}
	}
	return same, len(outputs), nil
}

// concludeEmulated says of each emulated variant where it parts from its simulation.
func (c *comparison) concludeEmulated() {
	for i := range c.b.Run.Variants {
		v := &c.b.Run.Variants[i]
		if v.Twin < 0 {
			continue
		}
		for k := range v.Layers {
			l := &v.Layers[k]
			l.Twin = c.twins[i][k].conclude(len(c.b.Run.Samples))
			l.LocalTwin = c.localTwins[i][k].conclude(min(c.b.Spec.LocalSamples, len(c.b.Run.Samples)))
			if v.Parts < 0 && l.Twin != nil && l.Twin.Apart.OK && l.Twin.Apart.V > 0 {
				v.Parts = k
			}
		}
	}
}

// against gathers what a layer's emulation is against its simulation, over samples.
type against struct {
	values       []*metric.Values
	apart, count []int
}

func (a *against) put(sample int, emulated, simulated tensor.Tensor, step float64) {
	values, err := measure(simulated, emulated, step)
	if err != nil {
		return
	}
	a.values[sample] = &values
	if step > 0 {
		x, _ := simulated.AsFloat32()
		y, _ := emulated.AsFloat32()
		a.apart[sample], a.count[sample] = moreThanAStep(x, y, step), len(x)
	}
}

func (a *against) conclude(samples int) *result.Twin {
	p := part(a.values, samples)
	if p == nil {
		return nil
	}
	t := &result.Twin{Part: *p}
	apart, count := 0, 0
	for n := range samples {
		apart, count = apart+a.apart[n], count+a.count[n]
	}
	if count > 0 {
		t.Apart = metric.Defined(float64(apart) / float64(count))
	}
	return t
}

// moreThanAStep counts the values that are more than one step apart; half a step is left for the rounding of the real
// numbers, which lie on the grid.
func moreThanAStep(x, y []float32, step float64) int {
	limit := float32(1.5 * step)
	n := 0
	for i := range x {
		if d := x[i] - y[i]; d > limit || d < -limit {
			n++
		}
	}
	return n
}
