package cause

import (
	"fmt"
	"math"
	"strings"

	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/variant"
	"quantcheck/internal/verdict"
)

// ownNoise is which part of a part's noise the output's encoding must make, so that the error does not come from further up.
const ownNoise = 0.5

var unlikeRanges = Cause{
	Kind: "unlike-ranges", Title: "parts of unlike range share one encoding", Evidence: "a part of an output has under 64 steps of its encoding beside a part of 8 times its range, and rounding to these steps makes most of its error",
	Remedy: "the pass split-output, which gives each part its own encoding; 16 bits for the output",
	find: func(f *Facts) []result.Cause {
		if !f.loses() {
			return nil
		}
		parts := f.Variant.Verdict.Parts
		for i := range parts {
			p := &parts[i]
			if !p.Steps.OK || p.Steps.V >= 64 || !p.SQNR.Min.OK || p.SQNR.Min.V >= 30 {
				continue
			}
			for k := range parts {
				q := &parts[k]
				if q.Layer != p.Layer || extent(q) < 8*extent(p) || !q.SQNR.Min.OK {
					continue
				}
				c := result.Cause{Layers: []int{p.Layer}, Confidence: 0.92,
					Evidence: fmt.Sprintf("%s holds %s of %.3g…%.3g and %s of %.3g…%.3g under one encoding: the smaller has %.2g of its steps%s", f.Run.Layers[p.Layer].Name, partName(q), q.Min, q.Max, partName(p), p.Min, p.Max, p.Steps.V, byRounding(p)),
					Fix:      result.Fix{Text: "split the output before its Concat, so that each part has its own encoding", Passes: []string{rewrite.SplitOutput}, Command: f.rewritten(rewrite.SplitOutput)}}
				if p.Rounding.OK && p.Rounding.V < ownNoise { // most of the error comes from further up
					c.Confidence = 0.38
				}
				if p.Source == "" { // there is no Concat to be split
					c.Fix = result.Fix{Text: "scale the channels to like ranges in the model, or put them out apart"}
					if w := wider(f); w != "" {
						c.Fix = result.Fix{Text: "give the output 16 bits", Variant: w}
					}
				}
				return []result.Cause{c}
			}
		}
		return nil
	},
}

// byRounding says how much of a part's noise its few steps make.
func byRounding(p *result.OutputPart) string {
	if !p.Rounding.OK {
		return ""
	}
	return fmt.Sprintf(", which make %.0f %% of its noise", 100*min(p.Rounding.V, 1))
}

func extent(p *result.OutputPart) float64 { return max(math.Abs(p.Min), math.Abs(p.Max)) }

func partName(p *result.OutputPart) string {
	name := p.Source
	if p.Channels != nil {
		name = strings.TrimSpace(fmt.Sprintf("channels %s %s", verdict.Channels(p.Channels), name))
	}
	return name
}

var narrowCalibration = Cause{
	Kind: "narrow-calibration", Title: "samples leave the calibrated ranges", Evidence: "more than 1 % of an input's values, or of the values of the layer that is clipped most, lie outside of the encoding",
	Remedy: "calibrate on samples like those that are compared",
	find: func(f *Facts) []result.Cause {
		if !f.loses() {
			return nil
		}
		fix := result.Fix{Text: "calibrate on samples like those that are compared (--calib)", Command: f.command("check", "--images", f.Run.Spec.Images, "--calib", "SAMPLES_LIKE_THEM")}
		if f.recipe() {
			fix.Variant = f.Variant.Spec.Text()
		}
		for _, c := range f.Variant.InputChecks {
			if c.Leaves() {
				return []result.Cause{{Tensors: []string{c.Input}, Confidence: 0.95, Fix: fix,
					Evidence: fmt.Sprintf("%.0f %% of the values of the %s lie outside of its calibrated range, most on %s (%.0f %%)", 100*c.Clipped.Share, result.Named("input", c.Input), f.sample(c.Clipped.Worst), 100*c.Clipped.Most)}}
			}
		}
		// Percentile and MSE calibrators clip on purpose; nothing leaves ranges that were calibrated on the compared samples.
		if f.recipe() && (!wholeRange(f.Variant.Spec.Calibrator) || f.Run.Spec.Calib == "") {
			return nil
		}
		worst := -1
		for k := range f.Variant.Layers {
			switch f.Run.Layers[k].Op {
			case "Sigmoid", "Softmax", "Tanh", "HardSigmoid":
				continue // their ranges are the function's
			}
			if c := f.Variant.Layers[k].Clipped; c != nil && c.Share > 0.01 && (worst < 0 || c.Share > f.Variant.Layers[worst].Clipped.Share) {
				worst = k
			}
		}
		if worst < 0 {
			return nil
		}
		c := f.Variant.Layers[worst].Clipped
		return []result.Cause{{Layers: []int{worst}, Confidence: min(0.9, 0.5+c.Share), Fix: fix,
			Evidence: fmt.Sprintf("%.0f %% of the values of %s lie outside of its encoding, most on %s (%.0f %%)", 100*c.Share, f.Run.Layers[worst].Name, f.sample(c.Worst), 100*c.Most)}}
	},
}

func (f *Facts) sample(n int) string {
	if n < 0 || n >= len(f.Run.Samples) {
		return "a sample"
	}
	return f.Run.Samples[n].Name
}

var steepActivation = Cause{
	Kind: "steep-activation", Title: "resolution is lost before a steep activation", Evidence: "a Sigmoid, Softmax, Exp or Tanh has under 20 dB alone (25 dB if that is a tenth of the noise), where only its input is rounded coarsely, or falls 10 dB under what it makes alone; a step of its input's encoding is over 0.25",
	Remedy: "the calibrator mse-out, which minimises the error behind the activation; 16 bits for its input",
	find: func(f *Facts) []result.Cause {
		if !f.loses() {
			return nil
		}
		best, at, from, sure := 0.0, -1, -1, 0.0
		for k, l := range f.Run.Layers {
			switch l.Op {
			case "Sigmoid", "Softmax", "LogSoftmax", "Exp", "Tanh", "HardSigmoid":
			default:
				continue
			}
			r := &f.Variant.Layers[k]
			if !r.HasMetrics() || r.Local == nil || !sqnr(r.Summary).OK || !sqnr(r.Local.Full.Summary).OK || len(l.Inputs) != 1 {
				continue
			}
			in, e := f.encoded(l.Inputs[0])
			if e == nil || e.Scale < 0.25 || e.Bits > 8 {
				continue
			}
			alone, whole := sqnr(r.Local.Full.Summary).V, sqnr(r.Summary).V
			score, confidence := 0.0, 0.0
			switch own := r.Encoding; {
			case (alone < 20 || alone < 25 && r.Local.Share >= 0.1) && (own == nil || own.Max >= 0.5 || own.Min <= -0.5): // its own steps are fine, so that it is the input's that lose
				score, confidence = 100*r.Local.Share+25-alone, 0.76+0.14*min(r.Local.Share, 1)
			case whole < 20 && alone-whole > 10:
				score, confidence = (alone-whole)/100, 0.35
			}
			if score > best {
				best, at, from, sure = score, k, in, confidence
			}
		}
		if at < 0 {
			return nil
		}
		fix := result.Fix{Text: "give the activation's input 16 bits", Variant: wider(f)}
		if f.recipe() && f.Variant.Spec.Calibrator != variant.MSEOut {
			fix = result.Fix{Text: "let the calibrator look behind the activation, or give its input 16 bits", Variant: with(f, variant.MSEOut)}
		}
		e := f.Variant.Layers[from].Encoding
		text := fmt.Sprintf("%s (%s) has %.1f dB of SQNR: a step of its %s is %.2g", f.Run.Layers[at].Name, f.Run.Layers[at].Op, sqnr(f.Variant.Layers[at].Summary).V, result.Named("input", f.Run.Layers[from].Name), e.Scale)
		if sure > 0.5 {
			text += fmt.Sprintf("; computed alone, on float inputs that are rounded to it, it has %.1f dB", sqnr(f.Variant.Layers[at].Local.Full.Summary).V)
		}
		return []result.Cause{{Layers: []int{at, from}, Confidence: sure, Fix: fix, Evidence: text}}
	},
}

// encoded goes from a layer up over operators that only move values until one that has an encoding.
func (f *Facts) encoded(layer int) (int, *result.Coding) {
	for range 8 {
		if e := f.Variant.Layers[layer].Encoding; e != nil {
			return layer, e
		}
		switch f.Run.Layers[layer].Op {
		case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Slice":
		default:
			return layer, nil
		}
		if len(f.Run.Layers[layer].Inputs) != 1 {
			return layer, nil
		}
		layer = f.Run.Layers[layer].Inputs[0]
	}
	return layer, nil
}

var engineError = Cause{
	Kind: "engine-error", Title: "the engine computes an operator wrongly", Evidence: "computed alone, the emulation of a layer is 20 dB further from float than its simulation with the same encodings, or half precision is as far from float",
	Remedy: "another form of the operator; more bits do not help",
	find: func(f *Facts) []result.Cause {
		var list []result.Cause
		for _, e := range verdict.EngineErrors(f.Run, f.Variant) {
			text := fmt.Sprintf("the emulator computes %s (%s) wrongly", f.Run.Layers[e.Layer].Name, f.Run.Layers[e.Layer].Op)
			if e.Half >= 0 {
				text += ", in half precision too"
			}
			text += fmt.Sprintf(", which is not quantization: computed alone, on float inputs, it has %.1f dB", e.SQNR.V)
			if e.Simulation >= 0 {
				text += fmt.Sprintf(", in the simulation %s %.1f dB", f.Run.Variants[e.Simulation].Spec.Name, e.SimulationSQNR.V)
			}
			if e.Half >= 0 && &f.Run.Variants[e.Half] != f.Variant {
				text += fmt.Sprintf(", in %s %.1f dB", f.Run.Variants[e.Half].Spec.Name, e.HalfSQNR.V)
			}
			list = append(list, result.Cause{Layers: []int{e.Layer}, Confidence: 0.97, Evidence: text, Fix: result.Fix{Text: "replace the operator by others; more bits do not help"}})
		}
		return list[:min(len(list), 3)]
	},
}

var fewBits = Cause{
	Kind: "few-bits", Title: "activations, or weights, have too few steps", Evidence: "with only one of the two quantized, the worst output is 3 dB worse than with only the other",
	Remedy: "another calibrator, or wider activations or weights",
	find: func(f *Facts) []result.Cause {
		p := f.worst()
		if !f.loses() || !f.recipe() || p == nil || len(verdict.EngineErrors(f.Run, f.Variant)) > 0 {
			return nil
		}
		for _, w := range f.Variant.Whole {
			weights, acts := sqnr(w.WeightsOnly), sqnr(w.ActsOnly)
			if w.Layer != p.Layer || !weights.OK || !acts.OK {
				continue
			}
			s := f.Variant.Spec
			c := result.Cause{Layers: []int{p.Layer}, Confidence: 0.4}
			switch {
			case acts.V < weights.V-3 && s.ActBits == 8:
				c.Evidence = fmt.Sprintf("with only the activations quantized %s has %.1f dB of SQNR, with only the weights %.1f dB", f.Run.Layers[p.Layer].Name, acts.V, weights.V)
				c.Fix = result.Fix{Text: "give the activations 16 bits, or those that need them (quantcheck explore)", Variant: wider(f), Command: f.command("explore", "--images", f.Run.Spec.Images)}
				if wholeRange(s.Calibrator) {
					c.Fix = result.Fix{Text: "take another calibrator for the activations, or 16 bits where they are needed (quantcheck explore)", Variant: with(f, variant.MSE), Command: f.command("explore", "--images", f.Run.Spec.Images)}
				}
			case weights.V < acts.V-3:
				c.Evidence = fmt.Sprintf("with only the weights quantized %s has %.1f dB of SQNR, with only the activations %.1f dB", f.Run.Layers[p.Layer].Name, weights.V, acts.V)
				c.Fix = finer(f)
			default:
				return nil
			}
			return []result.Cause{c}
		}
		return nil
	},
}

// wholeRange says whether a calibrator takes all that it saw; the others clip on purpose.
func wholeRange(c variant.Calibrator) bool { return c == variant.TF || c == variant.Symmetric }

// wider is the variant's recipe with activations of 16 bits, "" if it has them or is no recipe.
func wider(f *Facts) string {
	if !f.recipe() || f.Variant.Spec.ActBits >= 16 {
		return ""
	}
	s := f.Variant.Spec
	s.ActBits = 16
	return s.Text()
}

// with is the variant's recipe with another calibrator.
func with(f *Facts, c variant.Calibrator) string {
	s := f.Variant.Spec
	s.Calibrator, s.Percentile = c, 0
	return s.Text()
}

// finer is what gives weights more steps that the variant's recipe has not got, what costs least first.
func finer(f *Facts) result.Fix {
	s := f.Variant.Spec
	fix := result.Fix{}
	switch {
	case !s.PerChannel:
		s.PerChannel, fix.Text = true, "give each channel of the weights its own encoding"
	case s.BiasBits < 32:
		s.BiasBits, fix.Text = 32, "give the biases 32 bits"
	case s.WeightBits < 8 && !s.Heal:
		s.Heal, fix.Text = true, "let the weights heal: they are fitted to what the float model gives"
	case wholeRange(s.Calibrator):
		s.Calibrator, fix.Text = variant.MSE, "take another calibrator for the weights"
	case s.WeightBits < 8:
		s.WeightBits, fix.Text = 8, "give the weights 8 bits"
	case s.WeightBits < 16 && s.ActBits == 16:
		s.WeightBits, fix.Text = 16, "give the weights 16 bits"
	default:
		return result.Fix{Text: "find the layers that need more bits", Command: f.command("explore", "--images", f.Run.Spec.Images)}
	}
	fix.Variant = s.Text()
	return fix
}
