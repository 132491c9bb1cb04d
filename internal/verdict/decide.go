package verdict

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/coco"
	"quantcheck/internal/decode"
	"quantcheck/internal/resume"
)

// Output is an output of the model on one sample.
type Output struct {
	Layer int
	Name  string
	Shape []int64
	Made  string // the operator that gives its values, over operators that only move them: Softmax, Sigmoid, …
	X     []float32
}

// counts are decisions on one sample.
type counts struct {
	of, kept                       float64 // weights: of a box by how sure the surer model is, of all others 1
	squares                        float64 // of the weights
	boxes, moved, lost, new, other int
	keep                           []float32 // what is compared with other samples: an embedding; nil: nothing
}

// reader reads decisions from the outputs of one sample. It is settled by the float model's first sample.
type reader interface {
	kind() string
	reading() string // how outputs are read, in words
	layers() []int
	compare(float, got []Output) (counts, error)
	code(x *resume.Coder)
}

// Kind is a kind of decisions that outputs are recognised by.
type Kind struct {
	Name string
	// What says what is decided and Recognised when, for docs; Kept is the end of the sentence "98 % …", Nothing says what it means that the
	// float model decides nothing.
	What, Recognised, Kept, Nothing string
	// Denies says that a float model that decides nothing sees nothing: the description of its input is in doubt.
	Denies bool

	// Pixels says that every pixel of a map decides, so that there are never too few.
	Pixels bool

	settle func(p *Plan, outs []Output) []reader
	blank  func() reader
}

// Kinds lists what is recognised, in the order in which it is tried. An output has one kind; settleRows and settleMaps find those of their
// shape.
var Kinds = []Kind{
	{
		Name: "boxes", What: "the boxes of confidence 0.25 or more that a decoder reads are in the same place (IoU 0.75, half counted from 0.5) and of the same class",
		Recognised: "exactly one decoder of `eval` fits the outputs", Kept: "of the boxes agree with float's", Denies: true,
		Nothing: "the float model finds no box in these samples: look at the input's description (--input-color, --mean, --scale, --resize), or take other samples",
		settle:  settleBoxes, blank: func() reader { return &boxes{} },
	},
	{
		Name: "top-1", What: "the class of the highest score is the same, or one that scored within 2 % of it in float",
		Recognised: "the output comes from a Softmax, or its rows sum to 1, or they are named scores, logits or probabilities, or it has ImageNet's 1,000 or 1,001 columns",
		Kept:       "of the top-1 classes are float's", Nothing: "the float model's scores have no rows",
		settle: settleRows, blank: func() reader { return &top{} },
	},
	{
		Name: "neighbours", What: "of all other samples the same one is the nearest by cosine, or one within 0.01 of it in float",
		Recognised: "one row of length 1 (L2), or named embedding or features; at least 4 samples",
		Kept:       "of the samples keep their nearest neighbour", Nothing: "at least 4 samples are needed to compare nearest neighbours",
		blank: func() reader { return &neighbours{} },
	},
	{
		Name: "points", What: "key points move by less than 5 % of the extent of all of them", Recognised: "one row named landmarks or key points, of pairs",
		Kept: "of the key points stay in place", Nothing: "the float model gives no points", blank: func() reader { return &points{} },
	},
	{
		Name: "classes", Pixels: true, What: "pixels of the map have the same class (IoU, mean over the classes that float sees)",
		Recognised: "a map of 2 to 256 channels that a Softmax makes, or that is named segmentation or mask",
		Kept:       "mean IoU of the class maps with float's", Nothing: "the float model's map has no class", settle: settleMaps, blank: func() reader { return &classMap{} },
	},
	{
		Name: "mask", Pixels: true, What: "pixels over 0.5 (IoU)", Recognised: "a map of one channel that a Sigmoid makes", Kept: "IoU of the masks with float's", Denies: true,
		Nothing: "the float model's mask is empty on these samples: look at the input's description, or take other samples", blank: func() reader { return &mask{} },
	},
	{
		Name: "depth", Pixels: true, What: "pixels whose depth is within a factor of 1.25 of float's", Recognised: "a map of one channel named depth or disparity",
		Kept: "of the depths are within a factor of 1.25", Nothing: "the float model's depths are not positive", Denies: true, blank: func() reader { return &depth{} },
	},
}

// KindOf finds a kind by its name; the zero Kind if there is none.
func KindOf(name string) Kind {
	if k := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == name }); k >= 0 {
		return Kinds[k]
	}
	return Kind{}
}

// settle recognises what the float model's outputs are.
func (p *Plan) settle(outs []Output) {
	left := slices.Clone(outs)
	for _, k := range Kinds {
		if k.settle == nil {
			continue
		}
		for _, r := range k.settle(p, left) {
			p.readers = append(p.readers, r)
			left = slices.DeleteFunc(left, func(o Output) bool { return slices.Contains(r.layers(), o.Layer) })
		}
	}
}

// one is a reader of a single output.
type one struct{ layer int }

func (o one) layers() []int         { return []int{o.layer} }
func (o one) reading() string       { return "" }
func (o *one) code(x *resume.Coder) { x.Int(&o.layer) }

// find gives an output of a sample.
func (o one) find(outs []Output) *Output {
	if k := slices.IndexFunc(outs, func(out Output) bool { return out.Layer == o.layer }); k >= 0 {
		return &outs[k]
	}
	return nil
}

// pair gives the output in float and in the variant.
func (o one) pair(float, got []Output) (x, y *Output, err error) {
	x, y = o.find(float), o.find(got)
	if x == nil || y == nil || len(x.X) != len(y.X) {
		return nil, nil, fmt.Errorf("output %d has no values", o.layer)
	}
	return x, y, nil
}

func named(name string, parts ...string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(name, p) })
}

// boxes are what a detector finds.
type boxes struct {
	Names    []string
	Of       []int
	Decoder  string
	Why      string
	Settings decode.Settings
	Doubtful bool // several decoders fit, and none finds a box: this one is read to see whether others find none either
}

// near is how far under the confidence a box still counts as there: a score that moves over the border decides nothing.
const near = 0.8

func settleBoxes(p *Plan, outs []Output) []reader {
	if p.Settings.Width < 1 || p.Settings.Height < 1 {
		return nil
	}
	b := &boxes{Settings: p.Settings}
	for _, o := range outs {
		b.Of, b.Names = append(b.Of, o.Layer), append(b.Names, o.Name)
	}
	var d decode.Decoder
	var err error
	if p.Decoder != "" {
		d, err = decode.Lookup(p.Decoder)
		b.Why = "as asked for"
	} else {
		d, b.Why, err = decode.RecogniseValues(b.outputs(outs), p.Settings)
	}
	if several := (*decode.AmbiguousError)(nil); errors.As(err, &several) {
		return b.none(several.Names(), outs, p.Settings)
	}
	if err != nil {
		return nil
	}
	r, err := decode.Decode(d, b.outputs(outs), p.Settings)
	if err != nil {
		return nil
	}
	b.Decoder, b.Settings = d.Name, r.Settled
	return []reader{b}
}

// none reads boxes that several decoders could, if all of them find none: which one it is cannot be told from values that mean nothing.
func (b *boxes) none(decoders []string, outs []Output, s decode.Settings) []reader {
	for _, name := range decoders {
		d, err := decode.Lookup(name)
		if err != nil {
			return nil
		}
		r, err := decode.Decode(d, b.outputs(outs), s)
		if err != nil || len(r.Detections) > 0 {
			return nil
		}
		b.Decoder, b.Settings, b.Why, b.Doubtful = d.Name, r.Settled, "several decoders fit, and none finds a box", true
	}
	return []reader{b}
}

func (b *boxes) kind() string    { return "boxes" }
func (b *boxes) reading() string { return b.Decoder + " (" + b.Why + ")" }
func (b *boxes) layers() []int   { return b.Of }

func (b *boxes) outputs(outs []Output) []decode.Output {
	var list []decode.Output
	for k, layer := range b.Of {
		if o := (one{layer}).find(outs); o != nil {
			list = append(list, decode.Output{Name: b.Names[k], Tensor: floats(o)})
		}
	}
	return list
}

func (b *boxes) compare(float, got []Output) (counts, error) {
	d, err := decode.Lookup(b.Decoder)
	if err != nil {
		return counts{}, err
	}
	s := b.Settings
	s.Confidence *= near
	read := func(outs []Output) ([]decode.Detection, error) {
		r, err := decode.Decode(d, b.outputs(outs), s)
		if err != nil {
			return nil, err
		}
		return r.Detections, nil
	}
	x, err := read(float)
	if err != nil {
		return counts{}, err
	}
	y, err := read(got)
	if err != nil {
		return counts{}, err
	}
	return compareBoxes(x, y, b.Settings.Confidence), nil
}

// compareBoxes pairs boxes by their IoU, those of one class first. Boxes under the confidence can be partners, and are nothing without one.
func compareBoxes(x, y []decode.Detection, confidence float64) counts {
	var c counts
	usedX, usedY := make([]bool, len(x)), make([]bool, len(y))
	for _, p := range coco.PairBoxes(edges(x), edges(y), func(i, k int) bool { return x[i].Class == y[k].Class }) {
		usedX[p.A], usedY[p.B] = true, true
		if float64(x[p.A].Score) < confidence && float64(y[p.B].Score) < confidence {
			continue
		}
		w := weight(max(x[p.A].Score, y[p.B].Score))
		c.weigh(w)
		switch {
		case !p.Same:
			c.other++
		case p.IoU < coco.SamePlace:
			c.moved++
			c.kept += w / 2
		default:
			c.kept += w
		}
	}
	for i, a := range x {
		if !usedX[i] && float64(a.Score) >= confidence {
			c.lost++
			c.weigh(weight(a.Score))
		}
	}
	for k, b := range y {
		if !usedY[k] && float64(b.Score) >= confidence {
			c.new++
			c.weigh(weight(b.Score))
		}
	}
	return c
}

// weigh counts a box.
func (c *counts) weigh(w float64) {
	c.boxes++
	c.of, c.squares = c.of+w, c.squares+w*w
}

// weight is what a box counts by its score: one of a low score is wrong often in float too, and moves average precision little.
func weight(score float32) float64 { return float64(score) * float64(score) }

// edges gives left, top, width and height of each box.
func edges(list []decode.Detection) [][4]float64 {
	out := make([][4]float64, len(list))
	for i, d := range list {
		b := d.Box
		out[i] = [4]float64{float64(b[0]), float64(b[1]), float64(b[2] - b[0]), float64(b[3] - b[1])}
	}
	return out
}

// settleRows recognises outputs of [N, C].
func settleRows(_ *Plan, outs []Output) []reader {
	var list []reader
	for _, o := range outs {
		dims := squeeze(o.Shape)
		if len(dims) != 1 && (len(o.Shape) != 2 || o.Shape[0] > 64) || len(dims) == 0 {
			continue
		}
		columns := int(dims[len(dims)-1])
		switch {
		case columns >= 2 && columns%2 == 0 && len(dims) == 1 && named(o.Name, "landmark", "keypoint", "key_point", "kpt"):
			list = append(list, &points{one{o.Layer}})
		case columns >= 2 && (o.Made == "Softmax" || o.Made == "LogSoftmax" || columns == 1000 || columns == 1001 || columns >= 3 && (probabilities(o.X, columns) && !named(o.Name, "embed", "feature") || len(o.Shape) > 1 && named(o.Name, "logit", "prob", "score", "softmax", "class"))):
			list = append(list, &top{one{o.Layer}, columns})
		case columns >= 16 && len(dims) == 1 && (unit(o.X) || named(o.Name, "embed", "feature")):
			list = append(list, &neighbours{one{o.Layer}})
		}
	}
	return list
}

// unit says whether a row has the length 1.
func unit(x []float32) bool {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Abs(math.Sqrt(sum)-1) < 1e-3
}

// probabilities says whether every row is a distribution over its columns: a Softmax that was exported in parts makes such ones.
func probabilities(x []float32, columns int) bool {
	for from := 0; from+columns <= len(x); from += columns {
		sum := 0.0
		for _, v := range x[from : from+columns] {
			if !(v >= 0) {
				return false
			}
			sum += float64(v)
		}
		if math.Abs(sum-1) > 1e-3 {
			return false
		}
	}
	return len(x) >= columns
}

// top is the class of the highest score, of each row.
type top struct {
	one
	Columns int
}

func (t *top) kind() string { return "top-1" }

func (t *top) compare(float, got []Output) (counts, error) {
	x, y, err := t.pair(float, got)
	if err != nil {
		return counts{}, err
	}
	var c counts
	for from := 0; from+t.Columns <= len(x.X); from += t.Columns {
		a, b := x.X[from:from+t.Columns], y.X[from:from+t.Columns]
		best, least := highest(a), slices.Min(a)
		of := highest(b)
		c.of++
		// A variant whose scores are all equal decides nothing.
		if flat := slices.Min(b) == slices.Max(b); !flat && float64(a[best]-a[of]) <= 0.02*float64(a[best]-least) {
			c.kept++
		}
	}
	return c, nil
}

func highest(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// neighbours is which other sample is the nearest.
type neighbours struct{ one }

func (n *neighbours) kind() string { return "neighbours" }

func (n *neighbours) compare(float, got []Output) (counts, error) {
	x, y, err := n.pair(float, got)
	if err != nil {
		return counts{}, err
	}
	return counts{keep: slices.Concat(x.X, y.X)}, nil
}

// countNeighbours counts, over all samples, how many have the same nearest neighbour in the variant as in float. A sample keeps float's row and the
// variant's behind it. The neighbours are rows of float in both cases: that is how a gallery is used that was made before.
func countNeighbours(samples []*counts) {
	var with []*counts
	for _, s := range samples {
		if s != nil && len(s.keep) > 0 {
			with = append(with, s)
		}
	}
	if len(with) < 4 {
		return
	}
	for i, s := range with {
		width := len(s.keep) / 2
		best, chosen, inFloat := math.Inf(-1), -1, make([]float64, len(with))
		inVariant := math.Inf(-1)
		for k, o := range with {
			if k == i {
				continue
			}
			inFloat[k] = cosine(s.keep[:width], o.keep[:width])
			best = max(best, inFloat[k])
			if sim := cosine(s.keep[width:], o.keep[:width]); sim > inVariant {
				inVariant, chosen = sim, k
			}
		}
		if s.of = 1; chosen >= 0 && inFloat[chosen] >= best-0.01 {
			s.kept = 1
		}
	}
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range min(len(a), len(b)) {
		ab, aa, bb = ab+float64(a[i])*float64(b[i]), aa+float64(a[i])*float64(a[i]), bb+float64(b[i])*float64(b[i])
	}
	if aa == 0 || bb == 0 {
		return math.Inf(-1)
	}
	return ab / math.Sqrt(aa*bb)
}

// points are key points, x and y in turn.
type points struct{ one }

func (p *points) kind() string { return "points" }

func (p *points) compare(float, got []Output) (counts, error) {
	x, y, err := p.pair(float, got)
	if err != nil {
		return counts{}, err
	}
	low, high := slices.Clone(x.X[:2]), slices.Clone(x.X[:2])
	for i, v := range x.X {
		low[i%2], high[i%2] = min(low[i%2], v), max(high[i%2], v)
	}
	extent := math.Hypot(float64(high[0]-low[0]), float64(high[1]-low[1]))
	var c counts
	for i := 0; i+1 < len(x.X); i += 2 {
		if c.of++; math.Hypot(float64(x.X[i]-y.X[i]), float64(x.X[i+1]-y.X[i+1])) <= 0.05*extent {
			c.kept++
		}
	}
	return c, nil
}
