package compare

import (
	"context"
	"fmt"

	"quantcheck/internal/dataset"
	"quantcheck/internal/metric"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
)

// EqualizeEffect compares what quantization per tensor costs a model before and after its weights were equalized: the mean
// error that its Convs make alone, and what is left at the worst output, in dB of SQNR.
func EqualizeEffect(ctx context.Context, engines session.Engines, before, after, images string, limit int, input dataset.Description, progress progress.Reporter) (string, error) {
	var local, output [2]float64
	for i, model := range []string{before, after} {
		run, err := Run(ctx, engines, result.CheckSpec{
			Sources: result.Sources{Model: model, Images: images, Limit: limit}, Variants: []string{"w8a8,per-tensor"}, Place: result.Place{Name: "model"}, Input: input,
			Bounds: result.Bounds{Threads: engines.ORT.About().Threads, MemoryMiB: 2048}, LocalSamples: limit, DivergeUnder: 20,
		}, progress, nil, nil)
		if err != nil {
			return "", err
		}
		v := &run.Variants[0]
		sum, n := 0.0, 0
		output[i] = 1000
		for k, l := range v.Layers {
			if s := run.Layers[k]; l.Local != nil && (s.Op == "Conv" || s.Op == "ConvTranspose") && l.Local.Full.Summary[metric.SQNR].Mean.OK {
				sum, n = sum+l.Local.Full.Summary[metric.SQNR].Mean.V, n+1
			}
			if run.Layers[k].Output && l.HasMetrics() && l.Summary[metric.SQNR].Mean.OK {
				output[i] = min(output[i], l.Summary[metric.SQNR].Mean.V)
			}
		}
		if n == 0 {
			return "no Conv could be measured alone", nil
		}
		local[i] = sum / float64(n)
	}
	return fmt.Sprintf("with w8a8 per tensor the Convs keep %.2f dB each alone, they kept %.2f; the worst output keeps %.2f dB, it kept %.2f", local[1], local[0], output[1], output[0]), nil
}
