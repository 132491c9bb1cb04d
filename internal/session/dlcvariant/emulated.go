package dlcvariant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/dlc"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	dlcrunner "quantcheck/internal/runner/dlc"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/session"
	"quantcheck/internal/variant"
)

// runnable says why a container cannot be run on the emulator; nil if nothing speaks against it.
func (c *DLC) runnable(path string) error {
	switch {
	case c.File.Major == 0:
		return fmt.Errorf("%s is a listing of a DLC; the DLC itself is needed to run it", path)
	case c.File.Major < 4:
		return fmt.Errorf("%s: %w", path, qnnworker.ErrOldVersion)
	case len(c.File.Graphs) != 1:
		return fmt.Errorf("%s holds %d graphs; one can be compared", path, len(c.File.Graphs))
	}
	return nil
}

// entries finds for each input of a DLC what is put into it: an input of the float model, in which order of axes. Orders
// that people give win over those that are derived.
func entries(b *session.Session, c *DLC) ([]align.Tap, error) {
	asked, err := layoutsOf(b.Options.DLC.DLCLayouts)
	if err != nil {
		return nil, err
	}
	inputs := slices.Concat(c.Held.Graph.At(dlc.Input), c.Held.Graph.At(dlc.InOut))
	var names []string
	for _, t := range inputs {
		names = append(names, t.Name)
	}
	for name := range asked {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("--dlc-layout %s: the DLC's inputs are %s", name, strings.Join(names, ", "))
		}
	}
	var list []align.Tap
	for _, t := range inputs {
		tap := align.Tap{Tensor: t}
		unknown := ""
		for name, p := range c.Held.Inputs {
			if p.Tensor == t.Name {
				tap.Name, tap.Layout, unknown = name, p.Layout, p.Unknown
			}
		}
		if copied, ok := c.Held.Added[t.Name]; tap.Name == "" && ok && b.Float.Index.Input[copied.Of] {
			tap.Name, tap.Layout, unknown = copied.Of, copied.Layout, copied.Unknown
		}
		if tap.Name == "" {
			return nil, fmt.Errorf("the DLC's input %q %v belongs to no input of the model", t.Name, t.Shape)
		}
		tap.Shape = b.Float.Types[tap.Name].Shape
		if l, ok := asked[t.Name]; ok {
			if !l.Fits(tap.Shape, t) {
				return nil, fmt.Errorf("--dlc-layout %s=%s: the model's input %s %v in this order is not the DLC's %v", t.Name, axes(l, len(tap.Shape)), tap.Name, tap.Shape, t.Shape)
			}
			tap.Layout, unknown = l, ""
		}
		if unknown != "" {
			return nil, unknownOrder(tap, unknown)
		}
		list = append(list, tap)
	}
	return list, nil
}

func unknownOrder(t align.Tap, why string) error {
	text := fmt.Sprintf("in which order the axes of the DLC's input %s %v lie, against those of the model's input %s %v, is not known: %s. Say which of the model's axes each of the DLC's is: ", t.Tensor.Name, t.Tensor.Shape, t.Name, t.Shape, why)
	var ways []string
	for _, l := range align.Candidates(t.Shape, t.Tensor) {
		ways = append(ways, fmt.Sprintf("--dlc-layout %s=%s", t.Tensor.Name, axes(l, len(t.Shape))))
	}
	if len(ways) == 0 {
		ways = []string{fmt.Sprintf("--dlc-layout %s=%s with these numbers in their order", t.Tensor.Name, axes(nil, len(t.Shape)))}
	}
	return errors.New(text + strings.Join(ways, " or "))
}

func axes(l align.Layout, rank int) string {
	var list []string
	for i := range rank {
		axis := i
		if l != nil && i < len(l) {
			axis = l[i]
		}
		list = append(list, strconv.Itoa(axis))
	}
	return strings.Join(list, ",")
}

// layoutsOf reads orders of axes, INPUT=0,2,3,1.
func layoutsOf(texts []string) (map[string]align.Layout, error) {
	layouts := map[string]align.Layout{}
	for _, text := range texts {
		at := strings.LastIndexByte(text, '=')
		if at <= 0 {
			return nil, fmt.Errorf("--dlc-layout %q is not INPUT=0,2,3,1", text)
		}
		var l align.Layout
		for number := range strings.SplitSeq(text[at+1:], ",") {
			axis, err := strconv.Atoi(number)
			if err != nil {
				return nil, fmt.Errorf("--dlc-layout %q is not INPUT=0,2,3,1", text)
			}
			l = append(l, axis)
		}
		layouts[text[:at]] = l
	}
	return layouts, nil
}

// describeEmulated says of a DLC that is run here with what that is done, and which variant of the same check is the recipe
// that it is held against.
func describeEmulated(b *session.Session, rv *result.Variant, c *DLC) {
	rv.Emulator = b.Emulator.Describe()
	rv.Counterpart = recipeOf(b.Specs(), c.Held.Graph)
	if caches := c.File.Caches(); len(caches) > 0 {
		b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("%s: %d cache records, prepared for particular chips, are ignored; the graph itself is run", rv.Spec.Name, len(caches)))
	}
	if actBits(c.Held.Graph) == 0 {
		b.Run.Warnings = append(b.Run.Warnings, rv.Spec.Name+": a float DLC: it runs in the HTP's half precision (fp16)")
	}
}

// recipeOf finds the variant that a DLC should compute the same as: a recipe of its activations' width, half precision for a
// float DLC, or a ready model; on the emulator rather than on the CPU; the first of several. −1: there is none.
func recipeOf(variants []variant.Spec, g *dlc.Graph) int {
	bits := actBits(g)
	best, rank := -1, 0
	for i, v := range variants {
		var r int
		switch {
		case v.Kind == variant.Recipe && v.ActBits == bits, v.Kind == variant.Half && bits == 0:
			r = 3
		case v.Kind == variant.File:
			r = 1
		default:
			continue
		}
		if session.Emulated(v) {
			r++
		}
		if r > rank {
			best, rank = i, r
		}
	}
	return best
}

// counterpart finds the variant that a device should compute the same as: the very DLC on the emulator, else its recipe.
func counterpart(variants []variant.Spec, v variant.Spec, g *dlc.Graph) int {
	if i := slices.IndexFunc(variants, func(o variant.Spec) bool { return o.Kind == variant.DLC && o.File == v.File }); i >= 0 {
		return i
	}
	return recipeOf(variants, g)
}

// actBits is the width that most of a DLC's quantized activations have, 0 if there are none.
func actBits(g *dlc.Graph) int {
	count := map[int]int{}
	for _, t := range g.Tensors {
		if t.Location != dlc.Static && t.DType.Quantized() {
			count[t.DType.Bits()]++
		}
	}
	best := 0
	for _, bits := range []int{4, 8, 16, 32} {
		if count[bits] > 0 && count[bits] >= count[best] {
			best = bits
		}
	}
	return best
}

// Emulator runs a DLC on the emulator.
type Emulator struct{ asItIs }

// Open implements session.Opener.
func (Emulator) Open(ctx context.Context, b *session.Session, v *session.Variant, groups [][]string, entrances bool) (runner.Runner, error) {
	engine := qnnworker.Engine{Kit: b.Emulator.Kit, SoC: b.Emulator.SoC, AnyVersion: b.Options.DLC.AnyVersion}
	o := dlcrunner.Options{Inputs: of(v).Inputs, Groups: tapsOf(b, v, groups, entrances), PassBytes: b.Memory().Exposed()}
	r, err := dlcrunner.New(ctx, engine, v.Spec.File, o)
	if err != nil {
		return nil, qnnworker.Opening(ctx, err)
	}
	v.Result.Emulator.Passes = r.Passes()
	for _, note := range r.Notes() {
		b.Run.Warnings = append(b.Run.Warnings, v.Spec.Name+": "+note)
	}
	return r, nil
}
