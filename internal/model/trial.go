package model

import (
	"context"
	"fmt"

	"quantcheck/internal/onnx"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// mostTried is how many bytes of weights a model may hold to be loaded at once beside what the command has already; larger ones are
// written with their weights in a file of their own, and were run in segments.
const mostTried = 1 << 30

// Trial loads a model that is about to be written as its file will be, and runs it on a sample. Its outputs come back, nil of a model
// that is too large for that; an error says that the file would be one that nothing can load.
func Trial(ctx context.Context, r ort.Engine, m *onnx.Model, sample map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	bytes := int64(0)
	for _, t := range m.Graph().GetInitializer() {
		if n, err := tensor.Count(t.GetDims()); err == nil {
			bytes += int64(tensor.ByteSize(tensor.DType(t.GetDataType()), n))
		}
	}
	if bytes -= m.ExternalBytes(); bytes > mostTried {
		return nil, nil
	}
	got, err := ort.Once(ctx, r, m, sample)
	if err == nil || ctx.Err() != nil {
		return got, err
	}
	return nil, fmt.Errorf("the model that was made cannot be loaded and run, so nothing was written: %w", err)
}
