// Package eval scores what models make of the pictures of a data set: the float model and each variant alike.
//
//  1. A Scorer is made for a task, with the truth and a Config that says how outputs are read.
//  2. It is handed picture after picture, with what every model gave for it, the float model's outputs first.
//  3. Conclude puts scores, classes, curves and pictures into the evaluation.
//
// A Scorer's methods are called from one goroutine at a time; it keeps no outputs.
package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/labels"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/resume"
	"quantcheck/internal/verdict"
)

// Picture is a picture of the data set, with where it lies in the model's input.
type Picture struct {
	Image         labels.Image
	Path          string // absolute
	Width, Height int    // of the picture, in pixels
	Input         [2]int // width and height of the model's input
	Place         dataset.Placement
}

// Scorer scores one task.
type Scorer interface {
	// Picture scores one picture; outputs are by model, nil where a model gave none. An error ends the evaluation: the
	// outputs cannot be read at all.
	Picture(p Picture, outputs [][]decode.Output) error
	// Conclude fills in what the evaluation's models scored.
	Conclude(e *result.Evaluation) error
	// Code writes what was scored so far, or reads it into a scorer that has scored nothing: then it goes on as if it had
	// scored those pictures itself, to the same bits. outputs is how many the models have: a state of others is refused.
	Code(c *resume.Coder, outputs int)
}

// at gives one of the outputs; an error if there are not so many.
func at(outs []decode.Output, k int) (decode.Output, error) {
	if k < 0 || k >= len(outs) {
		return decode.Output{}, fmt.Errorf("a model gave %d outputs, not the one of number %d, which is read", len(outs), k+1)
	}
	return outs[k], nil
}

// Partial is a Scorer that can score some of its pictures.
type Partial interface {
	Scorer
	// ScoreOf is a model's first score on some of the pictures that were scored, by the numbers of their images.
	ScoreOf(model int, images []int64) (metric.Value, error)
}

// Sink takes pictures that the models' outputs were made into. It gives the path under which one will lie.
type Sink interface {
	Mask(model int, picture string, png []byte) (path string, err error)
}

// shownMost is how many pictures an evaluation keeps for people: those on which the variants differ most from float.
const shownMost = 48

// mostDiffering keeps the pictures to look at, most differing first.
func mostDiffering(list []result.EvalPicture) []result.EvalPicture {
	slices.SortStableFunc(list, func(a, b result.EvalPicture) int { return cmp.Compare(greatest(b.Differs), greatest(a.Differs)) })
	return list[:min(len(list), shownMost)]
}

func greatest(list []float64) float64 {
	most := 0.0
	for _, v := range list {
		most = max(most, v)
	}
	return most
}

// drops says how much each model's first score is worse than float's.
func drops(e *result.Evaluation) {
	if len(e.Models) == 0 || len(e.Columns) == 0 {
		return
	}
	float := e.Models[0].Scores[0]
	for i := range e.Models {
		m := &e.Models[i]
		if got := m.Scores[0]; i > 0 && float.OK && got.OK {
			m.Drop = metric.Defined(float.V - got.V)
			if !e.Columns[0].Higher {
				m.Drop.V = -m.Drop.V
			}
		}
	}
}

// sayBlind warns where the float model itself scores next to nothing. Detectors say more, see Boxes.blind.
func sayBlind(e *result.Evaluation) {
	if e.Blind() {
		e.Warnings = append(e.Warnings, fmt.Sprintf("the float model itself gets next to nothing right: %s %.4f, so that no variant's score says anything about quantization; most often the input is described wrongly (the same command with --try-inputs says which description fits), or its classes stand in another order than those of the data set (eval: classes: [...] in the model's YAML)",
			e.Columns[0].Key, e.Models[0].Scores[0].V))
	}
}

// Distance measures how far the outputs themselves are from float's: it goes along with every task, and alone is the task
// agreement.
type Distance struct {
	names []string // of the outputs
	sums  []sums   // by model
	alone bool
	shown []result.EvalPicture
	lost  []int // pictures without outputs, by model
}

type sums struct {
	sqnr, cos []float64 // by output, sums
	count     []int
	infinite  []int // pictures on which an output equals float's
	parts     []verdict.Sums
}

// NewDistance makes one for so many models; alone says that it is the task.
func NewDistance(models int, alone bool) *Distance {
	return &Distance{sums: make([]sums, models), alone: alone, lost: make([]int, models)}
}

// lostPart is by how many dB channels of like range must be worse than their output to stand for it.
const lostPart = 12

// equalDB stands for an output that equals float's where a mean is taken.
const equalDB = 150

// Picture implements Scorer.
func (d *Distance) Picture(p Picture, outputs [][]decode.Output) error {
	if len(outputs) == 0 || outputs[0] == nil {
		return nil
	}
	if d.names == nil {
		for _, o := range outputs[0] {
			d.names = append(d.names, o.Name)
		}
		for i := range d.sums {
			d.sums[i] = sums{make([]float64, len(d.names)), make([]float64, len(d.names)), make([]int, len(d.names)), make([]int, len(d.names)), make([]verdict.Sums, len(d.names))}
		}
	}
	for i, outs := range outputs {
		if outs != nil && len(outs) != len(d.names) {
			return fmt.Errorf("model %d gave %d outputs, not %d", i, len(outs), len(d.names))
		}
	}
	differs := make([]float64, len(outputs))
	for i := 1; i < len(outputs); i++ {
		if outputs[i] == nil {
			d.lost[i]++
			continue
		}
		for k, ref := range outputs[0] {
			x, ok := ref.Tensor.AsFloat32()
			y, also := outputs[i][k].Tensor.AsFloat32()
			if !ok || !also || len(x) == 0 || len(x) != len(y) {
				continue
			}
			pair, err := metric.Measure(x, y)
			if err != nil {
				continue
			}
			v := pair.Values(0)
			sqnr, s := v[metric.SQNR], &d.sums[i]
			s.parts[k].Add(x, y, ref.Tensor.Shape)
			if !sqnr.OK {
				continue
			}
			if math.IsInf(sqnr.V, 1) {
				sqnr.V = equalDB
				s.infinite[k]++
			}
			s.count[k]++
			s.sqnr[k] += max(sqnr.V, -equalDB)
			if c := v[metric.CosSim]; c.OK {
				s.cos[k] += c.V
			} else {
				s.cos[k]++ // two zero tensors
			}
			differs[i] = max(differs[i], 100-min(sqnr.V, 100))
		}
	}
	if d.alone {
		d.shown = append(d.shown, result.EvalPicture{Name: p.Image.Name, Path: p.Path, Width: p.Width, Height: p.Height, Truth: []result.Box{}, Found: [][]result.Box{}, Differs: differs})
		if len(d.shown) > 4*shownMost {
			d.shown = mostDiffering(d.shown)
		}
	}
	return nil
}

// Conclude implements Scorer. Of several outputs the worst counts.
func (d *Distance) Conclude(e *result.Evaluation) error {
	for i := range e.Models {
		m := &e.Models[i]
		for k := range d.names {
			s := &d.sums[i]
			if i == 0 || s.count[k] == 0 {
				continue
			}
			n := float64(s.count[k])
			sqnr, cos := metric.Defined(s.sqnr[k]/n), metric.Defined(s.cos[k]/n)
			if s.infinite[k] == s.count[k] {
				sqnr.V = math.Inf(1)
			}
			// A part of small range that is lost hardly shows in the whole output.
			if db, c, channels := s.parts[k].Worst(); db.OK && db.V < sqnr.V-lostPart {
				e.Problems = append(e.Problems, fmt.Sprintf("%s: channels %s of the output %s have %.1f dB, the whole output %.1f: the channels count", m.Name, verdict.Channels(channels), d.names[k], db.V, sqnr.V))
				sqnr, cos = db, c
			}
			if !m.Agree.SQNR.OK || sqnr.V < m.Agree.SQNR.V {
				m.Agree.SQNR, m.Agree.Cos = sqnr, cos
			}
		}
		if d.lost[i] > 0 {
			e.Problems = append(e.Problems, fmt.Sprintf("%s gave nothing on %d pictures, which count as pictures on which it found nothing", m.Name, d.lost[i]))
		}
	}
	if !d.alone {
		return nil
	}
	e.Columns = []result.Column{{Key: "SQNR", Title: "SQNR of the worst output against float, dB", Higher: true}, {Key: "cosine", Title: "cosine of that output with float", Higher: true}}
	e.Classes, e.Pictures = []string{}, mostDiffering(d.shown)
	e.Reading = fmt.Sprintf("%d outputs, compared with the float model's", len(d.names))
	for i := range e.Models {
		m := &e.Models[i]
		m.Scores, m.ByClass = []metric.Value{m.Agree.SQNR, m.Agree.Cos}, []metric.Value{}
		if i == 0 {
			m.Scores = []metric.Value{metric.Defined(math.Inf(1)), metric.Defined(1)}
		}
	}
	return nil
}
