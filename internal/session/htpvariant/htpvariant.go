// Package htpvariant builds variants that are ONNX models for the emulator of Qualcomm's DSP, and runs them there.
package htpvariant

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"quantcheck/internal/calib"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/session"
	"quantcheck/internal/session/qdqvariant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// Built builds a variant for the emulator, and finds the one that simulates the same on the CPU.
type Built struct{ session.Builder }

// Build implements session.Builder.
func (e Built) Build(b *session.Session, v *session.Variant, stats *calib.Statistics) error {
	if err := e.Builder.Build(b, v, stats); err != nil {
		return err
	}
	v.Result.Emulator = b.Emulator.Describe()
	v.Result.Counterpart = slices.IndexFunc(b.Specs(), func(o variant.Spec) bool {
		cpu := !session.Emulated(o)
		o.Engine, o.Name = v.Spec.Engine, v.Spec.Name
		return cpu && o.Equal(v.Spec)
	})
	if v.Result.Counterpart < 0 && v.Spec.Kind == variant.Half { // the file that the float model was raised from computes the same
		v.Result.Counterpart = slices.IndexFunc(b.Variants, func(o *session.Variant) bool { return o.Half && !session.Emulated(o.Spec) })
	}
	return nil
}

// Opener runs a variant on the emulator.
type Opener struct{}

// Open implements session.Opener. The emulator is given integers, so that there are no entrances to look at.
func (Opener) Open(ctx context.Context, b *session.Session, v *session.Variant, groups [][]string, _ bool) (runner.Runner, error) {
	rv := v.Result
	bits := 32
	if v.Spec.ActBits > 0 {
		bits = v.Spec.ActBits
	}
	size, shape := map[string]int64{}, map[string][]int64{}
	var outputs []string
	for k, l := range rv.Layers {
		if !l.HasMetrics() {
			continue
		}
		shape[l.Tap] = b.Float.Layers[k].Shape
		if n, err := tensor.Count(b.Float.Layers[k].Shape); err == nil {
			size[l.Tap] = int64(n) * int64(bits) / 8
		}
		if b.Float.Layers[k].Output {
			outputs = append(outputs, l.Tap)
		}
	}
	r, err := htp.New(ctx, b.Emulator, v.Model, htp.Options{
		Groups: groups, PassBytes: b.Memory().Exposed(), Bytes: func(tap string) int64 { return size[tap] }, Arena: b.Arena, Outputs: outputs,
		Shape: func(tap string) []int64 { return shape[tap] },
	})
	if err != nil {
		return nil, err
	}
	rv.Emulator.Passes = r.Passes()
	var hidden []string
	onCPU, unexposed := r.OnCPU(), r.Unexposed()
	for k := range rv.Layers {
		if l := &rv.Layers[k]; l.HasMetrics() && slices.Contains(onCPU, l.Tap) {
			l.OnCPU = true
			rv.Emulator.OnCPU = append(rv.Emulator.OnCPU, b.Float.Layers[k].Name)
		}
		if l := &rv.Layers[k]; l.HasMetrics() && unexposed[l.Tap] != "" {
			l.Status, l.Reason = result.NotComparable, unexposed[l.Tap]
			hidden = append(hidden, b.Float.Layers[k].Name)
		}
	}
	if len(hidden) > 0 {
		b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("%s: %d layers are computed but cannot be compared, since the HTP takes the model only while they are not exposed: %s", v.Spec.Name, len(hidden), some(hidden)))
	}
	if len(rv.Emulator.OnCPU) > 0 {
		b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("%s: the HTP refuses the operators of %d layers, which ran on the CPU: %s", v.Spec.Name, len(rv.Emulator.OnCPU), some(rv.Emulator.OnCPU)))
	}
	return r, nil
}

// some names the first few.
func some(names []string) string {
	const most = 5
	text := fmt.Sprint(names[:min(len(names), most)])
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// Isolate implements session.Isolating. The graph of the layers alone takes the float values of all of them at once, so layers beyond the memory
// bound are left out, and it is said which.
func (Opener) Isolate(ctx context.Context, b *session.Session, v *session.Variant, segments, _ [][]string) (*session.Isolated, error) {
	islands := qdqvariant.Isolator(b, v).Isolate(false)
	l := &session.Isolated{Of: map[string][]session.IsolatedTensor{}, Skipped: islands.Skipped, Outputs: map[string]int{}}
	size := map[string]int64{}
	for k := range v.Result.Layers {
		if n, err := tensor.Count(b.Float.Layers[k].Shape); err == nil {
			size[b.Float.Layers[k].Name] = int64(n) * 2 * 4 // an input and an output, float at worst
		}
	}
	held := int64(0)
	for _, one := range islands.Layers {
		if held += size[one.Layer]; held > b.Memory().Exposed() {
			l.Skipped[one.Layer] = "all layers before it fill the memory bound of the emulator's graph of layers alone; a larger --memory takes it in"
			continue
		}
		l.Of[one.Layer] = []session.IsolatedTensor{{Tap: one.Full, Part: session.PartFull}}
	}
	var r *htp.Runner
	var err error
	for range 3 {
		if len(l.Of) == 0 {
			return l, nil
		}
		r, err = htp.New(ctx, b.Emulator, islands.Model, htp.Options{Groups: l.Follow(segments), Arena: b.Arena})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !leaveOut(l, b.Float.Layers, err) {
			break
		}
	}
	if err != nil {
		// The whole model runs; that a layer alone does not is no reason to give that up.
		b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("%s: the layers alone do not run on the emulator: %v", v.Spec.Name, err))
		for layer := range l.Of {
			l.Skipped[layer] = "the graph of all layers alone does not run on the emulator"
		}
		l.Of = map[string][]session.IsolatedTensor{}
		return l, nil
	}
	l.Layers = r
	return l, nil
}

// leaveOut takes the layers out that the HTP refuses when they are computed alone; it is false if there are none. ONNX
// Runtime may have given an operator another name (a Transpose that it moved before the quantizer): then all layers of
// that type are left out.
func leaveOut(l *session.Isolated, layers []result.Layer, err error) bool {
	var refused *htp.RefusedError
	if !errors.As(err, &refused) {
		return false
	}
	found := false
	for _, one := range refused.Refused {
		drop := func(layer string) {
			l.Skipped[layer] = "the HTP refuses it alone: " + one.Reason
			delete(l.Of, layer)
			found = true
		}
		named := false
		for layer := range l.Of {
			if qdq.InIsolated(one.Node, layer) {
				drop(layer)
				named = true
			}
		}
		for _, layer := range layers {
			if _, there := l.Of[layer.Name]; there && !named && layer.Op == one.Op {
				drop(layer.Name)
			}
		}
	}
	return found
}
