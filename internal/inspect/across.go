package inspect

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// Across is the same layer in every variant and every model file of a workspace.
type Across struct {
	Sources      []string      `json:"sources"` // "w8a8 (run 3)", "model.dlc"
	Layers       []AcrossLayer `json:"layers"`  // problematic in most variants first, then by spread
	Correlations []Correlation `json:"correlations"`
	Operators    []OperatorRow `json:"operators"` // worst first
	// OperatorShare is the share of the error's variance that the type of operator explains (the correlation ratio η²).
	OperatorShare metric.Value `json:"operator_share"`
	Under         float64      `json:"problematic_under_db"`
}

// AcrossLayer is one layer.
type AcrossLayer struct {
	Name     string       `json:"name"`
	Op       string       `json:"op"`
	Depth    int          `json:"depth"` // its number in the first source that has it
	Places   []Place      `json:"places"`
	Problems int          `json:"problems"` // variants in which it is problematic
	Measured int          `json:"measured"` // variants in which its error was measured
	Spread   metric.Value `json:"spread"`   // widest range by the narrowest; no value with less than two
	Worst    metric.Value `json:"worst"`    // least error measure, dB
}

// Place is a layer in one source.
type Place struct {
	Source   int                   `json:"source"`
	Tensor   string                `json:"tensor"`
	DType    string                `json:"dtype,omitempty"`
	Encoding *result.ModelEncoding `json:"encoding,omitempty"`
	// Error is the SQNR of the layer alone, or where that was not measured the accumulated one; dB.
	Error      metric.Value `json:"sqnr"`
	Alone      bool         `json:"alone"`
	Kurtosis   metric.Value `json:"kurtosis"` // excess, of the float values of the first sample, from their histogram
	Problem    bool         `json:"problem"`
	operator   string
	depthShare float64
}

// Correlation is Spearman's rank correlation of a layer's error, its SQNR, with something.
type Correlation struct {
	With  string       `json:"with"`
	Rho   metric.Value `json:"rho"`
	Count int          `json:"count"` // pairs of layer and variant
}

// OperatorRow is the error by type of operator.
type OperatorRow struct {
	Op    string  `json:"op"`
	Count int     `json:"count"`
	Mean  float64 `json:"mean_db"`
	Worst float64 `json:"worst_db"`
}

// Compare puts runs and model files side by side, layer by layer. Layers belong together if their names do once they are
// cleaned and without a converter's endings. Of the runs of one name only the last counts.
func Compare(runs []*result.Run, models []*result.ModelFile) *Across {
	a := &Across{Sources: []string{}, Layers: []AcrossLayer{}, Under: 20}
	index := map[string]int{}
	put := func(name, op string, depth int, p Place) {
		bare, _ := align.Bare(name)
		key := align.Clean(bare)
		k, known := index[key]
		if !known {
			k = len(a.Layers)
			index[key] = k
			a.Layers = append(a.Layers, AcrossLayer{Name: bare, Op: op, Depth: depth})
		}
		a.Layers[k].Places = append(a.Layers[k].Places, p)
	}
	for i, run := range runs {
		if slices.ContainsFunc(runs[i+1:], func(later *result.Run) bool { return later.Name == run.Name }) {
			continue
		}
		a.Under = run.Spec.DivergeUnder
		for v := range run.Variants {
			variant := &run.Variants[v]
			source := len(a.Sources)
			name := variant.Spec.Name
			if len(runs) > 1 {
				name = run.Name + " " + name
			}
			a.Sources = append(a.Sources, name)
			for k, l := range run.Layers {
				if p, ok := placeOf(run, variant, k); ok {
					p.Source, p.operator, p.depthShare = source, l.Op, float64(k)/float64(max(len(run.Layers)-1, 1))
					put(l.Name, l.Op, k+1, p)
				}
			}
		}
	}
	for _, m := range models {
		source := len(a.Sources)
		a.Sources = append(a.Sources, m.Name)
		for k, l := range m.Layers {
			put(l.Layer, l.Op, k+1, Place{Source: source, Tensor: l.Tensor, DType: l.DType, Encoding: l.Encoding})
		}
	}
	a.conclude()
	return a
}

// placeOf is a layer in a variant of a run; ok is false where it has neither numbers nor an encoding.
func placeOf(run *result.Run, v *result.Variant, k int) (Place, bool) {
	l := &v.Layers[k]
	p := Place{Tensor: l.Tap}
	if e := l.Encoding; e != nil {
		p.Encoding = &result.ModelEncoding{Bits: e.Bits, Scale: e.Scale, Offset: e.Offset, Min: e.Min, Max: e.Max}
	}
	switch {
	case l.Local != nil:
		p.Error, p.Alone = l.Local.Full.Summary[metric.SQNR].Mean, true
	case l.HasMetrics():
		p.Error = l.Summary[metric.SQNR].Mean
	}
	p.Problem = p.Error.OK && p.Error.V < run.Spec.DivergeUnder
	if l.Histogram != nil {
		p.Kurtosis = kurtosis(l.Histogram.Float)
	}
	return p, p.Encoding != nil || p.Error.OK
}

// kurtosis is the excess kurtosis of values that were counted into equal bins.
func kurtosis(bins []int) metric.Value {
	n, mean := 0.0, 0.0
	for i, c := range bins {
		n += float64(c)
		mean += float64(c) * float64(i)
	}
	if n == 0 {
		return metric.Value{}
	}
	mean /= n
	second, fourth := 0.0, 0.0
	for i, c := range bins {
		d := float64(i) - mean
		second += float64(c) * d * d
		fourth += float64(c) * d * d * d * d
	}
	if second == 0 {
		return metric.Value{}
	}
	return metric.Defined(fourth*n/(second*second) - 3)
}

// conclude counts, sorts and correlates.
func (a *Across) conclude() {
	var all []Place
	for i := range a.Layers {
		l := &a.Layers[i]
		narrow, wide, ranges := math.Inf(1), 0.0, 0
		for _, p := range l.Places {
			all = append(all, p)
			if p.Error.OK {
				l.Measured++
				if !l.Worst.OK || p.Error.V < l.Worst.V {
					l.Worst = p.Error
				}
			}
			if p.Problem {
				l.Problems++
			}
			if e := p.Encoding; e != nil && e.Max > e.Min {
				narrow, wide, ranges = min(narrow, e.Max-e.Min), max(wide, e.Max-e.Min), ranges+1
			}
		}
		if ranges > 1 {
			l.Spread = metric.Defined(wide / narrow)
		}
	}
	slices.SortStableFunc(a.Layers, func(x, y AcrossLayer) int {
		return cmp.Or(cmp.Compare(y.Problems, x.Problems), cmp.Compare(y.Spread.V, x.Spread.V), cmp.Compare(x.Depth, y.Depth), strings.Compare(x.Name, y.Name))
	})
	for _, c := range []struct {
		with string
		of   func(Place) (float64, bool)
	}{
		{"range", func(p Place) (float64, bool) {
			if p.Encoding == nil {
				return 0, false
			}
			return p.Encoding.Max - p.Encoding.Min, true
		}},
		{"kurtosis", func(p Place) (float64, bool) { return p.Kurtosis.V, p.Kurtosis.OK }},
		{"depth", func(p Place) (float64, bool) { return p.depthShare, true }},
	} {
		var x, y []float64
		for _, p := range all {
			if v, ok := c.of(p); ok && p.Error.OK && !math.IsInf(p.Error.V, 0) {
				x, y = append(x, v), append(y, p.Error.V)
			}
		}
		a.Correlations = append(a.Correlations, Correlation{c.with, Spearman(x, y), len(x)})
	}
	a.byOperator(all)
}

// byOperator sums the error up by operator, and says how much of its variance that explains.
func (a *Across) byOperator(all []Place) {
	a.Operators = []OperatorRow{}
	index := map[string]int{}
	total, n := 0.0, 0
	for _, p := range all {
		if !p.Error.OK || math.IsInf(p.Error.V, 0) {
			continue
		}
		k, known := index[p.operator]
		if !known {
			k = len(a.Operators)
			index[p.operator] = k
			a.Operators = append(a.Operators, OperatorRow{Op: p.operator, Worst: p.Error.V})
		}
		o := &a.Operators[k]
		o.Count++
		o.Mean += p.Error.V
		o.Worst = min(o.Worst, p.Error.V)
		total += p.Error.V
		n++
	}
	between, within := 0.0, 0.0
	for i := range a.Operators {
		o := &a.Operators[i]
		o.Mean /= float64(o.Count)
		d := o.Mean - total/float64(n)
		between += float64(o.Count) * d * d
	}
	for _, p := range all {
		if p.Error.OK && !math.IsInf(p.Error.V, 0) {
			d := p.Error.V - a.Operators[index[p.operator]].Mean
			within += d * d
		}
	}
	if len(a.Operators) > 1 && between+within > 0 {
		a.OperatorShare = metric.Defined(between / (between + within))
	}
	slices.SortFunc(a.Operators, func(x, y OperatorRow) int { return cmp.Or(cmp.Compare(x.Mean, y.Mean), strings.Compare(x.Op, y.Op)) })
}

// Spearman is the rank correlation of two lists, ties sharing their mean rank; it is not defined under three values and for
// constants.
func Spearman(x, y []float64) metric.Value {
	if len(x) != len(y) || len(x) < 3 {
		return metric.Value{}
	}
	a, b := ranks(x), ranks(y)
	mean := float64(len(x)+1) / 2
	cov, va, vb := 0.0, 0.0, 0.0
	for i := range a {
		p, q := a[i]-mean, b[i]-mean
		cov, va, vb = cov+p*q, va+p*p, vb+q*q
	}
	if va == 0 || vb == 0 {
		return metric.Value{}
	}
	return metric.Defined(cov / math.Sqrt(va*vb))
}

func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(x[i], x[j]) })
	rank := make([]float64, len(x))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && x[order[j]] == x[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			rank[order[k]] = float64(i+j+1) / 2
		}
		i = j
	}
	return rank
}
