package cause

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// greatestHalf is the greatest finite number of half precision (IEEE 754 binary16).
const greatestHalf = 65504

var halfOverflow = Cause{
	Kind: "half-overflow", Title: "values do not fit half precision", Evidence: "in half precision a layer is NaN or infinite that is finite in float, or its float values are beyond ±65504; or a constant goes into it whose values are beyond that, or so near to 0 that they become 0",
	Remedy: "int16 (w8a16) or float32 for the operator that is named; a scale before it; a greater small constant",
	find: func(f *Facts) []result.Cause {
		if !f.loses() || f.Variant.Spec.Kind != variant.Half {
			return nil
		}
		at := slices.IndexFunc(f.Variant.Layers, overflown)
		if at < 0 {
			return nil
		}
		l, r := &f.Run.Layers[at], &f.Variant.Layers[at]
		c := result.Cause{Layers: []int{at}, Confidence: 0.95}
		name, value := f.unheld(l.Name, 3)
		switch {
		case name != "" && slices.ContainsFunc(f.masks(), func(m rewrite.Mask) bool { return m.Name == name }):
			return nil // a Softmax makes 0 of −∞ too
		case name != "" && math.Abs(value) > greatestHalf:
			c.Tensors = []string{name}
			c.Evidence = fmt.Sprintf("the %s holds %.3g, and half precision holds nothing beyond ±%d: %s (%s), which it goes into, becomes infinite or NaN", result.Named("constant", name), value, greatestHalf, l.Name, l.Op)
			c.Fix.Text = "clamp the constant, or keep the operator in int16 or float32"
		case r.Histogram != nil && beyond(r.Histogram) > greatestHalf:
			c.Evidence = fmt.Sprintf("%s (%s) reaches %.4g in float, and half precision holds nothing beyond ±%d: it becomes infinite", l.Name, l.Op, beyond(r.Histogram), greatestHalf)
			c.Fix.Text = "keep the operator in int16 or float32, or scale what goes into it"
		case name != "":
			c.Tensors = []string{name}
			c.Evidence = fmt.Sprintf("the %s holds %.3g, which half precision rounds to 0: %s (%s), where it keeps from 0, becomes infinite or NaN", result.Named("constant", name), value, l.Name, l.Op)
			c.Fix.Text = "write a constant of 1e-6 or more into the model, or keep the operator in int16 or float32"
		default:
			c.Evidence = fmt.Sprintf("%s (%s) is finite in float, and infinite or NaN in half precision", l.Name, l.Op)
			c.Fix.Text = "keep the operator in int16 or float32, or scale what goes into it"
		}
		wide := variant.Usual()
		wide.ActBits, wide.Engine = 16, f.Variant.Spec.Engine
		c.Fix.Variant = wide.Text()
		return []result.Cause{c}
	},
}

// overflown says whether a layer has values in half precision that are not finite, or that it cannot hold in float.
func overflown(l result.LayerResult) bool {
	return strings.Contains(l.Reason, metric.InVariant) || l.Histogram != nil && l.HasMetrics() && beyond(l.Histogram) > greatestHalf
}

// beyond is the greatest magnitude of a layer's values.
func beyond(h *result.Histogram) float64 { return max(math.Abs(h.Min), math.Abs(h.Max)) }

// unheld looks for a constant that half precision does not hold, among what a tensor is computed from: beyond its greatest number, or not 0 and
// rounded to 0. Operators are followed up so far.
func (f *Facts) unheld(name string, depth int) (constant string, value float64) {
	p, made := f.Index.Producer[name]
	if !made || depth == 0 {
		return "", 0
	}
	for _, in := range f.Index.Nodes[p].GetInput() {
		if t, ok := f.constant(in); ok {
			if v, ok := unheld(t.F32); ok {
				return in, v
			}
			continue
		}
		if constant, value = f.unheld(in, depth-1); constant != "" {
			return constant, value
		}
	}
	return "", 0
}

// unheld is the greatest of values that are beyond half precision; without one, that which becomes 0 if all that are not 0 do.
func unheld(values []float32) (value float64, ok bool) {
	small, held := 0.0, false
	for _, v := range values {
		switch half := tensor.HalfToFloat(tensor.FloatToHalf(v)); {
		case v != v || v == 0:
		case half == 0:
			small = float64(v)
		default:
			held = true
			if math.Abs(float64(v)) > greatestHalf && math.Abs(float64(v)) > math.Abs(value) && !math.IsInf(float64(v), 0) {
				value = float64(v)
			}
		}
	}
	if value != 0 {
		return value, true
	}
	return small, small != 0 && !held
}
