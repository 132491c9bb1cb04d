package dump

import (
	"context"

	"quantcheck/internal/align"
	"quantcheck/internal/dataset"
	"quantcheck/internal/dlc"
	"quantcheck/internal/variant"
)

// Device starts a DLC on a device on all samples, and gives its results as they arrive. They are taken in the order of
// the samples; the run ends with ctx.
type Device func(ctx context.Context, work Work) (Source, error)

// Work is what a device is asked to run.
type Work struct {
	Variant variant.Spec
	Graph   *dlc.Graph
	Inputs  []align.Tap // the DLC's inputs, by the names of the float model's
	Taps    []align.Tap // the tensors that are wanted
	Samples *dataset.Set
	Loader  dataset.Loader
}
