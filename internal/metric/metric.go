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

// ID names a metric.
type ID int

// The metrics, in the order of the columns of a similarity file: the five of the seed first.
const (
	CosSim ID = iota
	MSE
	SAR
	PearsonR
	DKL
	SQNR
	MaxAbs
	MAE
	MeanSteps
	MaxSteps
	Count int = iota
)

// Info describes a metric for people.
type Info struct {
	ID             ID
	Key            string // column name, key in JSON
	Title          string
	Unit           string
	HigherIsBetter bool
}

// All lists every metric in column order.
var All = []Info{
	{CosSim, "CosSim", "cosine similarity", "", true},
	{MSE, "MSE", "mean squared error", "", false},
	{SAR, "SAR", "sign agreement rate", "", true},
	{PearsonR, "PearsonR", "Pearson correlation", "", true},
	{DKL, "DKL", "Kullback-Leibler divergence of 10-bin histograms", "nat", false},
	{SQNR, "SQNR", "signal to quantization noise ratio", "dB", true},
	{MaxAbs, "MaxAbs", "largest absolute error", "", false},
	{MAE, "MAE", "mean absolute error", "", false},
	{MeanSteps, "MeanSteps", "mean absolute error in steps of the encoding", "steps", false},
	{MaxSteps, "MaxSteps", "largest absolute error in steps of the encoding", "steps", false},
}

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

func (e *NotFiniteError) Error() string {
	switch {
	case e.Ref > 0 && e.Got > 0:
		return fmt.Sprintf("%d NaN or infinite values in the float tensor, %d in the variant's", e.Ref, e.Got)
	case e.Ref > 0:
		return fmt.Sprintf("%d NaN or infinite values in the float tensor", e.Ref)
	}
	return fmt.Sprintf("%d NaN or infinite values in the variant's tensor", e.Got)
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
	n := float64(p.N)
	switch normX, normY := math.Sqrt(p.SumXX), math.Sqrt(p.SumYY); {
	case normX == 0 && normY == 0: // not defined
	case normX == 0 || normY == 0:
		v[CosSim] = Defined(0)
	default:
		v[CosSim] = Defined(clamp(p.SumXY / (normX * normY)))
	}
	v[MSE] = Defined(p.SumDD / n)
	v[SAR] = Defined(float64(p.SameSign) / n)
	if p.VarX > 0 && p.VarY > 0 && p.MinX < p.MaxX && p.MinY < p.MaxY {
		v[PearsonR] = Defined(clamp(p.CovXY / (math.Sqrt(p.VarX) * math.Sqrt(p.VarY))))
	}
	v[DKL] = Defined(divergence(p.RefBins, p.GotBins, p.MinX, p.MaxX, p.MinY, p.MaxY))
	switch {
	case p.SumDD == 0:
		v[SQNR] = Defined(math.Inf(1))
	case p.SumXX == 0:
		v[SQNR] = Defined(math.Inf(-1))
	default:
		v[SQNR] = Defined(10 * math.Log10(p.SumXX/p.SumDD))
	}
	v[MaxAbs] = Defined(float64(p.MaxD))
	v[MAE] = Defined(p.SumD / n)
	if scale > 0 {
		v[MeanSteps] = Defined(p.SumD / n / scale)
		v[MaxSteps] = Defined(float64(p.MaxD) / scale)
	}
	return v
}

func clamp(x float64) float64 { return min(max(x, -1), 1) }

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
