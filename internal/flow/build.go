package flow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/calib"
	"quantcheck/internal/dataset"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/variant"
)

// build makes the runners of one check.
type build struct {
	r        ort.Engine
	emulator htp.Engine
	ref      *reference
	spec     result.Spec
	variants []variant.Spec
	progress Progress
	run      *result.Run

	keep      *keeper // nil: an interrupted run begins anew
	device    DeviceRunner
	compared  *dataset.Set
	loader    dataset.Loader
	stats     *calib.Statistics                // of a calibration that was made already; nil: b makes it
	samples   int                              // that are compared
	skipped   []string                         // what was said of samples that could not be read
	floats    []map[string]*onnxpb.TensorProto // per variant: float originals of its constants
	locals    []*local                         // per variant; none if local errors are not asked for
	entrances []map[string]string              // per variant: tensor that its first operator gets → graph input
	arena     *runner.Arena
	models    []*onnx.Model // of the variants
	reference runner.Runner
	players   []player
	contained []*contained  // per variant: nil for those that are no DLC's
	emulated  []*htp.Runner // per variant: the same runner, if it is the emulator's, of a model
}

func (b *build) close() {
	if b.reference != nil {
		b.reference.Close()
	}
	for _, p := range b.players {
		p.close()
	}
	for _, r := range b.contained[min(len(b.players), len(b.contained)):] { // those that no player closes
		if r != nil {
			r.file.Close()
		}
	}
	for _, l := range b.locals {
		l.close()
	}
	if b.arena != nil {
		b.arena.Empty()
	}
}

// segmentBytes is what the taps of one segment may take, so that the segments of the float model and of all variants
// that are held at once, and what they carry along, stay within the bound.
func (b *build) segmentBytes() int64 {
	share := int64(b.spec.MemoryMiB) << 20 / int64(10*(1+len(b.variants)))
	return min(max(share, 1<<20), 24<<20)
}

// waitingBytes bounds what waits to be measured.
func (b *build) waitingBytes() int64 { return min(int64(b.spec.MemoryMiB)<<20/16, 64<<20) }

// prepare makes the variants and compiles everything.
func (b *build) prepare(ctx context.Context, calibrating *dataset.Set, loader dataset.Loader) error {
	if err := b.model(ctx, calibrating, loader); err != nil {
		return err
	}
	return b.compile(ctx)
}

// model calibrates, builds the variants, and matches their tensors with the layers.
func (b *build) model(ctx context.Context, calibrating *dataset.Set, loader dataset.Loader) error {
	b.arena = b.r.NewArena(min(int64(b.spec.MemoryMiB)<<20/8, 160<<20))
	// Ready models are read first: what is wrong with them is said before the calibration runs.
	ready := make([]*onnx.Model, len(b.variants))
	b.contained = make([]*contained, len(b.variants))
	for i, v := range b.variants {
		if v.OfDLC() {
			c, err := b.openContained(v)
			if err != nil {
				return err
			}
			b.contained[i] = c
		}
		if v.Kind == variant.File {
			m, err := b.loadReady(ctx, v)
			if err != nil {
				return err
			}
			ready[i] = m
		}
	}
	stats := b.stats
	if stats == nil && needsCalibration(b.variants) {
		var err error
		if stats, err = b.calibrate(ctx, calibrating, loader); err != nil {
			return err
		}
	}
	b.progress.Phase("building the variants", len(b.variants))
	for i, v := range b.variants {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c := b.contained[i]; c != nil {
			b.addContained(v, c, b.samples)
		} else if err := b.addVariant(v, ready[i], stats); err != nil {
			return fmt.Errorf("variant %s: %w", v.Name, err)
		}
		b.progress.Step(i + 1)
	}
	return nil
}

func (b *build) loadReady(ctx context.Context, v variant.Spec) (*onnx.Model, error) {
	m, err := onnx.Load(v.File)
	if err != nil {
		return nil, usage(fmt.Errorf("variant %s: %w", v.Name, err))
	}
	shapes := map[string][]int64{}
	for _, in := range b.run.Model.Inputs {
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
		return nil, usage(fmt.Errorf("variant %s does not fit the float model: %w", v.Name, err))
	}
	if m, _, _, err = ort.Fold(ctx, b.r, m); err != nil {
		return nil, fmt.Errorf("variant %s: %w", v.Name, err)
	}
	return m, nil
}

func newVariant(v variant.Spec, layers int) result.Variant {
	return result.Variant{Spec: v, Inputs: map[string]result.Coding{}, Params: []result.Param{}, Layers: make([]result.LayerResult, layers), Twin: -1, Parts: -1}
}

// addVariant builds one variant's model and its layers' matches.
func (b *build) addVariant(v variant.Spec, ready *onnx.Model, stats *calib.Statistics) error {
	rv := newVariant(v, len(b.ref.layers))
	var match func(layer string) align.Match
	var params []qdq.ParamEncoding
	switch {
	case ready != nil:
		found, err := qdq.Read(ready)
		if err != nil {
			return err
		}
		match = func(layer string) align.Match { return align.Ready(layer, b.ref.index, found) }
		params, rv.Inputs = found.Params, found.Inputs
		b.floats = append(b.floats, found.Floats(b.ref.model))
		b.models = append(b.models, ready)
	case v.Kind == variant.Half && v.Engine == variant.HTP:
		// The emulator computes a float model in half precision.
		match = func(layer string) align.Match { return align.Match{Status: result.Compared, Tap: layer} }
		b.floats = append(b.floats, nil)
		b.models = append(b.models, b.ref.model)
	default:
		var built *qdq.Built
		var err error
		if v.Kind == variant.Half {
			built, err = qdq.BuildHalf(b.ref.toRun, b.ref.placement)
		} else {
			built, err = qdq.Build(b.ref.toRun, b.ref.placement, v, stats.Activation)
		}
		if err != nil {
			return err
		}
		match = func(layer string) align.Match { return align.Built(layer, b.ref.placement, built, b.ref.folded) }
		params, rv.Spec.Choices = built.Params, built.Choices
		b.floats = append(b.floats, built.Floats)
		for _, in := range b.run.Model.Inputs {
			if e, ok := built.Encodings[in.Name]; ok {
				rv.Inputs[in.Name] = e
			}
		}
		for _, w := range built.Warnings {
			b.run.Warnings = append(b.run.Warnings, v.Name+": "+w)
		}
		b.models = append(b.models, built.Model)
	}
	for _, p := range params {
		rv.Params = append(rv.Params, result.Param{Tensor: p.Tensor, Axis: p.Axis, Encodings: p.Encodings})
	}
	slices.SortStableFunc(rv.Params, func(a, b result.Param) int { return strings.Compare(a.Tensor, b.Tensor) })
	rv.Params = slices.CompactFunc(rv.Params, func(a, b result.Param) bool { return a.Tensor == b.Tensor }) // one of two uses stands for both
	for k, l := range b.ref.layers {
		if reason := b.ref.incomparable(l); reason != "" {
			rv.Layers[k] = result.LayerResult{Status: result.NotComparable, Reason: reason}
			continue
		}
		m := match(l.Name)
		rv.Layers[k] = result.LayerResult{Status: m.Status, Reason: m.Reason, Tap: m.Tap, Encoding: m.Encoding}
	}
	if v.Engine == variant.HTP {
		rv.Emulator = &result.Emulator{Wheel: qnn.Version, SoC: b.emulator.SoC, Arch: b.emulator.Arch}
		rv.Twin = slices.IndexFunc(b.variants, func(o variant.Spec) bool {
			cpu := !emulated(o)
			o.Engine, o.Name = v.Engine, v.Name
			return cpu && o.Equal(v)
		})
	}
	b.run.Variants = append(b.run.Variants, rv)
	return nil
}

// compile opens the sessions: the float model with the layers that some variant is compared on, and each variant in
// step with it.
func (b *build) compile(ctx context.Context) error {
	var wanted []string
	for k, l := range b.ref.layers {
		if b.ref.incomparable(l) == "" && (b.spec.SaveTensors || slices.ContainsFunc(b.run.Variants, func(v result.Variant) bool { return v.Layers[k].Has() })) {
			wanted = append(wanted, l.Name)
		}
	}
	var err error
	b.reference, err = ort.New(b.r, b.ref.model, ort.Options{Taps: wanted, SegmentBytes: b.segmentBytes(), Types: b.ref.types, Arena: b.arena})
	if err != nil {
		return err
	}
	segments := b.reference.Segments()
	b.progress.Phase("compiling", len(b.run.Variants))
	for i, v := range b.run.Variants {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c := b.contained[i]; c != nil {
			if err := b.play(ctx, i, c, segments); err != nil {
				return err
			}
			b.progress.Step(i + 1)
			continue
		}
		surgeon := b.surgeon(i)
		entrances := map[string]string{}
		for _, in := range b.run.Model.Inputs {
			if u := surgeon.Entrance(in.Name, b.ref.index); u != "" && v.Emulator == nil { // the emulator is given integers
				entrances[u] = in.Name
			}
		}
		b.entrances = append(b.entrances, entrances)
		tapOf := map[string]string{}
		taps := slices.Collect(maps.Keys(entrances))
		for k, l := range v.Layers {
			if l.Has() {
				tapOf[b.ref.layers[k].Name] = l.Tap
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
			if b.spec.LocalSamples > 0 {
				if err := b.addEmulatedLocal(ctx, i, surgeon, segments); err != nil {
					return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
				}
			}
			b.progress.Step(i + 1)
			continue
		}
		r, err := ort.New(b.r, b.models[i], ort.Options{Taps: taps, Follow: groups, Arena: b.arena})
		if err != nil {
			return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
		}
		b.players, b.emulated = append(b.players, running(r)), append(b.emulated, nil)
		if b.spec.LocalSamples > 0 {
			if err := b.addLocal(i, surgeon, segments, groups); err != nil {
				return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
			}
		}
		b.progress.Step(i + 1)
	}
	return nil
}

// surgeon takes a variant apart.
func (b *build) surgeon(i int) *qdq.Surgeon {
	var layers []qdq.LayerTap
	for k, l := range b.run.Variants[i].Layers {
		if l.Status == result.Compared {
			layers = append(layers, qdq.LayerTap{Layer: b.ref.layers[k].Name, Tap: l.Tap})
		}
	}
	return qdq.NewSurgeon(b.models[i], layers, b.floats[i], b.ref.types)
}

// hand gives the variants' models and encodings to the output.
func (b *build) hand(out Output) error {
	for i := range b.run.Variants {
		v := &b.run.Variants[i]
		if v.Spec.Kind == variant.File || v.Spec.OfDLC() || v.Spec.Kind == variant.Half && emulated(v.Spec) {
			continue
		}
		if !b.spec.SaveModel && b.spec.Encodings == "" {
			continue
		}
		m, err := onnx.Inline(b.models[i])
		if err != nil {
			return err
		}
		data, err := m.Bytes()
		if err != nil {
			return err
		}
		if err := out.Model(v, b.run.Layers, data); err != nil {
			return err
		}
	}
	return nil
}
