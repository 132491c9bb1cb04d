package verdict

import (
	"math"

	"quantcheck/internal/metric"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/resume"
)

// unlike is by how much the ranges of channels differ that are judged apart.
const unlike = 8

// cell sums up what one sample has in a cell of an output.
type cell struct {
	n                  int
	xx, xy, yy, dd     float64
	rr                 float64 // of the noise that the output's encoding alone makes
	minX, maxX         float64
	minY, maxY         float64
	clipped, notFinite int
}

// measure sums up one sample of an output: x of the float model, y of the variant. A value that is not finite is counted and left out.
func (l *layout) measure(x, y []float32, e *quant.Encoding) []cell {
	cells := make([]cell, l.cells())
	for k := range cells {
		cells[k].minX, cells[k].minY = math.Inf(1), math.Inf(1)
		cells[k].maxX, cells[k].maxY = math.Inf(-1), math.Inf(-1)
	}
	low, high := math.Inf(-1), math.Inf(1)
	if e != nil {
		low, high = e.Min-e.Scale/2, e.Max+e.Scale/2
	}
	for i := range x {
		k := i / l.inner % l.channels
		if l.of != nil {
			k += int(l.of[i]) * l.channels
		}
		c, a, b := &cells[k], float64(x[i]), float64(y[i])
		c.n++
		d := a - b
		if d-d != 0 {
			c.notFinite++
			continue
		}
		c.xx, c.xy, c.yy, c.dd = c.xx+a*a, c.xy+a*b, c.yy+b*b, c.dd+d*d
		c.minX, c.maxX = min(c.minX, a), max(c.maxX, a)
		c.minY, c.maxY = min(c.minY, b), max(c.maxY, b)
		if a < low || a > high {
			c.clipped++
		}
		if e != nil && e.Scale > 0 {
			r := a - e.Fake(a)
			c.rr += r * r
		}
	}
	return cells
}

func (c *cell) add(o *cell) {
	c.n, c.clipped, c.notFinite = c.n+o.n, c.clipped+o.clipped, c.notFinite+o.notFinite
	c.xx, c.xy, c.yy, c.dd = c.xx+o.xx, c.xy+o.xy, c.yy+o.yy, c.dd+o.dd
	c.rr += o.rr
	c.minX, c.maxX = min(c.minX, o.minX), max(c.maxX, o.maxX)
	c.minY, c.maxY = min(c.minY, o.minY), max(c.maxY, o.maxY)
}

func empty() cell {
	return cell{minX: math.Inf(1), maxX: math.Inf(-1), minY: math.Inf(1), maxY: math.Inf(-1)}
}

// values are the metrics of a part on one sample; nil where the float model has no signal there. The noise is held against the signal of
// the sample, or against the mean of all samples (power) where that is larger: a value that happens to be near 0 in one sample is not lost.
func (c *cell) values(power float64) *metric.Values {
	if c.n == c.notFinite || c.xx == 0 {
		return nil
	}
	var v metric.Values
	v[metric.SQNR] = metric.Defined(math.Inf(1))
	if c.dd > 0 {
		v[metric.SQNR] = metric.Defined(10 * math.Log10(max(c.xx, power)/c.dd))
	}
	v[metric.CosSim] = metric.Defined(0)
	if c.yy > 0 {
		v[metric.CosSim] = metric.Defined(min(max(c.xy/math.Sqrt(c.xx*c.yy), -1), 1))
	}
	return &v
}

// code writes a cell, or reads it back.
func (c *cell) code(x *resume.Coder) {
	x.Int(&c.n)
	x.Int(&c.clipped)
	x.Int(&c.notFinite)
	for _, v := range []*float64{&c.xx, &c.xy, &c.yy, &c.dd, &c.rr, &c.minX, &c.maxX, &c.minY, &c.maxY} {
		x.Float64(v)
	}
}

// silent is the part of an output's greatest value below which a channel says nothing: scores of places that a mask shuts are e^−30, and float's
// own rounding of its neighbours is greater.
const silent = 1e-6

// silence takes channels for 0 that say nothing beside the others.
func silence(ranges []float64) {
	greatest := 0.0
	for _, r := range ranges {
		greatest = max(greatest, r)
	}
	for c, r := range ranges {
		if r < silent*greatest {
			ranges[c] = 0
		}
	}
}

// parts divides what was measured of an output into parts, and says of each how far it is from float. samples holds the cells of each
// sample, nil where there is no value.
func (l *layout) parts(layer int, samples [][]cell, e *quant.Encoding) []result.OutputPart {
	whole := make([]cell, l.cells())
	for k := range whole {
		whole[k] = empty()
	}
	measured := 0
	for _, s := range samples {
		for k := range s {
			whole[k].add(&s[k])
		}
		if s != nil {
			measured++
		}
	}
	if measured == 0 {
		return nil
	}
	var list []result.OutputPart
	for s, source := range l.sources {
		ranges := make([]float64, l.channels)
		there := 0
		for c := range ranges {
			if w := &whole[s*l.channels+c]; w.n > w.notFinite {
				there++
				ranges[c] = max(math.Abs(w.minX), math.Abs(w.maxX))
			}
		}
		silence(ranges)
		for _, channels := range groups(ranges, unlike) {
			p := result.OutputPart{Layer: layer, Source: source}
			if len(channels) < l.channels {
				p.Channels = channels
			}
			sum, dead, size := empty(), 0, 0
			for _, c := range channels {
				w := &whole[s*l.channels+c]
				sum.add(w)
				if size += w.n; w.minY == w.maxY && w.minX < w.maxX {
					dead += w.n
				}
			}
			p.Elements, p.Min, p.Max, p.Dead = size/measured, sum.minX, sum.maxX, float64(dead)/float64(max(size, 1))
			if e != nil && e.Scale > 0 {
				if sum.dd > 0 {
					p.Rounding = metric.Defined(sum.rr / sum.dd)
				}
				p.Steps = metric.Defined((sum.maxX - sum.minX) / e.Scale)
				p.Clipped = metric.Defined(float64(sum.clipped) / float64(max(sum.n, 1)))
			}
			by := make([]*metric.Values, len(samples))
			for i, cells := range samples {
				if cells == nil {
					continue
				}
				one := empty()
				for _, c := range channels {
					one.add(&cells[s*l.channels+c])
				}
				by[i] = one.values(sum.xx / float64(measured))
			}
			summary := metric.Summarize(by)
			p.SQNR, p.Cos, p.Average = summary[metric.SQNR], summary[metric.CosSim], metric.PowerAverage(by, metric.SQNR)
			list = append(list, p)
		}
	}
	return list
}
