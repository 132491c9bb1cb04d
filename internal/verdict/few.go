package verdict

import (
	"math"
	"slices"

	"quantcheck/internal/result"
)

// confident is the half width, in standard deviations, of an interval that holds the true share 95 times of 100.
const confident = 1.959964

// Interval gives the bounds between which the share of decisions that a variant keeps lies with 95 % confidence, after kept of number were
// (Wilson's score interval, which holds for few decisions and for shares near 0 and 1 too).
func Interval(kept, number float64) (low, high float64) {
	if number <= 0 {
		return 0, 1
	}
	p, z := min(max(kept/number, 0), 1), confident*confident
	centre := (p + z/(2*number)) / (1 + z/number)
	half := confident / (1 + z/number) * math.Sqrt(p*(1-p)/number+z/(4*number*number))
	return max(centre-half, 0), min(centre+half, 1)
}

// enough is how many decisions of which all are kept tell good from poor: their interval reaches down to fair.
const enough = 35

// doubt says how far decisions can be trusted: their interval, and whether they are too few to tell grades apart, which they are where the
// interval reaches over more than two grades. Kinds that are read pixel by pixel have no number.
func doubt(d *result.Decision) {
	if d.Number <= 0 || d.Of <= 0 {
		return
	}
	d.Low, d.High = Interval(d.Kept/d.Of*d.Number, d.Number)
	if d.Few = rank(d.Low, 1)-rank(d.High, 1) > 1; d.Few {
		d.Wanted = enough
	}
}

// same is from which share on all decisions are kept: weights are added up in two orders.
const same = 1 - 1e-9

// decided is the place among the borders of what decisions say. Of too few of them the worst part of their outputs is asked too: one that is
// dead lowers the grade as far as the interval reaches, noise by one grade at most, since detectors bear much of it. And where one
// is lost the variant is not good, whatever its weight: one of fewer than 35 is over 2 %, and on other pictures it may be a box that counts.
func decided(d *result.Decision, parts []result.OutputPart) int {
	k := rank(d.Kept, d.Of)
	if !d.Few {
		return k
	}
	least, worst := rank(d.Low, 1), k
	if d.Kept < same*d.Of {
		worst = max(k, 1)
	}
	for i := range parts {
		p := &parts[i]
		if !p.SQNR.Min.OK || !judges(d, p) {
			continue
		}
		s := min(signal(p), k+1)
		if p.Dead > lost {
			s = len(borders) - 1
		}
		worst = max(worst, min(s, least))
	}
	return worst
}

// judges says whether a part belongs to an output that decisions are read from.
func judges(d *result.Decision, p *result.OutputPart) bool { return slices.Contains(d.Layers, p.Layer) }
