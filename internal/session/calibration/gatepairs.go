package calibration

import (
	"slices"

	"quantcheck/internal/calib"
	"quantcheck/internal/onnx"
	"quantcheck/internal/runner"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
	"quantcheck/internal/workpool"
)

// gatePairs are the tensors whose values count by the gate that they are multiplied by: value → gate. None, if no calibrator
// looks at that.
type gatePairs map[string]string

func gatesOf(x *onnx.Index, wanted map[string]bool, variants []variant.Spec) gatePairs {
	list := gatePairs{}
	looks := func(v variant.Spec) bool {
		if v.Calibrator == variant.MSEOut {
			return true
		}
		for _, c := range v.Choices {
			if c.Calibrator == variant.MSEOut {
				return true
			}
		}
		return false
	}
	if !slices.ContainsFunc(variants, looks) {
		return list
	}
	for name := range wanted {
		if gate, ok := calib.Gate(x, name); ok {
			list[name] = gate
		}
	}
	return list
}

func (g gatePairs) needs(name string) bool {
	for _, gate := range g {
		if gate == name {
			return true
		}
	}
	return false
}

// pairing holds what came of one inference of a value and its gate until the other comes: the two may be in different batches.
type pairing struct {
	gates gatePairs
	held  map[string]tensor.Tensor
}

func (g gatePairs) begin() *pairing { return &pairing{gates: g, held: map[string]tensor.Tensor{}} }

// observe counts the pairs that a batch completes, and keeps copies of the halves.
func (p *pairing) observe(pool *workpool.Pool, stats *calib.Statistics, batch *runner.Batch) {
	if len(p.gates) == 0 {
		return
	}
	here := map[string]tensor.Tensor{}
	for _, tap := range batch.Taps {
		here[tap.Name] = tap.Tensor
	}
	find := func(name string) (t tensor.Tensor, now, ok bool) {
		if t, ok := here[name]; ok {
			return t, true, true
		}
		t, ok = p.held[name]
		return t, false, ok
	}
	for value, gate := range p.gates {
		v, vNow, haveV := find(value)
		g, gNow, haveG := find(gate)
		switch {
		case !vNow && !gNow: // nothing new
		case haveV && haveG:
			delete(p.held, value)
			batch.Retain()
			pool.Do(v.Bytes()+g.Bytes(), func() {
				defer batch.Release()
				stats.ObserveGated(value, v, g)
			})
		case haveV:
			p.held[value] = v.Clone()
		case haveG:
			p.held[gate] = g.Clone()
		}
	}
}
