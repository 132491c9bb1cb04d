package cure

import (
	"context"
	"math"
	"slices"
)

// descent is the state of one channel in coordinate descent.
type descent struct {
	*row
	q       []int32
	g       []float64 // (s·q − T)·S
	qs, qtt float64   // q·S·qᵀ and T·S·qᵀ, after sums
}

// descend improves the integers of a unit one after the other, and the scale after each pass, until a pass brings little. The loss never
// rises. It changes q.
func (u *unit) descend(ctx context.Context, q [][]int32, scale, least float64) (better [][]int32, s, loss float64) {
	rows := make([]*descent, len(u.rows))
	losses := make([]float64, len(u.rows))
	u.each(ctx, func(k int, r *row) {
		rows[k] = &descent{row: r, q: q[k], g: make([]float64, len(r.t))}
		rows[k].restart(scale)
		losses[k] = rows[k].loss(scale)
	})
	if ctx.Err() != nil {
		return q, scale, math.Inf(1)
	}
	loss = sum(losses)
	for range mostPasses {
		before := loss
		moved := make([]bool, len(rows))
		u.each(ctx, func(k int, r *row) {
			moved[k] = rows[k].pass(u, scale)
			if len(r.t) <= mostPaired {
				moved[k] = rows[k].pairs(u, scale) || moved[k]
			}
			losses[k] = rows[k].loss(scale)
		})
		loss = sum(losses)
		rescaled := false
		if s := u.rescaled(rows, scale, least); s != scale {
			after := 0.0
			for _, r := range rows {
				after += s*s*r.qs - 2*s*r.qtt + r.tst
			}
			if rescaled = after < loss; rescaled {
				scale = s
				u.each(ctx, func(k int, _ *row) {
					rows[k].restart(scale)
					losses[k] = rows[k].loss(scale)
				})
				loss = sum(losses)
			}
		}
		if !rescaled && !slices.Contains(moved, true) || loss > before*(1-leastPassing) || ctx.Err() != nil {
			break
		}
	}
	return q, scale, loss
}

func sum(list []float64) float64 {
	total := 0.0
	for _, v := range list {
		total += v
	}
	return total
}

// restart computes (s·q − T)·S.
func (d *descent) restart(scale float64) {
	k := len(d.t)
	copy(d.g, d.ts)
	for i := range d.g {
		d.g[i] = -d.g[i]
	}
	for i, q := range d.q {
		if q != 0 {
			addScaled(d.g, scale*float64(q), d.st.s[i*k:(i+1)*k])
		}
	}
}

// loss is (s·q − T)·S·(s·q − T)ᵀ.
func (d *descent) loss(scale float64) float64 {
	sum := 0.0
	for i, g := range d.g {
		sum += (scale*float64(d.q[i]) - d.t[i]) * g
	}
	return sum
}

// pass moves each integer to where the loss is least, the others being as they are.
func (d *descent) pass(u *unit, scale float64) bool {
	k := len(d.t)
	moved := false
	for j := range k {
		own := d.st.s[j*k+j]
		if own <= 0 {
			continue
		}
		to := u.clipped(float64(d.q[j]) - d.g[j]/(scale*own))
		if to == d.q[j] {
			continue
		}
		addScaled(d.g, scale*float64(to-d.q[j]), d.st.s[j*k:(j+1)*k])
		d.q[j], moved = to, true
	}
	return moved
}

// pairs moves two integers at once, each by one, where that lowers the loss and moving one alone does not.
func (d *descent) pairs(u *unit, scale float64) bool {
	k := len(d.t)
	moved := false
	for i := range k {
		for j := i + 1; j < k; j++ {
			si, sj, sij := d.st.s[i*k+i], d.st.s[j*k+j], d.st.s[i*k+j]
			best, bi, bj := 0.0, int32(0), int32(0)
			for _, m := range [4][2]int32{{1, 1}, {1, -1}, {-1, 1}, {-1, -1}} {
				a, b := d.q[i]+m[0], d.q[j]+m[1]
				if a < int32(u.lo) || a > int32(u.hi) || b < int32(u.lo) || b > int32(u.hi) {
					continue
				}
				change := scale*(si+sj+2*float64(m[0]*m[1])*sij) + 2*(float64(m[0])*d.g[i]+float64(m[1])*d.g[j])
				if change < best-1e-9*scale*(si+sj) {
					best, bi, bj = change, m[0], m[1]
				}
			}
			if best < 0 {
				d.q[i] += bi
				d.q[j] += bj
				addScaled(d.g, scale*float64(bi), d.st.s[i*k:(i+1)*k])
				addScaled(d.g, scale*float64(bj), d.st.s[j*k:(j+1)*k])
				moved = true
			}
		}
	}
	return moved
}

// rescaled is the best scale for the integers as they are: Σ T·S·qᵀ / Σ q·S·qᵀ, if it is positive; not under least.
func (u *unit) rescaled(rows []*descent, scale, least float64) float64 {
	up, down := 0.0, 0.0
	for _, r := range rows {
		r.qs, r.qtt = 0, 0
		for i, q := range r.q {
			if q != 0 {
				r.qs += float64(q) * (r.g[i] + r.ts[i]) / scale
				r.qtt += float64(q) * r.ts[i]
			}
		}
		up, down = up+r.qtt, down+r.qs
	}
	if !(up > 0 && down > 0) {
		return scale
	}
	return single(max(up/down, least))
}
