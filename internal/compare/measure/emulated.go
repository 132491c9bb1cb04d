package measure

import (
	"context"
	"errors"
	"fmt"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/tensor"
)

// feed runs the float model on a sample for the sake of the layers alone of those engines that take all their inputs before they begin.
func (r *isolatedRun) feed(ctx context.Context, s runner.Sample) error {
	var fed []runner.FedInference
	for _, v := range r.variants {
		if islands, ok := v.of.Alone.Layers.(runner.Fed); ok {
			f := islands.Begin()
			v.running = f
			fed = append(fed, f)
		}
	}
	if len(fed) == 0 {
		return nil
	}
	for _, f := range fed {
		for name, t := range s.Inputs {
			f.Feed(name, t)
		}
	}
	ref := r.c.b.Reference.Start(s)
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
func (c *comparison) lost(v *compared, sample, segment int, err error) error {
	if !errors.Is(err, runner.ErrSample) {
		return err
	}
	c.b.Run.Warnings = append(c.b.Run.Warnings, fmt.Sprintf("%s, sample %d: %v", v.Spec.Name, sample+1, err))
	if v.inARow++; v.inARow == hopeless {
		c.b.Run.Warnings = append(c.b.Run.Warnings, fmt.Sprintf("%s failed on %d samples in a row and was not run on the rest", v.Spec.Name, hopeless))
	}
	c.without(v, sample, segment, err.Error())
	return nil
}

// without notes that a variant's layers have no value on a sample, from a segment on.
func (c *comparison) without(v *compared, sample, segment int, reason string) {
	for _, group := range c.b.Reference.Segments()[segment:] {
		for _, name := range group {
			if layer := c.index[name]; v.Result.Layers[layer].HasMetrics() {
				v.problem(layer, sample, errors.New(reason))
			}
		}
	}
}

// checkTaps runs each variant whose runner can do that on the first sample without its taps, and says whether that gives the same bits.
func (c *comparison) checkTaps(ctx context.Context, s runner.Sample) error {
	for _, v := range c.variants {
		r, ok := v.Runner.(runner.Untapped)
		if e := v.Result.Emulator; !ok || e == nil || v.inARow > 0 {
			continue
		}
		same, outputs, err := r.SameWithoutTaps(ctx, s)
		said := &v.Result.Emulator.Taps
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			*said = fmt.Sprintf("not checked: %v", err)
		case outputs == 0:
			*said = "not checked: no output is compared"
			continue
		case same == outputs:
			*said = "outputs bit-identical with and without taps"
			continue
		default:
			*said = fmt.Sprintf("%d of %d outputs differ when the layers are exposed", outputs-same, outputs)
		}
		c.b.Run.Warnings = append(c.b.Run.Warnings, v.Spec.Name+": "+*said)
	}
	return nil
}

// concludeEmulated says of each emulated variant where it parts from its simulation.
func (v *compared) concludeEmulated(samples, local int) {
	if v.counterpart == nil {
		return
	}
	rv := v.Result
	for k := range rv.Layers {
		l := &rv.Layers[k]
		l.EmulationError = v.emulation[k].conclude(samples)
		l.IsolatedEmulationError = v.isolatedEmulation[k].conclude(local)
		if rv.FirstMismatchLayer < 0 && l.EmulationError != nil && l.EmulationError.FractionOverOneStep.OK && l.EmulationError.FractionOverOneStep.V > 0 {
			rv.FirstMismatchLayer = k
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

func (a *against) conclude(samples int) *result.EmulationError {
	p := part(a.values, samples)
	if p == nil {
		return nil
	}
	t := &result.EmulationError{Part: *p}
	apart, count := 0, 0
	for n := range samples {
		apart, count = apart+a.apart[n], count+a.count[n]
	}
	if count > 0 {
		t.FractionOverOneStep = metric.Defined(float64(apart) / float64(count))
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
