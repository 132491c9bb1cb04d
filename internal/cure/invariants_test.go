package cure

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"quantcheck/internal/quant"
)

// world is an invented layer: weights, correlated inputs, and what the quantized model makes of them.
type world struct {
	k, o, n   int
	noise     float64 // of x̃ against x
	clip      float64 // x̃ is clipped there; 0: not
	diagonal  bool    // inputs do not correlate
	bits      int
	symmetric bool
	joint     bool
	fixed     bool // the layer has no bias that may change
	seed      uint64
}

func (w world) layer() *Layer {
	rng := rand.New(rand.NewPCG(w.seed, 7))
	mix := make([]float64, w.k*w.k)
	for i := range mix {
		mix[i] = rng.NormFloat64() / math.Sqrt(float64(w.k))
	}
	weights, bias := make([]float32, w.o*w.k), make([]float64, w.o)
	for i := range weights {
		weights[i] = float32(rng.NormFloat64() * math.Exp(rng.NormFloat64()/2))
	}
	const folds = 4
	m := NewMoments(w.k, w.o, folds)
	meanX, meanY := make([]float64, w.k), make([]float64, w.o)
	for o := range bias {
		bias[o] = rng.NormFloat64()
	}
	for p := range w.n {
		source := make([]float64, w.k)
		for i := range source {
			source[i] = rng.NormFloat64() + 0.5
		}
		x, given := make([]float64, w.k), make([]float32, w.k)
		for i := range x {
			if w.diagonal {
				x[i] = 0
				if p%w.k == i { // one input at a time
					x[i] = source[i]
				}
			} else {
				x[i] = 0.3*source[i] + dot(mix[i*w.k:(i+1)*w.k], source)
			}
			got := x[i] + w.noise*rng.NormFloat64()
			if w.clip > 0 {
				got = min(max(got, -w.clip), w.clip)
			}
			x[i], given[i] = float64(float32(x[i])), float32(got)
			if w.noise == 0 && w.clip == 0 {
				given[i] = float32(x[i])
			}
			meanX[i] += float64(given[i]) / float64(w.n)
		}
		y := make([]float32, w.o)
		for o := range y {
			v := 0.0
			for i := range x {
				v += float64(weights[o*w.k+i]) * x[i]
			}
			if !w.fixed {
				v += bias[o]
			}
			y[o] = float32(v)
			meanY[o] += float64(y[o]) / float64(w.n)
		}
		m.Add(p%folds, given, y)
	}
	l := &Layer{Bits: w.bits, Symmetric: w.symmetric, InputScale: 0.01, Groups: []Group{{Moments: m, Weights: weights, MeanX: meanX, MeanY: meanY, Bias: bias}}, Scales: [][]int{make([]int, w.o)}}
	g := &l.Groups[0]
	if w.fixed {
		g.Bias = nil
	}
	whole := quant.Range{}
	for o := range w.o {
		row := weights[o*w.k : (o+1)*w.k]
		if !w.joint {
			whole = quant.Range{}
			l.Scales[0][o] = o
		}
		whole.Add(float64(slices.Min(row)), float64(slices.Max(row)))
	}
	for o := range w.o {
		row := weights[o*w.k : (o+1)*w.k]
		r := whole
		if !w.joint {
			r = quant.Range{}
			r.Add(float64(slices.Min(row)), float64(slices.Max(row)))
		}
		e := quant.MinMax(r, w.bits, w.symmetric)
		q := Row{Q: make([]int32, w.k), Scale: float32(e.Scale), Offset: e.Offset}
		for i, v := range row {
			q.Q[i] = int32(e.Quantize(float64(v)) + e.Offset)
		}
		g.Recipe = append(g.Recipe, q)
	}
	return l
}

// worlds are layers of many kinds.
func worlds() map[string]world {
	list := map[string]world{}
	for _, bits := range []int{4, 8} {
		for _, k := range []int{1, 9, 40} {
			for _, kind := range []string{"per channel", "joint", "asymmetric", "without a bias"} {
				list[fmt.Sprintf("%d bits, %d inputs, %s", bits, k, kind)] = world{
					k: k, o: 6, n: 600, noise: 0.2, bits: bits, symmetric: kind != "asymmetric", joint: kind == "joint" || kind == "asymmetric", fixed: kind == "without a bias", seed: uint64(bits*100 + k),
				}
			}
		}
	}
	list["clipped inputs"] = world{k: 12, o: 5, n: 900, noise: 0.05, clip: 1, bits: 8, symmetric: true, seed: 5}
	return list
}

func solve(t testing.TB, l *Layer) *Cured {
	t.Helper()
	c, err := l.Solve(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Invariant 1: coordinate descent from two starts is not worse than the nearest integers at the same scale, and no pass raises the loss.
func TestRoundingIsNotWorseThanTheNearestIntegers(t *testing.T) {
	for name, w := range worlds() {
		l := w.layer()
		units, err := l.units(context.Background(), Usual)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range units {
			l.cure(context.Background(), u)
			got, nearest := 0.0, 0.0
			for _, r := range u.rows {
				got += r.loss(r.q, u.scale)
				nearest += r.loss(u.nearest(r, u.scale), u.scale)
			}
			if got > nearest*(1+1e-9)+1e-12 {
				t.Errorf("%s: a loss of %g, and of %g for the nearest integers", name, got, nearest)
			}
			q := [][]int32{}
			for _, r := range u.rows {
				q = append(q, u.nearest(r, u.scale))
			}
			start := 0.0
			for k, r := range u.rows {
				start += r.loss(q[k], u.scale)
			}
			_, _, end := u.descend(context.Background(), q, u.scale, 0)
			if end > start*(1+1e-9)+1e-12 {
				t.Errorf("%s: coordinate descent rises from %g to %g", name, start, end)
			}
		}
	}
}

// Invariant 2: where the quantized model gives what the float model has, the refit leaves the weights. Invariant 3: so does an endless pull.
func TestTheRefitLeavesWeightsThatAreRight(t *testing.T) {
	for name, w := range worlds() {
		same, far := w, w
		same.noise, same.clip = 0, 0
		for which, c := range map[string]struct {
			world
			lambdas []float64
		}{"equal inputs": {same, []float64{1e-3, 0.1, 3}}, "an endless pull": {far, []float64{1e9}}} {
			g := &c.layer().Groups[0]
			for _, lambda := range c.lambdas {
				st := g.Moments.but(-1, g.Bias != nil)
				for i, v := range refit(context.Background(), &st, g.Weights, lambda) {
					if math.Abs(v-float64(g.Weights[i])) > 2e-4 {
						t.Errorf("%s, %s, λ %g: weight %d is %g after the refit, %g before", name, which, lambda, i, v, g.Weights[i])
						break
					}
				}
			}
		}
	}
}

// Invariant 3: inputs that are scaled by a diagonal give weights that are scaled by its inverse, without a pull.
func TestTheRefitCommutesWithScaledInputs(t *testing.T) {
	w := world{k: 7, o: 3, n: 500, noise: 0.3, bits: 8, symmetric: true, seed: 3}
	g := &w.layer().Groups[0]
	st := g.Moments.but(-1, true)
	plain := refit(context.Background(), &st, g.Weights, 1e-12)
	scaled := st
	scaled.s, scaled.c = slices.Clone(st.s), slices.Clone(st.c)
	by := func(i int) float64 { return math.Pow(2, float64(i%5-2)) }
	for i := range w.k {
		for j := range w.k {
			scaled.s[i*w.k+j] *= by(i) * by(j)
		}
		for o := range w.o {
			scaled.c[o*w.k+i] *= by(i)
		}
	}
	for i, v := range refit(context.Background(), &scaled, g.Weights, 1e-12) {
		if want := plain[i] / by(i%w.k); math.Abs(v-want) > 1e-6*(1+math.Abs(want)) {
			t.Errorf("weight %d is %g, want %g", i, v, want)
		}
	}
}

// Invariant 4: without correlations nothing is better than the nearest integers; with few inputs a search over all neighbours is hardly.
func TestRoundingAgainstTheBestThereIs(t *testing.T) {
	w := world{k: 8, o: 5, n: 800, diagonal: true, bits: 4, symmetric: true, fixed: true, seed: 4}
	l := w.layer()
	units, err := l.units(context.Background(), Usual)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		l.cure(context.Background(), u)
		r := u.rows[0]
		for i, q := range u.sequential(r, u.scale) {
			if nearest := u.nearest(r, u.scale)[i]; q != nearest {
				t.Errorf("sequential rounding gives %d without correlations, the nearest is %d", q, nearest)
			}
		}
	}
	sum, sumBest := 0.0, 0.0
	for seed := range uint64(4) {
		l := world{k: 8, o: 3, n: 500, noise: 0.1, bits: 4, symmetric: true, seed: seed}.layer()
		units, err := l.units(context.Background(), Usual)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range units {
			l.cure(context.Background(), u)
			r := u.rows[0]
			best := math.Inf(1)
			for bits := range 1 << w.k {
				q := make([]int32, w.k)
				for i := range q {
					q[i] = u.clipped(math.Floor(r.t[i]/u.scale) + float64(bits>>i&1))
				}
				best = min(best, r.loss(q, u.scale))
			}
			got := r.loss(r.q, u.scale)
			sum, sumBest = sum+got, sumBest+best
			if got > 1.5*best {
				t.Errorf("seed %d: a loss of %g, the best of all neighbours is %g", seed, got, best)
			}
		}
	}
	if sum > 1.1*sumBest {
		t.Errorf("losses of %g together, the best of all neighbours are %g", sum, sumBest)
	}
}

// Invariants 5 and 7, and that nothing becomes worse: means agree, integers and biases are within their range.
func TestCuredLayersKeepTheirPromises(t *testing.T) {
	for name, w := range worlds() {
		l := w.layer()
		c := solve(t, l)
		g := &l.Groups[0]
		if c.After > c.Before*(1+1e-9) {
			t.Errorf("%s: the error rises from %g to %g", name, c.Before, c.After)
		}
		for o, r := range c.Rows[0] {
			lo, hi := int32(r.Offset), int32(r.Offset+quant.Levels(w.bits))
			if slices.Min(r.Q) < lo || slices.Max(r.Q) > hi || !(r.Scale > 0) {
				t.Errorf("%s: channel %d has integers %v of [%d, %d] and the scale %g", name, o, r.Q, lo, hi, r.Scale)
			}
			if w.fixed || &r.Q[0] == &g.Recipe[o].Q[0] {
				continue
			}
			y := c.Bias[0][o]
			for i := range r.Q {
				y += float64(r.Value(i)) * g.MeanX[i]
			}
			step := float64(r.Scale) * l.InputScale
			if math.Abs(y-g.MeanY[o]) > step/2+1e-6 || math.Abs(c.Bias[0][o]) > step*math.MaxInt32 {
				t.Errorf("%s: channel %d has the mean %g where float has %g, and the bias %g in steps of %g", name, o, y, g.MeanY[o], c.Bias[0][o], step)
			}
		}
	}
}

// Invariant 6: the refit lowers what it minimises.
func TestTheRefitLowersItsLoss(t *testing.T) {
	for name, w := range worlds() {
		g := &w.layer().Groups[0]
		st := g.Moments.but(-1, g.Bias != nil)
		loss := func(t []float64, o int) float64 {
			e := st.v[o] - 2*dot(t, st.c[o*w.k:(o+1)*w.k])
			for i := range t {
				e += t[i]*dot(st.s[i*w.k:(i+1)*w.k], t) + 0.1*st.meanSquare*(t[i]-float64(g.Weights[o*w.k+i]))*(t[i]-float64(g.Weights[o*w.k+i]))
			}
			return e
		}
		fitted := refit(context.Background(), &st, g.Weights, 0.1)
		for o := range w.o {
			float := make([]float64, w.k)
			for i := range float {
				float[i] = float64(g.Weights[o*w.k+i])
			}
			if a, b := loss(fitted[o*w.k:(o+1)*w.k], o), loss(float, o); a > b+1e-9 {
				t.Errorf("%s: channel %d loses %g after the refit, %g before", name, o, a, b)
			}
		}
	}
}

// Invariant 7: channels do not know of each other, and a layer is cured in one way only.
func TestChannelsInAnotherOrderGiveTheSame(t *testing.T) {
	w := world{k: 9, o: 6, n: 600, noise: 0.2, bits: 4, symmetric: true, seed: 9}
	l, again, turned := w.layer(), w.layer(), w.layer()
	l.Lambda, again.Lambda, turned.Lambda = Usual, Usual, Usual
	g := &turned.Groups[0]
	slices.Reverse(g.Recipe)
	slices.Reverse(g.Bias)
	slices.Reverse(g.MeanY)
	for f := range g.Moments.folds {
		s := &g.Moments.folds[f]
		slices.Reverse(s.y)
		slices.Reverse(s.yy)
		turn(s.yx, w.k)
	}
	turn(g.Weights, w.k)
	a, b, c := solve(t, l), solve(t, again), solve(t, turned)
	for o := range w.o {
		for which, other := range map[string]Row{"again": b.Rows[0][o], "reversed": c.Rows[0][w.o-1-o]} {
			if !slices.Equal(a.Rows[0][o].Q, other.Q) || a.Rows[0][o].Scale != other.Scale {
				t.Errorf("channel %d, %s: %v, %v", o, which, a.Rows[0][o], other)
			}
		}
	}
}

func turn[T any](list []T, k int) {
	slices.Reverse(list)
	for i := 0; i+k <= len(list); i += k {
		slices.Reverse(list[i : i+k])
	}
}

// Where nothing can be won nothing changes: no inputs vary, there are no positions, or the weights are on their grid and right.
func TestNothingToWinChangesNothing(t *testing.T) {
	onGrid := func() *Layer {
		l := world{k: 6, o: 4, n: 300, bits: 8, symmetric: true, seed: 11}.layer()
		g := &l.Groups[0]
		for o, r := range g.Recipe { // the float weights become those of the recipe, and the outputs follow
			for i := range r.Q {
				g.Weights[o*6+i] = r.Value(i)
			}
		}
		m := NewMoments(6, 4, 4)
		rng := rand.New(rand.NewPCG(1, 2))
		for o := range g.Bias {
			g.Bias[o] = 0
		}
		clear(g.MeanX)
		clear(g.MeanY)
		const n = 400
		for p := range n {
			x, y := make([]float32, 6), make([]float32, 4)
			for i := range x {
				x[i] = float32(rng.IntN(9) - 4)
				g.MeanX[i] += float64(x[i]) / n
			}
			for o := range y {
				for i := range x {
					y[o] += g.Weights[o*6+i] * x[i]
				}
				g.MeanY[o] += float64(y[o]) / n
			}
			m.Add(p%4, x, y)
		}
		g.Moments = m
		return l
	}
	constant := world{k: 5, o: 3, n: 200, bits: 4, symmetric: true, seed: 12}.layer()
	m := NewMoments(5, 3, 4)
	for p := range 200 {
		m.Add(p%4, []float32{1, 2, 3, 0, -1}, []float32{4, 5, 6})
	}
	g := &constant.Groups[0]
	g.Moments = m
	for o, r := range g.Recipe { // the recipe's means are right
		g.MeanX, g.MeanY[o] = []float64{1, 2, 3, 0, -1}, []float64{4, 5, 6}[o]
		g.Bias[o] = g.MeanY[o]
		for i := range r.Q {
			g.Bias[o] -= float64(r.Value(i)) * g.MeanX[i]
		}
	}
	unseen := world{k: 5, o: 3, bits: 4, symmetric: true, seed: 13}.layer()
	for name, l := range map[string]*Layer{"weights on their grid": onGrid(), "constant inputs": constant, "no positions": unseen} {
		c := solve(t, l)
		if c.Kept != l.Groups[0].Moments.O {
			t.Errorf("%s: %d of %d channels are kept", name, c.Kept, l.Groups[0].Moments.O)
		}
		for o, r := range c.Rows[0] {
			if !slices.Equal(r.Q, l.Groups[0].Recipe[o].Q) || c.Bias[0][o] != l.Groups[0].Bias[o] {
				t.Errorf("%s: channel %d changed", name, o)
			}
		}
	}
}

// What is cured helps: much at 4 bits with correlated inputs, and against clipped inputs.
func TestCuresHelp(t *testing.T) {
	for name, c := range map[string]struct {
		world
		factor float64 // by which the error falls at least
	}{
		"4 bits":         {world{k: 40, o: 8, n: 2000, noise: 0.02, bits: 4, symmetric: true, seed: 1}, 2},
		"clipped inputs": {world{k: 12, o: 8, n: 2000, clip: 1, bits: 8, symmetric: true, seed: 2}, 1.5},
	} {
		if got := solve(t, c.layer()); got.After*c.factor > got.Before {
			t.Errorf("%s: the error goes from %g to %g", name, got.Before, got.After)
		}
	}
}

// Values whose products overflow leave all as it is.
func TestSumsThatOverflowChangeNothing(t *testing.T) {
	l := world{k: 12, o: 3, n: 40, noise: 0.1, bits: 4, symmetric: true, seed: 14}.layer()
	m := NewMoments(12, 3, 4)
	for p := range 80 {
		x, y := make([]float32, 12), make([]float32, 3)
		for i := range x {
			x[i] = float32((p+i)%7 - 3)
		}
		for o := range y {
			y[o] = float32(p%3 - 1)
		}
		if p%4 == 0 { // one fold
			x[0], y[0] = math.MaxFloat32, math.MaxFloat32
			x[1] = -x[0]
		}
		m.Add(p%4, x, y)
	}
	g := &l.Groups[0]
	g.Moments = m
	for i := range g.MeanX {
		g.MeanX[i] = math.NaN()
	}
	c := solve(t, l)
	for o, r := range c.Rows[0] {
		if !slices.Equal(r.Q, g.Recipe[o].Q) || c.Bias[0][o] != g.Bias[o] {
			t.Errorf("channel %d changed: %v, %g", o, r, c.Bias[0][o])
		}
	}
}

func TestASolveEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := (world{k: 9, o: 6, n: 50, bits: 4, symmetric: true}).layer().Solve(ctx); err == nil {
		t.Error("it was solved")
	}
}
