package verdict

import (
	"math"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// A layer that the emulator computes alone with less than computedWrong, and by muchBetter less than the same encodings give in the
// simulation, is computed wrongly: the two differ by a step here and there where the emulator is right.
const (
	computedWrong = 20 // dB
	muchBetter    = 20 // dB
)

// The range in which half precision resolves values well: its least normal number and its greatest one.
const (
	halfLeast    = 0x1p-14
	halfGreatest = 65504
)

// EngineErrors finds the layers of an emulated variant that the emulator computes wrongly, whatever the precision. It looks at layers
// alone, on float inputs, so that nothing is inherited. Evidence is one of these: the simulation of the same variant computes the
// layer well; the emulator is as wrong in half precision, in which a layer whose values half precision holds loses next to nothing.
func EngineErrors(run *result.Run, v *result.Variant) []result.EngineError {
	if v.EngineErrors != nil {
		return v.EngineErrors
	}
	if v.Spec.Engine != variant.HTP && v.Counterpart < 0 {
		return nil
	}
	var list []result.EngineError
	for k := range v.Layers {
		alone := aloneSQNR(v, k)
		if !alone.OK || alone.V >= computedWrong || v.Layers[k].OnCPU {
			continue
		}
		e := result.EngineError{Layer: k, SQNR: alone, Simulation: -1, Half: -1}
		if c := v.Counterpart; c >= 0 && c < len(run.Variants) {
			if s := aloneSQNR(&run.Variants[c], k); s.OK {
				if s.V < alone.V+muchBetter {
					continue // the simulation has the error too
				}
				e.Simulation, e.SimulationSQNR = c, s
			}
		}
		for i := range run.Variants {
			o := &run.Variants[i]
			if s := aloneSQNR(o, k); o.Spec.Kind == variant.Half && o.Spec.Engine == variant.HTP && s.OK && s.V < computedWrong && e.Half < 0 && halfHolds(run, o, k) {
				e.Half, e.HalfSQNR = i, s
			}
		}
		if e.Simulation >= 0 || e.Half >= 0 {
			list = append(list, e)
		}
	}
	return list
}

// aloneSQNR is the SQNR of a layer computed alone, with all quantizers.
func aloneSQNR(v *result.Variant, layer int) metric.Value {
	if l := v.Layers[layer].Local; l != nil {
		return l.Full.Summary[metric.SQNR].Mean
	}
	return metric.Value{}
}

// halfHolds says whether the values of a layer and of the layers that it is computed from, as far as they are known, neither overflow in
// half precision nor vanish.
func halfHolds(run *result.Run, v *result.Variant, layer int) bool {
	for _, k := range append([]int{layer}, run.Layers[layer].Inputs...) {
		h := v.Layers[k].Histogram
		if h == nil {
			continue
		}
		if most := max(math.Abs(h.Min), math.Abs(h.Max)); most > halfGreatest || most < halfLeast {
			return false
		}
	}
	return true
}
