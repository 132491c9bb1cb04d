package cure

import (
	"context"
	"math"
)

// refit gives T = (C + λ·d·W)·(S + λ·d·I)⁻¹, O×K, with d = tr(S)/K: the least of E(y − T·x̃)² + λ·d·|T − W|². It is W where the inputs say
// nothing.
func refit(ctx context.Context, st *statistics, weights []float32, lambda float64) []float64 {
	t := make([]float64, len(weights))
	for i, w := range weights {
		t[i] = float64(w)
	}
	pull := lambda * st.meanSquare
	if !(st.meanSquare > 0) {
		return t
	}
	f, ok := cholesky(ctx, st.s, st.k, pull)
	if !ok {
		return t
	}
	for o := range st.o {
		row := t[o*st.k : (o+1)*st.k]
		for i := range row {
			row[i] = st.c[o*st.k+i] + pull*row[i]
		}
		if ctx.Err() != nil {
			break
		}
		f.solve(row)
	}
	return t
}

// mostRows is how many channels of a group cross-validation looks at.
const mostRows = 64

// leastVarying is added, as a part of the mean variance of the channels, to the variance that a channel's loss is relative to: channels that give
// next to nothing do not decide.
const leastVarying = 0.01

// validate chooses λ: for each of Lambdas the weights are refitted without one fold, and lose what they get wrong on it, relative to the
// variance of the float output; mean over channels and folds.
func (l *Layer) validate(ctx context.Context) (float64, error) {
	folds := l.Groups[0].Moments.Folds()
	if folds < 2 || l.Groups[0].Moments.K > MostValidated {
		return Usual, nil
	}
	losses := make([][]float64, len(l.Groups))
	err := beside(ctx, len(l.Groups), func(k int) { losses[k] = l.Groups[k].lose(ctx, folds) })
	if err != nil {
		return 0, err
	}
	sum := make([]float64, len(Lambdas))
	for _, list := range losses {
		for i, v := range list {
			sum[i] += v
		}
	}
	best, least := Usual, math.Inf(1)
	for i, v := range sum { // NaN, of sums that overflow, is never the least
		if v < least {
			best, least = Lambdas[i], v
		}
	}
	return best, nil
}

// lose is the loss of each of Lambdas on the folds left out.
func (g *Group) lose(ctx context.Context, folds int) []float64 {
	losses := make([]float64, len(Lambdas))
	k, o := g.Moments.K, g.Moments.O
	step := (o + mostRows - 1) / mostRows
	var weights []float32
	for r := 0; r < o; r += step {
		weights = append(weights, g.Weights[r*k:(r+1)*k]...)
	}
	for fold := range folds {
		held := g.Moments.only(fold)
		if held.n == 0 {
			continue
		}
		st := g.Moments.but(fold, g.Bias != nil)
		if st.n == 0 {
			continue
		}
		st.thin(step)
		held.thin(step)
		varies := make([]float64, st.o)
		floor := 0.0
		for r := range varies {
			if varies[r] = held.v[r]; g.Bias != nil {
				varies[r] -= held.my[r] * held.my[r]
			}
			floor += leastVarying * max(varies[r], 0) / float64(st.o)
		}
		for i, lambda := range Lambdas {
			t := refit(ctx, &st, weights, lambda)
			for r := range st.o {
				if floor > 0 {
					losses[i] += st.lost(&held, t[r*k:(r+1)*k], r, g.Bias != nil) / (max(varies[r], 0) + floor)
				}
			}
		}
	}
	return losses
}

// thin keeps every step-th output.
func (st *statistics) thin(step int) {
	if step == 1 {
		return
	}
	n := 0
	for o := 0; o < st.o; o += step {
		st.my[n], st.v[n] = st.my[o], st.v[o]
		copy(st.c[n*st.k:(n+1)*st.k], st.c[o*st.k:(o+1)*st.k])
		n++
	}
	st.o = n
}

// lost is E(y − t·x̃ − b)² on the fold that was left out; b makes the means of the other folds equal.
func (st *statistics) lost(held *statistics, t []float64, o int, centred bool) float64 {
	k := st.k
	e := held.v[o] - 2*dot(t, held.c[o*k:(o+1)*k])
	for i := range k {
		e += t[i] * dot(held.s[i*k:(i+1)*k], t)
	}
	if centred {
		b := st.my[o] - dot(t, st.mx)
		e += b * (b - 2*(held.my[o]-dot(t, held.mx)))
	}
	return max(e, 0)
}
