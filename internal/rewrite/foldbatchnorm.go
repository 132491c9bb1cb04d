// Package rewrite changes a model's graph without changing what it computes.
//
//  1. All lists the passes in the order in which they run; each is documentation and one function.
//  2. A pass is run over the whole graph, again and again until it changes nothing.
//  3. Who runs it checks the graph's invariants and proves on samples that the outputs stay (flow.Optimize).
package rewrite

import "quantcheck/internal/onnx"

// FoldBatchNorm puts every BatchNormalization behind a convolution into the convolution's weights, as the converters for
// the DSP do before they quantize: the pass fold-batchnorm. The result names, for each tensor that is gone, the one that it
// went into.
func FoldBatchNorm(m *onnx.Model) (*onnx.Model, map[string]string, error) {
	folded := map[string]string{}
	for {
		r, err := foldBatchNorm.Run(m, Env{})
		if err != nil || r.Model == m {
			return m, folded, err
		}
		for gone, in := range r.folded {
			folded[gone] = in
		}
		m = r.Model
	}
}
