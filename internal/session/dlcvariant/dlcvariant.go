// Package dlcvariant builds and opens variants whose tensors are a DLC's: run on the emulator, on a device, or elsewhere, with the results
// in a folder.
package dlcvariant

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"quantcheck/internal/align"
	"quantcheck/internal/calib"
	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/onnx"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/dump"
	"quantcheck/internal/session"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// DLC is the source of a variant whose tensors are a DLC's: run elsewhere, with its results in a folder, or here, on the emulator.
type DLC struct {
	File   *dlc.File
	Held   *align.Container
	folder *dump.Folder // of dumps
	Inputs []align.Tap  // what is put in, where it is run
}

// Close implements io.Closer.
func (c *DLC) Close() error { return c.File.Close() }

// of gives what Builder.Read opened.
func of(v *session.Variant) *DLC {
	c, _ := v.Source.(*DLC)
	return c
}

// runs says whether a variant of a DLC is run now, here or on a device.
func runs(v variant.Spec) bool { return v.Kind == variant.DLC || v.Kind == variant.Device }

// Open reads what a variant of a DLC names, before long work begins.
func Open(b *session.Session, v variant.Spec) (*DLC, error) {
	c := &DLC{}
	fail := func(err error) (*DLC, error) {
		if c.File != nil {
			c.File.Close()
		}
		return nil, usage.Mark(fmt.Errorf("variant %s: %w", v.Name, err))
	}
	var err error
	if v.Kind == variant.Dumps {
		if c.folder, err = dump.Open(v.Dir); err != nil {
			return fail(err)
		}
	}
	if c.File, err = inspect.OpenDLC(v.File); err != nil {
		return fail(err)
	}
	if v.Kind == variant.DLC {
		if err := c.runnable(v.File); err != nil {
			return fail(err)
		}
	}
	if c.Held, err = align.Contain(b.Float.Aligned(), c.File); err != nil {
		return fail(err)
	}
	if len(c.Held.Inputs) == 0 && len(c.Held.Pairs) == 0 {
		return fail(fmt.Errorf("%s has no tensor that belongs to this model: is it another model's?", v.File))
	}
	if runs(v) {
		if c.Inputs, err = entries(b, c); err != nil {
			return fail(err)
		}
	}
	return c, nil
}

// Builder takes the tensors of a DLC as its variant's.
type Builder struct{}

// Read implements session.Builder.
func (Builder) Read(_ context.Context, b *session.Session, v *session.Variant) error {
	c, err := Open(b, v.Spec)
	if err == nil {
		v.Source = c
	}
	return err
}

// Build implements session.Builder.
func (Builder) Build(b *session.Session, v *session.Variant, _ *calib.Statistics) error {
	rv, r := v.Result, of(v)
	quantized := false
	g := r.Held.Graph
	for i := range g.Tensors {
		t := &g.Tensors[i]
		if t.Encoding == nil {
			continue
		}
		quantized = true
		if t.Location == dlc.Static {
			name, _ := align.Bare(t.Name)
			rv.Params = append(rv.Params, result.Param{Tensor: name, Axis: t.Encoding.Axis, Encodings: inspect.Held(t)})
		}
	}
	for name, p := range r.Held.Inputs {
		if t := g.Tensor(p.Tensor); t.Encoding != nil {
			rv.Inputs[name] = inspect.Held(t)[0]
		}
	}
	for k, l := range b.Float.Layers {
		if reason := b.Float.Incomparable(l); reason != "" {
			rv.Layers[k] = result.LayerResult{Status: result.NotComparable, Reason: reason}
			continue
		}
		rv.Layers[k] = matchHeld(l.Name, b.Float.Index, r.Held, quantized)
	}
	rv.Container = describeContainer(r)
	for k, l := range b.Float.Layers { // what a name found and an encoding tells to be fused
		if p, ok := r.Held.Pairs[l.Name]; ok && rv.Layers[k].Status == result.Fused && p.Into == "" {
			rv.Container.Rules[string(p.Rule)]--
			rv.Container.Rules[string(align.FusedRule)]++
		}
	}
	maps.DeleteFunc(rv.Container.Rules, func(_ string, n int) bool { return n == 0 })
	switch v.Spec.Kind {
	case variant.DLC:
		describeEmulated(b, rv, r)
	case variant.Device:
		rv.Counterpart = counterpart(b.Specs(), v.Spec, g)
	default:
		if n := r.folder.Samples(); n != b.Samples {
			b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("%s: %s has results for %d samples, %d are compared", v.Spec.Name, v.Spec.Dir, n, b.Samples))
		}
	}
	for _, note := range r.File.Notes {
		b.Run.Warnings = append(b.Run.Warnings, v.Spec.Name+": "+note)
	}
	return nil
}

// matchHeld says what became of a layer in a DLC.
func matchHeld(layer string, float *onnx.Index, held *align.Container, quantized bool) result.LayerResult {
	p, ok := held.Pairs[layer]
	encoding := func(name string) (e quant.Encoding, ok bool) {
		t := held.Graph.Tensor(held.Pairs[name].Tensor)
		if t == nil || t.Encoding == nil || t.Encoding.Axis >= 0 {
			return e, false
		}
		return inspect.Held(t)[0], true
	}
	switch {
	case !ok:
		return result.LayerResult{Status: result.NotComparable, Reason: "the DLC has no tensor that belongs to it"}
	case p.Into != "":
		return result.LayerResult{Status: result.Fused, Reason: "fused into " + p.Into, Rule: string(p.Rule)}
	case p.Unknown != "":
		return result.LayerResult{Status: result.NotComparable, Reason: fmt.Sprintf("the layout of the DLC's %s is not known: %s", p.Tensor, p.Unknown), Rule: string(p.Rule)}
	}
	if into, clamped := align.Clamped(float, layer, encoding); clamped {
		return result.LayerResult{Status: result.Fused, Reason: align.CarriesEncodingOf(into), Rule: string(align.FusedRule)}
	}
	l := result.LayerResult{Status: result.Compared, Tap: p.Tensor, Rule: string(p.Rule)}
	if t := held.Graph.Tensor(p.Tensor); t.Encoding != nil && t.Encoding.Axis < 0 {
		l.Encoding = &inspect.Held(t)[0]
	} else if quantized && t.Encoding == nil {
		l.Status, l.Reason = result.NotQuantized, "no encoding in the DLC"
	}
	return l
}

func describeContainer(r *DLC) *result.Container {
	c := &result.Container{
		Format: r.File.Format, Graph: r.Held.Graph.Name, Converter: r.File.Metadata.ConverterVersion, Rules: map[string]int{}, Added: []result.Added{}, Missing: append([]string{}, r.Held.Missing...),
	}
	for rule, n := range r.Held.Counts {
		if n > 0 {
			c.Rules[string(rule)] = n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Held.Added)) {
		c.Added = append(c.Added, result.Added{Tensor: name, Of: r.Held.Added[name].Of})
	}
	return c
}

// entrancePrefix keeps the names of copies of inputs apart from those of layers.
const entrancePrefix = "input: "

// tapsOf are the tensors of a variant of a DLC, by groups of layers. With entrances, copies of the model's inputs are read first: they tell
// whether the right pictures went in.
func tapsOf(b *session.Session, v *session.Variant, layers [][]string, entrances bool) [][]align.Tap {
	held := of(v).Held
	taps := map[string]align.Tap{} // by layer
	for k, l := range v.Result.Layers {
		if layer := b.Float.Layers[k]; l.HasMetrics() {
			taps[layer.Name] = align.Tap{Name: layer.Name, Tensor: held.Graph.Tensor(l.Tap), Layout: held.Pairs[layer.Name].Layout, Shape: b.Float.Types[layer.Name].Shape}
		}
	}
	groups := make([][]align.Tap, len(layers))
	for k, names := range layers {
		for _, name := range names {
			if tap, ok := taps[name]; ok {
				groups[k] = append(groups[k], tap)
			}
		}
	}
	if !entrances || len(groups) == 0 {
		return groups
	}
	v.Entrances = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(held.Added)) {
		copied := held.Added[name]
		if shape := b.Float.Types[copied.Of].Shape; b.Float.Index.Input[copied.Of] && copied.Unknown == "" {
			v.Entrances[entrancePrefix+name] = copied.Of
			groups[0] = append(groups[0], align.Tap{Name: entrancePrefix + name, Tensor: held.Graph.Tensor(name), Layout: copied.Layout, Shape: shape})
		}
	}
	return groups
}

// asItIs is an opener's part for a DLC that is run here or on a device: its layers are not computed alone.
type asItIs struct{}

// Isolate implements session.Isolating.
func (asItIs) Isolate(_ context.Context, b *session.Session, _ *session.Variant, _, _ [][]string) (*session.Isolated, error) {
	return session.NotAlone(b.Float.Layers, "a DLC is run as it is: its layers are not computed alone"), nil
}

// Folder replays what a DLC computed elsewhere.
type Folder struct{}

// Isolate implements session.Isolating.
func (Folder) Isolate(_ context.Context, b *session.Session, _ *session.Variant, _, _ [][]string) (*session.Isolated, error) {
	return session.NotAlone(b.Float.Layers, "run elsewhere: its layers are not computed alone"), nil
}

// Open implements session.Opener.
func (Folder) Open(_ context.Context, b *session.Session, v *session.Variant, groups [][]string, entrances bool) (runner.Runner, error) {
	return dump.New(of(v).folder, tapsOf(b, v, groups, entrances)), nil
}

// Device replays what a DLC computes on a device, as it arrives.
type Device struct{ asItIs }

// Open implements session.Opener.
func (Device) Open(ctx context.Context, b *session.Session, v *session.Variant, groups [][]string, entrances bool) (runner.Runner, error) {
	taps := tapsOf(b, v, groups, entrances)
	source, err := b.Device(ctx, dump.Work{Variant: v.Spec, Graph: of(v).Held.Graph, Inputs: of(v).Inputs, Taps: slices.Concat(taps...), Samples: b.Compared, Loader: b.Loader})
	if err != nil {
		return nil, err
	}
	return dump.New(source, taps), nil
}
