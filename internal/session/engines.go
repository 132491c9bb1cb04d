package session

import (
	"context"

	"quantcheck/internal/align"
	"quantcheck/internal/dataset"
	"quantcheck/internal/dlc"
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
	Device DeviceRunner
}

// DeviceRunner starts a DLC on a device on all samples, and gives its results as they arrive. They are taken in the order of
// the samples; the run ends with ctx.
type DeviceRunner func(ctx context.Context, work DeviceWork) (dump.Source, error)

// DeviceWork is what a device is asked to run.
type DeviceWork struct {
	Variant variant.Spec
	Graph   *dlc.Graph
	Inputs  []align.Tap // the DLC's inputs, by the names of the float model's
	Taps    []align.Tap // the tensors that are wanted
	Samples *dataset.Set
	Loader  dataset.Loader
}
