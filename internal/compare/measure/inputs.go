package measure

import (
	"slices"

	"quantcheck/internal/dataset"
	"quantcheck/internal/metric"
	"quantcheck/internal/model"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
)

// checked is a graph input, as the variant's first operator gets it, against the sample: as it is, and with its channels in
// reverse order; nil where there is no value.
type checked struct {
	sample      int
	as, swapped *metric.Values
	clipped     float64 // share of the sample's values outside of the input's encoding
}

// checkInput compares a graph input, as the variant's first operator gets it, with the sample.
func (c *comparison) checkInput(number int, v *compared, input string, sample, got tensor.Tensor) {
	if sample.Len() != got.Len() {
		return
	}
	one := checked{sample: number}
	if values, err := measure(sample, got, 0); err == nil && sample.Len() > 0 {
		one.as = &values
	}
	if e, ok := v.Result.Inputs[input]; ok {
		if x, numbers := sample.AsFloat32(); numbers {
			low, high, _ := metric.MinMax(x)
			one.clipped = clipped(x, float64(low), float64(high), &e)
		}
	}
	if swapped := model.ReverseChannels(sample); swapped.Len() > 0 {
		if values, err := measure(swapped, got, 0); err == nil {
			one.swapped = &values
		}
	}
	v.checks[input] = append(v.checks[input], one)
}

// concludeInputs turns the values into the result.
func (v *compared) concludeInputs(inputs []dataset.Input) {
	rv := v.Result
	for _, in := range inputs {
		list, ok := v.checks[in.Name]
		if !ok {
			continue
		}
		var as, swapped []*metric.Values
		clip := result.Clipping{Worst: -1}
		for _, c := range list {
			as, swapped = append(as, c.as), append(swapped, c.swapped)
			if clip.Share += c.clipped / float64(len(list)); c.clipped > clip.Most {
				clip.Most, clip.Worst = c.clipped, c.sample
			}
		}
		check := result.InputCheck{
			Input: in.Name, SQNR: metric.Summarize(as)[metric.SQNR].Mean, Swapped: metric.Summarize(swapped)[metric.SQNR].Mean,
		}
		if clip.Worst >= 0 {
			check.Clipped = &clip
		}
		rv.InputChecks = append(rv.InputChecks, check)
	}
}

// FindOrigins says of every variant where its first diverging layer's error comes from.
func FindOrigins(run *result.Run) {
	for i := range run.Variants {
		v := &run.Variants[i]
		switch {
		case slices.ContainsFunc(v.InputChecks, func(c result.InputCheck) bool { return c.Differs(run.Spec.DivergeUnder) }):
			v.Origin = result.InputDiffers
		case v.Diverges >= 0 && slices.ContainsFunc(v.InputChecks, result.InputCheck.Leaves):
			v.Origin = result.InputClipped
		case v.Diverges >= 0:
			v.Origin = originOf(&v.Layers[v.Diverges], run.Spec.LocalSamples)
		}
	}
}
