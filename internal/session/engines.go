package session

import (
	"slices"

	"quantcheck/internal/result"
	"quantcheck/internal/runner/dump"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/variant"
)

// Output is where a check's by-products go while it runs.
type Output interface {
	// Tensor takes a layer's values on the first sample: of the float model if variant is "", else of the variant.
	// Values are valid during the call only.
	Tensor(variant string, layer result.Layer, values []float32, shape []int64) error
	// Model takes the bytes of a variant's QDQ model, and its encodings.
	Model(v *result.Variant, layers []result.Layer, model []byte) error
}

// Engines are what models run on.
type Engines struct {
	ORT ort.Engine
	// HTP looks for the emulator; it is asked when a variant wants it.
	HTP func() (htp.Engine, error)
	// Device runs variants on a device; nil: there is none.
	Device dump.Device
}

// Emulator looks for the emulator if one of the variants runs on it; if none does, it gives the zero value.
func (e Engines) Emulator(variants []variant.Spec) (htp.Engine, error) {
	if !slices.ContainsFunc(variants, Emulated) {
		return htp.Engine{}, nil
	}
	return e.HTP()
}
