package eval

import (
	"fmt"
	"math"
	"strconv"

	"quantcheck/internal/decode"
	"quantcheck/internal/labels"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// Masks scores models that give each pixel a class.
type Masks struct {
	data     *labels.Pairs
	config   Config
	sink     Sink
	classes  int
	output   int
	settled  bool
	reading  string
	models   []confusion
	same     []int64 // pixels that a model gives as float does
	pixels   int64
	shown    []result.EvalPicture
	problems labels.Problems
}

// mostClasses is how many classes the pixels of a mask, bytes, can have.
const mostClasses = 256

// confusion counts pixels by true and found class.
type confusion struct{ counts []int64 }

// NewMasks makes a scorer of masks. sink takes the masks that the models gave; nil: they are not kept.
func NewMasks(data *labels.Pairs, config Config, models int, sink Sink) *Masks {
	return &Masks{data: data, config: config, sink: sink, models: make([]confusion, models), same: make([]int64, models)}
}

func (m *Masks) settle(outs []decode.Output, input [2]int) error {
	k, err := m.config.pick(outs, "a map of classes, [1,C,H,W] or [1,H,W]", func(s []int64) bool { return isMap(s, input) })
	if err != nil {
		return err
	}
	channels, _, _, err := grid(outs[k])
	if err != nil {
		return err
	}
	m.output, m.settled = k, true
	if n := max(channels, len(m.config.Classes)); n > mostClasses {
		return fmt.Errorf("%d classes: a mask has %d at most", n, mostClasses)
	}
	switch {
	case channels > 1:
		m.classes, m.reading = channels, fmt.Sprintf("%s: the greatest of %d channels", outs[k].Name, channels)
	case outs[k].Tensor.DType.IsFloat():
		m.classes, m.reading = 2, fmt.Sprintf("%s: over %g (of its sigmoid, if values are no probabilities)", outs[k].Name, m.config.Threshold)
	default:
		m.classes, m.reading = max(len(m.config.Classes), 2), fmt.Sprintf("%s: class numbers", outs[k].Name)
	}
	if n := len(m.config.Classes); n > 0 && n != m.classes {
		return fmt.Errorf("%d classes are named, the output %s has %d", n, outs[k].Name, m.classes)
	}
	for i := range m.models {
		m.models[i].counts = make([]int64, m.classes*m.classes)
	}
	return nil
}

// classMap gives the class of each value of an output.
func (m *Masks) classMap(o decode.Output) (classes []uint8, width, height int, err error) {
	channels, height, width, err := grid(o)
	if err != nil {
		return nil, 0, 0, err
	}
	values, ok := o.Tensor.AsFloat32()
	n := width * height
	if !ok || len(values) != n*channels {
		return nil, 0, 0, fmt.Errorf("the output %s holds no numbers", o.Name)
	}
	classes = make([]uint8, n)
	switch {
	case channels > 1:
		for i := range n {
			best := 0
			for c := 1; c < channels && c < 256; c++ {
				if values[c*n+i] > values[best*n+i] {
					best = c
				}
			}
			classes[i] = uint8(best)
		}
	case !o.Tensor.DType.IsFloat():
		for i, v := range values {
			classes[i] = uint8(min(max(v, 0), 255))
		}
	default:
		limit := float32(m.config.Threshold)
		for _, v := range values {
			if v < 0 || v > 1 { // logits
				limit = logit(m.config.Threshold)
				break
			}
		}
		for i, v := range values {
			if v > limit {
				classes[i] = 1
			}
		}
	}
	return classes, width, height, nil
}

// Picture implements Scorer.
func (m *Masks) Picture(p Picture, outputs [][]decode.Output) error {
	if !m.settled {
		if outputs[0] == nil {
			return errNoOutputs
		}
		if err := m.settle(outputs[0], p.Input); err != nil {
			return err
		}
	}
	truth, err := readTruth(p.Image.Truth)
	if err != nil {
		m.problems.Add("masks cannot be read, their pictures are left out", err.Error())
		return nil
	}
	if truth.width*p.Height != truth.height*p.Width && (truth.width != p.Width || truth.height != p.Height) {
		m.problems.Add("masks have other proportions than their pictures, which are left out", fmt.Sprintf("%s: %d×%d for %d×%d", p.Image.Name, truth.width, truth.height, p.Width, p.Height))
		return nil
	}
	labels := m.labels(truth, p)
	shown := result.EvalPicture{Name: p.Image.Name, Path: p.Path, Width: p.Width, Height: p.Height, Truth: []result.Box{}, Found: [][]result.Box{}, TruthMask: p.Image.Truth, Differs: make([]float64, len(outputs))}
	var float []uint8
	for i, outs := range outputs {
		pixels := make([]uint8, len(labels))
		if outs != nil {
			out, err := at(outs, m.output)
			if err != nil {
				return err
			}
			classes, width, height, err := m.classMap(out)
			if err != nil {
				return err
			}
			at := sampler(p, [2]int{truth.width, truth.height}, [2]int{width, height})
			for y := range truth.height {
				for x := range truth.width {
					k := y*truth.width + x
					from := at(x, y)
					if from < 0 {
						labels[k] = -1 // cut off: not seen by the model
						continue
					}
					pixels[k] = classes[from]
				}
			}
		}
		if i == 0 {
			float = pixels
		}
		m.count(i, labels, pixels, float, &shown.Differs[i])
		if m.sink != nil {
			data, err := encodeGray(truth.width, truth.height, pixels)
			if err != nil {
				return err
			}
			path, err := m.sink.Mask(i, p.Image.Name, data)
			if err != nil {
				return err
			}
			shown.Masks = append(shown.Masks, path)
		}
	}
	m.pixels += int64(len(labels))
	if m.shown = append(m.shown, shown); len(m.shown) > 4*shownMost {
		m.shown = mostDiffering(m.shown)
	}
	return nil
}

// labels are the truth's classes; −1 counts for nothing. A mask of two classes may hold 255 where others have 1.
func (m *Masks) labels(truth plane, p Picture) []int {
	labels := make([]int, len(truth.values))
	blackWhite := m.classes == 2
	for _, v := range truth.values {
		if v != 0 && v != 255 {
			blackWhite = false
			break
		}
	}
	beyond := 0
	for i, v := range truth.values {
		const none = math.MinInt32
		c := none
		if v > -1<<20 && v < 1<<20 { // NaN is no class
			c = int(v)
		}
		switch {
		case c == none:
		case blackWhite && c == 255:
			c = 1
		case c == m.config.Ignore:
			c = -1
		default:
			c += m.config.ClassOffset
		}
		if c >= m.classes || c < -1 {
			beyond++
			c = -1
		}
		labels[i] = c
	}
	if beyond > 0 {
		m.problems.Add(fmt.Sprintf("masks hold classes beyond the model's %d, whose pixels count for nothing", m.classes), fmt.Sprintf("%s (%d pixels)", p.Image.Name, beyond))
	}
	return labels
}

func (m *Masks) count(model int, labels []int, pixels, float []uint8, differs *float64) {
	counts := m.models[model].counts
	different := 0
	for i, label := range labels {
		if pixels[i] != float[i] {
			different++
		}
		if label >= 0 && int(pixels[i]) < m.classes {
			counts[label*m.classes+int(pixels[i])]++
		}
	}
	m.same[model] += int64(len(labels) - different)
	if len(labels) > 0 {
		*differs = float64(different) / float64(len(labels))
	}
}

var segmentationColumns = []result.Column{
	{Key: "fscore", Title: "F1 over all pixels, without the background (class 0)", Higher: true}, {Key: "precision", Title: "precision, likewise", Higher: true},
	{Key: "recall", Title: "recall, likewise", Higher: true}, {Key: "accuracy", Title: "share of pixels of the right class", Higher: true},
	{Key: "mIoU", Title: "mean over the classes of intersection over union", Higher: true},
}

// Conclude implements Scorer. F1, precision and recall are over all pixels of all classes but the background together, as
// the seed's evaluation has them.
func (m *Masks) Conclude(e *result.Evaluation) error {
	e.Columns, e.Reading, e.Classes = segmentationColumns, m.reading, []string{}
	for k := range m.classes {
		name := strconv.Itoa(k)
		if k < len(m.config.Classes) {
			name = m.config.Classes[k]
		}
		e.Classes = append(e.Classes, name)
	}
	for i := range e.Models {
		e.Models[i].Scores, e.Models[i].ByClass = m.scores(m.models[i].counts)
		if i > 0 && m.pixels > 0 {
			e.Models[i].Agree.Share = metric.Defined(float64(m.same[i]) / float64(m.pixels))
		}
	}
	drops(e)
	sayBlind(e)
	e.Pictures = mostDiffering(m.shown)
	e.Problems = append(e.Problems, append(m.data.Problems.List(), m.problems.List()...)...)
	return nil
}

// scores gives the columns and the intersection over union of each class; a class that neither the truth nor the model has,
// has none.
func (m *Masks) scores(counts []int64) (scores, byClass []metric.Value) {
	n := m.classes
	ratio := func(a, b int64) metric.Value {
		if b == 0 {
			return metric.Value{}
		}
		return metric.Defined(float64(a) / float64(b))
	}
	byClass = make([]metric.Value, n)
	var right, all, hit, found, wanted int64
	if counts == nil {
		return make([]metric.Value, len(segmentationColumns)), byClass
	}
	sum, have := 0.0, 0
	for c := range n {
		var truth, got int64
		for k := range n {
			truth += counts[c*n+k]
			got += counts[k*n+c]
		}
		both := counts[c*n+c]
		right, all = right+both, all+truth
		if c > 0 {
			hit, found, wanted = hit+both, found+got, wanted+truth
		}
		if byClass[c] = ratio(both, truth+got-both); byClass[c].OK {
			sum += byClass[c].V
			have++
		}
	}
	mean := metric.Value{}
	if have > 0 {
		mean = metric.Defined(sum / float64(have))
	}
	return []metric.Value{ratio(2*hit, found+wanted), ratio(hit, found), ratio(hit, wanted), ratio(right, all), mean}, byClass
}
