package optimize

import (
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// spansOf measures the channels of a model's tensors on samples, each tensor once; nil without samples.
func (o *optimizer) spansOf(m *onnx.Model) func(tensors []string) (map[string]rewrite.Span, error) {
	if o.ranging == nil {
		return nil
	}
	return model.Spans(o.ctx, o.engines.ORT, m, func(use func(map[string]tensor.Tensor) error) error {
		for _, source := range o.ranging.Sources {
			s, err := o.loader.Load(source)
			if err != nil {
				return usage.Mark(err)
			}
			if err := use(s.Inputs); err != nil {
				return err
			}
		}
		return nil
	})
}
