package checks

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/onnx"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// recipes calls f for every recipe of a run.
func recipes(s *Subject, f func(variant.Spec)) {
	if s.Run == nil {
		return
	}
	for _, v := range s.Run.Variants {
		if v.Spec.Kind == variant.Recipe {
			f(v.Spec)
		}
	}
}

// quantizer gives the settings of a DLC's quantizer; ok is false for a float DLC.
func quantizer(s *Subject) (map[string]string, bool) {
	if s.DLC == nil || s.DLC.Metadata.QuantizerCommand == "" {
		return nil, false
	}
	return dlc.Flags(s.DLC.Metadata.QuantizerCommand), true
}

func isTrue(v string) bool { return strings.EqualFold(strings.Trim(v, "[]"), "true") }

// weights calls f for every Conv, ConvTranspose and Gemm with constant weights: their values by output channel.
func weights(s *Subject, f func(node, name string, channels [][]float32)) {
	if s.Model == nil {
		return
	}
	x := onnx.NewIndex(s.Model)
	for _, n := range x.Nodes {
		axis := -1
		switch n.GetOpType() {
		case "Conv":
			axis = 0
		case "ConvTranspose":
			axis = 1
		case "Gemm":
			axis = 1 - int(onnx.AttrInt(n, "transB", 0))
		}
		if axis < 0 || len(n.GetInput()) < 2 || x.Initializer[n.GetInput()[1]] == nil {
			continue
		}
		w, err := s.Model.Tensor(x.Initializer[n.GetInput()[1]])
		if err != nil || w.DType != tensor.Float32 || axis >= len(w.Shape) || len(w.F32) == 0 {
			continue
		}
		inner := 1
		for _, d := range w.Shape[axis+1:] {
			inner *= int(d)
		}
		channels := make([][]float32, w.Shape[axis])
		for e, v := range w.F32 {
			c := e / inner % len(channels)
			channels[c] = append(channels[c], v)
		}
		f(n.GetName(), n.GetInput()[1], channels)
	}
}

func greatest(values []float32) float64 {
	g := 0.0
	for _, v := range values {
		g = math.Max(g, math.Abs(float64(v)))
	}
	return g
}

// deadBelow is the magnitude up to which a channel of a weight is dead: the greatest denormal number, or a trillionth of the weight's greatest
// value, which a float32 sum with the other channels' results does not see.
func deadBelow(channels [][]float32) float64 {
	most := 0.0
	for _, c := range channels {
		most = math.Max(most, greatest(c))
	}
	const normal = 0x1p-126 // the least float32 number with all its digits
	return math.Max(normal, most*1e-12)
}

// width is an encoding's range.
func width(e quant.Encoding) float64 { return e.Max - e.Min }

const (
	apart       = 16  // ranges that are joined
	spread      = 100 // ranges of a weight's channels
	outlierRoom = 0.1 // share of the range that holds nearly all values
)

var quantChecks = []Check{
	{
		ID: "QC2001", Title: "per-channel quantization is off", Severity: Warning,
		What: "A recipe per tensor, or a DLC whose quantizer ran without use_per_channel_quantization.",
		Why:  "Per-channel weights bring accuracy close to float and cost less than 1 FPS (finding 1): it should always be used.",
		Fix:  "--use_per_channel_quantization in snpe-dlc-quant, per-channel in the variant",
		look: func(s *Subject, say report) {
			recipes(s, func(v variant.Spec) {
				if !v.PerChannel && v.WeightBits != 16 {
					say(v.Name, "", "weights have one encoding per tensor")
				}
			})
			if flags, ok := quantizer(s); ok && !isTrue(flags["use_per_channel_quantization"]) && !isTrue(flags["axis_quant"]) {
				say("", "", "the quantizer ran without it")
			}
		},
	},
	{
		ID: "QC2002", Title: "tensors of very different ranges are joined", Severity: Warning,
		What: fmt.Sprintf("Concat whose inputs have ranges more than %d× apart under one encoding, as box and class outputs joined in a detection head.", apart),
		Why:  "The small one is left with a few steps: in yolox_nano scores share an encoding with box coordinates.",
		Fix:  "end the model before the Concat and join outside, or give the output 16 bits by an encoding override",
		look: func(s *Subject, say report) {
			seen := map[string]bool{}
			note := func(name string, ranges []float64) {
				least, most := math.Inf(1), 0.0
				for _, r := range ranges {
					if r > 0 {
						least, most = math.Min(least, r), math.Max(most, r)
					}
				}
				if most > apart*least && !seen[name] {
					seen[name] = true
					say("", name, "ranges from %.3g to %.3g, %.0f× apart", least, most, most/least)
				}
			}
			if s.Run != nil {
				for _, v := range s.Run.Variants {
					for _, l := range s.Run.Layers {
						if l.Op != "Concat" || v.Spec.Kind == variant.Half {
							continue
						}
						var ranges []float64
						for _, in := range l.Inputs {
							if e := v.Layers[in].Encoding; e != nil {
								ranges = append(ranges, width(*e))
							}
						}
						note(l.Name, ranges)
					}
				}
			}
			if s.DLC != nil {
				for g := range s.DLC.Graphs {
					for _, n := range s.DLC.Graphs[g].Nodes {
						if n.Type != "Concat" || len(n.Outputs) == 0 {
							continue
						}
						var ranges []float64
						for _, in := range n.Inputs {
							if t := s.DLC.Graphs[g].Tensor(in); t != nil && t.Encoding != nil {
								ranges = append(ranges, float64(t.Encoding.Max[0])-float64(t.Encoding.Min[0]))
							}
						}
						note(n.Outputs[0], ranges)
					}
				}
			}
		},
	},
	{
		ID: "QC2003", Title: "16-bit weights per channel", Severity: Warning,
		What: "W16A16 with per-channel weights.",
		Why:  "Known to degrade on RVC4: modelconverter's INT16_STANDARD leaves per-channel out.",
		Fix:  "w16a16,per-tensor, or w8a16",
		look: func(s *Subject, say report) {
			recipes(s, func(v variant.Spec) {
				if v.WeightBits == 16 && v.ActBits == 16 && v.PerChannel {
					say(v.Name, "", "16-bit weights with one encoding per channel")
				}
			})
			if flags, ok := quantizer(s); ok && strings.Trim(flags["weights_bitwidth"], "[]") == "16" && isTrue(flags["use_per_channel_quantization"]) {
				say("", "", "weights_bitwidth=16 with use_per_channel_quantization")
			}
		},
	},
	{
		ID: "QC2004", Title: "weights whose channels differ widely", Severity: Note,
		What: fmt.Sprintf("Ranges of output channels more than %d× apart in one weight.", spread),
		Why:  "With one encoding for the tensor the small channels are left with a step or two.",
		Fix:  "per-channel quantization; where that is not to be had, quantcheck optimize --pass equalize",
		look: func(s *Subject, say report) {
			weights(s, func(node, name string, channels [][]float32) {
				least, most := math.Inf(1), 0.0
				limit := deadBelow(channels)
				for _, c := range channels {
					if g := greatest(c); g > limit {
						least, most = math.Min(least, g), math.Max(most, g)
					}
				}
				if most > spread*least {
					say(node, name, "channel ranges from %.3g to %.3g, %.0f× apart", least, most, most/least)
				}
			})
		},
	},
	{
		ID: "QC2005", Title: "dead channels", Severity: Note,
		What: "Output channels whose weights are all zero, or so small that they add nothing: denormal, or below a trillionth of the weight's greatest.",
		Why:  "They compute a constant, at the price of the others; after training with pruning they can be removed.",
		Fix:  "prune the channels",
		look: func(s *Subject, say report) {
			weights(s, func(node, name string, channels [][]float32) {
				dead, tiny, most := 0, 0, 0.0
				limit := deadBelow(channels)
				for _, c := range channels {
					switch g := greatest(c); {
					case g == 0:
						dead++
					case g <= limit:
						dead, tiny, most = dead+1, tiny+1, math.Max(most, g)
					}
				}
				if dead == 0 || dead == len(channels) {
					return
				}
				if tiny > 0 {
					say(node, name, "%d of %d channels; %d of them hold values up to %.2g, which count as zero", dead, len(channels), tiny, most)
				} else {
					say(node, name, "%d of %d channels", dead, len(channels))
				}
			})
		},
	},
	{
		ID: "QC2006", Title: "a range that outliers decide", Severity: Note,
		What: fmt.Sprintf("Activations of which 99.9 %% lie within %.0f %% of their encoding's range, on a run's first sample.", 100*outlierRoom),
		Why:  "Most steps of the encoding are spent on a few values.",
		Fix:  "another calibrator: percentile:99.99, enhanced or mse; or 16 bits for this tensor",
		look: func(s *Subject, say report) {
			if s.Run == nil {
				return
			}
			for _, v := range s.Run.Variants {
				for k, l := range v.Layers {
					if l.Histogram == nil || l.Encoding == nil || v.Spec.ActBits > 8 {
						continue
					}
					if used := crowded(l.Histogram.Float, l.Histogram.Max-l.Histogram.Min); used < outlierRoom*width(*l.Encoding) {
						say(v.Spec.Name, s.Run.Layers[k].Name, "99.9 %% of the values lie within %.1f %% of the range %.4g … %.4g", 100*used/width(*l.Encoding), l.Encoding.Min, l.Encoding.Max)
					}
				}
			}
		},
	},
}

// crowded is the width of the shortest run of bins with 99.9 % of the values.
func crowded(bins []int, width float64) float64 {
	total := 0
	for _, n := range bins {
		total += n
	}
	best := len(bins)
	sum, from := 0, 0
	for to, n := range bins {
		sum += n
		for sum-bins[from] >= total*999/1000 && from < to {
			sum -= bins[from]
			from++
		}
		if sum >= total*999/1000 {
			best = min(best, to-from+1)
		}
	}
	if len(bins) == 0 {
		return width
	}
	return width * float64(best) / float64(len(bins))
}

var deviceChecks = []Check{
	{
		ID: "QC4002", Title: "operator that the HTP refuses", Severity: Warning,
		What: "Operators that the emulator's libraries do not take, in the quantized forms (w8a8, and those of --variant) and in the float model, asked of them when they are installed.",
		Why:  "They run on the CPU, or the conversion fails.",
		Fix:  "replace the operator, or cut the model before it",
		look: func(s *Subject, say report) {
			for _, r := range s.Refused {
				evidence := fmt.Sprintf("%s, as %s: %s", r.Op, strings.Join(r.Forms, " and "), r.Reason)
				if pass := rewrite.Helps(r.Op); pass != "" {
					evidence += fmt.Sprintf("; quantcheck optimize --pass %s puts an operator in its place that is taken", pass)
				}
				say(r.Node, "", "%s", evidence)
			}
		},
		passFor: func(s *Subject, node string) string {
			for _, r := range s.Refused {
				if r.Node == node {
					return rewrite.Helps(r.Op)
				}
			}
			return ""
		},
	},
	{
		ID: "QC4003", Title: "slow operators in a half-precision model", Severity: Note,
		What: "Concat, Mul, Sub and Div in a model that is to run in fp16.",
		Why:  "They are about twice as slow as quantized ones (finding 5).",
		Fix:  "quantize the model, or those parts of it",
		look: func(s *Subject, say report) {
			slow := []string{"Concat", "Mul", "Sub", "Div"}
			if s.Run != nil && slices.ContainsFunc(s.Run.Variants, func(v result.Variant) bool { return v.Spec.Kind == variant.Half }) {
				n := 0
				for _, l := range s.Run.Layers {
					if slices.Contains(slow, l.Op) {
						n++
					}
				}
				if n > 0 {
					say("fp16", "", "%d of %d layers are Concat, Mul, Sub or Div", n, len(s.Run.Layers))
				}
			}
			if s.DLC != nil && strings.Trim(dlc.Flags(s.DLC.Metadata.ConverterCommand)["float_bitwidth"], "[]") == "16" {
				say("", "", "the DLC was converted with float_bitwidth=16")
			}
		},
	},
	{
		ID: "QC4004", Title: "int8 products saturate on this CPU", Severity: Note,
		What: "An x86 processor without VNNI, where 8-bit products are summed in 16 bits.",
		Why:  "A QDQ model that ONNX Runtime fuses gives other numbers here than elsewhere. quantcheck's own simulation is in float and not affected.",
		Fix:  "session.x64quantprecision=1, or the graph optimisation off, wherever the model is run outside of quantcheck",
		look: func(s *Subject, say report) {
			if s.Int8Saturates {
				say("", "", "this processor has no VNNI")
			}
		},
	},
}
