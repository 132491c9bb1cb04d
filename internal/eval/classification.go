package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"quantcheck/internal/decode"
	"quantcheck/internal/labels"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// Labels scores classifiers.
type Labels struct {
	data     *labels.Classes
	config   Config
	output   int
	classes  int
	settled  bool
	reading  string
	models   []labelSums
	same     []int
	pictures int
	shown    []result.EvalPicture
	problems labels.Problems
	byName   []int // the model's class of each of the data set's names; nil: they go by number
}

type labelSums struct {
	first, five int
	right, all  []int // by class
}

// NewLabels makes a scorer of classes.
func NewLabels(data *labels.Classes, config Config, models int) *Labels {
	return &Labels{data: data, config: config, models: make([]labelSums, models), same: make([]int, models)}
}

func (l *Labels) settle(outs []decode.Output) error {
	k, err := l.config.pick(outs, "a list of scores, [1,C]", func(s []int64) bool {
		n := int64(1)
		for _, d := range s {
			n *= d
		}
		return n > 1 && slices.Contains(s, n)
	})
	if err != nil {
		return err
	}
	l.output, l.classes, l.settled = k, outs[k].Tensor.Len(), true
	l.reading = fmt.Sprintf("%s: the greatest of %d scores", outs[k].Name, l.classes)
	if l.match(); l.byName != nil {
		l.reading += "; classes by name"
	}
	most := l.greatest()
	if most >= l.classes {
		return fmt.Errorf("the data set has the class %d, the model %d classes; a model with a background class in front takes eval: class-offset: 1", most, l.classes)
	}
	if l.classes == 1001 && l.config.ClassOffset == 0 && most < 1000 {
		l.problems.Add("models with 1001 classes mostly have a background class in front: eval: class-offset: 1", outs[k].Name)
	}
	for i := range l.models {
		l.models[i].right, l.models[i].all = make([]int, l.classes), make([]int, l.classes)
	}
	return nil
}

// names are the model's class names, if they are known: those of the YAML, else those in its metadata if there are as many as scores.
func (l *Labels) names() []string {
	if len(l.config.Classes) > 0 || len(l.config.ModelNames) != l.classes {
		return l.config.Classes
	}
	return l.config.ModelNames
}

// match finds the model's class of each of the data set's by its name. If one has none, or several have the same, classes go by number.
func (l *Labels) match() {
	index := map[string]int{}
	for k, n := range l.names() {
		if _, twice := index[plainName(n)]; twice || k >= l.classes {
			return
		}
		index[plainName(n)] = k
	}
	var list []int
	for _, n := range l.data.Names {
		k, ok := index[plainName(n)]
		if !ok || slices.Contains(list, k) {
			return
		}
		list = append(list, k)
	}
	l.byName = list
}

// class is a class of the truth as the model numbers classes.
func (l *Labels) class(truth int) int {
	if truth >= 0 && truth < len(l.byName) {
		return l.byName[truth]
	}
	return truth + l.config.ClassOffset
}

// greatest is the greatest class of the truth, as the model numbers classes.
func (l *Labels) greatest() int {
	most := 0
	for _, i := range l.data.Images {
		most = max(most, l.class(i.Class))
	}
	return most
}

// Picture implements Scorer.
func (l *Labels) Picture(p Picture, outputs [][]decode.Output) error {
	if !l.settled {
		if outputs[0] == nil {
			return errNoOutputs
		}
		if err := l.settle(outputs[0]); err != nil {
			return err
		}
	}
	truth := l.class(p.Image.Class)
	if truth < 0 || truth >= l.classes {
		l.problems.Add("classes under 0 after the offset, or beyond the model's, their pictures are left out", p.Image.Name)
		return nil
	}
	shown := result.EvalPicture{Name: p.Image.Name, Path: p.Path, Width: p.Width, Height: p.Height, Truth: []result.Box{{Class: truth}}, Differs: make([]float64, len(outputs))}
	float := -1
	for i, outs := range outputs {
		m := &l.models[i]
		m.all[truth]++
		if outs == nil {
			shown.Found = append(shown.Found, []result.Box{})
			continue
		}
		out, err := at(outs, l.output)
		if err != nil {
			return err
		}
		scores, ok := out.Tensor.AsFloat32()
		if !ok || len(scores) != l.classes {
			return fmt.Errorf("the output %s %v holds no numbers, or not %d as before", out.Name, out.Tensor.Shape, l.classes)
		}
		order := best(scores, 5)
		if len(order) == 0 {
			l.problems.Add("outputs hold no finite number", p.Image.Name)
			shown.Found = append(shown.Found, []result.Box{})
			continue
		}
		if order[0] == truth {
			m.first++
			m.right[truth]++
		}
		if slices.Contains(order, truth) {
			m.five++
		}
		box := result.Box{Class: order[0], Score: max(min(scores[order[0]], math.MaxFloat32), -math.MaxFloat32)}
		switch {
		case i == 0:
			float = order[0]
		case order[0] == float:
			l.same[i]++
		default:
			box.Change = result.OtherClass
			shown.Differs[i] = 1
		}
		shown.Found = append(shown.Found, []result.Box{box})
	}
	l.pictures++
	if l.shown = append(l.shown, shown); len(l.shown) > 4*shownMost {
		l.shown = mostDiffering(l.shown)
	}
	return nil
}

// best gives the classes of the greatest scores, of equal ones the first; NaN is none.
func best(scores []float32, most int) []int {
	var order []int
	for k, s := range scores {
		if s != s {
			continue
		}
		at, _ := slices.BinarySearchFunc(order, s, func(i int, s float32) int { return cmp.Compare(s, scores[i]) })
		for at < len(order) && scores[order[at]] == s {
			at++
		}
		if at < most {
			order = slices.Insert(order, at, k)
			order = order[:min(len(order), most)]
		}
	}
	return order
}

var classificationColumns = []result.Column{
	{Key: "top1", Title: "share of pictures whose class has the greatest score", Higher: true}, {Key: "top5", Title: "share of pictures whose class is among the five greatest", Higher: true},
}

// Conclude implements Scorer.
func (l *Labels) Conclude(e *result.Evaluation) error {
	e.Columns, e.Reading, e.Classes = classificationColumns, l.reading, []string{}
	for k := range l.classes {
		name := strconv.Itoa(k)
		if names := l.names(); k < len(names) {
			name = names[k]
		} else if at := k - l.config.ClassOffset; at >= 0 && at < len(l.data.Names) {
			name = l.data.Names[at]
		}
		e.Classes = append(e.Classes, name)
	}
	for i := range e.Models {
		m, s := &e.Models[i], l.models[i]
		m.Scores, m.ByClass = make([]metric.Value, len(classificationColumns)), make([]metric.Value, l.classes)
		if n := float64(l.pictures); n > 0 {
			m.Scores = []metric.Value{metric.Defined(float64(s.first) / n), metric.Defined(float64(s.five) / n)}
			if i > 0 {
				m.Agree.Share = metric.Defined(float64(l.same[i]) / n)
			}
		}
		for k := range s.all {
			if s.all[k] > 0 {
				m.ByClass[k] = metric.Defined(float64(s.right[k]) / float64(s.all[k]))
			}
		}
	}
	drops(e)
	sayBlind(e)
	e.Pictures = mostDiffering(l.shown)
	e.Problems = append(e.Problems, append(l.data.Problems.List(), l.problems.List()...)...)
	return nil
}
