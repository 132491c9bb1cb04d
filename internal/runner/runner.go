// Package runner says what it is to run a model: given a sample, the tensors of one inference in the model's order.
//
// Everything that yields tensors is a Runner: a float model, a simulated one, an emulated one, a DLC, a folder of dumps, a device. What only
// some can do is an interface of its own (Stepped, Fed, Untapped), which users ask for by a type assertion. Who
// calibrates listens to one; who compares lets several advance in step, segment by segment, so that no one ever holds
// all tensors of an inference.
package runner

import (
	"context"
	"errors"
	"sync/atomic"

	"quantcheck/internal/tensor"
)

// Runner runs one model. Its methods may be called from one goroutine at a time; batches may be released from any.
type Runner interface {
	// Segments lists the names of the tensors that one inference yields: one slice per batch, in order. A slice may be
	// empty.
	Segments() [][]string
	// Start begins an inference on a sample.
	Start(s Sample) Inference
	// Close frees what the runner holds. No inference may be under way.
	Close()
}

// Sample is what an inference is made on.
type Sample struct {
	Number int                      // its place among the samples of a run, from 0; what replays inferences made elsewhere goes by it
	Inputs map[string]tensor.Tensor // of the model, by name
}

// ErrSample marks an error of one inference: the runner is still good for other samples.
var ErrSample = errors.New("this sample could not be run")

// Inference is one run of a model, consumed segment by segment.
type Inference interface {
	// Next computes and gives the next segment's tensors. It must be called once per segment; ctx ends it early.
	Next(ctx context.Context) (*Batch, error)
	// Close frees what the inference still holds for later segments; batches stay valid until they are released.
	Close()
}

// Tap is a tensor that was read off a running model.
type Tap struct {
	Name   string
	Tensor tensor.Tensor // of DType Undefined if the value is a sequence, a map or holds strings
	// Problem says why there are no values; "" if there are.
	Problem string
}

// Batch is what one segment yields. Its tensors' memory belongs to the runner and is used again after the release.
type Batch struct {
	Taps    []Tap
	holders atomic.Int32
	free    func()
}

// NewBatch makes a batch with one holder; free is called when the last one lets go.
func NewBatch(taps []Tap, free func()) *Batch {
	b := &Batch{Taps: taps, free: free}
	b.holders.Store(1)
	return b
}

// Retain adds a holder, who must Release too.
func (b *Batch) Retain() { b.holders.Add(1) }

// Release lets go of the batch.
func (b *Batch) Release() {
	if b.holders.Add(-1) == 0 && b.free != nil {
		b.free()
	}
}
