package eval

import (
	"fmt"
	"math"
	"slices"

	"quantcheck/internal/decode"
	"quantcheck/internal/labels"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// logit is the inverse of the sigmoid.
func logit(p float64) float32 { return float32(math.Log(p / (1 - p))) }

// Depths scores models that give each pixel a distance.
type Depths struct {
	data     *labels.Pairs
	config   Config
	sink     Sink
	output   int
	settled  bool
	reading  string
	models   []depthSums
	shown    []result.EvalPicture
	problems labels.Problems
}

type depthSums struct {
	rmse, rel, within float64 // sums over pictures
	pictures          int
}

// NewDepths makes a scorer of depth.
func NewDepths(data *labels.Pairs, config Config, models int, sink Sink) *Depths {
	return &Depths{data: data, config: config, sink: sink, models: make([]depthSums, models)}
}

// Picture implements Scorer.
func (d *Depths) Picture(p Picture, outputs [][]decode.Output) error {
	if !d.settled {
		if outputs[0] == nil {
			return errNoOutputs
		}
		k, err := d.config.pick(outputs[0], "a map of one channel", func(s []int64) bool { return isMap(s, p.Input) && (len(s) < 4 || s[1] == 1) })
		if err != nil {
			return err
		}
		d.output, d.settled = k, true
		d.reading = fmt.Sprintf("%s; truth / %g, zeros are no truth", outputs[0][k].Name, d.config.DepthScale)
		if d.config.DepthAlign == "median" {
			d.reading += "; predictions are scaled to the truth's median"
		}
	}
	truth, err := readTruth(p.Image.Truth)
	if err != nil {
		d.problems.Add("depth maps cannot be read, their pictures are left out", err.Error())
		return nil
	}
	shown := result.EvalPicture{Name: p.Image.Name, Path: p.Path, Width: p.Width, Height: p.Height, Truth: []result.Box{}, Found: [][]result.Box{}, Differs: make([]float64, len(outputs))}
	var float []float32
	for i, outs := range outputs {
		if outs == nil {
			continue
		}
		out, err := at(outs, d.output)
		if err != nil {
			return err
		}
		got, want, all, err := d.pairs(out, truth, p)
		if err != nil {
			return err
		}
		if len(got) == 0 {
			d.problems.Add("depth maps have no value over 0, their pictures are left out", p.Image.Name)
			return nil
		}
		if i == 0 {
			float = all
		}
		d.models[i].add(got, want)
		shown.Differs[i] = relative(float, all)
		if d.sink != nil {
			data, err := encodeGray(truth.width, truth.height, shade(all, float))
			if err != nil {
				return err
			}
			path, err := d.sink.Mask(i, p.Image.Name, data)
			if err != nil {
				return err
			}
			shown.Masks = append(shown.Masks, path)
		}
	}
	if d.shown = append(d.shown, shown); len(d.shown) > 4*shownMost {
		d.shown = mostDiffering(d.shown)
	}
	return nil
}

// pairs are the model's and the true values where there is truth, and the model's everywhere.
func (d *Depths) pairs(o decode.Output, truth plane, p Picture) (got, want, all []float32, err error) {
	channels, height, width, err := grid(o)
	if err != nil {
		return nil, nil, nil, err
	}
	values, ok := o.Tensor.AsFloat32()
	if channels != 1 || !ok || len(values) != width*height {
		return nil, nil, nil, fmt.Errorf("the output %s %v is no map of one channel", o.Name, o.Tensor.Shape)
	}
	at := sampler(p, [2]int{truth.width, truth.height}, [2]int{width, height})
	all = make([]float32, len(truth.values))
	for y := range truth.height {
		for x := range truth.width {
			k, from := y*truth.width+x, at(x, y)
			if from < 0 {
				continue
			}
			all[k] = values[from]
			if t := float64(truth.values[k]) / d.config.DepthScale; t > 0 && !math.IsInf(t, 0) && values[from]-values[from] == 0 {
				got, want = append(got, values[from]), append(want, float32(t))
			}
		}
	}
	if d.config.DepthAlign == "median" && len(got) > 0 {
		if m := median(got); m != 0 {
			scale := median(want) / m
			for i := range got {
				got[i] *= scale
			}
		}
	}
	return got, want, all, nil
}

func median(list []float32) float32 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// add takes a picture in: the root of the mean squared error, the mean of |p − t| / t, and the share of values within a
// factor of 1.25.
func (s *depthSums) add(got, want []float32) {
	square, rel, within := 0.0, 0.0, 0
	for i, g := range got {
		e := float64(g) - float64(want[i])
		square += e * e
		rel += math.Abs(e) / float64(want[i])
		if g > 0 && max(g/want[i], want[i]/g) < 1.25 {
			within++
		}
	}
	n := float64(len(got))
	s.rmse, s.rel, s.within = s.rmse+math.Sqrt(square/n), s.rel+rel/n, s.within+float64(within)/n
	s.pictures++
}

// relative is the mean difference of two maps against the mean of the first.
func relative(a, b []float32) float64 {
	sum, size := 0.0, 0.0
	for i := range min(len(a), len(b)) {
		if d := float64(a[i]) - float64(b[i]); d-d == 0 { // what is not finite has no difference
			sum += math.Abs(d)
			size += math.Abs(float64(a[i]))
		}
	}
	if size == 0 {
		return 0
	}
	return sum / size
}

// shade makes a map visible, by the range of float's.
func shade(values, float []float32) []uint8 {
	lo, hi := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range float {
		if v-v == 0 {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	pixels := make([]uint8, len(values))
	if hi <= lo {
		return pixels
	}
	for i, v := range values {
		if v-v == 0 {
			pixels[i] = uint8(255 * min(max((v-lo)/(hi-lo), 0), 1))
		}
	}
	return pixels
}

var depthColumns = []result.Column{
	{Key: "RMSE", Title: "root mean squared error, mean over the pictures"}, {Key: "AbsRel", Title: "mean of |p − t| / t"},
	{Key: "δ<1.25", Title: "share of values within a factor of 1.25", Higher: true},
}

// Conclude implements Scorer.
func (d *Depths) Conclude(e *result.Evaluation) error {
	e.Columns, e.Reading, e.Classes = depthColumns, d.reading, []string{}
	for i := range e.Models {
		m, s := &e.Models[i], d.models[i]
		m.Scores, m.ByClass = make([]metric.Value, len(depthColumns)), []metric.Value{}
		if n := float64(s.pictures); n > 0 {
			m.Scores = []metric.Value{metric.Defined(s.rmse / n), metric.Defined(s.rel / n), metric.Defined(s.within / n)}
		}
	}
	drops(e)
	e.Pictures = mostDiffering(d.shown)
	e.Problems = append(e.Problems, append(d.data.Problems.List(), d.problems.List()...)...)
	return nil
}
