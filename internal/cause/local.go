package cause

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
)

// A layer makes the error if, computed alone on float inputs, it has less than lossy, and makes this part of the noise that all layers make alone;
// or a smaller part that is so many times that of any other layer.
const (
	lossy    = 20 // dB
	makesOne = 0.3
	outdoes  = 0.1
	times    = 4
)

// hot is the layer that makes most of the noise, if one does.
func (f *Facts) hot() (layer int, ok bool) {
	layer, best, second := -1, 0.0, 0.0
	for k := range f.Variant.Layers {
		switch l := f.Variant.Layers[k].Local; {
		case l == nil || !sqnr(l.Full.Summary).OK:
		case l.Share > best:
			layer, best, second = k, l.Share, best
		case l.Share > second:
			second = l.Share
		}
	}
	if layer < 0 || sqnr(f.Variant.Layers[layer].Local.Full.Summary).V >= lossy {
		return -1, false
	}
	return layer, best >= makesOne || best >= outdoes && best >= times*second
}

// weighted gives the inputs of the operator with weights that makes a layer, over the operators that are fused into it.
func (f *Facts) weighted(layer int) []string {
	name := f.Run.Layers[layer].Name
	for range 4 {
		p, made := f.Index.Producer[name]
		if !made {
			return nil
		}
		in := f.Index.Nodes[p].GetInput()
		if len(in) > 1 {
			if t := f.Index.Initializer[in[1]]; t != nil && len(t.GetDims()) >= 2 {
				return in
			}
		}
		if len(in) == 0 {
			return nil
		}
		name = in[0]
		if k := slices.IndexFunc(f.Run.Layers, func(l result.Layer) bool { return l.Name == name }); k >= 0 && f.Variant.Layers[k].Status != result.Fused && f.Variant.Layers[k].Local != nil {
			return nil // it has a quantizer of its own
		}
	}
	return nil
}

// crowded says which share of a layer's float values on the first sample lies in a twentieth of their range, and how wide that is.
func (f *Facts) crowded(layer int) (share, width float64) {
	h := f.Variant.Layers[layer].Histogram
	if h == nil || len(h.Float) == 0 || h.Max <= h.Min {
		return 0, 0
	}
	sum, most := 0, 0
	for i, n := range h.Float {
		sum += n
		if i > 0 { // a peak may lie on the border of two bins
			n += h.Float[i-1]
		}
		most = max(most, n)
	}
	if sum == 0 {
		return 0, 0
	}
	return float64(most) / float64(sum), 2 * (h.Max - h.Min) / float64(len(h.Float))
}

// blamed are the layers whose encoding can be why a layer alone is far from float: its own, and those of its inputs.
func blamed(f *Facts, layer int) []int {
	var list []int
	for _, k := range append([]int{layer}, f.Run.Layers[layer].Inputs...) {
		if k, e := f.encoded(k); e != nil && !slices.Contains(list, k) {
			list = append(list, k)
		}
	}
	return list
}

// byActivations says whether it is the activations' encodings that cost a layer, not the weights'.
func byActivations(f *Facts, layer int) bool {
	l := f.Variant.Layers[layer].Local
	if l.Weights == nil || !sqnr(l.Weights.Summary).OK {
		return true
	}
	return sqnr(l.Weights.Summary).V > sqnr(l.Full.Summary).V+3
}

var outlierValues = Cause{
	Kind: "outlier-values", Title: "few values take an activation's range", Evidence: "a layer makes 30 % of the noise, or 10 % and four times that of any other, and has under 20 dB alone; 85 % of the values of it or of its input lie in a twentieth of the range",
	Remedy: "16 bits for that tensor; equalization, where one channel is large; a calibrator that clips, where the large values do not matter",
	find: func(f *Facts) []result.Cause {
		at, ok := f.hot()
		if !f.loses() || !ok || !byActivations(f, at) {
			return nil
		}
		best, from, width := 0.85, -1, 0.0
		for _, k := range blamed(f, at) {
			e := f.Variant.Layers[k].Encoding
			if share, w := f.crowded(k); e.Bits <= 8 && share >= best && w < 32*e.Scale {
				best, from, width = share, k, w
			}
		}
		if from < 0 {
			return nil
		}
		fix := result.Fix{Text: "give " + f.Run.Layers[from].Name + " 16 bits (quantcheck explore finds which tensors need them), or make its channels equal before you convert", Variant: wider(f), Command: f.command("explore", "--images", f.Run.Spec.Images)}
		e := f.Variant.Layers[from].Encoding
		return []result.Cause{{Layers: []int{from, at}, Confidence: 0.8, Fix: fix,
			Evidence: fmt.Sprintf("%.0f %% of the values of %s lie within %.2g, which is %.0f steps of its encoding of %.3g…%.3g; %s, computed alone, has %.1f dB and makes %.0f %% of the noise",
				100*best, f.Run.Layers[from].Name, width, width/e.Scale, e.Min, e.Max, f.Run.Layers[at].Name, sqnr(f.Variant.Layers[at].Local.Full.Summary).V, 100*f.Variant.Layers[at].Local.Share)}}
	},
}

var widthsMeet = Cause{
	Kind: "widths-meet", Title: "a tensor of few bits stands among wider ones", Evidence: "an activation of 8 bits is computed from, or read by, activations of 16 bits, and what reads it makes 30 % of the noise, or 10 % and four times that of any other, and has under 20 dB alone",
	Remedy: "16 bits for the tensor that is named; or 8 bits for those around it, which are no better than it",
	find: func(f *Facts) []result.Cause {
		at, ok := f.hot()
		if !f.loses() || !ok || !byActivations(f, at) {
			return nil
		}
		for _, k := range blamed(f, at) {
			e := f.Variant.Layers[k].Encoding
			if e.Bits > 8 {
				continue
			}
			wide := wide(f, k)
			if len(wide) == 0 {
				continue
			}
			fix := result.Fix{Text: "give " + f.Run.Layers[k].Name + " 16 bits, or the tensors around it 8: they are no better than it"}
			return []result.Cause{{Layers: append([]int{k, at}, wide...), Confidence: 0.9, Fix: fix,
				Evidence: fmt.Sprintf("%s has %d bits, and %s beside it %d: %s, computed alone, has %.1f dB and makes %.0f %% of the noise", f.Run.Layers[k].Name, e.Bits, f.Run.Layers[wide[0]].Name,
					f.Variant.Layers[wide[0]].Encoding.Bits, f.Run.Layers[at].Name, sqnr(f.Variant.Layers[at].Local.Full.Summary).V, 100*f.Variant.Layers[at].Local.Share)}}
		}
		return nil
	},
}

// wide lists the layers beside a layer that have more bits: those that it is computed from, and those that are computed from it.
func wide(f *Facts, layer int) []int {
	bits := f.Variant.Layers[layer].Encoding.Bits
	var list []int
	add := func(k int) {
		if k, e := f.encoded(k); e != nil && e.Bits > bits && !slices.Contains(list, k) {
			list = append(list, k)
		}
	}
	for _, k := range f.Run.Layers[layer].Inputs {
		add(k)
	}
	for k, l := range f.Run.Layers {
		if slices.Contains(l.Inputs, layer) {
			add(k)
		}
	}
	return list
}

var fusedRange = Cause{
	Kind: "fused-range", Title: "a quantizer has the range of an activation that does not follow", Evidence: "in a ready model over 2 % of a layer's values lie below its encoding and none above; the encoding begins at 0 as a Relu's, or at −0.4 or later as a SiLU's or HardSwish's, and no Relu follows",
	Remedy: "the quantizer behind the activation, or the layer's own range for it",
	find: func(f *Facts) []result.Cause {
		if !f.loses() || f.recipe() {
			return nil
		}
		worst := -1
		for k := range f.Variant.Layers {
			if cutBelow(f, k) && (worst < 0 || f.Variant.Layers[k].Clipped.Share > f.Variant.Layers[worst].Clipped.Share) {
				worst = k
			}
		}
		if worst < 0 {
			return nil
		}
		r := &f.Variant.Layers[worst]
		return []result.Cause{{Layers: []int{worst}, Confidence: 0.93, Fix: result.Fix{Text: "put the quantizer behind the activation, or give it the layer's own range"},
			Evidence: fmt.Sprintf("%s (%s) goes down to %.3g in float, and its quantizer begins at %.3g as that of an activation does: %.0f %% of its values are cut off below, none above", f.Run.Layers[worst].Name, f.Run.Layers[worst].Op, r.Histogram.Min, r.Encoding.Min, 100*r.Clipped.Share)}}
	},
}

// cutBelow says whether a layer's encoding cuts off what an activation would, and no activation does.
func cutBelow(f *Facts, k int) bool {
	r, l := &f.Variant.Layers[k], &f.Run.Layers[k]
	if r.Encoding == nil || r.Clipped == nil || r.Clipped.Share < 0.02 || r.Histogram == nil || r.Status != result.Compared {
		return false
	}
	switch l.Op {
	case "Relu", "Clip", "Sigmoid", "HardSigmoid", "Softmax", "HardSwish", "Tanh":
		return false
	}
	e, h := r.Encoding, r.Histogram
	if e.Min < -0.4 || h.Min > 4*e.Min-4*e.Scale || h.Max > e.Max+0.02*(e.Max-e.Min) {
		return false
	}
	for _, o := range f.Run.Layers {
		if slices.Contains(o.Inputs, k) && (o.Op == "Relu" || o.Op == "Clip") {
			return false
		}
	}
	return true
}

// shutting lists the layers whose range a constant makes: one of its values is within a factor of 2 of the end of the encoding, and 64 times as
// large as whatever else goes into the layer.
func shutting(f *Facts) []result.Cause {
	number := map[string]int{}
	for k, l := range f.Run.Layers {
		number[l.Name] = k
	}
	var list []result.Cause
	for k, l := range f.Run.Layers {
		e := f.Variant.Layers[k].Encoding
		p, made := f.Index.Producer[l.Name]
		if e == nil || e.Bits > 16 || !made {
			continue
		}
		switch l.Op {
		case "Add", "Sub", "Where", "Max", "Min", "Concat", "Pad":
		default:
			continue
		}
		end := math.Max(math.Abs(e.Min), math.Abs(e.Max))
		name, value, others := "", 0.0, 0.0
		for _, in := range f.Index.Nodes[p].GetInput() {
			if t, ok := f.constant(in); ok {
				for _, v := range t.F32 {
					if a := math.Abs(float64(v)); a > math.Abs(value) && !math.IsNaN(a) {
						name, value = in, float64(v)
					}
				}
				continue
			}
			if i, ok := number[in]; ok {
				if _, o := f.encoded(i); o != nil {
					others = math.Max(others, math.Max(math.Abs(o.Min), math.Abs(o.Max)))
					continue
				}
			}
			if c, ok := f.Variant.Inputs[in]; ok {
				others = math.Max(others, math.Max(math.Abs(c.Min), math.Abs(c.Max)))
			}
		}
		// The range of a ready file may hold a mask that the float model has no more: masks are clamped before anything is compared.
		if h := f.Variant.Layers[k].Histogram; name != "" && h != nil && !f.recipe() && end >= 1e4 && end > 64*math.Max(math.Abs(h.Min), math.Abs(h.Max)) {
			list = append(list, result.Cause{Layers: []int{k}, Tensors: []string{name}, Confidence: 0.94,
				Evidence: fmt.Sprintf("%s, which the constant %s goes into, has a range of %.3g…%.3g in the file, a step of %.2g, where the float values go from %.3g to %.3g: a huge value of the constant made it", l.Name, name, e.Min, e.Max, e.Scale, h.Min, h.Max),
				Fix:      result.Fix{Text: "clamp the constant before the file is made: the pass clamp-masks takes the smallest clamp that leaves the outputs as they are", Command: f.rewritten(rewrite.ClampMasks)}})
			continue
		}
		if name == "" || others == 0 || math.Abs(value) < 64*others || math.Abs(value) < end/2 || end < 64*others {
			continue
		}
		list = append(list, result.Cause{Layers: []int{k}, Tensors: []string{name}, Confidence: 0.94,
			Evidence: fmt.Sprintf("the constant %s holds %.3g, and %s, which it goes into, has a range of %.3g…%.3g: a step of %.2g, where its other operands reach %.3g", name, value, l.Name, e.Min, e.Max, e.Scale, others),
			Fix:      clampFix(f, name)})
	}
	slices.SortStableFunc(list, func(a, b result.Cause) int { return cmp.Compare(b.Confidence, a.Confidence) })
	return list[:min(len(list), 2)]
}

// clampMasks is the fix of a mask with a huge value.
func (f *Facts) clampMasks() result.Fix {
	return result.Fix{Text: "clamp the mask: the pass clamp-masks takes the smallest clamp that leaves the outputs as they are", Passes: []string{rewrite.ClampMasks}, Command: f.rewritten(rewrite.ClampMasks)}
}

// clampFix is how a constant is clamped: by the pass if it can, else by hand.
func clampFix(f *Facts, name string) result.Fix {
	if slices.ContainsFunc(f.masks(), func(m rewrite.Mask) bool { return m.Name == name }) {
		return f.clampMasks()
	}
	return result.Fix{Text: fmt.Sprintf("put a value of the size of the other operands into %s, which does the same behind the activation that follows", name)}
}
