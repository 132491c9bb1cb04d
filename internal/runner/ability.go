package runner

import (
	"context"

	"quantcheck/internal/tensor"
)

// Stepped is a Runner that reads an input only when the first segment that takes it is computed: until then the map of inputs that the
// inference was started with may be filled.
type Stepped interface {
	Runner
	// Inputs lists the inputs that a segment takes.
	Inputs(segment int) []string
}

// Fed is a Runner that takes its inputs one by one, and all of them before it begins to compute.
type Fed interface {
	Runner
	// Begin begins an inference without inputs.
	Begin() FedInference
}

// FedInference is an inference of a Fed.
type FedInference interface {
	Inference
	// Feed gives an input. The tensor may be used again after the call; one that the model does not take is passed over.
	Feed(name string, t tensor.Tensor)
	// Go begins to compute: all inputs have been fed.
	Go()
}

// Untapped is a Runner that can tell whether exposing its tensors changes what it computes.
type Untapped interface {
	Runner
	// SameWithoutTaps makes an inference without anything exposed on the sample of the last one. It counts the outputs, and those that
	// have the same bits.
	SameWithoutTaps(ctx context.Context, s Sample) (same, outputs int, err error)
}
