package cure

import "slices"

// Moments are the sums over positions that all cures of one group of a layer are computed from. A position has a column x̃ of the inputs that
// the quantized model gives the group, K values, and the outputs y of the float model's layer, O values. The sums are kept apart in folds, so
// that what is learnt from some can be tried on the others. Memory does not grow with the number of positions: (K² + O·K) sums for a fold.
type Moments struct {
	K, O  int
	folds []sums
}

// sums are those of one fold. Within a block of rows products are summed in single precision, blocks in double precision.
type sums struct {
	n      float64
	x, y   []float64 // Σx̃ (K), Σy (O)
	xx, yx []float64 // Σx̃x̃ᵀ (K×K, the upper triangle), Σyx̃ᵀ (O×K)
	yy     []float64 // Σy² (O)
}

func newSums(k, o int) sums {
	return sums{x: make([]float64, k), y: make([]float64, o), xx: make([]float64, k*k), yx: make([]float64, o*k), yy: make([]float64, o)}
}

// NewMoments makes empty sums for k inputs and o outputs in so many folds.
func NewMoments(k, o, folds int) *Moments {
	m := &Moments{K: k, O: o, folds: make([]sums, max(folds, 1))}
	for f := range m.folds {
		m.folds[f] = newSums(k, o)
	}
	return m
}

// Bytes is about what it takes to cure a group of k inputs and o outputs: its sums in folds, and the matrices that are made of them.
func Bytes(k, o, folds int) int64 {
	return 8 * (int64(folds+5)*int64(k)*int64(k) + int64(folds+4)*int64(o)*int64(k))
}

// Folds is how many folds there are.
func (m *Moments) Folds() int { return len(m.folds) }

// Add adds positions to a fold: x̃ has K values for each, y has O, one position after the other. Positions with a value that is not finite
// are left out. Several goroutines may add, each to a fold of its own.
func (m *Moments) Add(fold int, x, y []float32) {
	x, y = finite(x, y, m.K, m.O)
	s := &m.folds[fold]
	addSquare(s.xx, x, m.K)
	addProduct(s.yx, y, m.O, x, m.K)
	for p := 0; (p+1)*m.K <= len(x); p++ {
		s.n++
		for i, v := range x[p*m.K : (p+1)*m.K] {
			s.x[i] += float64(v)
		}
		for o, v := range y[p*m.O : (p+1)*m.O] {
			s.y[o] += float64(v)
			s.yy[o] += float64(v) * float64(v)
		}
	}
}

// finite leaves out the positions that have NaN or an infinite value.
func finite(x, y []float32, k, o int) ([]float32, []float32) {
	bad := func(v float32) bool { return v-v != 0 }
	if !slices.ContainsFunc(x, bad) && !slices.ContainsFunc(y, bad) {
		return x, y
	}
	var keptX, keptY []float32
	for p := 0; (p+1)*k <= len(x); p++ {
		row, out := x[p*k:(p+1)*k], y[p*o:(p+1)*o]
		if !slices.ContainsFunc(row, bad) && !slices.ContainsFunc(out, bad) {
			keptX, keptY = append(keptX, row...), append(keptY, out...)
		}
	}
	return keptX, keptY
}

// statistics are means and (co)variances over positions: S = E[x̃x̃ᵀ] − m̃m̃ᵀ, C = E[yx̃ᵀ] − m·m̃ᵀ, V = E[y²] − m². Where the layer has no bias
// that may change, the means are not taken off.
type statistics struct {
	n          float64
	mx, my     []float64
	s, c, v    []float64
	k, o       int
	meanSquare float64 // d = tr(S)/K, the unit of damping
}

// but sums all folds without one (−1: with all) and takes the means off if centred.
func (m *Moments) but(without int, centred bool) statistics {
	return m.of(func(f int) bool { return f != without }, centred)
}

// only is the statistics of one fold, without taking means off.
func (m *Moments) only(fold int) statistics {
	return m.of(func(f int) bool { return f == fold }, false)
}

func (m *Moments) of(takes func(fold int) bool, centred bool) statistics {
	t := newSums(m.K, m.O)
	for f, s := range m.folds {
		if !takes(f) {
			continue
		}
		t.n += s.n
		for _, p := range [][2][]float64{{t.x, s.x}, {t.y, s.y}, {t.xx, s.xx}, {t.yx, s.yx}, {t.yy, s.yy}} {
			for i, v := range p[1] {
				p[0][i] += v
			}
		}
	}
	st := statistics{n: t.n, mx: t.x, my: t.y, s: t.xx, c: t.yx, v: t.yy, k: m.K, o: m.O}
	if t.n == 0 {
		return st
	}
	for _, list := range [][]float64{t.x, t.y, t.xx, t.yx, t.yy} {
		for i := range list {
			list[i] /= t.n
		}
	}
	if centred {
		for i := range m.K {
			addScaled(t.xx[i*m.K:(i+1)*m.K], -t.x[i], t.x)
		}
		for o := range m.O {
			addScaled(t.yx[o*m.K:(o+1)*m.K], -t.y[o], t.x)
			t.yy[o] = max(t.yy[o]-t.y[o]*t.y[o], 0)
		}
	}
	for i := range m.K {
		for j := range i {
			t.xx[i*m.K+j] = t.xx[j*m.K+i]
		}
	}
	for i := range m.K {
		if t.xx[i*m.K+i] <= constantInput*(t.x[i]*t.x[i]) { // what is left of a constant input is rounding
			for j := range m.K {
				t.xx[i*m.K+j], t.xx[j*m.K+i] = 0, 0
			}
			for o := range m.O {
				t.yx[o*m.K+i] = 0
			}
		}
		st.meanSquare += t.xx[i*m.K+i] / float64(m.K)
	}
	return st
}

// constantInput is the variance, relative to the squared mean, under which an input is taken for constant: products are summed in single
// precision.
const constantInput = 1e-7
