// Package sensitivity finds out what each quantizer of a model does to its outputs: each alone in a float model, or each
// raised in a model where everything else is quantized. It computes the outputs; it estimates nothing.
//
//  1. The graph is divided into blocks of a few nodes, each a session, so that a block whose inputs have not changed need
//     not be computed again: every node of a block follows from what its first one takes.
//  2. What the blocks make is computed once per sample and kept, as far as the memory allows.
//  3. A candidate changes a block: a quantizer is put behind a tensor, a constant is rounded. That block is compiled anew,
//     with what leads to the tensors that change; then the blocks that follow from these are run, up to the outputs.
//  4. The outputs are compared with the float model's, sample by sample.
//
// Candidates share nothing that changes, so they run beside each other.
package sensitivity

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// Question is what is asked of each candidate.
type Question string

// The questions.
const (
	Alone Question = "alone" // only its quantizers are on, all others are off
	Rest  Question = "rest"  // all quantizers are on; its own are raised, or off
)

// Judge gathers a score over samples. It is used by one goroutine.
type Judge interface {
	// Add takes the outputs of a sample, by name; they are good until it returns.
	Add(sample int, outputs map[string]tensor.Tensor) error
	// Value is the score of what was added.
	Value() (float64, error)
}

// Options says what is examined.
type Options struct {
	Float     *onnx.Model                 // batch normalizations folded, constants evaluated, input shapes fixed
	Types     map[string]onnxruntime.Type // of its tensors; nil: they are found out
	Quantized *qdq.Built                  // made from Float for the CPU
	// Raised is made from Float, too: with the question Rest a candidate's activations take their quantizers from it. Nil:
	// they have none.
	Raised   *qdq.Built
	Question Question // "": Alone
	Outputs  []string // what is compared; nil: the graph's outputs of real numbers

	Samples    int
	Sample     func(ctx context.Context, i int) (map[string]tensor.Tensor, error) // its values stay good
	Candidates []Candidate
	Score      func() Judge // makes a judge for one candidate; nil: only SQNR

	// Harmless is the SQNR, in dB, from which on the first sample says enough: a candidate that keeps the outputs so well there is not
	// run on the others. 0: all candidates are run on all samples.
	Harmless float64

	MemoryMiB int // bound for the tensors that are kept; 0: 1024
	Workers   int // candidates that run beside each other, each on one thread; 0: one per core

	Done func(Candidate) (Result, bool) // known results, of an earlier run; nil: none
	Each func(Result)                   // gets every new result as it comes, one at a time; nil: nobody
	// Progress gets the number of finished candidates; nil: nobody.
	Progress func(done, of int)
}

// Run examines the candidates, and gives their results in the order of the candidates. When ctx ends it gives ctx's error
// within the operator it is at; what Each has got stays good.
func Run(ctx context.Context, r ort.Engine, o Options) (*Results, error) {
	switch {
	case o.Samples <= 0:
		return nil, errors.New("sensitivity needs at least one sample")
	case o.Question != "" && o.Question != Alone && o.Question != Rest:
		return nil, fmt.Errorf("sensitivity: there is no question %q", o.Question)
	case o.Harmless != 0 && o.Score != nil:
		return nil, errors.New("sensitivity: a score needs all samples, so that no candidate is harmless after the first")
	}
	if o.MemoryMiB <= 0 {
		o.MemoryMiB = 1024
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	e, err := newEngine(ctx, r, o)
	if err != nil {
		return nil, err
	}
	defer e.close()
	return e.run(ctx)
}
