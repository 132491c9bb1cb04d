// Package cure finds weights that make a quantized layer give what the float layer gives, for the inputs that the quantized model really has.
// It is arithmetic only: who runs the two models adds positions to Moments and calls Layer.Solve.
//
//  1. Moments sum, over positions, the inputs x̃ of the quantized layer and the outputs y of the float layer.
//  2. Refit: T minimises E(y − T·x̃)² + λ·d·|T − W|², with d = tr(S)/K: ridge least squares that is pulled towards the float weights W
//     (Frantar & Alistarh, Optimal Brain Compression, 2022; Li et al., GPTAQ, 2025). λ is chosen by cross-validation over folds.
//  3. Scale: of s = f·s₀ with f from 0.4 to 1, the one with the least (T − s·q)·S·(T − s·q)ᵀ for rounded q.
//  4. Rounding: in sequence with feedback (Frantar et al., GPTQ, 2022), then coordinate descent (Behdin et al., QuantEase, 2023) from there
//     and from the nearest integers; the better of the two is kept.
//  5. Bias: b' = E[y] − s·q·E[x̃] over all positions (Nagel et al., 2019), within 32 bits.
//
// A channel that does not become better keeps the weights, the scale and the bias of the recipe.
package cure

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"

	"quantcheck/internal/quant"
)

// Lambdas are the strengths of the pull towards the float weights that cross-validation tries. The usual one is taken where it cannot be done.
var Lambdas = []float64{0.01, 0.03, 0.1, 0.3, 1, 3}

// Usual is the λ without cross-validation.
const Usual = 0.1

// MostValidated is the number of inputs of a group above which λ is not cross-validated: its cost grows with the cube.
const MostValidated = 1536

// Row is one output channel of a quantized weight: weight = Scale·Q.
type Row struct {
	Q      []int32 // within [Offset, Offset + 2^bits − 1]
	Scale  float32
	Offset int
}

// Value is the weight at a place, as DequantizeLinear gives it.
func (r Row) Value(i int) float32 { return float32(r.Q[i]) * r.Scale }

// Group is what of a layer has inputs of its own: all of it, or one of the groups of a grouped Conv.
type Group struct {
	Moments *Moments
	Weights []float32 // float, O×K
	Recipe  []Row     // O: how the recipe quantizes them
	MeanX   []float64 // K: E[x̃] over all positions
	MeanY   []float64 // O: E[y] over all positions
	Bias    []float64 // O: that of the recipe; nil: the layer has none that may change, and y is without it
}

// Layer is a layer to be cured.
type Layer struct {
	Groups     []Group
	Bits       int
	Symmetric  bool
	Scales     [][]int // by group and output: the number of its scale, from 0; channels of one number share it
	InputScale float64 // of the layer's quantized input; 0: the bias is not rounded to integers of 32 bits
	Lambda     float64 // 0: by cross-validation
}

// Cured is what became of a layer.
type Cured struct {
	Rows   [][]Row     // by group and output
	Bias   [][]float64 // by group and output; nil for groups whose bias may not change
	Lambda float64
	Kept   int // channels that stay as the recipe has them
	// Before and After are ΣE(y − ŷ)²/ΣV[y] over channels on the sampled positions, with the recipe's weights and with the cured ones.
	Before, After float64
}

// row is one output channel at work.
type row struct {
	g       *Group
	st      *statistics
	feed    *feedback
	o       int
	w, t    []float64
	ts      []float64 // T·S
	tst     float64   // T·S·Tᵀ
	least   float64   // of the scale, so that the bias fits
	q       []int32
	recipe  Row
	changed bool
}

// unit are the channels that share a scale.
type unit struct {
	rows   []*row
	scale  float64
	lo, hi int // of q
}

// Solve finds the weights. It uses all processors; its result does not depend on their number.
func (l *Layer) Solve(ctx context.Context) (*Cured, error) {
	c := &Cured{Lambda: l.Lambda}
	if c.Lambda == 0 {
		var err error
		if c.Lambda, err = l.validate(ctx); err != nil {
			return nil, err
		}
	}
	units, err := l.units(ctx, c.Lambda)
	if err != nil {
		return nil, err
	}
	if err := beside(ctx, len(units), func(k int) { l.cure(ctx, units[k]) }); err != nil {
		return nil, err
	}
	c.take(l, units)
	return c, nil
}

// units refits all groups and divides their channels by shared scales.
func (l *Layer) units(ctx context.Context, lambda float64) ([]*unit, error) {
	parts := make([][]*row, len(l.Groups))
	err := beside(ctx, len(l.Groups), func(k int) {
		g := &l.Groups[k]
		st := g.Moments.but(-1, g.Bias != nil)
		t := refit(ctx, &st, g.Weights, lambda)
		feed := newFeedback(ctx, &st)
		for o := range st.o {
			r := &row{g: g, st: &st, feed: feed, o: o, recipe: g.Recipe[o], w: make([]float64, st.k), t: t[o*st.k : (o+1)*st.k], ts: make([]float64, st.k)}
			for i := range r.w {
				r.w[i] = float64(g.Weights[o*st.k+i])
			}
			for i := range r.ts {
				r.ts[i] = dot(st.s[i*st.k:(i+1)*st.k], r.t)
			}
			r.tst = dot(r.ts, r.t)
			if g.Bias != nil && l.InputScale > 0 {
				r.least = math.Abs(g.Bias[o]) / mostBias / l.InputScale
			}
			parts[k] = append(parts[k], r)
		}
	})
	if err != nil {
		return nil, err
	}
	var units []*unit
	for k, rows := range parts {
		for o, r := range rows {
			for l.Scales[k][o] >= len(units) {
				units = append(units, &unit{})
			}
			u := units[l.Scales[k][o]]
			u.rows = append(u.rows, r)
		}
	}
	return units, nil
}

// mostBias is the largest integer of a bias, with room for its rounding.
const mostBias = math.MaxInt32 - 256

// mostWidenings is how often a scale is widened for its bias; what does not fit then is clipped by who writes the bias, and counted there.
const mostWidenings = 8

// leastGain is what a channel must gain to change, relative to the mean square of its output: less is rounding of single precision.
const leastGain = 3e-7

// cure finds the scale and the integers of a unit, and keeps the recipe's where they are not better.
func (l *Layer) cure(ctx context.Context, u *unit) {
	r := quant.Range{}
	least := 0.0
	for _, row := range u.rows {
		if len(row.t) > 0 {
			r.Add(slices.Min(row.t), slices.Max(row.t))
		}
		least = max(least, row.least)
	}
	e := quant.MinMax(r, l.Bits, l.Symmetric)
	u.lo, u.hi = e.Offset, e.Offset+quant.Levels(l.Bits)
	scale := e.Scale
	for range mostWidenings { // the scale is widened until the bias that follows from it fits
		if u.fit(ctx, scale, least); ctx.Err() != nil {
			return
		}
		wanted := l.leastScale(u)
		if wanted <= u.scale {
			break
		}
		least, scale = wanted*1.001, max(scale, wanted)
	}
	before, after, power := 0.0, 0.0, 0.0
	for _, row := range u.rows {
		before += row.error(row.recipe, true)
		after += row.error(Row{Q: row.q, Scale: float32(u.scale)}, false)
		power += row.st.v[row.o] + row.st.my[row.o]*row.st.my[row.o]
	}
	if after < before-leastGain*power && u.rows[0].st.n > 0 {
		for _, row := range u.rows {
			row.changed = true
		}
	}
}

// leastScale is the scale that the biases of a unit need.
func (l *Layer) leastScale(u *unit) float64 {
	least := 0.0
	for _, r := range u.rows {
		if r.g.Bias != nil && l.InputScale > 0 {
			least = max(least, math.Abs(r.bias(Row{Q: r.q, Scale: float32(u.scale)}))/mostBias/l.InputScale)
		}
	}
	return least
}

// bias is the one that makes the mean of the quantized layer that of the float layer.
func (r *row) bias(w Row) float64 {
	b := r.g.MeanY[r.o]
	for i := range w.Q {
		b -= float64(w.Value(i)) * r.g.MeanX[i]
	}
	return b
}

// error is E(y − w·x̃ − b)² on the sampled positions; b is the recipe's bias if fixed, else the best one.
func (r *row) error(w Row, fixed bool) float64 {
	k := r.st.k
	v := make([]float64, k)
	for i := range v {
		v[i] = float64(w.Value(i))
	}
	e := r.st.v[r.o] - 2*dot(v, r.st.c[r.o*k:(r.o+1)*k])
	for i := range k {
		if v[i] != 0 {
			e += v[i] * dot(r.st.s[i*k:(i+1)*k], v)
		}
	}
	e = max(e, 0)
	if r.g.Bias != nil && fixed {
		shift := r.st.my[r.o] - dot(v, r.st.mx) - r.g.Bias[r.o]
		e += shift * shift
	}
	return e
}

// take writes the rows, biases and errors down.
func (c *Cured) take(l *Layer, units []*unit) {
	at := map[*Group]int{}
	for k := range l.Groups {
		g := &l.Groups[k]
		at[g] = k
		c.Rows = append(c.Rows, make([]Row, g.Moments.O))
		c.Bias = append(c.Bias, nil)
		if g.Bias != nil {
			c.Bias[k] = slices.Clone(g.Bias)
		}
	}
	n := 0.0
	for _, u := range units {
		for _, r := range u.rows {
			k := at[r.g]
			made := r.recipe
			if r.changed {
				made = Row{Q: r.q, Scale: float32(u.scale), Offset: u.lo}
				if c.Bias[k] != nil {
					c.Bias[k][r.o] = r.bias(made)
				}
			} else {
				c.Kept++
			}
			c.Rows[k][r.o] = made
			c.Before, c.After, n = c.Before+r.error(r.recipe, true), c.After+r.error(made, !r.changed), n+r.st.v[r.o]
		}
	}
	if n > 0 {
		c.Before, c.After = c.Before/n, c.After/n
	}
}

// beside calls f for the numbers below n on all processors, until ctx ends.
func beside(ctx context.Context, n int, f func(k int)) error {
	next := make(chan int)
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		all.Go(func() {
			for k := range next {
				f(k)
			}
		})
	}
	for k := range n {
		if ctx.Err() != nil {
			break
		}
		next <- k
	}
	close(next)
	all.Wait()
	return ctx.Err()
}
