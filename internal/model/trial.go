package model

import (
	"context"
	"fmt"

	"quantcheck/internal/onnx"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// Trial loads a model that is about to be written as its file will be, and runs it on a sample. Its outputs come back; an error says
// that the file would be one that nothing can load.
func Trial(ctx context.Context, r ort.Engine, m *onnx.Model, sample map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	got, err := ort.Once(ctx, r, m, sample)
	if err == nil || ctx.Err() != nil {
		return got, err
	}
	return nil, fmt.Errorf("the model that was made cannot be loaded and run, so nothing was written: %w", err)
}
