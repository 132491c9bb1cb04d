// Package calib listens to a float model and turns what it saw of each tensor into an encoding.
package calib

import (
	"slices"
	"sync"

	"quantcheck/internal/metric"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// Statistics gathers the values of tensors over the calibration samples. Its methods may be called by many goroutines;
// what it holds does not depend on the order of the calls.
type Statistics struct {
	// Behind gives the function through which a tensor is read, for the calibrators that look at it; nil: none is known.
	ActivationAfter func(name string) (f func(float64) float64, ok bool)
	histograms      bool
	mu              sync.Mutex
	tensors         map[string]*observed
}

type observed struct {
	mu        sync.Mutex
	histogram quant.Histogram // only its Range is used if no calibrator needs more
	gated     quant.Histogram // of the values behind the gate that they are multiplied by
	bad       int
}

// NewStatistics makes an empty collection. Calibrators that look at more than the range need histograms.
func NewStatistics(histograms bool) *Statistics {
	return &Statistics{histograms: histograms, tensors: map[string]*observed{}}
}

// NeedsHistogram says whether a calibrator of a variant looks at more than the range.
func NeedsHistogram(s variant.Spec) bool {
	for _, c := range s.Choices {
		if looksCloser(c.Calibrator) {
			return true
		}
	}
	return looksCloser(s.Calibrator)
}

func looksCloser(c variant.Calibrator) bool {
	info, _ := c.Info()
	return info.Histogram
}

func (s *Statistics) of(name string) *observed {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.tensors[name]
	if o == nil {
		o = &observed{}
		s.tensors[name] = o
	}
	return o
}

// Observe adds a tensor's values.
func (s *Statistics) Observe(name string, t tensor.Tensor) {
	values, ok := t.AsFloat32()
	if !ok || len(values) == 0 {
		return
	}
	lo, hi, bad := metric.MinMax(values)
	o := s.of(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bad += bad
	switch {
	case lo > hi: // no finite value at all
	case s.histograms:
		o.histogram.Add(values, lo, hi)
	default:
		o.histogram.Range.Add(float64(lo), float64(hi))
	}
}

// ObserveGated adds a tensor's values once more, with the gate of the same shape that they are multiplied by.
func (s *Statistics) ObserveGated(name string, t, gate tensor.Tensor) {
	values, ok := t.AsFloat32()
	weights, also := gate.AsFloat32()
	if !s.histograms || !ok || !also || !slices.Equal(t.Shape, gate.Shape) || len(values) == 0 {
		return
	}
	lo, hi, _ := metric.MinMax(values)
	o := s.of(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gated.AddGated(values, weights, lo, hi)
}

// Range is what was seen of a tensor; its Seen is false if that is nothing.
func (s *Statistics) Range(name string) quant.Range { return s.of(name).histogram.Range }

// NotFinite is the number of NaN and infinite values that were seen of a tensor and left out.
func (s *Statistics) NotFinite(name string) int { return s.of(name).bad }

// Activation is the encoding of an activation; ok is false if no value was seen.
func (s *Statistics) Activation(name string, v variant.Spec) (e quant.Encoding, ok bool) {
	o := s.of(name)
	if !o.histogram.Range.Seen {
		return e, false
	}
	if v.Calibrator == variant.MSEOut && s.ActivationAfter != nil {
		if f, ok := s.ActivationAfter(name); ok {
			return quant.MSEAfterActivation(&o.histogram, v.ActBits, false, f), true
		}
	}
	if v.Calibrator == variant.MSEOut && o.gated.Count() > 0 {
		return quant.MSE(&o.gated, v.ActBits, false), true
	}
	return encode(&o.histogram, v.ActBits, v.Calibrator == variant.Symmetric, v.Calibrator, v.Percentile), true
}

// Parameter is the encoding of constant values. The percentile calibrator is for activations only: parameters are few
// and their outliers matter, so they keep their whole range.
func Parameter(values []float32, bits int, symmetric bool, v variant.Spec) quant.Encoding {
	c := v.Calibrator
	if c == variant.Percentile {
		c = variant.TF
	}
	h := quant.Histogram{}
	lo, hi, _ := metric.MinMax(values)
	if looksCloser(c) {
		h.Add(values, lo, hi)
	} else if lo <= hi {
		h.Range.Add(float64(lo), float64(hi))
	}
	return encode(&h, bits, symmetric || c == variant.Symmetric, c, 0)
}

func encode(h *quant.Histogram, bits int, symmetric bool, c variant.Calibrator, percentile float64) quant.Encoding {
	f := encoders[c]
	if f == nil { // of a variant that is no recipe
		f = minMax
	}
	return f(h, bits, symmetric, percentile)
}

// encoders are what the calibrators of variant.Calibrators compute from what was seen.
var encoders = map[variant.Calibrator]func(h *quant.Histogram, bits int, symmetric bool, percentile float64) quant.Encoding{
	variant.TF:        minMax,
	variant.Symmetric: minMax,
	variant.Enhanced: func(h *quant.Histogram, bits int, symmetric bool, _ float64) quant.Encoding {
		return quant.Enhanced(h, bits, symmetric)
	},
	variant.MSE:        leastSquares,
	variant.MSEOut:     leastSquares, // where nothing is known of what follows
	variant.Percentile: quant.Percentile,
}

func minMax(h *quant.Histogram, bits int, symmetric bool, _ float64) quant.Encoding {
	return quant.MinMax(h.Range, bits, symmetric)
}

func leastSquares(h *quant.Histogram, bits int, symmetric bool, _ float64) quant.Encoding {
	return quant.MSE(h, bits, symmetric)
}
