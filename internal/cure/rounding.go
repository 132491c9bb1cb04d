package cure

import (
	"context"
	"math"
	"slices"
)

// Figures of the search for scale and integers.
const (
	scaleSteps   = 16   // scales that are tried
	leastScale   = 0.4  // of the one that holds the whole range
	gptqDamping  = 0.01 // of the mean square, on the diagonal
	mostPasses   = 6    // of coordinate descent
	leastPassing = 3e-3 // relative gain of a pass after which another one is made
	mostRestarts = 3    // from the nearest integers of the scale that was found
	mostPaired   = 32   // inputs of a channel of which two are moved at once, too
)

// feedback is what sequential rounding needs of a group: inputs by falling S_jj, and the upper triangle R of S + damping = R·Rᵀ in that
// order, by columns.
type feedback struct {
	order   []int
	columns []float64 // columns[k·K+i] = R_ik for i ≤ k
}

// newFeedback factors S; nil where there is nothing to factor.
func newFeedback(ctx context.Context, st *statistics) *feedback {
	k := st.k
	if !(st.meanSquare > 0) {
		return nil
	}
	f := &feedback{order: make([]int, k), columns: make([]float64, k*k)}
	for i := range f.order {
		f.order[i] = i
	}
	slices.SortStableFunc(f.order, func(a, b int) int {
		switch x, y := st.s[a*k+a], st.s[b*k+b]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	turned := make([]float64, k*k) // S with both axes in the reverse order: its lower triangle, reversed again, is the upper one
	for i := range k {
		for j := range k {
			turned[i*k+j] = st.s[f.order[k-1-i]*k+f.order[k-1-j]]
		}
	}
	l, ok := cholesky(ctx, turned, k, gptqDamping*st.meanSquare)
	if !ok {
		return nil
	}
	for c := range k {
		for i := range c + 1 {
			f.columns[c*k+i] = l.l[(k-1-i)*k+k-1-c]
		}
	}
	return f
}

// clipped rounds half to even and clips.
func (u *unit) clipped(v float64) int32 {
	return int32(min(max(math.RoundToEven(v), float64(u.lo)), float64(u.hi)))
}

// nearest rounds a row to the nearest integers.
func (u *unit) nearest(r *row, scale float64) []int32 {
	q := make([]int32, len(r.t))
	for i, v := range r.t {
		q[i] = u.clipped(v / scale)
	}
	return q
}

// sequential rounds one input after the other; each takes up what the ones before it have got wrong, so that |(T − s·q)·R|² is least if no
// later one had to be rounded. It is GPTQ, written without the inverse.
func (u *unit) sequential(r *row, scale float64) []int32 {
	k := len(r.t)
	q := make([]int32, k)
	wrong := make([]float64, k)
	for c, i := range r.feed.order {
		column := r.feed.columns[c*k : c*k+k]
		v := r.t[i] + dot(wrong[:c], column[:c])/column[c]
		q[i] = u.clipped(v / scale)
		wrong[c] = r.t[i] - scale*float64(q[i])
	}
	return q
}

// loss is (T − s·q)·S·(T − s·q)ᵀ.
func (r *row) loss(q []int32, scale float64) float64 {
	k := len(r.t)
	e := make([]float64, k)
	for i := range e {
		e[i] = r.t[i] - scale*float64(q[i])
	}
	sum := 0.0
	for i := range k {
		sum += e[i] * dot(r.st.s[i*k:(i+1)*k], e)
	}
	return sum
}

// each calls f for all rows of a unit: on all processors, if there are several.
func (u *unit) each(ctx context.Context, f func(k int, r *row)) {
	if len(u.rows) == 1 {
		f(0, u.rows[0])
		return
	}
	_ = beside(ctx, len(u.rows), func(k int) { f(k, u.rows[k]) }) // who calls looks at ctx
}

// rounds rounds all rows, and gives the sum of their losses.
func (u *unit) rounds(ctx context.Context, scale float64, round func(r *row, scale float64) []int32) (q [][]int32, loss float64) {
	q = make([][]int32, len(u.rows))
	losses := make([]float64, len(u.rows))
	u.each(ctx, func(k int, r *row) {
		q[k] = round(r, scale)
		losses[k] = r.loss(q[k], scale)
	})
	for _, v := range losses {
		loss += v
	}
	return q, loss
}

// fit finds scale and integers of a unit: the scale within the one that holds the whole range, and at least least.
func (u *unit) fit(ctx context.Context, whole, least float64) {
	start, lowest := single(max(whole, least)), math.Inf(1)
	for step := range scaleSteps {
		f := leastScale + (1-leastScale)*float64(step)/(scaleSteps-1)
		scale := single(max(f*whole, least))
		if _, loss := u.rounds(ctx, scale, u.nearest); loss < lowest || loss == lowest && scale > start {
			lowest, start = loss, scale
		}
	}
	nearest, _ := u.rounds(ctx, start, u.nearest)
	best, scale, loss := u.descend(ctx, nearest, start, least)
	if !slices.ContainsFunc(u.rows, func(r *row) bool { return r.feed == nil }) {
		second, _ := u.rounds(ctx, start, u.sequential)
		if q, s, lost := u.descend(ctx, second, start, least); lost < loss {
			best, scale, loss = q, s, lost
		}
	}
	for range mostRestarts { // the scale has moved: the nearest integers may be better now
		again, lost := u.rounds(ctx, scale, u.nearest)
		if !(lost < loss) || ctx.Err() != nil {
			break
		}
		best, scale, loss = u.descend(ctx, again, scale, least)
	}
	u.scale = scale
	for k, r := range u.rows {
		r.q = best[k]
	}
}

// single is a scale in single precision, as files have it.
func single(scale float64) float64 { return float64(max(float32(scale), math.SmallestNonzeroFloat32)) }
