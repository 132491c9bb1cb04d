// Package session holds a float model and its variants, ready to run on the same samples.
//
//  1. Begin opens the float model and says how samples become its inputs.
//  2. Session.Build calibrates, builds every variant's model, and matches its tensors with the layers.
//  3. Session.Prepare opens the runners in step with the float model's segments; Close frees all of it.
//
// The use cases compare, score, explore, estimate and quantize stand on it.
package session

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/calib"
	"quantcheck/internal/dataset"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/progress"
	"quantcheck/internal/qdq"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Session makes the runners of one check.
type Session struct {
	ORT      ort.Engine
	Emulator htp.Engine
	Float    *model.Float
	Spec     result.Spec
	Variants []variant.Spec
	Progress progress.Reporter
	Run      *result.Run

	Keeper    *keeper // nil: an interrupted run begins anew
	Device    DeviceRunner
	Compared  *dataset.Set
	Loader    dataset.Loader
	Stats     *calib.Statistics                // of a calibration that was made already; nil: b makes it
	Samples   int                              // that are compared
	Skipped   []string                         // what was said of samples that could not be read
	floats    []map[string]*onnxpb.TensorProto // per variant: float originals of its constants
	Locals    []*Isolated                      // per variant; none if local errors are not asked for
	Entrances []map[string]string              // per variant: tensor that its first operator gets → graph input
	Arena     *runner.Arena
	Models    []*onnx.Model // of the variants
	Reference runner.Runner
	Players   []Source
	Contained []*DLCVariant // per variant: nil for those that are no DLC's
	Emulated  []*htp.Runner // per variant: the same runner, if it is the emulator's, of a model
}

// Close frees the runners of the float model and of all variants.
func (b *Session) Close() {
	if b.Reference != nil {
		b.Reference.Close()
	}
	for _, p := range b.Players {
		p.close()
	}
	for _, r := range b.Contained[min(len(b.Players), len(b.Contained)):] { // those that no player closes
		if r != nil {
			r.File.Close()
		}
	}
	for _, l := range b.Locals {
		l.close()
	}
	if b.Arena != nil {
		b.Arena.Empty()
	}
}

// ownBytes is the part of the bound that is this process's and ONNX Runtime's: what emulators are thought to take is left to them, but
// for a quarter.
func (b *Session) ownBytes() int64 {
	bound := int64(b.Spec.MemoryMiB) << 20
	return max(bound-b.emulators(), bound/4)
}

// segmentBytes is what the taps of one segment may take, so that the segments of the float model and of all variants
// that are held at once, and what they carry along, stay within the bound.
func (b *Session) segmentBytes() int64 {
	share := b.ownBytes() / int64(10*(1+len(b.Variants)))
	return min(max(share, 1<<20), 24<<20)
}

// WaitingBytes bounds what waits to be measured.
func (b *Session) WaitingBytes() int64 { return min(b.ownBytes()/16, 64<<20) }

// Prepare makes the variants and compiles everything.
func (b *Session) Prepare(ctx context.Context, calibrating *dataset.Set, loader dataset.Loader) error {
	if err := b.Build(ctx, calibrating, loader); err != nil {
		return err
	}
	return b.compile(ctx)
}

// Build calibrates, builds the variants, and matches their tensors with the layers.
func (b *Session) Build(ctx context.Context, calibrating *dataset.Set, loader dataset.Loader) error {
	b.Arena = b.ORT.NewArena(min(b.ownBytes()/8, 160<<20))
	// Ready models are read first: what is wrong with them is said before the calibration runs.
	ready := make([]*onnx.Model, len(b.Variants))
	b.Contained = make([]*DLCVariant, len(b.Variants))
	for i, v := range b.Variants {
		if v.OfDLC() {
			c, err := b.OpenContained(v)
			if err != nil {
				return err
			}
			b.Contained[i] = c
		}
		if v.Kind == variant.File {
			m, err := b.loadReady(ctx, v)
			if err != nil {
				return err
			}
			ready[i] = m
		}
	}
	stats := b.Stats
	if stats == nil && NeedsCalibration(b.Variants) {
		var err error
		if stats, err = b.Calibrate(ctx, calibrating, loader); err != nil {
			return err
		}
	}
	b.Progress.Phase("building the variants", len(b.Variants))
	for i, v := range b.Variants {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c := b.Contained[i]; c != nil {
			b.addContained(v, c, b.Samples)
		} else if err := b.AddVariant(v, ready[i], stats); err != nil {
			return fmt.Errorf("variant %s: %w", v.Name, err)
		}
		b.Progress.Step(i + 1)
	}
	return nil
}

func (b *Session) loadReady(ctx context.Context, v variant.Spec) (*onnx.Model, error) {
	m, err := onnx.Load(v.File)
	if err != nil {
		return nil, usage.Mark(fmt.Errorf("variant %s: %w", v.Name, err))
	}
	shapes := map[string][]int64{}
	for _, in := range b.Run.Model.Inputs {
		shapes[in.Name] = in.Shape
	}
	if m, _, err = onnx.FixInputs(m, shapes); err == nil {
		for _, in := range m.Inputs() {
			if _, known := shapes[in.GetName()]; !known {
				err = fmt.Errorf("it has an input %q, which the float model does not have", in.GetName())
			}
		}
	}
	if err != nil {
		return nil, usage.Mark(fmt.Errorf("variant %s does not fit the float model: %w", v.Name, err))
	}
	if m, _, _, err = ort.Fold(ctx, b.ORT, m); err != nil {
		return nil, fmt.Errorf("variant %s: %w", v.Name, err)
	}
	return m, nil
}

func newVariant(v variant.Spec, layers int) result.Variant {
	return result.Variant{Spec: v, Inputs: map[string]result.Coding{}, Params: []result.Param{}, Layers: make([]result.LayerResult, layers), Twin: -1, Parts: -1}
}

// AddVariant builds one variant's model and its layers' matches.
func (b *Session) AddVariant(v variant.Spec, ready *onnx.Model, stats *calib.Statistics) error {
	rv := newVariant(v, len(b.Float.Layers))
	var match func(layer string) align.Match
	var params []qdq.ParamEncoding
	switch {
	case ready != nil:
		found, err := qdq.Read(ready)
		if err != nil {
			return err
		}
		match = func(layer string) align.Match { return align.Ready(layer, b.Float.Index, found) }
		params, rv.Inputs = found.Params, found.Inputs
		b.floats = append(b.floats, found.Floats(b.Float.Model))
		b.Models = append(b.Models, ready)
	case v.Kind == variant.Half && v.Engine == variant.HTP:
		// The emulator computes a float model in half precision.
		match = func(layer string) align.Match { return align.Match{Status: result.Compared, Tap: layer} }
		b.floats = append(b.floats, nil)
		b.Models = append(b.Models, b.Float.Model)
	default:
		var built *qdq.Built
		var err error
		if v.Kind == variant.Half {
			built, err = qdq.BuildHalf(b.Float.Base, b.Float.Placement)
		} else {
			built, err = qdq.Build(b.Float.Base, b.Float.Placement, v, stats.Activation)
		}
		if err != nil {
			return err
		}
		match = func(layer string) align.Match { return align.Built(layer, b.Float.Placement, built, b.Float.Folded) }
		params, rv.Spec.Choices = built.Params, built.Choices
		b.floats = append(b.floats, built.Floats)
		for _, in := range b.Run.Model.Inputs {
			if e, ok := built.Encodings[in.Name]; ok {
				rv.Inputs[in.Name] = e
			}
		}
		for _, w := range built.Warnings {
			b.Run.Warnings = append(b.Run.Warnings, v.Name+": "+w)
		}
		b.Models = append(b.Models, built.Model)
	}
	for _, p := range params {
		rv.Params = append(rv.Params, result.Param{Tensor: p.Tensor, Axis: p.Axis, Encodings: p.Encodings})
	}
	slices.SortStableFunc(rv.Params, func(a, b result.Param) int { return strings.Compare(a.Tensor, b.Tensor) })
	rv.Params = slices.CompactFunc(rv.Params, func(a, b result.Param) bool { return a.Tensor == b.Tensor }) // one of two uses stands for both
	for k, l := range b.Float.Layers {
		if reason := b.Float.Incomparable(l); reason != "" {
			rv.Layers[k] = result.LayerResult{Status: result.NotComparable, Reason: reason}
			continue
		}
		m := match(l.Name)
		rv.Layers[k] = result.LayerResult{Status: m.Status, Reason: m.Reason, Tap: m.Tap, Encoding: m.Encoding}
	}
	if v.Engine == variant.HTP {
		rv.Emulator = &result.Emulator{Wheel: qnn.Version, SoC: b.Emulator.SoC, Arch: b.Emulator.Arch}
		rv.Twin = slices.IndexFunc(b.Variants, func(o variant.Spec) bool {
			cpu := !Emulated(o)
			o.Engine, o.Name = v.Engine, v.Name
			return cpu && o.Equal(v)
		})
	}
	b.Run.Variants = append(b.Run.Variants, rv)
	return nil
}

// compile opens the sessions: the float model with the layers that some variant is compared on, and each variant in
// step with it.
func (b *Session) compile(ctx context.Context) error {
	var wanted []string
	for k, l := range b.Float.Layers {
		if b.Float.Incomparable(l) == "" && (b.Spec.SaveTensors || slices.ContainsFunc(b.Run.Variants, func(v result.Variant) bool { return v.Layers[k].Has() })) {
			wanted = append(wanted, l.Name)
		}
	}
	var err error
	b.Reference, err = ort.New(b.ORT, b.Float.Model, ort.Options{Taps: wanted, SegmentBytes: b.segmentBytes(), Types: b.Float.Types, Arena: b.Arena})
	if err != nil {
		return err
	}
	segments := b.Reference.Segments()
	b.Progress.Phase("compiling", len(b.Run.Variants))
	for i, v := range b.Run.Variants {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c := b.Contained[i]; c != nil {
			if err := b.Play(ctx, i, c, segments); err != nil {
				return err
			}
			b.Progress.Step(i + 1)
			continue
		}
		surgeon := b.Isolator(i)
		entrances := map[string]string{}
		for _, in := range b.Run.Model.Inputs {
			if u := surgeon.Entrance(in.Name, b.Float.Index); u != "" && v.Emulator == nil { // the emulator is given integers
				entrances[u] = in.Name
			}
		}
		b.Entrances = append(b.Entrances, entrances)
		tapOf := map[string]string{}
		taps := slices.Collect(maps.Keys(entrances))
		for k, l := range v.Layers {
			if l.Has() {
				tapOf[b.Float.Layers[k].Name] = l.Tap
				taps = append(taps, l.Tap)
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
		if v.Emulator != nil {
			if err := b.emulate(ctx, i, groups); err != nil {
				return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
			}
			if b.Spec.LocalSamples > 0 {
				if err := b.addEmulatedLocal(ctx, i, surgeon, segments); err != nil {
					return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
				}
			}
			b.Progress.Step(i + 1)
			continue
		}
		r, err := ort.New(b.ORT, b.Models[i], ort.Options{Taps: taps, Follow: groups, Arena: b.Arena})
		if err != nil {
			return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
		}
		b.Players, b.Emulated = append(b.Players, Running(r)), append(b.Emulated, nil)
		if b.Spec.LocalSamples > 0 {
			if err := b.addLocal(i, surgeon, segments, groups); err != nil {
				return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
			}
		}
		b.Progress.Step(i + 1)
	}
	return nil
}

// Isolator takes a variant apart.
func (b *Session) Isolator(i int) *qdq.Surgeon {
	var layers []qdq.LayerTap
	for k, l := range b.Run.Variants[i].Layers {
		if l.Status == result.Compared {
			layers = append(layers, qdq.LayerTap{Layer: b.Float.Layers[k].Name, Tap: l.Tap})
		}
	}
	return qdq.NewSurgeon(b.Models[i], layers, b.floats[i], b.Float.Types)
}

// HandOver gives the variants' models and encodings to the output.
func (b *Session) HandOver(out Output) error {
	for i := range b.Run.Variants {
		v := &b.Run.Variants[i]
		if v.Spec.Kind == variant.File || v.Spec.OfDLC() || v.Spec.Kind == variant.Half && Emulated(v.Spec) {
			continue
		}
		if !b.Spec.SaveModel && b.Spec.Encodings == "" {
			continue
		}
		m, err := onnx.Inline(b.Models[i])
		if err != nil {
			return err
		}
		data, err := m.Bytes()
		if err != nil {
			return err
		}
		if err := out.Model(v, b.Run.Layers, data); err != nil {
			return err
		}
	}
	return nil
}
