package metric

import "math"

// ID names a metric.
type ID int

// The metrics, in the order of the columns of a similarity file: the five of the seed first. A new one stands in front of
// Count, since results hold the numbers of the others.
const (
	CosSim ID = iota
	MSE
	SAR
	PearsonR
	DKL
	SQNR
	MaxAbs
	MAE
	MeanSteps
	MaxSteps
	Count int = iota
)

// Info is all that is said of a metric anywhere: columns of files and of the database, lists and tables, flags and
// docs/metrics.md are made of it.
type Info struct {
	ID             ID
	Key            string // column name in CSV files and SQL, key in JSON
	Title          string
	Unit           string
	HigherIsBetter bool
	Logarithmic    bool   // it spans many orders of magnitude: it is drawn on a logarithmic scale
	Rank           int    // place where people look at all metrics of one layer, from 1 on
	Gate           string // a typical gate of it, as --fail-under takes it: its name there, =, a value; "": it is not gated
	Formula        string // as docs/metrics.md has it, in Markdown
	Undefined      string // when it has no value, in words; "": it always has one
	// of derives it; scale is a step of the encoding that the compared tensor was quantized with, 0 if there is none.
	of func(p *Pair, scale float64) Value
}

// All lists every metric in column order: All[id].ID is id.
var All = []Info{
	{ID: CosSim, Key: "CosSim", Title: "cosine similarity", HigherIsBetter: true, Rank: 2, Gate: "cos=0.99",
		Formula: "Σxy / (√Σx² · √Σy²), cut to [−1, 1]", Undefined: "both tensors are zero (0 if one is)", of: cosine},
	{ID: MSE, Key: "MSE", Title: "mean squared error", Logarithmic: true, Rank: 3,
		Formula: "Σd² / n", of: func(p *Pair, _ float64) Value { return Defined(p.SumDD / float64(p.N)) }},
	{ID: SAR, Key: "SAR", Title: "sign agreement rate", HigherIsBetter: true, Rank: 8,
		Formula: "share of elements where x ≥ 0 and y ≥ 0 agree", of: func(p *Pair, _ float64) Value { return Defined(float64(p.SameSign) / float64(p.N)) }},
	{ID: PearsonR, Key: "PearsonR", Title: "Pearson correlation", HigherIsBetter: true, Rank: 9,
		Formula: "covariance / (deviation of x · deviation of y)", Undefined: "one of them is constant", of: pearson},
	{ID: DKL, Key: "DKL", Title: "Kullback-Leibler divergence of 10-bin histograms", Unit: "nat", Logarithmic: true, Rank: 10,
		Formula: "Σ p ln(p/q), see below", of: func(p *Pair, _ float64) Value {
			return Defined(divergence(p.RefBins, p.GotBins, p.MinX, p.MaxX, p.MinY, p.MaxY))
		}},
	{ID: SQNR, Key: "SQNR", Title: "signal to quantization noise ratio", Unit: "dB", HigherIsBetter: true, Rank: 1, Gate: "sqnr=20",
		Formula: "10 log₁₀(Σx² / Σd²) dB; `inf` if they are equal", of: sqnr},
	{ID: MaxAbs, Key: "MaxAbs", Title: "largest absolute error", Logarithmic: true, Rank: 5,
		Formula: "max abs(d)", of: func(p *Pair, _ float64) Value { return Defined(float64(p.MaxD)) }},
	{ID: MAE, Key: "MAE", Title: "mean absolute error", Logarithmic: true, Rank: 4,
		Formula: "Σ abs(d) / n", of: func(p *Pair, _ float64) Value { return Defined(p.SumD / float64(p.N)) }},
	{ID: MeanSteps, Key: "MeanSteps", Title: "mean absolute error in steps of the encoding", Unit: "steps", Logarithmic: true, Rank: 6,
		Formula: "`MAE` / scale of the layer's encoding", Undefined: "the layer has no encoding",
		of: func(p *Pair, scale float64) Value { return inSteps(p.SumD/float64(p.N), scale) }},
	{ID: MaxSteps, Key: "MaxSteps", Title: "largest absolute error in steps of the encoding", Unit: "steps", Logarithmic: true, Rank: 7,
		Formula: "`MaxAbs` / scale", Undefined: "the layer has no encoding",
		of: func(p *Pair, scale float64) Value { return inSteps(float64(p.MaxD), scale) }},
}

// Gates lists the metrics that --fail-under takes.
func Gates() []Info {
	var list []Info
	for _, m := range All {
		if m.Gate != "" {
			list = append(list, m)
		}
	}
	return list
}

func cosine(p *Pair, _ float64) Value {
	switch normX, normY := math.Sqrt(p.SumXX), math.Sqrt(p.SumYY); {
	case normX == 0 && normY == 0:
		return Value{}
	case normX == 0 || normY == 0:
		return Defined(0)
	default:
		return Defined(clamp(p.SumXY / (normX * normY)))
	}
}

func pearson(p *Pair, _ float64) Value {
	if p.VarX > 0 && p.VarY > 0 && p.MinX < p.MaxX && p.MinY < p.MaxY {
		return Defined(clamp(p.CovXY / (math.Sqrt(p.VarX) * math.Sqrt(p.VarY))))
	}
	return Value{}
}

func sqnr(p *Pair, _ float64) Value {
	switch {
	case p.SumDD == 0:
		return Defined(math.Inf(1))
	case p.SumXX == 0:
		return Defined(math.Inf(-1))
	default:
		return Defined(10 * math.Log10(p.SumXX/p.SumDD))
	}
}

func inSteps(distance, scale float64) Value {
	if scale > 0 {
		return Defined(distance / scale)
	}
	return Value{}
}

func clamp(x float64) float64 { return min(max(x, -1), 1) }
