package checks

import (
	"cmp"
	"slices"

	"quantcheck/internal/htpcost"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// Price is what a pass makes of the model's estimate.
type Price struct {
	Before int64 `json:"cycles_before"`
	After  int64 `json:"cycles_after"`
}

// Saves is the share of the estimate that the pass takes away, negative if it adds to it.
func (p Price) Saves() float64 {
	if p.Before == 0 {
		return 0
	}
	return 1 - float64(p.After)/float64(p.Before)
}

// dominates is the share of the cycles that one operator, or one kind of them, may have.
const dominates = 0.4

// arithmetic are the operators that a network is made of: that they take most of the time is no finding.
var arithmetic = []string{"Conv", "ConvTranspose", "Gemm", "MatMul", "Conv2d", "DepthWiseConv2d", "TransposeConv2d", "FullyConnected", "?"}

// A graph is bound by the vector threads when they are busy for more than this part of the time, and the matrix unit idles when it
// is busy for less than that.
const (
	vectorBusy = 0.5
	matrixIdle = 0.15
	threads    = 4 // vector threads
)

// dear is by how much longer 16 bits may take, concentrated the share of the layers and of their noise that make a few layers enough.
const (
	dear         = 1.3
	fewLayers    = 0.1
	muchOfNoise  = 0.5
	leastOfNoise = 20 // layers, below which a share of them says nothing
)

var timeChecks = []Check{
	{
		ID: "QC4005", Title: "an operator dominates the time", Severity: Warning,
		What: "One operator, or all of one type other than convolutions and matrix products, with more than 40 % of the estimated cycles (with --estimate).",
		Why:  "The rest of the network hardly matters then: yolox_nano spends 72 % in the strided Slices of its stem.",
		Fix:  "replace it: quantcheck optimize --estimate shows which pass helps",
		look: func(s *Subject, say report) {
			if s.Estimate == nil {
				return
			}
			for _, l := range s.Estimate.Layers {
				if l.Kind == htpcost.Operator && l.Share > dominates {
					say(l.Name, "", "%s: %.0f %% of %d cycles", l.Op, 100*l.Share, s.Estimate.Cycles)
					return
				}
			}
			for _, g := range htpcost.Groups(operators(s.Estimate), htpcost.ByOp) {
				if g.Share > dominates && !slices.Contains(arithmetic, g.Name) {
					say("", "", "%d operators of type %s: %.0f %% of %d cycles", g.Layers, g.Name, 100*g.Share, s.Estimate.Cycles)
				}
			}
		},
	},
	{
		ID: "QC4006", Title: "tensors do not fit into the fast memory", Severity: Warning,
		What: "Intermediate tensors that the compiler moves to DDR and back (with --estimate).",
		Why:  "DDR is an order of magnitude slower than the DSP's own memory, and other parts of the chip use it too.",
		Fix:  "a smaller input, fewer channels at high resolution, or 8 bits instead of 16",
		look: func(s *Subject, say report) {
			if e := s.Estimate; e != nil && e.IntermediateSpillBytes+e.IntermediateFillBytes > 0 {
				say("", "", "%.1f MiB go out and %.1f MiB come in again", float64(e.IntermediateSpillBytes)/(1<<20), float64(e.IntermediateFillBytes)/(1<<20))
			}
		},
	},
	{
		ID: "QC4007", Title: "the vector threads work, the matrix unit idles", Severity: Note,
		What: "A graph whose HVX threads are busy for more than half of the estimated time and whose HMX for less than 15 % (with --estimate).",
		Why:  "Nearly all of the DSP's multiply-adds are in the HMX. Element-wise operators, Slices, Resizes and activations run on HVX.",
		Fix:  "fuse element-wise operators into convolutions, use ReLU instead of Sigmoid and Mul, avoid data movement",
		look: func(s *Subject, say report) {
			if s.Estimate == nil || s.Estimate.Cycles == 0 {
				return
			}
			var w htpcost.Work
			for _, l := range s.Estimate.Layers {
				w.HVX += l.HVX
				w.HMX += l.HMX
			}
			vector, matrix := float64(w.HVX)/threads/float64(s.Estimate.Cycles), float64(w.HMX)/float64(s.Estimate.Cycles)
			if vector > vectorBusy && matrix < matrixIdle {
				say("", "", "HVX is busy for %.0f %% of the time, HMX for %.0f %%", 100*vector, 100*matrix)
			}
		},
	},
	{
		ID: "QC4008", Title: "16-bit activations cost more than they bring", Severity: Warning,
		What: "A run with an 8-bit and a 16-bit variant whose estimates differ by 30 % or more, although the 8-bit one's outputs are good already, or a tenth of its layers makes half of the noise.",
		Why:  "After its rewrite yolox_nano takes 2.5 times as long with 16 bits everywhere, 1.1 to 1.3 times with 16 bits in a few layers, by the compiler's estimate.",
		Fix:  "8 bits, with 16 bits only where the noise is born",
		look: func(s *Subject, say report) {
			if s.Run == nil {
				return
			}
			for i := range s.Run.Variants {
				wide := &s.Run.Variants[i]
				for k := range s.Run.Variants {
					narrow := &s.Run.Variants[k]
					if !wider(wide, narrow) || float64(wide.Time.Cycles) < dear*float64(narrow.Time.Cycles) {
						continue
					}
					times := float64(wide.Time.Cycles) / float64(narrow.Time.Cycles)
					if worst, ok := worstOutput(s.Run, narrow); ok && worst >= s.Run.Spec.DivergeUnder {
						say(wide.Spec.Name, "", "%.1f times as long as %s, whose outputs keep %.1f dB", times, narrow.Spec.Name, worst)
					} else if few, all, share := noisiest(narrow); all >= leastOfNoise && share >= muchOfNoise {
						say(wide.Spec.Name, "", "%.1f times as long as %s, where %d of %d layers make %.0f %% of the noise", times, narrow.Spec.Name, few, all, 100*share)
					}
				}
			}
		},
	},
}

func operators(e *htpcost.Estimate) []htpcost.Layer {
	return slices.DeleteFunc(slices.Clone(e.Layers), func(l htpcost.Layer) bool { return l.Kind != htpcost.Operator })
}

// wider says whether two variants are the same but for the bits of their activations, and both have an estimate.
func wider(wide, narrow *result.Variant) bool {
	return wide.Time != nil && narrow.Time != nil && narrow.Time.Cycles > 0 && wide.Spec.Kind == variant.Recipe && narrow.Spec.Kind == variant.Recipe &&
		wide.Spec.ActBits == 16 && narrow.Spec.ActBits == 8 && wide.Spec.WeightBits == narrow.Spec.WeightBits
}

// worstOutput is the least SQNR of the outputs; ok is false if one has none.
func worstOutput(run *result.Run, v *result.Variant) (worst float64, ok bool) {
	for k, l := range v.Layers {
		if !run.Layers[k].Output {
			continue
		}
		sqnr := l.Summary[metric.SQNR].Mean
		if !sqnr.OK {
			return 0, false
		}
		if !ok || sqnr.V < worst {
			worst, ok = sqnr.V, true
		}
	}
	return worst, ok
}

// noisiest is the share of the noise that the worst tenth of the layers makes.
func noisiest(v *result.Variant) (few, all int, share float64) {
	var list []float64
	for _, l := range v.Layers {
		if l.Local != nil {
			list = append(list, l.Local.Share)
		}
	}
	slices.SortFunc(list, func(a, b float64) int { return cmp.Compare(b, a) })
	few, all = int(fewLayers*float64(len(list))), len(list)
	for _, s := range list[:few] {
		share += s
	}
	return few, all, share
}
