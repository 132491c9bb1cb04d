package variant

import (
	"fmt"
	"maps"
	"reflect"
)

// Choice is how the quantizer of one activation differs from the recipe. The zero Choice does not differ.
type Choice struct {
	Bits       int        `json:"bits,omitempty"`       // 8 or 16; 0: the recipe's
	Calibrator Calibrator `json:"calibrator,omitempty"` // "": the recipe's
	Percentile float64    `json:"percentile,omitempty"` // of the calibrator Percentile
	// Float leaves the operator that makes the tensor in half precision (fp16), its weights too. Operators that are
	// quantized take the tensor quantized by the rest of the choice.
	Float bool `json:"float,omitempty"`
}

// Choices are the differences by the name of the float model's tensor. Tensors of one quantizer need be named once
// (qdq.Placement.Spread).
type Choices map[string]Choice

// Check says what is wrong with a choice.
func (c Choice) Check() error {
	info, known := c.Calibrator.Info()
	switch {
	case c.Calibrator != "" && !known:
		return fmt.Errorf("there is no calibrator %q", c.Calibrator)
	case info.Example == "" && c.Percentile != 0:
		return fmt.Errorf("a percentile goes with the calibrator %q, not with %q", Percentile, c.Calibrator)
	case info.Example != "" && !(c.Percentile >= 50 && c.Percentile <= 100):
		return fmt.Errorf("a percentile is a number from 50 to 100, not %g", c.Percentile)
	}
	if c.Bits != 0 && c.Bits != 8 && c.Bits != 16 {
		return fmt.Errorf("an activation has 8 or 16 bits, not %d", c.Bits)
	}
	return nil
}

// For is the recipe as it holds for one activation: without choices, and with the widths and the calibrator of its own.
func (s Spec) For(tensor string) Spec {
	c := s.Choices[tensor]
	s.Choices = nil
	if c.Bits != 0 {
		s.ActBits = c.Bits
	}
	if c.Calibrator != "" {
		s.Calibrator, s.Percentile = c.Calibrator, c.Percentile
	}
	return s
}

// Equal says whether two variants are the same, choices included.
func (s Spec) Equal(o Spec) bool {
	if !maps.Equal(s.Choices, o.Choices) {
		return false
	}
	s.Choices, o.Choices = nil, nil
	return reflect.DeepEqual(s, o)
}
