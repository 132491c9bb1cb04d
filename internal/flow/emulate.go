package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"quantcheck/internal/metric"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/tensor"
)

// emulate opens the emulator for variant i, whose taps are divided as the float model's segments are.
func (b *build) emulate(ctx context.Context, i int, groups [][]string) error {
	v := &b.run.Variants[i]
	bits := 32
	if v.Spec.ActBits > 0 {
		bits = v.Spec.ActBits
	}
	size := map[string]int64{}
	for k, l := range v.Layers {
		if n, err := tensor.Count(b.ref.layers[k].Shape); err == nil && l.Has() {
			size[l.Tap] = int64(n) * int64(bits) / 8
		}
	}
	r, err := htp.New(ctx, b.emulator, b.models[i], htp.Options{
		Groups: groups, PassBytes: b.emulatedBytes(), Bytes: func(tap string) int64 { return size[tap] }, Arena: b.arena,
	})
	if err != nil {
		return err
	}
	b.players, b.emulated = append(b.players, running(r)), append(b.emulated, r)
	v.Emulator.Passes = r.Passes()
	cpu := r.OnCPU()
	for k := range v.Layers {
		if l := &v.Layers[k]; l.Has() && slices.Contains(cpu, l.Tap) {
			l.OnCPU = true
			v.Emulator.OnCPU = append(v.Emulator.OnCPU, b.ref.layers[k].Name)
		}
	}
	if len(v.Emulator.OnCPU) > 0 {
		b.run.Warnings = append(b.run.Warnings, fmt.Sprintf("%s: the HTP refuses the operators of %d layers, which ran on the CPU: %s", v.Spec.Name, len(v.Emulator.OnCPU), some(v.Emulator.OnCPU)))
	}
	return nil
}

// emulatedBytes is what the tensors that one emulator exposes may take: a part of the bound for each of them.
func (b *build) emulatedBytes() int64 {
	return int64(b.spec.MemoryMiB) << 20 / int64(2*(1+len(b.variants)))
}

// some names the first few.
func some(names []string) string {
	const most = 5
	text := fmt.Sprint(names[:min(len(names), most)])
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// addEmulatedLocal opens the emulator for the layers of variant i alone. Its graph takes the float values of all layers at
// once, so layers beyond the memory bound are left out, and it is said which.
func (b *build) addEmulatedLocal(ctx context.Context, i int, surgeon *qdq.Surgeon, segments [][]string) error {
	v := &b.run.Variants[i]
	islands := surgeon.Islands(false)
	l := &local{of: map[string][]island{}, skipped: islands.Skipped, outputs: map[string]int{}}
	b.locals = append(b.locals, l)
	size := map[string]int64{}
	for k := range v.Layers {
		if n, err := tensor.Count(b.ref.layers[k].Shape); err == nil {
			size[b.ref.layers[k].Name] = int64(n) * 2 * 4 // an input and an output, float at worst
		}
	}
	held := int64(0)
	for _, one := range islands.Layers {
		if held += size[one.Layer]; held > b.emulatedBytes() {
			l.skipped[one.Layer] = "all layers before it fill the memory bound of the emulator's graph of layers alone; a larger --memory takes it in"
			continue
		}
		l.of[one.Layer] = []island{{one.Full, partFull}}
	}
	var r *htp.Runner
	var err error
	for range 3 {
		groups := make([][]string, len(segments))
		for k, group := range segments {
			for _, layer := range group {
				for _, one := range l.of[layer] {
					groups[k] = append(groups[k], one.tap)
				}
			}
		}
		if len(l.of) == 0 {
			return nil
		}
		r, err = htp.New(ctx, b.emulator, islands.Model, htp.Options{Groups: groups, Arena: b.arena})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !b.leaveOut(l, err) {
			break
		}
	}
	if err != nil {
		// The whole model runs; that a layer alone does not is no reason to give that up.
		b.run.Warnings = append(b.run.Warnings, fmt.Sprintf("%s: the layers alone do not run on the emulator: %v", v.Spec.Name, err))
		for layer := range l.of {
			l.skipped[layer] = "the graph of all layers alone does not run on the emulator"
		}
		l.of = map[string][]island{}
		return nil
	}
	l.islands, l.emulated = r, r
	return nil
}

// leaveOut takes the layers out that the HTP refuses when they are computed alone; it is false if there are none. ONNX
// Runtime may have given an operator another name (a Transpose that it moved before the quantizer): then all layers of
// that type are left out.
func (b *build) leaveOut(l *local, err error) bool {
	var refused *htp.RefusedError
	if !errors.As(err, &refused) {
		return false
	}
	found := false
	for _, one := range refused.Refused {
		drop := func(layer string) {
			l.skipped[layer] = "the HTP refuses it alone: " + one.Reason
			delete(l.of, layer)
			found = true
		}
		named := false
		for layer := range l.of {
			if qdq.InIsland(one.Node, layer) {
				drop(layer)
				named = true
			}
		}
		for _, layer := range b.ref.layers {
			if _, there := l.of[layer.Name]; there && !named && layer.Op == one.Op {
				drop(layer.Name)
			}
		}
	}
	return found
}

// feedEmulated runs the float model on a sample for the sake of the layers alone on the emulator, which take all their
// inputs before they begin.
func (r *localRun) feedEmulated(ctx context.Context, inputs map[string]tensor.Tensor) error {
	var fed []*htp.Inference
	for i, l := range r.c.b.locals {
		if l.emulated != nil {
			f := l.emulated.Begin()
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
	ref := r.c.b.reference.Start(inputs)
	defer ref.Close()
	for range r.c.b.reference.Segments() {
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
	v := &c.b.run.Variants[variant]
	c.b.run.Warnings = append(c.b.run.Warnings, fmt.Sprintf("%s, sample %d: %v", v.Spec.Name, sample+1, err))
	if c.inARow[variant]++; c.inARow[variant] == hopeless {
		c.b.run.Warnings = append(c.b.run.Warnings, fmt.Sprintf("%s failed on %d samples in a row and was not run on the rest", v.Spec.Name, hopeless))
	}
	c.without(variant, sample, segment, err.Error())
	return nil
}

// without notes that a variant's layers have no value on a sample, from a segment on.
func (c *comparison) without(variant, sample, segment int, reason string) {
	for _, group := range c.b.reference.Segments()[segment:] {
		for _, name := range group {
			if layer := c.index[name]; c.b.run.Variants[variant].Layers[layer].Has() {
				c.problem(variant, layer, sample, reason)
			}
		}
	}
}

// checkTaps runs each emulated variant on the first sample without its taps, and says whether that gives the same bits.
func (c *comparison) checkTaps(ctx context.Context, inputs map[string]tensor.Tensor) error {
	for i := range c.b.run.Variants {
		v := &c.b.run.Variants[i]
		if v.Emulator == nil || c.inARow[i] > 0 {
			continue
		}
		var same, outputs int
		var err error
		if d := c.b.contained[i]; d != nil {
			same, outputs, err = d.r.SameWithoutTaps(ctx, inputs)
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
		c.b.run.Warnings = append(c.b.run.Warnings, v.Spec.Name+": "+v.Emulator.Taps)
	}
	return nil
}

// sameWithoutTaps counts the compared outputs of an emulated model, and those that have the same bits without taps.
func (c *comparison) sameWithoutTaps(ctx context.Context, i int, inputs map[string]tensor.Tensor) (same, count int, err error) {
	var outputs []string
	v := &c.b.run.Variants[i]
	for k := range v.Layers { // workers still write the histograms of some
		if l := &v.Layers[k]; c.b.run.Layers[k].Output && l.Has() {
			outputs = append(outputs, l.Tap)
		}
	}
	if len(outputs) == 0 {
		return 0, 0, nil
	}
	bare, err := htp.New(ctx, c.b.emulator, c.b.models[i], htp.Options{Groups: [][]string{outputs}, Arena: c.b.arena})
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
		a, there := c.b.emulated[i].Raw(name)
		b, also := bare.Raw(name)
		if there && also && bytes.Equal(a, b) {
			same++
		}
	}
	return same, len(outputs), nil
}

// concludeEmulated says of each emulated variant where it parts from its simulation.
func (c *comparison) concludeEmulated() {
	for i := range c.b.run.Variants {
		v := &c.b.run.Variants[i]
		if v.Twin < 0 {
			continue
		}
		for k := range v.Layers {
			l := &v.Layers[k]
			l.Twin = c.twins[i][k].conclude(len(c.b.run.Samples))
			l.LocalTwin = c.localTwins[i][k].conclude(min(c.b.spec.LocalSamples, len(c.b.run.Samples)))
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
