package web

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/dataset"
	"quantcheck/internal/metric"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
)

type evaluation struct {
	ID        int64           `json:"id"`
	Name      string          `json:"name"`
	Started   string          `json:"started"`
	Seconds   float64         `json:"seconds"`
	Inference float64         `json:"inference"`
	Task      result.Task     `json:"task"`
	Data      string          `json:"data"`
	Reading   string          `json:"reading"`
	Model     string          `json:"model"`
	Engine    string          `json:"engine"`
	Story     []string        `json:"story"`
	Notes     []string        `json:"notes"`
	Columns   []result.Column `json:"columns"`
	Classes   []string        `json:"classes"`
	Colours   []string        `json:"colours"` // of the classes in masks; empty without masks
	Models    []scoredModel   `json:"models"`
	Pictures  []picture       `json:"pictures"`
	Of        int             `json:"of"` // how many pictures the evaluation has
}

type scoredModel struct {
	Name    string `json:"name"`
	Label   string `json:"label"` // unique in the workspace
	Text    string `json:"text"`
	Float   bool   `json:"float"`
	Scores  []num  `json:"scores"`
	Drop    num    `json:"drop"`
	Share   num    `json:"share"`
	Boxes   *boxes `json:"boxes"` // null for float and where nothing is a box
	SQNR    num    `json:"sqnr"`
	Cos     num    `json:"cosine"`
	Bytes   int64  `json:"bytes"` // 0: not known
	FPS     num    `json:"fps"`
	ByClass []num  `json:"byClass"`
	// Recall and Precision are the curve's points.
	Recall    []num `json:"recall" ts:"number[]"`
	Precision []num `json:"precision" ts:"number[]"`
	// LayerError is the mean over the layers of their SQNR in the latest check of the same variant of the same model.
	LayerError     num    `json:"layerError"`
	LayerErrorFrom string `json:"layerErrorFrom"`
}

// boxes counts what became of the float model's boxes.
type boxes struct {
	Kept  int `json:"kept"`
	Moved int `json:"moved"`
	Other int `json:"other"`
	Lost  int `json:"lost"`
	New   int `json:"new"`
}

type cycles struct {
	Model string   `json:"model"`
	Unit  string   `json:"unit"`
	ID    []int    `json:"id"`
	Name  []string `json:"name"`
	Mean  []num    `json:"mean"`
	Std   []num    `json:"std"`
	Share []num    `json:"share"`
}

// curvePoints is how many points of a curve a page holds at most.
const curvePoints = 201

// evaluations is the view of scores.
type evaluations struct {
	Evaluations []evaluation `json:"evaluations"`
	Cycles      []cycles     `json:"cycles"`
	Images      []string     `json:"images"` // data URLs of the evaluations' pictures
}

var _ = show(func(c Content) evaluations {
	var p evaluations
	p.Evaluations, p.Cycles = []evaluation{}, []cycles{}
	pictures := album{known: map[string]shot{}, urls: []string{}}
	for _, e := range c.Evaluations {
		p.Evaluations = append(p.Evaluations, describeEvaluation(e, c, &pictures))
	}
	for _, one := range c.Cycles {
		p.Cycles = append(p.Cycles, describeCycles(one))
	}
	p.Images = pictures.urls
	return p
})

func describeEvaluation(e *result.Evaluation, c Content, a *album) evaluation {
	folder := cmp.Or(c.Folder, e.Spec.Out)
	d := evaluation{
		ID: e.ID, Name: e.Name, Started: e.Started.UTC().Format(minute), Seconds: e.Seconds, Inference: e.Inference,
		Task: e.Task, Data: e.Data, Reading: e.Reading, Model: e.Model.Path, Engine: fmt.Sprintf("ONNX Runtime %s, %d threads, %s", e.ONNXRuntime, e.Spec.Threads, e.Machine.CPU),
		Story: story(e), Notes: list(slices.Concat(e.Problems, e.Warnings)),
		Columns: append([]result.Column{}, e.Columns...), Classes: append([]string{}, e.Classes...), Models: []scoredModel{}, Of: len(e.Pictures),
	}
	for i := range e.Models {
		d.Models = append(d.Models, describeScored(e, &e.Models[i], c.Runs))
	}
	g := gallery{budget: dataset.NewBudget(memoryOfPictures), of: e, folder: folder, album: a}
	d.Pictures, d.Colours = g.pictures(), g.colours()
	d.Notes = append(d.Notes, g.notes()...)
	return d
}

func describeScored(e *result.Evaluation, m *result.EvalModel, runs []*result.Run) scoredModel {
	d := scoredModel{
		Name: m.Name, Label: cmp.Or(m.File, e.Name+" "+m.Name), Text: "the model as it is", Float: m.Spec == nil, Scores: nums(m.Scores), Drop: num(m.Drop),
		Share: num(m.Agree.Share), SQNR: num(m.Agree.SQNR), Cos: num(m.Agree.Cos), Bytes: m.Bytes, FPS: num(m.FPS), ByClass: nums(m.ByClass),
		Recall: []num{}, Precision: []num{},
	}
	if m.Spec != nil {
		d.Text = report.Describe(*m.Spec)
		d.LayerError, d.LayerErrorFrom = layerError(e, m.Spec.Name, runs)
		if e.Task == result.Detection {
			d.Boxes = &boxes{m.Agree.Kept, m.Agree.Moved, m.Agree.Other, m.Agree.Lost, m.Agree.New}
		}
	}
	for _, k := range spaced(len(m.Curve), curvePoints) {
		d.Recall, d.Precision = append(d.Recall, some(m.Curve[k].Recall)), append(d.Precision, some(m.Curve[k].Precision))
	}
	return d
}

func describeCycles(c *result.Cycles) cycles {
	d := cycles{Model: c.Model, ID: []int{}, Name: []string{}, Mean: []num{}, Std: []num{}, Share: []num{}}
	for _, l := range c.Layers {
		d.ID, d.Name, d.Mean = append(d.ID, l.ID), append(d.Name, l.Name), append(d.Mean, some(l.Mean))
		d.Std, d.Share = append(d.Std, num(l.Std)), append(d.Share, some(l.Share))
		if d.Unit == "" {
			d.Unit = l.Unit
		} else if l.Unit != d.Unit {
			d.Unit = "mixed units"
		}
	}
	return d
}

func nums(values []metric.Value) []num {
	list := []num{}
	for _, v := range values {
		list = append(list, num(v))
	}
	return list
}

// spaced gives at most so many of n indices, evenly spread, the first and the last among them.
func spaced(n, most int) []int {
	var list []int
	for i := range min(n, most) {
		k := i
		if n > most {
			k = i * (n - 1) / (most - 1)
		}
		list = append(list, k)
	}
	return list
}

// layerError is the mean SQNR of a variant's layers in the latest run that checked a variant of that name of the same
// model: of the layers alone if that was measured, else accumulated; infinite values do not count. from says which.
func layerError(e *result.Evaluation, name string, runs []*result.Run) (mean num, from string) {
	for _, r := range slices.Backward(runs) {
		if !sameModel(r.Model, e.Model) {
			continue
		}
		for i := range r.Variants {
			if v := &r.Variants[i]; v.Spec.Name == name {
				if mean, ok := meanSQNR(v, true); ok {
					return mean, fmt.Sprintf("each layer alone, run %d", r.ID)
				}
				mean, _ := meanSQNR(v, false)
				return mean, fmt.Sprintf("accumulated, run %d", r.ID)
			}
		}
	}
	return num{}, ""
}

func sameModel(a, b result.Model) bool {
	if a.SHA256 != "" && b.SHA256 != "" {
		return a.SHA256 == b.SHA256
	}
	return a.Path == b.Path
}

func meanSQNR(v *result.Variant, local bool) (mean num, ok bool) {
	sum, n := 0.0, 0
	for k := range v.Layers {
		l := &v.Layers[k]
		var s *result.Summary
		switch {
		case local && l.Local != nil:
			s = &l.Local.Full.Summary
		case !local && l.HasMetrics():
			s = &l.Summary
		default:
			continue
		}
		if x := s[metric.SQNR].Mean; x.OK && !math.IsInf(x.V, 0) {
			sum, n = sum+x.V, n+1
		}
	}
	if n == 0 {
		return num{}, false
	}
	return some(sum / float64(n)), true
}

// story says in sentences what quantization costs: the variants by what they lose.
func story(e *result.Evaluation) []string {
	if len(e.Models) < 2 || len(e.Columns) == 0 {
		return []string{fmt.Sprintf("%d models were scored; there is no variant to compare with float.", len(e.Models))}
	}
	var list []*result.EvalModel
	var without, lines []string
	if e.Blind() {
		lines = append(lines, report.Blind(e))
	}
	for i := range e.Models[1:] {
		if m := &e.Models[i+1]; m.Drop.OK {
			list = append(list, m)
		} else {
			without = append(without, m.Name)
		}
	}
	slices.SortStableFunc(list, func(a, b *result.EvalModel) int { return cmp.Compare(a.Drop.V, b.Drop.V) })
	if len(list) > 1 {
		lines = append(lines, span(e, list[0], list[len(list)-1]))
	}
	const most = 4
	for i, m := range list {
		if len(list) > most && i >= most/2 && i < len(list)-most/2 {
			if i == most/2 {
				lines = append(lines, fmt.Sprintf("%d variants lie between.", len(list)-most))
			}
			continue
		}
		lines = append(lines, loss(e, m))
	}
	if len(without) > 0 {
		lines = append(lines, fmt.Sprintf("No drop could be computed for %s.", strings.Join(without, ", ")))
	}
	return lines
}

// span says how far apart the best and the worst variant are.
func span(e *result.Evaluation, best, worst *result.EvalModel) string {
	return fmt.Sprintf("%s of float is %s; %s comes closest with %s, %s is furthest with %s.",
		e.Columns[0].Key, number(first(e.Models[0].Scores)), best.Name, number(first(best.Scores)), worst.Name, number(first(worst.Scores)))
}

// loss says what a variant loses of the first score, and where most.
func loss(e *result.Evaluation, m *result.EvalModel) string {
	title, reference := e.Columns[0].Key, first(e.Models[0].Scores)
	text := fmt.Sprintf("%s: %s %s", m.Name, title, number(first(m.Scores)))
	relative := m.Drop.V / math.Abs(reference.V)
	switch {
	case !reference.OK || reference.V == 0 || math.IsInf(relative, 0):
		text += fmt.Sprintf(", %s apart from float", short(m.Drop.V))
	case math.Abs(relative) < 0.005:
		text += fmt.Sprintf(", as good as float (%s)", short(reference.V))
	case relative > 0:
		text += fmt.Sprintf(", %s %% worse than float (%s)", percent(relative), short(reference.V))
	default:
		text += fmt.Sprintf(", %s %% better than float (%s)", percent(-relative), short(reference.V))
	}
	if k, drop := worstClass(e, m); k >= 0 && relative >= 0.005 {
		text += fmt.Sprintf("; most in the class %s (by %s)", e.Classes[k], short(drop))
	}
	return text + "."
}

func first(list []metric.Value) metric.Value {
	if len(list) == 0 {
		return metric.Value{}
	}
	return list[0]
}

// worstClass is the class that loses most against float, −1 if none loses.
func worstClass(e *result.Evaluation, m *result.EvalModel) (class int, drop float64) {
	class = -1
	for k := range min(len(e.Classes), len(m.ByClass), len(e.Models[0].ByClass)) {
		a, b := e.Models[0].ByClass[k], m.ByClass[k]
		if !a.OK || !b.OK {
			continue
		}
		d := a.V - b.V
		if !e.Columns[0].Higher {
			d = -d
		}
		if d > drop {
			class, drop = k, d
		}
	}
	return class, drop
}

func number(v metric.Value) string {
	if !v.OK {
		return "not known"
	}
	return short(v.V)
}

func short(v float64) string { return fmt.Sprintf("%.4g", v) }

func percent(share float64) string {
	if p := 100 * share; p < 10 {
		return fmt.Sprintf("%.1f", p)
	}
	return fmt.Sprintf("%.0f", 100*share)
}
