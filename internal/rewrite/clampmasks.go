package rewrite

import (
	"math"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/tensor"
)

// ClampMasks is the name of the pass that every calibration runs too.
const ClampMasks = "clamp-masks"

var clampMasks = Pass{
	Name: ClampMasks, Title: "huge and infinite values that shut places of a Softmax become the smallest that shut them as well", Tolerance: 1e-6,
	Order: "behind the folding of constants, since it looks at their values, and before what changes the operators around them",
	Why:   "One encoding holds all values of a tensor: beside −3.4e38 all scores are one step, and −∞ has no encoding at all. What the Softmax makes of −50 is 0, too.",
	Doc: `
    Before   s + c ─ Softmax, c of 0 and −∞                  After   s + c' ─ Softmax, c' of 0 and −(R + 20)
    Before   Where(open, s, −∞) ─ Softmax                    After   Where(open, s, min s − 20) ─ Softmax
    Before   s + (1 − m)·−1e9 ─ Softmax, m of 0 and 1        After   s + (1 − m)·−(R + 20) ─ Softmax

R = max s − min s on the samples, rounded so that the value is whole; without samples it is 50 instead of R + 20. A shut place keeps
e^−20 = 2e-9 of what an open one has at least. Scales between the constant and the Softmax are taken into account, and so is all that
is added on the way. Huge is what is 10,000 or more in magnitude. Values of +∞ that are subtracted or negated are treated alike.
Conditions: on every way from the constant are only Add, Sub, Mul and Div by constants of one sign, Mul by a tensor of 0 and 1, Where,
Max, Neg, Concat, and operators that move values, and at the end of each a Softmax; the values are in no output. A row of which every
place is shut changes, which the proof sees.
`,
	apply: func(s *sweep) error {
		list, finder, err := s.masks()
		if err != nil || len(list) == 0 {
			return err
		}
		seen, err := rangesFor(s.measured, list, finder)
		if err != nil {
			return err
		}
		for _, m := range list {
			if m.reason != "" {
				if !bounding(s, m) {
					s.leave(s.x.Nodes[m.at], "%s", m.reason)
				}
				continue
			}
			value, blind, reason := finder.clamp(m, seen)
			if reason != "" {
				s.leave(s.x.Nodes[m.at], "its constant %s holds %s: %s", m.name, spelled(m.value), reason)
				continue
			}
			clamped := slices.Clone(m.values.F32)
			for i, v := range clamped {
				if isHuge(v) {
					clamped[i] = float32(value)
				}
			}
			s.added = append(s.added, onnx.TensorProto(m.name, tensor.Floats(clamped, m.values.Shape...)))
			known := "on the samples"
			if blind {
				known = "without samples"
			}
			s.changed("%s (constant of %s): %s in %d of %d values becomes %g, %s", m.name, nameOf(s.x.Nodes[m.at]), spelled(m.value), m.count, len(clamped), value, known)
		}
		return nil
	},
}

// bounding says whether all readers of a constant take it as a bound, where a huge value is nothing unusual.
func bounding(s *sweep, m *mask) bool {
	return !slices.ContainsFunc(s.x.Consumers[m.name], func(k int) bool {
		return !slices.Contains([]string{"Clip", "Pad", "Resize", "NonMaxSuppression", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Min", "Max"}, s.x.Nodes[k].GetOpType())
	})
}

// rangesFor measures all that the clamps of the masks depend on.
func rangesFor(measured func([]string) (map[string]Span, error), list []*mask, finder *maskFinder) (maskRanges, error) {
	if measured == nil {
		return func(string) (float64, float64, bool) { return 0, 0, false }, nil
	}
	var names []string
	note := func(name string) (float64, float64, bool) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		return 0, 0, true
	}
	for _, m := range list {
		if m.reason == "" {
			finder.clamp(m, note)
		}
	}
	spans := map[string]Span{}
	if len(names) > 0 {
		var err error
		if spans, err = measured(names); err != nil {
			return nil, err
		}
	}
	return func(name string) (low, high float64, ok bool) {
		span, there := spans[name]
		if !there || len(span.Low) == 0 {
			return 0, 0, false
		}
		low, high = slices.Min(span.Low), slices.Max(span.High)
		return low, high, low <= high && !math.IsInf(high-low, 0)
	}, nil
}
