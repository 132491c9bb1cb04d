package flow

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
	"quantcheck/internal/variant"
)

// player is how a variant's inferences are made: by running a model on the inputs, or by looking up what was recorded
// under the sample's number.
type player struct {
	start func(number int, inputs map[string]tensor.Tensor) runner.Inference
	close func()
}

func running(r runner.Runner) player {
	return player{func(_ int, inputs map[string]tensor.Tensor) runner.Inference { return r.Start(inputs) }, r.Close}
}

// contained is a variant whose tensors are a DLC's: run elsewhere, with its results in a folder, or here, on the emulator.
type contained struct {
	file   *dlc.File
	held   *align.Container
	folder *dump.Folder // of dumps
	inputs []align.Tap  // what is put in, where it is run
	r      *container.Runner
}

// runs says whether a variant of a DLC is run now, here or on a device.
func runs(v variant.Spec) bool { return v.Kind == variant.DLC || v.Kind == variant.Device }

// openContained reads what a variant of a DLC names, before long work begins.
func (b *build) openContained(v variant.Spec) (*contained, error) {
	c := &contained{}
	fail := func(err error) (*contained, error) {
		if c.file != nil {
			c.file.Close()
		}
		return nil, usage(fmt.Errorf("variant %s: %w", v.Name, err))
	}
	var err error
	if v.Kind == variant.Dumps {
		if c.folder, err = dump.Open(v.Dir); err != nil {
			return fail(err)
		}
	}
	if c.file, err = openContainer(v.File); err != nil {
		return fail(err)
	}
	if v.Kind == variant.DLC {
		if err := c.runnable(v.File); err != nil {
			return fail(err)
		}
	}
	if c.held, err = align.Contain(b.ref.aligned(), c.file); err != nil {
		return fail(err)
	}
	if len(c.held.Inputs) == 0 && len(c.held.Pairs) == 0 {
		return fail(fmt.Errorf("%s has no tensor that belongs to this model: is it another model's?", v.File))
	}
	if runs(v) {
		if c.inputs, err = b.entries(c); err != nil {
			return fail(err)
		}
	}
	return c, nil
}

// aligned is the float model as an alignment takes it.
func (ref *reference) aligned() align.Float {
	f := align.Float{
		Index:    ref.index,
		Shape:    func(name string) ([]int64, bool) { t, ok := ref.types[name]; return t.Shape, ok && t.Tensor },
		Constant: func(name string) bool { return ref.constant[name] },
	}
	for _, l := range ref.layers {
		if _, made := ref.index.Producer[l.Name]; made {
			f.Layers = append(f.Layers, l.Name)
		}
	}
	return f
}

// addContained describes a variant of a DLC.
func (b *build) addContained(v variant.Spec, r *contained, samples int) {
	rv := newVariant(v, len(b.ref.layers))
	quantized := false
	g := r.held.Graph
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
	for name, p := range r.held.Inputs {
		if t := g.Tensor(p.Tensor); t.Encoding != nil {
			rv.Inputs[name] = inspect.Held(t)[0]
		}
	}
	for k, l := range b.ref.layers {
		if reason := b.ref.incomparable(l); reason != "" {
			rv.Layers[k] = result.LayerResult{Status: result.NotComparable, Reason: reason}
			continue
		}
		rv.Layers[k] = matchHeld(l.Name, r.held, quantized)
	}
	rv.Container = describeContainer(r)
	switch v.Kind {
	case variant.DLC:
		b.describeEmulated(&rv, r)
	case variant.Device:
		rv.Twin = counterpart(b.variants, v, g)
	default:
		if n := r.folder.Samples(); n != samples {
			b.run.Warnings = append(b.run.Warnings, fmt.Sprintf("%s: %s has results for %d samples, %d are compared", v.Name, v.Dir, n, samples))
		}
	}
	for _, note := range r.file.Notes {
		b.run.Warnings = append(b.run.Warnings, v.Name+": "+note)
	}
	b.floats, b.models = append(b.floats, nil), append(b.models, nil)
	b.run.Variants = append(b.run.Variants, rv)
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

func describeContainer(r *contained) *result.Container {
	c := &result.Container{
		Format: r.file.Format, Graph: r.held.Graph.Name, Converter: r.file.Metadata.ConverterVersion, Rules: map[string]int{}, Added: []result.Added{}, Missing: append([]string{}, r.held.Missing...),
	}
	for rule, n := range r.held.Counts {
		if n > 0 {
			c.Rules[string(rule)] = n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.held.Added)) {
		c.Added = append(c.Added, result.Added{Tensor: name, Of: r.held.Added[name].Of})
	}
	return c
}

// entrancePrefix keeps the names of copies of inputs apart from those of layers.
const entrancePrefix = "input: "

// tapOf is the name under which a variant's player gives a layer: the variant's own tensor, or, since two layers can be one
// tensor of a DLC in different orders, the layer's.
func (b *build) tapOf(variant, layer int) string {
	if b.contained[variant] != nil {
		return b.run.Layers[layer].Name
	}
	return b.run.Variants[variant].Layers[layer].Tap
}

// tapsOf divides the tensors of a variant of a DLC as the float model's segments are. Copies of the model's inputs are read
// first: they tell whether the right pictures went in.
func (b *build) tapsOf(i int, c *contained, segments [][]string, entrances map[string]string) [][]align.Tap {
	v := &b.run.Variants[i]
	taps := map[string]align.Tap{} // by layer
	for k, l := range v.Layers {
		if layer := b.ref.layers[k]; l.Has() {
			taps[layer.Name] = align.Tap{Name: layer.Name, Tensor: c.held.Graph.Tensor(l.Tap), Layout: c.held.Pairs[layer.Name].Layout, Shape: b.ref.types[layer.Name].Shape}
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
	for _, name := range slices.Sorted(maps.Keys(c.held.Added)) {
		copied := c.held.Added[name]
		if shape := b.ref.types[copied.Of].Shape; b.ref.index.Input[copied.Of] && copied.Unknown == "" && len(groups) > 0 {
			entrances[entrancePrefix+name] = copied.Of
			groups[0] = append(groups[0], align.Tap{Name: entrancePrefix + name, Tensor: c.held.Graph.Tensor(name), Layout: copied.Layout, Shape: shape})
		}
	}
	return groups
}

// play makes the player of a variant of a DLC, and its local part.
func (b *build) play(ctx context.Context, i int, c *contained, segments [][]string) error {
	entrances := map[string]string{}
	groups := b.tapsOf(i, c, segments, entrances)
	b.entrances, b.emulated = append(b.entrances, entrances), append(b.emulated, nil)
	if b.spec.LocalSamples > 0 {
		b.locals = append(b.locals, notAlone(b.ref.layers, runs(b.variants[i])))
	}
	var source dump.Source = c.folder
	switch v := b.variants[i]; v.Kind {
	case variant.DLC:
		return b.perform(ctx, i, c, groups)
	case variant.Device:
		var err error
		if source, err = b.device(ctx, DeviceWork{Variant: v, Graph: c.held.Graph, Inputs: c.inputs, Taps: slices.Concat(groups...), Samples: b.compared, Loader: b.loader}); err != nil {
			return fmt.Errorf("variant %s: %w", v.Name, err)
		}
	}
	d := dump.New(source, groups)
	b.players = append(b.players, player{func(number int, _ map[string]tensor.Tensor) runner.Inference { return d.Replay(number) }, func() { c.file.Close() }})
	return nil
}
