// Package session holds a float model and its variants, ready to run on the same samples.
//
//  1. Open reads the float model and says how samples become its inputs.
//  2. Session.Build calibrates, has a Builder make every variant's model, and matches its tensors with the layers.
//  3. Session.Prepare has an Opener open a runner for each variant, in step with the float model's segments; Close frees all of it.
//
// Register says which Builder and Opener make a kind of variant on an engine.
//
// The use cases compare, score, explore, estimate and quantize stand on it.
package session

import (
	"context"
	"fmt"
	"slices"
	"time"

	"quantcheck/internal/calib"
	"quantcheck/internal/dataset"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/variant"
)

// Session is a float model and its variants.
type Session struct {
	ORT      ort.Engine
	Emulator htp.Engine
	Float    *model.Float
	Spec     result.Spec
	Variants []*Variant
	Progress progress.Reporter
	Run      *result.Run

	Keeper    *keeper // nil: an interrupted run begins anew
	Device    DeviceRunner
	Compared  *dataset.Set
	Loader    dataset.Loader
	Stats     *calib.Statistics // of a calibration that was made already; nil: Build makes it
	Samples   int               // that are compared
	Skipped   []string          // what was said of samples that could not be read
	Arena     *runner.Arena
	Reference runner.Runner // the float model
}

// Open reads the float model of a command's run and makes a session of it with variants that are not built yet.
func Open(ctx context.Context, command string, r ort.Engine, spec result.Spec, variants []variant.Spec, progress progress.Reporter, started time.Time) (*Session, error) {
	run, ref, loader, err := begin(ctx, command, r, spec, started)
	if err != nil {
		return nil, err
	}
	return &Session{ORT: r, Float: ref, Spec: spec, Variants: Of(variants), Progress: progress, Run: run, Loader: loader}, nil
}

// Beside makes a session of other variants of the same float model, for a run of its own. Its owner closes it before this one.
func (b *Session) Beside(spec result.Spec, run *result.Run, variants ...variant.Spec) *Session {
	return &Session{ORT: b.ORT, Emulator: b.Emulator, Float: b.Float, Spec: spec, Variants: Of(variants), Progress: progress.Silent{}, Run: run, Loader: b.Loader}
}

// Close frees the runners of the float model and of all variants.
func (b *Session) Close() {
	if b.Reference != nil {
		b.Reference.Close()
	}
	for _, v := range b.Variants {
		v.close()
	}
	if b.Arena != nil {
		b.Arena.Empty()
	}
}

// Prepare makes the variants and compiles everything.
func (b *Session) Prepare(ctx context.Context, calibrating *dataset.Set, loader dataset.Loader) error {
	if err := b.Build(ctx, calibrating, loader); err != nil {
		return err
	}
	return b.compile(ctx)
}

// Build calibrates, builds the variants, and matches their tensors with the layers.
func (b *Session) Build(ctx context.Context, calibrating *dataset.Set, loader dataset.Loader) error {
	b.Arena = b.ORT.NewArena(min(b.memory().own()/8, 160<<20))
	for _, v := range b.Variants { // what is wrong with the files that they name is said before the calibration runs
		var err error
		if v.maker, err = makerOf(v.Spec); err == nil {
			err = v.maker.builder.Read(ctx, b, v)
		}
		if err != nil {
			return err
		}
	}
	stats := b.Stats
	if stats == nil && NeedsCalibration(b.Specs()) {
		var err error
		if stats, err = b.Calibrate(ctx, calibrating, loader); err != nil {
			return err
		}
	}
	b.Progress.Phase("building the variants", len(b.Variants))
	for _, v := range b.Variants {
		b.Run.Variants = append(b.Run.Variants, newVariant(v.Spec, len(b.Float.Layers)))
	}
	for i, v := range b.Variants {
		v.Result = &b.Run.Variants[i]
	}
	for i, v := range b.Variants {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.maker.builder.Build(b, v, stats); err != nil {
			return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
		}
		b.Progress.Step(i + 1)
	}
	return nil
}

func newVariant(v variant.Spec, layers int) result.Variant {
	return result.Variant{Spec: v, Inputs: map[string]result.Coding{}, Params: []result.Param{}, Layers: make([]result.LayerResult, layers), Counterpart: -1, FirstMismatchLayer: -1}
}

// OpenVariant opens what gives a variant's tensors, by the names of Variant.Tap: a group for each segment.
func (b *Session) OpenVariant(ctx context.Context, v *Variant, groups [][]string, entrances bool) error {
	r, err := v.maker.opener.Open(ctx, b, v, groups, entrances)
	if err != nil {
		return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
	}
	v.Runner = r
	return nil
}

// isolate opens what computes the layers of a variant alone.
func (b *Session) isolate(ctx context.Context, v *Variant, segments, groups [][]string) (err error) {
	opener, ok := v.maker.opener.(Isolating)
	if !ok {
		v.Alone = notAlone(b.Float.Layers, "its engine does not compute layers alone")
		return nil
	}
	if v.Alone, err = opener.Isolate(ctx, b, v, segments, groups); err != nil {
		return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
	}
	return nil
}

// compile opens the sessions: the float model with the layers that some variant is compared on, and each variant in
// step with it.
func (b *Session) compile(ctx context.Context) error {
	var wanted []string
	for k, l := range b.Float.Layers {
		if b.Float.Incomparable(l) == "" && (b.Spec.SaveTensors || slices.ContainsFunc(b.Run.Variants, func(v result.Variant) bool { return v.Layers[k].HasMetrics() })) {
			wanted = append(wanted, l.Name)
		}
	}
	var err error
	b.Reference, err = ort.New(b.ORT, b.Float.Model, ort.Options{Taps: wanted, SegmentBytes: b.memory().segment(), Types: b.Float.Types, Arena: b.Arena})
	if err != nil {
		return err
	}
	segments := b.Reference.Segments()
	b.Progress.Phase("compiling", len(b.Variants))
	for i, v := range b.Variants {
		if err := ctx.Err(); err != nil {
			return err
		}
		groups := b.inStep(v, segments)
		if err := b.OpenVariant(ctx, v, groups, true); err != nil {
			return err
		}
		if b.Spec.LocalSamples > 0 {
			if err := b.isolate(ctx, v, segments, groups); err != nil {
				return err
			}
		}
		b.Progress.Step(i + 1)
	}
	return nil
}

// inStep divides the tensors of a variant as the float model's segments are.
func (b *Session) inStep(v *Variant, segments [][]string) [][]string {
	tapOf := map[string]string{}
	for k := range v.Result.Layers {
		if l := &v.Result.Layers[k]; l.HasMetrics() {
			tapOf[b.Float.Layers[k].Name] = v.Tap(b.Float.Layers[k], l)
		}
	}
	groups := make([][]string, 0, len(segments))
	for _, group := range segments {
		var mapped []string
		for _, name := range group {
			if tap, ok := tapOf[name]; ok {
				mapped = append(mapped, tap)
			}
		}
		groups = append(groups, mapped)
	}
	return groups
}

// HandOver gives the variants' models and encodings to the output.
func (b *Session) HandOver(out Output) error {
	if !b.Spec.SaveModel && b.Spec.Encodings == "" {
		return nil
	}
	for _, v := range b.Variants {
		if !v.written {
			continue
		}
		m, err := onnx.Inline(v.Model)
		if err != nil {
			return err
		}
		data, err := m.Bytes()
		if err != nil {
			return err
		}
		if err := out.Model(v.Result, b.Run.Layers, data); err != nil {
			return err
		}
	}
	return nil
}
