// Package nonfinite finds where values that are NaN or infinite come from in a float model: constants, samples, and the layers at which they
// begin. Find is called after a comparison; it runs a few samples once more.
package nonfinite

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/dataset"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
)

// traced is how many samples are run once more to find where values that are not finite begin.
const traced = 2

// finder looks in one session.
type finder struct{ b *session.Session }

// Find finds out why samples have no value for layers where the float model's own values are NaN or infinite. bad are the samples whose
// outputs are not finite in float. The session's run gets what was found, with a warning. Nothing is run if all layers had values. An infinite
// constant alone, as in a mask, is no fault: it is named only if a sample could not be compared.
func Find(ctx context.Context, b *session.Session, set *dataset.Set, loader dataset.Loader, bad map[int]bool) error {
	c := finder{b}
	constants := c.constants()
	if len(bad) == 0 && !slices.ContainsFunc(constants, func(n result.NonFiniteConstant) bool { return n.NaN > 0 }) {
		return nil
	}
	found := &result.NonFinite{Constants: constants}
	for s := range bad {
		found.Samples = append(found.Samples, s)
	}
	slices.Sort(found.Samples)
	if err := c.trace(ctx, set, loader, found); err != nil {
		return err
	}
	c.b.Run.NonFinite = found
	if !found.Blamed() {
		c.b.Run.Warnings = append(c.b.Run.Warnings, strings.Join(found.Sentences(c.b.Run), " "))
		return nil
	}
	// The causes of the variants name the constant; what was said when they were built says no more.
	b.Run.Warnings = slices.DeleteFunc(b.Run.Warnings, func(w string) bool {
		return slices.ContainsFunc(constants, func(n result.NonFiniteConstant) bool { return strings.Contains(w, qdq.HoldsNaN(n.Name)) })
	})
	return nil
}

// constants are those of the float model that hold values that are not finite.
func (c finder) constants() []result.NonFiniteConstant {
	var list []result.NonFiniteConstant
	m := c.b.Float.Model
	for _, p := range m.Graph().GetInitializer() {
		if !tensor.DType(p.GetDataType()).IsFloat() {
			continue
		}
		t, err := m.Tensor(p)
		if err != nil {
			continue // whoever runs it says so
		}
		if nan, inf, n := notFinite(t); nan+inf > 0 {
			list = append(list, result.NonFiniteConstant{Name: p.GetName(), NaN: nan, Infinite: inf, Elements: n})
		}
	}
	return list
}

// trace reads the samples once more, and runs the first ones with values that are not finite through the float model with all layers put out.
func (c finder) trace(ctx context.Context, set *dataset.Set, loader dataset.Loader, found *result.NonFinite) error {
	if len(found.Samples) == 0 {
		return nil
	}
	b := c.b
	var taps []string
	for _, l := range b.Run.Layers {
		if b.Float.Incomparable(l) == "" {
			taps = append(taps, l.Name)
		}
	}
	r, err := ort.New(b.ORT, b.Float.Model, ort.Options{Taps: taps, SegmentBytes: b.Memory().Segment(), Types: b.Float.Types, Arena: b.Arena})
	if err != nil {
		return err
	}
	defer r.Close()
	number, runs := -1, 0
	for _, source := range set.Sources {
		if number == found.Samples[len(found.Samples)-1] {
			break
		}
		s, err := loader.Load(source)
		if err != nil {
			continue // it was passed over before, too
		}
		if number++; !slices.Contains(found.Samples, number) {
			continue
		}
		dirty := map[string]bool{} // inputs that are not finite
		for _, in := range b.Run.Model.Inputs {
			if nan, inf, _ := notFinite(s.Inputs[in.Name]); nan+inf > 0 {
				dirty[in.Name] = true
				found.Inputs = append(found.Inputs, result.NonFiniteInput{Sample: number, Input: in.Name, NaN: nan, Infinite: inf})
			}
		}
		if runs++; runs > traced {
			continue
		}
		if err := c.begins(ctx, r, number, s, dirty, found); err != nil {
			return fmt.Errorf("sample %s: %w", s.Name, err)
		}
	}
	return nil
}

// begins runs a sample and adds the layers at which values that are not finite begin.
func (c finder) begins(ctx context.Context, r runner.Runner, number int, s *dataset.Sample, dirty map[string]bool, found *result.NonFinite) error {
	counts := map[string][2]int{}
	inference := r.Start(runner.Sample{Inputs: s.Inputs})
	defer inference.Close()
	for range r.Segments() {
		batch, err := inference.Next(ctx)
		if err != nil {
			return err
		}
		for _, tap := range batch.Taps {
			if nan, inf, _ := notFinite(tap.Tensor); nan+inf > 0 {
				counts[tap.Name] = [2]int{nan, inf}
			}
		}
		batch.Release()
	}
	for k, l := range c.b.Run.Layers {
		n, is := counts[l.Name]
		p, made := c.b.Float.Index.Producer[l.Name]
		if !is || !made {
			continue
		}
		begins := result.NonFiniteLayer{Layer: k, Sample: number, NaN: n[0], Infinite: n[1]}
		inherits := false
		for _, in := range onnx.Uses(c.b.Float.Index.Nodes[p]) {
			_, before := counts[in]
			inherits = inherits || before
			if dirty[in] {
				begins.Input = in
			}
		}
		if !inherits {
			found.Begins = append(found.Begins, begins)
		}
	}
	return nil
}

// notFinite counts the values of a tensor that are NaN, that are infinite, and all.
func notFinite(t tensor.Tensor) (nan, inf, n int) {
	if !t.DType.IsFloat() {
		return 0, 0, 0
	}
	values, ok := t.AsFloat32()
	if !ok {
		return 0, 0, 0
	}
	for _, v := range values {
		switch {
		case math.IsNaN(float64(v)):
			nan++
		case math.IsInf(float64(v), 0):
			inf++
		}
	}
	return nan, inf, len(values)
}
