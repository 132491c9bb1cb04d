package web

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"quantcheck/internal/dataset"
	"quantcheck/internal/metric"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
)

type metricInfo struct {
	Key    string `json:"key"`
	Title  string `json:"title"`
	Unit   string `json:"unit"`
	Higher bool   `json:"higher"`
	Log    bool   `json:"log"`
	Rank   int    `json:"rank"` // place in a list of all metrics of one layer
}

type run struct {
	ID           int64     `json:"id"`
	Name         string    `json:"name"`
	Started      string    `json:"started"`
	Seconds      float64   `json:"seconds"`
	Model        string    `json:"model"`
	Opset        int64     `json:"opset"`
	Input        string    `json:"input"`
	Engine       string    `json:"engine"`
	Diverge      float64   `json:"diverge"`
	Samples      []sample  `json:"samples"`
	Calibration  string    `json:"calibration"`
	LocalSamples int       `json:"localSamples"`
	Warnings     []string  `json:"warnings"`
	Layers       layers    `json:"layers"`
	Variants     []variant `json:"variants"`
}

type sample struct {
	Name    string `json:"name"`
	Picture string `json:"picture"` // a data URL, "" if there is none
}

type layers struct {
	Name    []string  `json:"name"`
	Node    []string  `json:"node"`
	Op      []string  `json:"op"`
	DType   []string  `json:"dtype"`
	Shape   [][]int64 `json:"shape"`
	Inputs  [][]int   `json:"inputs"`
	Outputs []int     `json:"outputs"`
}

type variant struct {
	Name              string                   `json:"name"`
	Text              string                   `json:"text"`
	Verdict           string                   `json:"verdict"`
	Sources           string                   `json:"sources"`
	Notes             []string                 `json:"notes"`
	Tips              []string                 `json:"tips"`
	Diverges          int                      `json:"diverges"`
	Origin            string                   `json:"birth"`
	Counts            map[result.Status]int    `json:"counts"`
	Status            []result.Status          `json:"status"`
	Reason            map[int]string           `json:"reason"`
	Encoding          []*encoding              `json:"encoding"`
	Accumulated       map[string]spread        `json:"accumulated"`
	Local             map[string]spread        `json:"local"`
	Weights           map[string][]num         `json:"weights"`
	Activations       map[string][]num         `json:"activations"`
	Share             []num                    `json:"share"`
	Samples           [][]num                  `json:"samples" ts:"(Num[] | null)[]"` // SQNR of each sample, by layer
	Histogram         map[int]result.Histogram `json:"histogram"`
	Whole             []whole                  `json:"whole"`
	Against           string                   `json:"against"` // the variant's twin: the same encodings, computed otherwise; "": none
	Emulation         map[string]spread        `json:"twin"`    // against it, by layer
	IsolatedEmulation map[string]spread        `json:"local twin"`
	Apart             []num                    `json:"apart"` // share of values more than a step apart; empty without a twin
	OnCPU             []int                    `json:"onCPU"`
	Operators         []report.Operator        `json:"operators"`
	Parts             []outputPart             `json:"outputParts"` // of the outputs, the worst first
}

// outputPart is what one input of the Concats that make an output brings, or channels of like range.
type outputPart struct {
	Name    string `json:"name"`
	Min     num    `json:"min"`
	Max     num    `json:"max"`
	SQNR    num    `json:"sqnr"` // of the worst sample, dB
	Mean    num    `json:"mean"`
	Steps   num    `json:"steps"`
	Dead    num    `json:"dead"`    // share
	Clipped num    `json:"clipped"` // share
}

type encoding struct {
	Bits      int  `json:"bits"`
	Scale     num  `json:"scale"`
	Offset    int  `json:"offset"`
	Min       num  `json:"min"`
	Max       num  `json:"max"`
	Symmetric bool `json:"symmetric"`
}

type spread struct {
	Mean  []num `json:"mean"`
	Min   []num `json:"min"`
	Max   []num `json:"max"`
	Worst []int `json:"worst"`
}

type whole struct {
	Layer       int `json:"layer"`
	Weights     num `json:"weights"`
	Activations num `json:"activations"`
}

// num is a metric's value in five significant digits.
type num metric.Value

// MarshalJSON writes what the page calls Num.
func (n num) MarshalJSON() ([]byte, error) {
	if !n.OK || math.IsInf(n.V, 0) || math.IsNaN(n.V) {
		return metric.Value(n).MarshalJSON()
	}
	return strconv.AppendFloat(nil, n.V, 'g', 5, 64), nil
}

// mostPictures is how many samples' pictures a page holds for a run: those that are worst for most layers.
const mostPictures = 24

// minute is how the page writes times.
const minute = "2006-01-02 15:04 UTC"

func some(v float64) num { return num(metric.Defined(v)) }

func metrics() []metricInfo {
	var list []metricInfo
	for _, m := range metric.All {
		list = append(list, metricInfo{Key: m.Key, Title: m.Title, Unit: m.Unit, Higher: m.HigherIsBetter, Log: m.Logarithmic, Rank: m.Rank})
	}
	return list
}

// runs is the view of the layers.
type runs struct {
	Runs []run `json:"runs"`
}

var _ = show(func(c Content) runs {
	p := runs{[]run{}}
	for _, r := range c.Runs {
		p.Runs = append(p.Runs, describe(r))
	}
	return p
})

func describe(r *result.Run) run {
	d := run{
		ID: r.ID, Name: r.Name, Started: r.Started.Format(minute), Seconds: r.Seconds, Model: r.Model.Path, Opset: r.Model.Opset,
		Input: r.Spec.Input.String(), Engine: fmt.Sprintf("ONNX Runtime %s, %d threads, %s", r.ONNXRuntime, r.Spec.Threads, r.Machine.CPU), Diverge: r.Spec.DivergeUnder,
		Samples: []sample{}, Calibration: "none needed", LocalSamples: r.Spec.LocalSamples, Warnings: append([]string{}, r.Warnings...),
		Layers: layers{Outputs: []int{}}, Variants: []variant{},
	}
	if n := len(r.Calibration); n > 0 {
		d.Calibration = fmt.Sprintf("%d samples", n)
		if r.Spec.Calib == "" {
			d.Calibration += ", the same"
		}
	}
	for k, l := range r.Layers {
		x := &d.Layers
		x.Name, x.Node, x.Op, x.DType = append(x.Name, l.Name), append(x.Node, l.Node), append(x.Op, l.Op), append(x.DType, l.DType)
		x.Shape, x.Inputs = append(x.Shape, append([]int64{}, l.Shape...)), append(x.Inputs, append([]int{}, l.Inputs...))
		if l.Output {
			x.Outputs = append(x.Outputs, k)
		}
	}
	worst := map[int]int{} // sample → how many layers it is worst for
	for i := range r.Variants {
		d.Variants = append(d.Variants, describeVariant(r, &r.Variants[i]))
		for k := range r.Variants[i].Layers {
			if l := &r.Variants[i].Layers[k]; l.HasMetrics() {
				if s := l.Summary[metric.SQNR].Worst; s >= 0 && s < len(r.Samples) { // −1: it has no value
					worst[s]++
				}
			}
		}
	}
	ranked := slices.SortedFunc(maps.Keys(worst), func(a, b int) int { return cmp.Or(cmp.Compare(worst[b], worst[a]), cmp.Compare(a, b)) })
	shown := ranked[:min(len(ranked), mostPictures)]
	for _, s := range r.Samples {
		d.Samples = append(d.Samples, sample{Name: s.Name})
	}
	var drawing errgroup.Group
	budget := dataset.NewBudget(memoryOfPictures)
	drawing.SetLimit(runtime.GOMAXPROCS(0))
	for _, i := range shown {
		drawing.Go(func() error {
			if t, ok := thumbnailOf(r.Samples[i].Path, 320, budget); ok {
				d.Samples[i].Picture = t.url
			}
			return nil
		})
	}
	_ = drawing.Wait() // a picture that cannot be drawn is left out
	return d
}

func describeVariant(r *result.Run, v *result.Variant) variant {
	d := variant{
		Name: v.Spec.Name, Text: report.Describe(v.Spec), Verdict: report.Verdict(r, v), Sources: report.Sources(r, v),
		Notes: list(slices.Concat(report.Healed(v), report.Container(r, v), report.Emulation(r, v), report.InputNotes(r, v))), Tips: append([]string{}, report.Tips(r, v)...),
		Diverges: v.Diverges, Origin: string(v.Origin), Counts: v.Counts, Reason: map[int]string{}, Histogram: map[int]result.Histogram{},
		Accumulated: map[string]spread{}, Local: map[string]spread{}, Weights: map[string][]num{}, Activations: map[string][]num{}, Whole: []whole{},
		Emulation: map[string]spread{}, IsolatedEmulation: map[string]spread{}, Apart: []num{}, OnCPU: []int{}, Operators: append([]report.Operator{}, report.Operators(r, v)...), Parts: []outputPart{},
	}
	if v.Verdict != nil {
		for i := range v.Verdict.Parts {
			p := &v.Verdict.Parts[i]
			d.Parts = append(d.Parts, outputPart{report.PartText(r, p), some(p.Min), some(p.Max), num(p.SQNR.Min), num(p.Over()), num(p.Steps), some(p.Dead), num(p.Clipped)})
		}
	}
	if v.Counterpart >= 0 && v.Counterpart < len(r.Variants) && &r.Variants[v.Counterpart] != v {
		d.Against = r.Variants[v.Counterpart].Spec.Name
	}
	measured := false
	for k := range v.Layers {
		l := &v.Layers[k]
		measured = measured || l.Local != nil
		d.Status = append(d.Status, l.Status)
		if l.Reason != "" {
			d.Reason[k] = l.Reason
		}
		var e *encoding
		if c := l.Encoding; c != nil {
			e = &encoding{Bits: c.Bits, Scale: some(c.Scale), Offset: c.Offset, Min: some(c.Min), Max: some(c.Max), Symmetric: c.Symmetric}
		}
		d.Encoding = append(d.Encoding, e)
		share := num{}
		if l.Local != nil {
			share = some(l.Local.Share)
		}
		d.Share = append(d.Share, share)
		if l.Histogram != nil {
			d.Histogram[k] = *l.Histogram
		}
		var samples []num
		for _, s := range l.Samples {
			one := num{}
			if s != nil {
				one = num(s[metric.SQNR])
			}
			samples = append(samples, one)
		}
		d.Samples = append(d.Samples, samples)
		if l.OnCPU {
			d.OnCPU = append(d.OnCPU, k)
		}
		if v.Counterpart >= 0 {
			apart := num{}
			if l.EmulationError != nil {
				apart = num(l.EmulationError.FractionOverOneStep)
			}
			d.Apart = append(d.Apart, apart)
		}
	}
	for _, m := range metric.All {
		d.Accumulated[m.Key] = column(v, m.ID, func(l *result.LayerResult) *result.Summary {
			if l.HasMetrics() {
				return &l.Summary
			}
			return nil
		})
		if v.Counterpart >= 0 {
			d.Emulation[m.Key] = column(v, m.ID, func(l *result.LayerResult) *result.Summary { return twinOf(l.EmulationError) })
			d.IsolatedEmulation[m.Key] = column(v, m.ID, func(l *result.LayerResult) *result.Summary { return twinOf(l.IsolatedEmulationError) })
		}
		if !measured {
			continue
		}
		d.Local[m.Key] = column(v, m.ID, func(l *result.LayerResult) *result.Summary {
			return of(l.Local, func(p *result.Local) *result.Part { return &p.Full })
		})
		d.Weights[m.Key] = column(v, m.ID, func(l *result.LayerResult) *result.Summary {
			return of(l.Local, func(p *result.Local) *result.Part { return p.Weights })
		}).Mean
		d.Activations[m.Key] = column(v, m.ID, func(l *result.LayerResult) *result.Summary {
			return of(l.Local, func(p *result.Local) *result.Part { return p.Acts })
		}).Mean
	}
	for _, w := range v.Whole {
		d.Whole = append(d.Whole, whole{w.Layer, num(w.WeightsOnly[metric.SQNR].Mean), num(w.ActsOnly[metric.SQNR].Mean)})
	}
	return d
}

func of(l *result.Local, part func(*result.Local) *result.Part) *result.Summary {
	if l == nil {
		return nil
	}
	if p := part(l); p != nil {
		return &p.Summary
	}
	return nil
}

func twinOf(t *result.EmulationError) *result.Summary {
	if t == nil {
		return nil
	}
	return &t.Summary
}

// column collects one metric over the layers.
func column(v *result.Variant, id metric.ID, summary func(*result.LayerResult) *result.Summary) spread {
	var s spread
	for k := range v.Layers {
		one := metric.Spread{Worst: -1}
		if x := summary(&v.Layers[k]); x != nil {
			one = x[id]
		}
		s.Mean, s.Min, s.Max = append(s.Mean, num(one.Mean)), append(s.Min, num(one.Min)), append(s.Max, num(one.Max))
		s.Worst = append(s.Worst, one.Worst)
	}
	return s
}
