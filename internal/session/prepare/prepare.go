// Package prepare makes a session's variants ready to run.
//
//  1. Build has every variant read what it names, calibrates, and has every variant built.
//  2. All opens the float model and every variant too, in step with the float model's segments.
//
// What the program knows to run is registered by session/makers.
package prepare

import (
	"context"
	"fmt"
	"slices"

	"quantcheck/internal/calib"
	"quantcheck/internal/dataset"
	"quantcheck/internal/model"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/session/calibration"
	"quantcheck/internal/session/healing"
	_ "quantcheck/internal/session/makers" // registers kinds and engines
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// All makes the variants and compiles everything.
func All(ctx context.Context, b *session.Session, calibrating *dataset.Set, loader dataset.Loader) error {
	if err := Build(ctx, b, calibrating, loader); err != nil {
		return err
	}
	return compile(ctx, b)
}

// Arena is memory for a session's tensors, within its bound.
func Arena(b *session.Session) *runner.Arena { return b.ORT.NewArena(min(b.Memory().Own()/8, 160<<20)) }

// Build calibrates, builds the variants, and matches their tensors with the layers.
func Build(ctx context.Context, b *session.Session, calibrating *dataset.Set, loader dataset.Loader) error {
	b.Arena = Arena(b)
	for _, v := range b.Variants { // what is wrong with the files that they name is said before the calibration runs
		if err := v.Read(ctx, b); err != nil {
			return err
		}
	}
	stats := b.Stats
	if stats == nil && session.NeedsCalibration(b.Specs()) {
		var err error
		if stats, err = calibration.Run(ctx, b, calibrating, loader); err != nil {
			return err
		}
	}
	for _, v := range b.Variants {
		b.Run.Variants = append(b.Run.Variants, newVariant(v.Spec, len(b.Float.Layers)))
	}
	for i, v := range b.Variants {
		v.Result = &b.Run.Variants[i]
	}
	if err := heal(ctx, b, stats, calibrating, loader); err != nil {
		return err
	}
	b.Progress.Phase("building the variants", len(b.Variants))
	for i, v := range b.Variants {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.Build(b, stats); err != nil {
			return err
		}
		b.Progress.Step(i + 1)
	}
	return nil
}

// heal finds the weights of recipes that are to be healed. A recipe that several engines run is healed once.
func heal(ctx context.Context, b *session.Session, stats *calib.Statistics, calibrating *dataset.Set, loader dataset.Loader) error {
	var done []*session.Variant
	for _, v := range b.Variants {
		if !v.Spec.Heal {
			continue
		}
		same := slices.IndexFunc(done, func(d *session.Variant) bool {
			was := d.Spec
			was.Engine, was.Name = v.Spec.Engine, v.Spec.Name
			return was.Equal(v.Spec)
		})
		if same >= 0 {
			v.Source, v.Result.Healing = done[same].Source, done[same].Result.Healing
			continue
		}
		if calibrating == nil {
			return usage.Mark(fmt.Errorf("variant %s: a recipe is healed on samples that calibrate, and there are none here", v.Spec.Name))
		}
		h, err := healing.Run(ctx, b, v.Spec, stats, calibrating, loader)
		if err != nil {
			return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
		}
		v.Source, v.Result.Healing = h.Constants, h.Result
		for _, n := range h.Notes {
			b.Run.Warnings = append(b.Run.Warnings, v.Spec.Name+": "+n)
		}
		done = append(done, v)
	}
	return nil
}

func newVariant(v variant.Spec, layers int) result.Variant {
	return result.Variant{Spec: v, Inputs: map[string]result.Coding{}, Params: []result.Param{}, Layers: make([]result.LayerResult, layers), Counterpart: -1, FirstMismatchLayer: -1}
}

// compile opens the sessions: the float model with the layers that some variant is compared on, and each variant in
// step with it.
func compile(ctx context.Context, b *session.Session) error {
	var wanted []string
	for k, l := range b.Float.Layers {
		if b.Float.Incomparable(l) == "" && (b.Options.AllLayers || slices.ContainsFunc(b.Run.Variants, func(v result.Variant) bool { return v.Layers[k].HasMetrics() })) {
			wanted = append(wanted, l.Name)
		}
	}
	var err error
	b.Reference, err = ort.New(b.ORT, b.Float.Model, ort.Options{Taps: wanted, SegmentBytes: b.Memory().Segment(), Types: b.Float.Types, Arena: b.Arena})
	if err != nil {
		return err
	}
	segments := b.Reference.Segments()
	b.Progress.Phase(compiling(b), len(b.Variants))
	for i, v := range b.Variants {
		if err := ctx.Err(); err != nil {
			return err
		}
		groups := inStep(b, v, segments)
		if err := v.Open(ctx, b, groups, true); err != nil {
			return err
		}
		if b.Options.LocalSamples > 0 {
			if err := v.Isolate(ctx, b, segments, groups); err != nil {
				return err
			}
		}
		b.Progress.Step(i + 1)
	}
	return nil
}

// compiling names the phase in which variants are compiled, with how long that takes for the emulator where it is long.
func compiling(b *session.Session) string {
	const phase = "compiling"
	if !slices.ContainsFunc(b.Specs(), session.Emulated) {
		return phase
	}
	graphs := 1
	if b.Options.LocalSamples > 0 {
		graphs++ // that of the layers alone
	}
	if said := htp.Announced(b.Float.Model, model.Shapes(b.Float.Types, b.Float.Index), graphs); said != "" {
		return phase + " (" + said + ")"
	}
	return phase
}

// inStep divides the tensors of a variant as the float model's segments are.
func inStep(b *session.Session, v *session.Variant, segments [][]string) [][]string {
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
