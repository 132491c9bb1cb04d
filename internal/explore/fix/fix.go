// Package fix makes the model that an exploration recommends: as a device runs it, with its encodings, and as a DLC.
package fix

import (
	"context"
	"fmt"
	"slices"

	"quantcheck/internal/dlcwriter"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/stage"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/variant"
)

// Fix is a recommended model: what a device runs, and its encodings.
type Fix struct {
	Model   *onnx.Model // QDQ
	DLC     []byte      // nil: Problem says why there is none
	Layers  []result.Layer
	Variant *result.Variant // its encodings
	Problem string          // why there is no DLC

	Converts  []string // tensors where two widths meet
	Unencoded []string // layers that stay without an encoding, each with the reason
}

// Make builds a recommended recipe on a stage. WriteDLC is left to who wants one.
func Make(ctx context.Context, s *stage.Stage, spec variant.Spec) (*Fix, error) {
	spec.Engine = variant.HTP
	m, err := s.Builder.Build(candidate.Candidate{Spec: spec})
	if err != nil {
		return nil, err
	}
	f := &Fix{Converts: append([]string{}, slices.Compact(slices.Sorted(slices.Values(m.Conversions())))...)}
	run := &result.Run{Model: s.Session.Run.Model, Layers: s.Session.Float.Layers}
	b := s.Session.Beside(s.Session.Options, run, spec)
	defer b.Close()
	b.Stats = s.Stats
	if err := prepare.Build(ctx, b, nil, b.Loader); err != nil {
		return nil, err
	}
	v := &run.Variants[0]
	v.Spec.Engine, v.Emulator = variant.CPU, nil
	for k, l := range v.Layers {
		if l.Encoding == nil && l.Status != result.NotComparable && l.Status != result.Fused {
			f.Unencoded = append(f.Unencoded, fmt.Sprintf("%s (%s): %s", run.Layers[k].Name, run.Layers[k].Op, l.Reason))
		}
	}
	f.Model, f.Layers, f.Variant = s.Builder.Complete(b.Variants[0].Model), run.Layers, v
	return f, nil
}

// WriteDLC fills DLC, or Problem, by the libraries of an emulator; nil: they are not there.
func (f *Fix) WriteDLC(ctx context.Context, engine ort.Engine, emulator *htp.Engine) error {
	if emulator == nil {
		f.Problem = "the libraries that write a DLC are not installed (quantcheck doctor)"
		return nil
	}
	var err error
	if f.DLC, err = dlcwriter.Write(ctx, engine, *emulator, f.Model); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.DLC, f.Problem = nil, err.Error()
	}
	return nil
}
