package session

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"quantcheck/internal/align"
	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/container"
	"quantcheck/internal/runner/dump"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Source is how a variant's inferences are made: by running a model on the inputs, or by looking up what was recorded
// under the sample's number.
type Source struct {
	Start func(number int, inputs map[string]tensor.Tensor) runner.Inference
	close func()
}

// Running is a source that runs a model on the inputs.
func Running(r runner.Runner) Source {
	return Source{func(_ int, inputs map[string]tensor.Tensor) runner.Inference { return r.Start(inputs) }, r.Close}
}

// DLCVariant is a variant whose tensors are a DLC's: run elsewhere, with its results in a folder, or here, on the emulator.
type DLCVariant struct {
	File   *dlc.File
	Held   *align.Container
	folder *dump.Folder // of dumps
	Inputs []align.Tap  // what is put in, where it is run
	Runner *container.Runner
}

// runs says whether a variant of a DLC is run now, here or on a device.
func runs(v variant.Spec) bool { return v.Kind == variant.DLC || v.Kind == variant.Device }

// OpenContained reads what a variant of a DLC names, before long work begins.
func (b *Session) OpenContained(v variant.Spec) (*DLCVariant, error) {
	c := &DLCVariant{}
	fail := func(err error) (*DLCVariant, error) {
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
		if c.Inputs, err = b.entries(c); err != nil {
			return fail(err)
		}
	}
	return c, nil
}

// addContained describes a variant of a DLC.
func (b *Session) addContained(v variant.Spec, r *DLCVariant, samples int) {
	rv := newVariant(v, len(b.Float.Layers))
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
		rv.Layers[k] = matchHeld(l.Name, r.Held, quantized)
	}
	rv.Container = describeContainer(r)
	switch v.Kind {
	case variant.DLC:
		b.describeEmulated(&rv, r)
	case variant.Device:
		rv.Twin = counterpart(b.Variants, v, g)
	default:
		if n := r.folder.Samples(); n != samples {
			b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("%s: %s has results for %d samples, %d are compared", v.Name, v.Dir, n, samples))
		}
	}
	for _, note := range r.File.Notes {
		b.Run.Warnings = append(b.Run.Warnings, v.Name+": "+note)
	}
	b.floats, b.Models = append(b.floats, nil), append(b.Models, nil)
	b.Run.Variants = append(b.Run.Variants, rv)
}

// matchHeld says what became of a layer in a DLC.
func matchHeld(layer string, held *align.Container, quantized bool) result.LayerResult {
	p, ok := held.Pairs[layer]
	switch {
	case !ok:
		return result.LayerResult{Status: result.NotComparable, Reason: "the DLC has no tensor that belongs to it"}
	case p.Into != "":
		return result.LayerResult{Status: result.Fused, Reason: "fused into " + p.Into, Rule: string(p.Rule)}
	case p.Unknown != "":
		return result.LayerResult{Status: result.NotComparable, Reason: fmt.Sprintf("the layout of the DLC's %s is not known: %s", p.Tensor, p.Unknown), Rule: string(p.Rule)}
	}
	l := result.LayerResult{Status: result.Compared, Tap: p.Tensor, Rule: string(p.Rule)}
	if t := held.Graph.Tensor(p.Tensor); t.Encoding != nil && t.Encoding.Axis < 0 {
		l.Encoding = &inspect.Held(t)[0]
	} else if quantized && t.Encoding == nil {
		l.Status, l.Reason = result.NotQuantized, "no encoding in the DLC"
	}
	return l
}

func describeContainer(r *DLCVariant) *result.Container {
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

// TapOf is the name under which a variant's player gives a layer: the variant's own tensor, or, since two layers can be one
// tensor of a DLC in different orders, the layer's.
func (b *Session) TapOf(variant, layer int) string {
	if b.Contained[variant] != nil {
		return b.Run.Layers[layer].Name
	}
	return b.Run.Variants[variant].Layers[layer].Tap
}

// tapsOf divides the tensors of a variant of a DLC as the float model's segments are. Copies of the model's inputs are read
// first: they tell whether the right pictures went in.
func (b *Session) tapsOf(i int, c *DLCVariant, segments [][]string, entrances map[string]string) [][]align.Tap {
	v := &b.Run.Variants[i]
	taps := map[string]align.Tap{} // by layer
	for k, l := range v.Layers {
		if layer := b.Float.Layers[k]; l.Has() {
			taps[layer.Name] = align.Tap{Name: layer.Name, Tensor: c.Held.Graph.Tensor(l.Tap), Layout: c.Held.Pairs[layer.Name].Layout, Shape: b.Float.Types[layer.Name].Shape}
		}
	}
	groups := make([][]align.Tap, len(segments))
	for k, names := range segments {
		for _, name := range names {
			if tap, ok := taps[name]; ok {
				groups[k] = append(groups[k], tap)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Held.Added)) {
		copied := c.Held.Added[name]
		if shape := b.Float.Types[copied.Of].Shape; b.Float.Index.Input[copied.Of] && copied.Unknown == "" && len(groups) > 0 {
			entrances[entrancePrefix+name] = copied.Of
			groups[0] = append(groups[0], align.Tap{Name: entrancePrefix + name, Tensor: c.Held.Graph.Tensor(name), Layout: copied.Layout, Shape: shape})
		}
	}
	return groups
}

// Play makes the player of a variant of a DLC, and its local part.
func (b *Session) Play(ctx context.Context, i int, c *DLCVariant, segments [][]string) error {
	entrances := map[string]string{}
	groups := b.tapsOf(i, c, segments, entrances)
	b.Entrances, b.Emulated = append(b.Entrances, entrances), append(b.Emulated, nil)
	if b.Spec.LocalSamples > 0 {
		b.Locals = append(b.Locals, notAlone(b.Float.Layers, runs(b.Variants[i])))
	}
	var source dump.Source = c.folder
	switch v := b.Variants[i]; v.Kind {
	case variant.DLC:
		return b.perform(ctx, i, c, groups)
	case variant.Device:
		var err error
		if source, err = b.Device(ctx, DeviceWork{Variant: v, Graph: c.Held.Graph, Inputs: c.Inputs, Taps: slices.Concat(groups...), Samples: b.Compared, Loader: b.Loader}); err != nil {
			return fmt.Errorf("variant %s: %w", v.Name, err)
		}
	}
	d := dump.New(source, groups)
	b.Players = append(b.Players, Source{func(number int, _ map[string]tensor.Tensor) runner.Inference { return d.Replay(number) }, func() { c.File.Close() }})
	return nil
}
