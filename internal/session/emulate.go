package session

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"quantcheck/internal/qdq"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/tensor"
)

// emulate opens the emulator for variant i, whose taps are divided as the float model's segments are.
func (b *Session) emulate(ctx context.Context, i int, groups [][]string) error {
	v := &b.Run.Variants[i]
	bits := 32
	if v.Spec.ActBits > 0 {
		bits = v.Spec.ActBits
	}
	size := map[string]int64{}
	for k, l := range v.Layers {
		if n, err := tensor.Count(b.Float.Layers[k].Shape); err == nil && l.Has() {
			size[l.Tap] = int64(n) * int64(bits) / 8
		}
	}
	r, err := htp.New(ctx, b.Emulator, b.Models[i], htp.Options{
		Groups: groups, PassBytes: b.emulatedBytes(), Bytes: func(tap string) int64 { return size[tap] }, Arena: b.Arena,
	})
	if err != nil {
		return err
	}
	b.Players, b.Emulated = append(b.Players, Running(r)), append(b.Emulated, r)
	v.Emulator.Passes = r.Passes()
	cpu := r.OnCPU()
	for k := range v.Layers {
		if l := &v.Layers[k]; l.Has() && slices.Contains(cpu, l.Tap) {
			l.OnCPU = true
			v.Emulator.OnCPU = append(v.Emulator.OnCPU, b.Float.Layers[k].Name)
		}
	}
	if len(v.Emulator.OnCPU) > 0 {
		b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("%s: the HTP refuses the operators of %d layers, which ran on the CPU: %s", v.Spec.Name, len(v.Emulator.OnCPU), some(v.Emulator.OnCPU)))
	}
	return nil
}

// emulatedBytes is what the tensors that one emulator exposes may take: a part of the bound for each of them.
func (b *Session) emulatedBytes() int64 {
	return int64(b.Spec.MemoryMiB) << 20 / int64(2*(1+len(b.Variants)))
}

// What a process of the emulator is thought to take beside the tensors that it exposes: for the libraries, and of the model's constants a
// multiple, since they are unpacked, copied and packed for the DSP. A process with yolox_nano (3.7 MB) takes 232 MB at most, exposed
// tensors included.
const (
	emulatorBytes   = 128 << 20
	emulatorWeights = 4
)

// emulators is what all processes of the emulator are thought to take: two for each variant where layers are computed alone, too.
func (b *Session) emulators() int64 {
	each, weights := int64(1), int64(0)
	if b.Spec.LocalSamples > 0 {
		each = 2
	}
	if b.Float != nil && b.Float.Base != nil {
		for _, t := range b.Float.Base.Graph().GetInitializer() {
			if n, err := tensor.Count(t.GetDims()); err == nil {
				weights += 4 * int64(n)
			}
		}
	}
	sum := int64(0)
	for _, v := range b.Variants {
		if Emulated(v) {
			sum += each * (emulatorBytes + emulatorWeights*weights + b.emulatedBytes())
		}
	}
	return sum
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

// addEmulatedLocal opens the emulator for the layers of variant i alone. Its graph takes the float values of all layers at
// once, so layers beyond the memory bound are left out, and it is said which.
func (b *Session) addEmulatedLocal(ctx context.Context, i int, surgeon *qdq.Surgeon, segments [][]string) error {
	v := &b.Run.Variants[i]
	islands := surgeon.Islands(false)
	l := &Isolated{Of: map[string][]Island{}, Skipped: islands.Skipped, Outputs: map[string]int{}}
	b.Locals = append(b.Locals, l)
	size := map[string]int64{}
	for k := range v.Layers {
		if n, err := tensor.Count(b.Float.Layers[k].Shape); err == nil {
			size[b.Float.Layers[k].Name] = int64(n) * 2 * 4 // an input and an output, float at worst
		}
	}
	held := int64(0)
	for _, one := range islands.Layers {
		if held += size[one.Layer]; held > b.emulatedBytes() {
			l.Skipped[one.Layer] = "all layers before it fill the memory bound of the emulator's graph of layers alone; a larger --memory takes it in"
			continue
		}
		l.Of[one.Layer] = []Island{{one.Full, PartFull}}
	}
	var r *htp.Runner
	var err error
	for range 3 {
		groups := make([][]string, len(segments))
		for k, group := range segments {
			for _, layer := range group {
				for _, one := range l.Of[layer] {
					groups[k] = append(groups[k], one.Tap)
				}
			}
		}
		if len(l.Of) == 0 {
			return nil
		}
		r, err = htp.New(ctx, b.Emulator, islands.Model, htp.Options{Groups: groups, Arena: b.Arena})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !b.leaveOut(l, err) {
			break
		}
	}
	if err != nil {
		// The whole model runs; that a layer alone does not is no reason to give that up.
		b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("%s: the layers alone do not run on the emulator: %v", v.Spec.Name, err))
		for layer := range l.Of {
			l.Skipped[layer] = "the graph of all layers alone does not run on the emulator"
		}
		l.Of = map[string][]Island{}
		return nil
	}
	l.islands, l.Emulated = r, r
	return nil
}

// leaveOut takes the layers out that the HTP refuses when they are computed alone; it is false if there are none. ONNX
// Runtime may have given an operator another name (a Transpose that it moved before the quantizer): then all layers of
// that type are left out.
func (b *Session) leaveOut(l *Isolated, err error) bool {
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
			if qdq.InIsland(one.Node, layer) {
				drop(layer)
				named = true
			}
		}
		for _, layer := range b.Float.Layers {
			if _, there := l.Of[layer.Name]; there && !named && layer.Op == one.Op {
				drop(layer.Name)
			}
		}
	}
	return found
}
