// Package verdict says what a variant is worth: whether its outputs still mean what the float model's do, and which part of which output is
// worst. It runs nothing: outputs of samples come in, a result.Verdict goes out.
//
//  1. New makes a Plan of the float model's outputs: their parts, by the Concats that make them.
//  2. Plan.Float takes the float model's outputs of a sample; the first one settles how decisions are read (Kinds).
//  3. Gathered.Add compares a variant's outputs of that sample, beside the inference of the next.
//  4. Gathered.Conclude divides outputs into parts, counts decisions and gives the grade.
package verdict

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"

	"quantcheck/internal/decode"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/resume"
)

// Plan is what is known of the float model's outputs.
type Plan struct {
	Decoder  string          // of boxes; "": the one that fits
	Settings decode.Settings // with the size of the picture in the model's input; without one boxes are not recognised

	outputs []planned
	settled bool
	readers []reader
}

// planned is an output layer.
type planned struct {
	layer  int
	name   string
	made   string
	dims   []int64
	layout *layout
}

// New plans for the output layers of a float model.
func New(layers []result.Layer, x *onnx.Index, shapes Shapes, decoder string, settings decode.Settings) *Plan {
	p := &Plan{Decoder: decoder, Settings: settings}
	for k, l := range layers {
		if !l.Output {
			continue
		}
		dims, ok := shapes(l.Name)
		if n := elements(dims); !ok || n < 1 {
			dims = nil // its values say how many there are
		}
		p.outputs = append(p.outputs, planned{k, l.Name, maker(x, l.Name), dims, layoutOf(x, shapes, l.Name, dims)})
	}
	return p
}

// maker is the operator that gives a tensor its values, over operators that only move them.
func maker(x *onnx.Index, name string) string {
	for range 16 {
		k, made := x.Producer[name]
		if !made {
			return ""
		}
		n := x.Nodes[k]
		if len(n.GetInput()) == 0 {
			return n.GetOpType()
		}
		switch n.GetOpType() {
		case "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast", "Dropout":
			name = n.GetInput()[0]
		default:
			return n.GetOpType()
		}
	}
	return ""
}

// Layers lists the layers whose values are wanted.
func (p *Plan) Layers() []int {
	var list []int
	for _, o := range p.outputs {
		list = append(list, o.layer)
	}
	return list
}

// Outputs puts values of layers into the order of the plan; a layer without values is left out.
func (p *Plan) Outputs(values map[int][]float32, shapes map[int][]int64) []Output {
	var list []Output
	for _, o := range p.outputs {
		if x, ok := values[o.layer]; ok {
			list = append(list, Output{o.layer, o.name, shapes[o.layer], o.made, x})
		}
	}
	return list
}

// Float takes the float model's outputs of a sample before those of the variants.
func (p *Plan) Float(outs []Output) {
	if !p.settled {
		p.settled = true
		p.settle(outs)
	}
}

// Clear forgets how decisions are read.
func (p *Plan) Clear() { p.settled, p.readers = false, nil }

// Code writes how decisions are read, or reads it back.
func (p *Plan) Code(x *resume.Coder) {
	x.Bool(&p.settled)
	kinds := make([]string, len(p.readers))
	for i, r := range p.readers {
		kinds[i] = r.kind()
	}
	var readers []reader
	at := 0
	resume.Slice(x, &kinds, func(name *string) {
		x.String(name)
		var r reader
		if x.Reading() {
			k := KindOf(*name)
			if k.blank == nil {
				x.Fail("unknown decisions %q", *name)
				return
			}
			r = k.blank()
		} else {
			r = p.readers[at]
			at++
		}
		r.code(x)
		readers = append(readers, r)
	})
	if x.Reading() {
		p.readers = readers
	}
}

func (b *boxes) code(x *resume.Coder) {
	data, err := json.Marshal(b)
	if err != nil {
		x.Fail("%v", err)
		return
	}
	if x.Blob(&data); x.Reading() && x.Err() == nil {
		if err := json.Unmarshal(data, b); err != nil {
			x.Fail("%v", err)
		}
		x.Need(len(b.Of) == len(b.Names), "boxes of other outputs")
	}
}

func (t *top) code(x *resume.Coder) {
	t.one.code(x)
	x.Int(&t.Columns)
	x.Need(t.Columns > 0, "rows without columns")
}

// Gathered is what was measured of one variant. Add may be called by several goroutines.
type Gathered struct {
	plan      *Plan
	encodings map[int]*quant.Encoding // of output layers
	mu        sync.Mutex
	cells     [][][]cell  // by sample and output
	decisions [][]*counts // by sample and reader
}

// Gather makes places for what is measured of a variant on so many samples.
func (p *Plan) Gather(samples int, encodings map[int]*quant.Encoding) *Gathered {
	return &Gathered{plan: p, encodings: encodings, cells: make([][][]cell, samples), decisions: make([][]*counts, samples)}
}

// Add compares the outputs of one sample.
func (g *Gathered) Add(sample int, float, got []Output) {
	cells := make([][]cell, len(g.plan.outputs))
	for i, o := range g.plan.outputs {
		x, y := (one{o.layer}).find(float), (one{o.layer}).find(got)
		if x == nil || y == nil || len(x.X) != len(y.X) || len(x.X) == 0 || o.layout.of != nil && len(o.layout.of) != len(x.X) {
			continue
		}
		cells[i] = o.layout.measure(x.X, y.X, g.encodings[o.layer])
	}
	decisions := make([]*counts, len(g.plan.readers))
	for i, r := range g.plan.readers {
		if c, err := r.compare(float, got); err == nil {
			decisions[i] = &c
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cells[sample], g.decisions[sample] = cells, decisions
}

// Clear forgets what was measured.
func (g *Gathered) Clear() {
	clear(g.cells)
	clear(g.decisions)
}

// Code writes the first n samples, or reads them back.
func (g *Gathered) Code(x *resume.Coder, n int) {
	for s := range min(n, len(g.cells)) {
		resume.Slice(x, &g.cells[s], func(list *[]cell) { resume.Slice(x, list, func(c *cell) { c.code(x) }) })
		x.Need(len(g.cells[s]) == 0 || len(g.cells[s]) == len(g.plan.outputs), "other outputs")
		for i := range g.cells[s] {
			if x.Err() == nil {
				x.Need(g.cells[s][i] == nil || len(g.cells[s][i]) == g.plan.outputs[i].layout.cells(), "other parts of an output")
			}
		}
		resume.Slice(x, &g.decisions[s], func(c **counts) { resume.Optional(x, c, func(c *counts) { c.code(x) }) })
		x.Need(len(g.decisions[s]) == 0 || len(g.decisions[s]) == len(g.plan.readers), "other decisions")
	}
}

func (c *counts) code(x *resume.Coder) {
	x.Float64(&c.of)
	x.Float64(&c.kept)
	x.Float64(&c.squares)
	for _, n := range []*int{&c.boxes, &c.moved, &c.lost, &c.new, &c.other} {
		x.Int(n)
	}
	resume.Slice(x, &c.keep, x.Float32)
}

// Conclude judges a variant by what was measured on the first n samples.
func (g *Gathered) Conclude(n int) *result.Verdict {
	v := &result.Verdict{Grade: result.Unknown, Basis: result.ByNothing}
	n = min(n, len(g.cells))
	for i, o := range g.plan.outputs {
		samples := make([][]cell, n)
		for s := range n {
			if g.cells[s] != nil {
				samples[s] = g.cells[s][i]
			}
		}
		v.Parts = append(v.Parts, o.layout.parts(o.layer, samples, g.encodings[o.layer])...)
	}
	slices.SortStableFunc(v.Parts, worse)
	empty := map[int]bool{}
	for i, r := range g.plan.readers {
		before := len(v.Undecided)
		g.decide(v, r, i, n)
		if len(v.Undecided) > before {
			for _, l := range r.layers() {
				empty[l] = true
			}
		}
	}
	grade(v, empty)
	return v
}

// decide sums up what one reader counted.
func (g *Gathered) decide(v *result.Verdict, r reader, i, n int) {
	by := make([]*counts, n)
	for s := range n {
		if g.decisions[s] != nil {
			by[s] = g.decisions[s][i]
		}
	}
	if _, ok := r.(*neighbours); ok {
		countNeighbours(by)
	}
	d := result.Decision{Kind: r.kind(), Layers: r.layers(), Reading: r.reading(), Worst: -1}
	least, squares := 1.0, 0.0
	for s, c := range by {
		if c == nil || c.of == 0 {
			continue
		}
		d.Of, d.Kept, squares = d.Of+c.of, d.Kept+c.kept, squares+c.squares
		d.Boxes, d.Moved, d.Lost, d.New, d.Other = d.Boxes+c.boxes, d.Moved+c.moved, d.Lost+c.lost, d.New+c.new, d.Other+c.other
		if share := c.kept / c.of; share < least {
			least, d.Worst = share, s
		}
	}
	if b, ok := r.(*boxes); ok && b.Doubtful && d.Of > 0 {
		return // another sample has boxes, and which decoder reads them is not known
	}
	if d.Of == 0 {
		v.Undecided = append(v.Undecided, r.kind())
		return
	}
	switch {
	case squares > 0:
		d.Number = d.Of * d.Of / squares // Kish's effective size
	case !KindOf(d.Kind).Pixels:
		d.Number = d.Of
	}
	doubt(&d)
	v.Decisions = append(v.Decisions, d)
}

// worse sorts parts: those that are dead first, then by the SQNR of their worst sample.
func worse(a, b result.OutputPart) int {
	key := func(p result.OutputPart) float64 {
		if !p.SQNR.Min.OK {
			return math.Inf(1)
		}
		return p.SQNR.Min.V
	}
	switch da, db := a.Dead > 0.5, b.Dead > 0.5; {
	case da != db:
		return map[bool]int{true: -1, false: 1}[da]
	case key(a) < key(b):
		return -1
	case key(a) > key(b):
		return 1
	}
	return 0
}

// border is where a grade begins: in the share of decisions that is kept, and in the SQNR (dB) and cosine of the worst part on its worst sample.
type border struct {
	grade           result.Grade
	kept, sqnr, cos float64
}

// The borders of the signal are those that other tools pass or fail by, 20 dB (Polygraphy) and 10 dB (Hailo), and 30 dB, an error of 3 %; the
// cosines are those of orthogonal noise of the same power, 1 − 1/(2·10^(dB/10)).
var borders = []border{{result.Good, 0.98, 30, 0.9995}, {result.Fair, 0.9, 20, 0.995}, {result.Poor, 0.7, 10, 0.95}, {result.Bad, 0, math.Inf(-1), -1}}

// GradeOf is the grade of a share of decisions, or of a score, that is kept: 1 is float's.
func GradeOf(kept float64) result.Grade { return borders[rank(kept, 1)].grade }

// Percent writes a share that a grade stands beside, in percent. It is rounded down to a tenth, so that a share below a border is never written as if it
// were on it: 0.9798 is "97.9 %", which is fair, as 98 % is not.
func Percent(share float64) string {
	return fmt.Sprintf("%.4g %%", math.Floor(1000*share+1e-9)/10)
}

// rank is the place of a grade among the borders for what is kept of so many decisions.
func rank(kept, of float64) int {
	k := slices.IndexFunc(borders, func(b border) bool { return kept >= b.kept*of })
	if k < 0 { // a score may be negative
		return len(borders) - 1
	}
	return k
}

// lost is the share of a part's values that is dead from which on the part is lost.
const lost = 0.5

// signal is the place of a part among the borders.
func signal(p *result.OutputPart) int {
	k := 0
	for k < len(borders)-1 && (p.Dead > lost || p.SQNR.Min.V < borders[k].sqnr || p.Cos.Min.OK && p.Cos.Min.V < borders[k].cos) {
		k++
	}
	return k
}

// grade gives the word: the worst kind of decision decides; without any, the worst part of an output does. In the outputs of empty neither float
// nor the variant finds anything: noise there has no known meaning, and only what is dead, or as good as float, is graded.
func grade(v *result.Verdict, empty map[int]bool) {
	worst := 0
	for i := range v.Decisions {
		v.Basis = result.ByDecisions
		worst = max(worst, decided(&v.Decisions[i], v.Parts))
	}
	for i := range v.Parts {
		p := &v.Parts[i]
		k := signal(p)
		if judged(v, p) || !p.SQNR.Min.OK || empty[p.Layer] && k > 0 && p.Dead <= lost {
			continue
		}
		if v.Basis == result.ByNothing {
			v.Basis = result.BySignal
		}
		worst = max(worst, k)
	}
	if v.Basis != result.ByNothing {
		v.Grade = borders[worst].grade
	}
}

// judged says whether a part belongs to an output that some decisions are read from.
func judged(v *result.Verdict, p *result.OutputPart) bool {
	return slices.ContainsFunc(v.Decisions, func(d result.Decision) bool { return judges(&d, p) })
}

// Channels writes a list of channels in few characters: 0–3, 7.
func Channels(list []int) string {
	text := ""
	for i := 0; i < len(list); {
		k := i
		for k+1 < len(list) && list[k+1] == list[k]+1 {
			k++
		}
		if text != "" {
			text += ", "
		}
		if text += strconv.Itoa(list[i]); k > i {
			text += fmt.Sprintf("–%d", list[k])
		}
		i = k + 1
	}
	return text
}

// PartName names a part of an output by the output, its channels and the Concat's input; each is shortened by short.
func PartName(output string, p *result.OutputPart, short func(string) string) string {
	name := short(output)
	if p.Channels != nil {
		name += ", channels " + short(Channels(p.Channels))
	}
	if p.Source != "" {
		name += " (from " + short(p.Source) + ")"
	}
	return name
}

// Worst is the part that decides, nil if there is none with a signal: of an output without decisions if that is what gave the grade, else the
// worst of the outputs that decisions are read from.
func Worst(v *result.Verdict) *result.OutputPart {
	by := 0 // the place among the borders that decisions gave
	for i := range v.Decisions {
		by = max(by, decided(&v.Decisions[i], v.Parts))
	}
	find := func(fits func(p *result.OutputPart) bool) *result.OutputPart {
		for i := range v.Parts {
			if p := &v.Parts[i]; p.SQNR.Min.OK && fits(p) {
				return p
			}
		}
		return nil
	}
	if p := find(func(p *result.OutputPart) bool { return !judged(v, p) && signal(p) > by }); p != nil {
		return p
	}
	if p := find(func(p *result.OutputPart) bool { return judged(v, p) }); p != nil {
		return p
	}
	return find(func(*result.OutputPart) bool { return true })
}

// Least is the kind of decisions of which least is kept, nil if nothing was decided.
func Least(v *result.Verdict) *result.Decision {
	var least *result.Decision
	for i := range v.Decisions {
		if d := &v.Decisions[i]; least == nil || d.Share().V < least.Share().V {
			least = d
		}
	}
	return least
}

// Of is the verdict of a variant: the one that was made with it, or, of a run that is older than verdicts, one by the signal of its outputs.
func Of(run *result.Run, v *result.Variant) *result.Verdict {
	if v.Verdict != nil {
		return v.Verdict
	}
	old := &result.Verdict{Grade: result.Unknown, Basis: result.ByNothing}
	for k, l := range run.Layers {
		if s := &v.Layers[k].Summary; l.Output && v.Layers[k].HasMetrics() && s[metric.SQNR].Mean.OK {
			old.Parts = append(old.Parts, result.OutputPart{Layer: k, SQNR: s[metric.SQNR], Cos: s[metric.CosSim]})
		}
	}
	slices.SortStableFunc(old.Parts, worse)
	grade(old, nil)
	return old
}
