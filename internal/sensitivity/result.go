package sensitivity

import (
	"cmp"
	"math"
	"slices"

	"quantcheck/internal/metric"
)

// Result is what one candidate does.
type Result struct {
	Candidate Candidate `json:"candidate"`
	// SQNR is 10·log10(Σx²/Σ(x−y)²) in dB over all outputs of all samples that it was run on, x the float model's values; infinite if
	// nothing changes.
	SQNR    metric.Value   `json:"sqnr"`
	Samples []metric.Value `json:"samples"`         // the same, sample by sample; a harmless one has the first alone
	Score   *float64       `json:"score,omitempty"` // the judge's; nil without one
	// Reason says why there is no result: the quantizer does not exist, or the outputs are not finite. "" if there is one.
	Reason string `json:"reason,omitempty"`
}

// Results are those of a run.
type Results struct {
	Base Result   // with the question Rest: everything quantized. With Alone: nothing, which is exact
	List []Result // in the order of the candidates
}

// Worst ranks for the question Alone: the most harmful first, by score if higher is better, else by SQNR. Candidates
// without a result come last; of equal ones the one that is earlier in the list is first.
func (r *Results) Worst() []Result {
	sorted := slices.Clone(r.List)
	slices.SortStableFunc(sorted, func(a, b Result) int {
		switch known, other := a.SQNR.OK, b.SQNR.OK; {
		case known && other && a.Score != nil && b.Score != nil && *a.Score != *b.Score:
			return cmp.Compare(*a.Score, *b.Score)
		case known && other:
			return cmp.Compare(a.SQNR.V, b.SQNR.V)
		case known != other && known:
			return -1
		case known != other:
			return 1
		}
		return 0
	})
	return sorted
}

// sums of a comparison.
type sums struct{ signal, noise float64 }

func (s *sums) add(o sums) { s.signal, s.noise = s.signal+o.signal, s.noise+o.noise }

func (s sums) sqnr() metric.Value {
	switch {
	case s.noise == 0 && s.signal == 0:
		return metric.Value{}
	case s.noise == 0:
		return metric.Defined(math.Inf(1))
	case s.signal == 0:
		return metric.Defined(math.Inf(-1))
	}
	return metric.Defined(10 * math.Log10(s.signal/s.noise))
}
