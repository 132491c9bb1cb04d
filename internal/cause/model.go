package cause

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/onnx"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/verdict"
)

var nanConstant = Cause{
	Kind: "nan-constant", Title: "a constant holds NaN", Evidence: "a weight or other constant of the float model has a value that is no number",
	Remedy: "export the model again; NaN is in the file",
	find: func(f *Facts) []result.Cause {
		if f.Run.NonFinite == nil {
			return nil
		}
		var list []result.Cause
		for i := range f.Run.NonFinite.Constants {
			if c := &f.Run.NonFinite.Constants[i]; c.NaN > 0 {
				list = append(list, result.Cause{Tensors: []string{c.Name}, Confidence: 1, Evidence: f.Run.NonFinite.OfConstant(c, f.Run),
					Fix: result.Fix{Text: "export the model again: NaN is in the file"}})
			}
		}
		return list
	},
}

var inputDenied = Cause{
	Kind: "input-denied", Title: "the float model finds nothing", Evidence: "outputs are recognised, and the float model decides nothing on any sample",
	Remedy: "describe the input as the model was trained, or take other samples",
	find: func(f *Facts) []result.Cause {
		for _, name := range f.Variant.Verdict.Undecided {
			if k := verdict.KindOf(name); k.Denies {
				return []result.Cause{{Confidence: 0.96, Evidence: k.Nothing, // whatever is lost of nothing
					Fix: result.Fix{Text: "find the description of the input that fits: eval tries all if there are labels", Command: f.command("eval", "--data", "LABELS", "--try-inputs")}}}
			}
		}
		return nil
	},
}

var partlyQuantized = Cause{
	Kind: "partly-quantized", Title: "much of the model has no encodings", Evidence: "under 90 % of the operators, or of the multiply-adds, have encodings",
	Remedy: "what stays float tells: control flow is inlined by hand, float16 and integer models are quantized from their float32 form",
	find: func(f *Facts) []result.Cause {
		c := f.Variant.Verdict.Coverage
		blamed := f.Variant.Verdict.Basis == result.ByNothing && f.Run.NonFinite.Blamed()
		if c == nil || c.Share() >= 0.9 || c.OperatorsOf == 0 || blamed || len(alreadyQuantized.find(f)) > 0 {
			return nil
		}
		count := map[string]int{}
		control := ""
		var where []int
		for k, l := range f.Run.Layers {
			if onnx.ControlFlow(l.Op) {
				where = append(where, k)
				control = fmt.Sprintf("%s (%s)", l.Node, l.Op)
			}
			if f.Variant.Layers[k].Status == result.NotQuantized {
				count[l.Op]++
			}
		}
		for k := 0; k < len(f.Run.Layers) && len(where) == 0; k++ { // the first one
			if f.Variant.Layers[k].Status == result.NotQuantized {
				where = append(where, k)
			}
		}
		names := slices.SortedFunc(maps.Keys(count), func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), strings.Compare(a, b)) })
		for i, n := range names {
			names[i] = fmt.Sprintf("%d %s", count[n], n)
		}
		evidence := fmt.Sprintf("%d of %d operators have encodings", c.Operators, c.OperatorsOf)
		fix := result.Fix{Text: "look at what stays float before you trust the numbers"}
		switch {
		case control != "":
			evidence += "; the body of " + control + " is not quantized"
			fix.Text = "the branch that runs must stand in the graph itself: export the model without control flow (a constant condition is folded)"
		case len(names) > 0:
			evidence += "; without are " + strings.Join(names[:min(len(names), 4)], ", ")
		}
		return []result.Cause{{Layers: where, Confidence: 0.95, Evidence: evidence, Fix: fix}}
	},
}

var hugeConstant = Cause{
	Kind: "huge-constant", Title: "a huge constant eats the range", Evidence: "a constant of −1e4 or below (or −inf) is added to, or chosen instead of, what goes into a Softmax; or the range of an Add, Sub, Where, Max, Min or Concat is that of a constant which is 64 times as large as all else that goes into it",
	Remedy: "the pass clamp-masks, which takes the smallest clamp that leaves the outputs as they are; where no Softmax follows, a smaller constant",
	find: func(f *Facts) []result.Cause {
		if !f.loses() {
			return nil
		}
		list := shutting(f)
		for _, m := range f.masks() {
			if slices.ContainsFunc(list, func(c result.Cause) bool { return slices.Contains(c.Tensors, m.Name) }) {
				continue
			}
			c := result.Cause{Tensors: []string{m.Name}, Confidence: 0.9,
				Evidence: fmt.Sprintf("the %s holds %.3g: beside it the scores of the attention have no resolution", result.Named("constant", m.Name), m.Value),
				Fix:      f.clampMasks()}
			for k, l := range f.Run.Layers {
				if p, made := f.Index.Producer[l.Name]; made && slices.Contains(f.Index.Nodes[p].GetInput(), m.Name) {
					c.Layers = append(c.Layers, k)
				}
			}
			list = append(list, c)
		}
		return list
	},
}

// masks are the constants that shut places of a Softmax. A model in which they cannot be looked for has none.
func (f *Facts) masks() []rewrite.Mask {
	shape := map[string][]int64{}
	for _, l := range f.Run.Layers {
		shape[l.Name] = l.Shape
	}
	list, err := rewrite.Masks(f.Model, func(name string) ([]int64, bool) {
		if p := f.Index.Initializer[name]; p != nil {
			return p.GetDims(), true
		}
		dims, ok := shape[name]
		return dims, ok && len(dims) > 0
	})
	if err != nil {
		return nil
	}
	return list
}

var clippedConstant = Cause{
	Kind: "clipped-constant", Title: "a constant does not fit its encoding", Evidence: "a bias or another constant has values beyond the range of its encoding, such as an int32 bias under tiny scales",
	Remedy: "a wider input or weight scale; mixed widths from explore",
	find: func(f *Facts) []result.Cause {
		if !f.loses() {
			return nil
		}
		var list []result.Cause
		for i := range f.Variant.Params {
			p := &f.Variant.Params[i]
			if len(p.Encodings) == 0 || p.Encodings[0].Bits < 32 && (!f.recipe() || !wholeRange(f.Variant.Spec.Calibrator)) {
				continue // the weights of a ready model may be others; calibrators that weigh clipping against rounding clip on purpose; a bias has no calibrator
			}
			t, ok := f.constant(p.Tensor)
			if !ok || len(t.F32) == 0 {
				continue
			}
			beyond, furthest := 0, 0.0
			for at, v := range t.F32 {
				e := encodingAt(p, t.Shape, at)
				if d := max(float64(v)-e.Max, e.Min-float64(v)); d > 2*e.Scale && d > 0.01*math.Abs(float64(v)) {
					beyond++
					furthest = max(furthest, d/max(math.Abs(float64(v)), 1e-30))
				}
			}
			if beyond == 0 || slices.ContainsFunc(f.masks(), func(m rewrite.Mask) bool { return m.Name == p.Tensor }) {
				continue
			}
			list = append(list, result.Cause{Tensors: []string{p.Tensor}, Confidence: min(0.85, 0.5+furthest),
				Evidence: fmt.Sprintf("%d of %d values of the %s lie beyond its encoding of %d bits, the furthest by %.0f %%", beyond, len(t.F32), result.Named("constant", p.Tensor), p.Encodings[0].Bits, 100*furthest),
				Fix:      result.Fix{Text: "give the operator's weights or input another encoding", Variant: wider(f)}})
		}
		slices.SortStableFunc(list, func(a, b result.Cause) int { return cmp.Compare(b.Confidence, a.Confidence) })
		return list[:min(len(list), 2)]
	},
}

// encodingAt is the encoding of a constant's element.
func encodingAt(p *result.Param, shape []int64, at int) *quant.Encoding {
	if p.Blocks != nil && len(p.Blocks.Grid) == len(shape) {
		return &p.Encodings[min(p.Blocks.Of(shape, at), len(p.Encodings)-1)]
	}
	if p.Axis < 0 || len(p.Encodings) == 1 || p.Axis >= len(shape) {
		return &p.Encodings[0]
	}
	inner := 1
	for _, d := range shape[p.Axis+1:] {
		inner *= int(d)
	}
	return &p.Encodings[at/inner%int(shape[p.Axis])%len(p.Encodings)]
}

var unlikeChannels = Cause{
	Kind: "unlike-channels", Title: "channels of unlike range share one encoding", Evidence: "a weight has one encoding, its channels' ranges differ 16-fold, and its own quantization costs the layer more than its activations do",
	Remedy: "an encoding per channel; equalization",
	find: func(f *Facts) []result.Cause {
		if !f.loses() || !f.recipe() || f.Variant.Spec.PerChannel {
			return nil
		}
		best, at, name, ratio := 0.0, -1, "", 0.0
		for k, l := range f.Variant.Layers {
			if l.Local == nil || l.Local.Weights == nil || l.Local.Acts == nil || !sqnr(l.Local.Weights.Summary).OK {
				continue
			}
			w, a := sqnr(l.Local.Weights.Summary).V, sqnr(l.Local.Acts.Summary).V
			if w > 25 || w > a {
				continue
			}
			weight, r := f.channelRatio(f.weighted(k))
			if score := l.Local.Share; r >= 16 && score > best {
				best, at, name, ratio = score, k, weight, r
			}
		}
		if at < 0 {
			return nil
		}
		s := f.Variant.Spec
		s.PerChannel = true
		return []result.Cause{{Layers: []int{at}, Tensors: []string{name}, Confidence: 0.8 + 0.1*min(best, 1),
			Evidence: fmt.Sprintf("%s has one encoding for channels whose ranges differ %.0f-fold; quantizing it alone leaves %s %.1f dB", name, ratio, f.Run.Layers[at].Name, sqnr(f.Variant.Layers[at].Local.Weights.Summary).V),
			Fix:      result.Fix{Text: "give each channel of the weights its own encoding, which costs next to nothing on the DSP", Variant: s.Text()}}}
	},
}

// channelRatio is how far the ranges of a weight's output channels differ, the greatest by the median.
func (f *Facts) channelRatio(inputs []string) (name string, ratio float64) {
	if len(inputs) < 2 {
		return "", 0
	}
	t, ok := f.constant(inputs[1])
	if !ok || len(t.Shape) < 2 || t.Shape[0] < 2 || len(t.F32) == 0 {
		return "", 0
	}
	channels := int(t.Shape[0])
	row := len(t.F32) / channels
	ranges := make([]float64, channels)
	for i, v := range t.F32[:row*channels] {
		ranges[i/row] = max(ranges[i/row], math.Abs(float64(v)))
	}
	slices.Sort(ranges)
	if mid := ranges[channels/2]; mid > 0 {
		return inputs[1], ranges[channels-1] / mid
	}
	return inputs[1], 0
}
