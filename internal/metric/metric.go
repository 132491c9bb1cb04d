// Package metric tells how far apart two tensors are.
//
//  1. One pass over both (Measure) sums what all moments follow from; a second one fills the two histograms.
//  2. Values holds every metric of one pair of tensors; what has no value is marked so, never 0 or NaN.
//  3. A Summary gathers the values of one layer over the samples.
//
// The formulas stand in docs/metrics.md. Passes run in vector code where the processor and the build have it
// (GOEXPERIMENT=simd); plain Go is the oracle and the fallback.
package metric

import (
	"fmt"
	"math"
	"strconv"
)

// Value is a number that may be undefined, as the cosine of two zero vectors is. The zero Value is undefined. A defined
// value may be infinite (the SQNR of equal tensors) but never NaN.
type Value struct {
	V  float64
	OK bool
}

// Defined makes a value; NaN becomes undefined.
func Defined(v float64) Value {
	if math.IsNaN(v) {
		return Value{}
	}
	return Value{V: v, OK: true}
}

// String writes the value for a table or a CSV file: the shortest text that reads back equal, "" if undefined.
func (v Value) String() string {
	switch {
	case !v.OK, math.IsNaN(v.V):
		return ""
	case math.IsInf(v.V, 0):
		return map[bool]string{true: "inf", false: "-inf"}[v.V > 0]
	}
	return strconv.FormatFloat(v.V, 'g', -1, 64)
}

// MarshalJSON writes null for undefined and the strings "inf" and "-inf" for infinite values.
func (v Value) MarshalJSON() ([]byte, error) {
	switch s := v.String(); {
	case s == "":
		return []byte("null"), nil
	case math.IsInf(v.V, 0):
		return []byte(strconv.Quote(s)), nil
	default:
		return []byte(s), nil
	}
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *Value) UnmarshalJSON(data []byte) error {
	switch text := string(data); text {
	case "null":
		*v = Value{}
	case `"inf"`:
		*v = Defined(math.Inf(1))
	case `"-inf"`:
		*v = Defined(math.Inf(-1))
	default:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("metric value %s: %w", text, err)
		}
		*v = Defined(f)
	}
	return nil
}

// Values are all metrics of one pair of tensors, by ID.
type Values [Count]Value

// Pair is what the two passes found out about a reference tensor and the one compared with it.
type Pair struct {
	Moments
	RefBins, GotBins [Bins]int64
}

// NotFiniteError is the reason why two tensors cannot be compared.
type NotFiniteError struct{ Ref, Got int } // how many NaN or infinite values each has

// InVariant ends the reason where only the variant's values are not finite.
const InVariant = "NaN or infinite values in the variant's tensor"

func (e *NotFiniteError) Error() string {
	switch {
	case e.Ref > 0 && e.Got > 0:
		return fmt.Sprintf("%d NaN or infinite values in the float tensor, %d in the variant's", e.Ref, e.Got)
	case e.Ref > 0:
		return fmt.Sprintf("%d NaN or infinite values in the float tensor", e.Ref)
	}
	return fmt.Sprintf("%d %s", e.Got, InVariant)
}

// Measure compares two tensors of equal, positive length. The error is a *NotFiniteError.
func Measure(ref, got []float32) (Pair, error) {
	m := moments(ref, got)
	if !m.trustworthy() {
		nf := NotFiniteError{Ref: notFinite(ref), Got: notFinite(got)}
		if nf.Ref+nf.Got > 0 {
			return Pair{}, &nf
		}
		m = momentsExact(ref, got)
	}
	return Pair{Moments: m, RefBins: bins(ref, m.MinX, m.MaxX), GotBins: bins(got, m.MinY, m.MaxY)}, nil
}

func notFinite(x []float32) int {
	n := 0
	for _, v := range x {
		if d := v - v; d != 0 { // NaN for NaN and infinities
			n++
		}
	}
	return n
}

// Values derives every metric. scale is a step of the encoding that the compared tensor was quantized with, 0 if there
// is none.
func (p Pair) Values(scale float64) Values {
	var v Values
	for i := range All {
		v[i] = All[i].of(&p, scale)
	}
	return v
}

// Spread is one metric of one layer over the samples. Mean is over the finite values if there are any; Worst is the
// index of the sample whose value is worst, −1 if none has a value.
type Spread struct {
	Mean, Min, Max Value
	Worst          int
}

// Summarize gathers the values of one layer over the samples, by sample; nil stands for a sample without values.
func Summarize(samples []*Values) [Count]Spread {
	var spreads [Count]Spread
	for i, info := range All {
		s := Spread{Worst: -1}
		sum, finite := 0.0, 0
		for k, values := range samples {
			if values == nil || !values[i].OK {
				continue
			}
			v := values[i].V
			if s.Worst < 0 || (info.HigherIsBetter && v < samples[s.Worst][i].V) || (!info.HigherIsBetter && v > samples[s.Worst][i].V) {
				s.Worst = k
			}
			if s.Worst == k && !s.Min.OK {
				s.Min, s.Max = Defined(v), Defined(v)
			}
			s.Min, s.Max = Defined(min(s.Min.V, v)), Defined(max(s.Max.V, v))
			if !math.IsInf(v, 0) {
				sum += v
				finite++
			}
		}
		switch {
		case finite > 0:
			s.Mean = Defined(sum / float64(finite))
		case s.Worst >= 0:
			s.Mean = s.Min
		}
		spreads[i] = s
	}
	return spreads
}

// PowerAverage is the average of one decibel metric over the samples: of the noise-to-signal ratios 10^(−v/10), as decibels again. A mean of
// decibels makes 47 dB of 72 and 22, where the noise of both together is that of 25. A sample without noise (+Inf) counts with none; it has no value
// if no sample has one.
func PowerAverage(samples []*Values, id ID) Value {
	noise, n := 0.0, 0
	for _, values := range samples {
		if values == nil || !values[id].OK {
			continue
		}
		noise += math.Pow(10, -values[id].V/10)
		n++
	}
	if n == 0 {
		return Value{}
	}
	return Defined(-10 * math.Log10(noise/float64(n)))
}
