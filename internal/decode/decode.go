// Package decode turns a detector's raw outputs into boxes.
//
//  1. All lists the decoders, one per family of detectors and one per file, each after its project's published code.
//  2. Outputs of a head that was cut before its last Concats are joined where a decoder does not fit them as they are.
//  3. Recognise picks one by the outputs' shapes and says why; RecogniseValues looks at the numbers too. Both refuse
//     rather than guess.
//  4. Decode reads candidates, drops those under the confidence and suppresses those that overlap a better one (NMS).
//
// Boxes are in pixels of the model's input, not of the picture: undoing a letterbox is the caller's.
package decode

import (
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/tensor"
)

// All lists the decoders in the order in which they are shown.
var All = []Decoder{yolov5, yolov6, yolov7, yolov8, yolox, ssd, centernet, boxes}

// Output is one of the model's outputs: NCHW or as ONNX has it, the batch of 1 in front. Types other than Float32 are
// converted.
type Output struct {
	Name   string
	Tensor tensor.Tensor
}

// Shape is what is known of an output before the model runs.
type Shape struct {
	Name string
	Dims []int64 // with the batch; −1 where unknown

	joints []cut  // of outputs that were joined: where they meet
	parts  []part // and what they are
}

func (s Shape) String() string { return s.Name + strings.ReplaceAll(fmt.Sprint(s.Dims), " ", ",") }

// Detection is one box. It is the same before and after suppression.
type Detection struct {
	Box   [4]float32 // x1, y1, x2, y2 in pixels of the model's input, not clipped to it
	Score float32    // over the confidence; at most 1 if the outputs are probabilities
	Class int        // index into the model's classes, without a background class
}

// Decoder reads one family of detectors.
type Decoder struct {
	Name   string
	Help   string // what outputs it takes, for people
	Source string // where the formulas are published

	fits   func(shapes []Shape, s Settings) (bool, string)
	takes  func(shapes []Shape, s Settings) (bool, string) // by name; nil: what fits
	decode func(in []array, g *gather) error
}

// Fits says whether the shapes speak for this decoder, as they are or joined, and why or why not in words. A decoder that is chosen by
// name may take more than what it claims here.
func (d Decoder) Fits(shapes []Shape, s Settings) (bool, string) {
	if err := s.Check(); err != nil {
		return false, err.Error()
	}
	shapes, err := pickShapes(shapes, s)
	if err != nil {
		return false, err.Error()
	}
	ok, why := d.fits(shapes, s)
	if ok || !d.joinable(s) {
		return ok, why
	}
	for _, how := range []order{listed, shuffled, some} {
		if list := d.fitting(views(shapes, how), s, false); len(list) > 0 {
			return true, list[0].describe() + ": " + list[0].why
		}
	}
	return false, why
}

// joinable says whether outputs are joined for the decoder: where a mapping names them they are not cut.
func (d Decoder) joinable(s Settings) bool { return d.Name != boxes.Name || !s.Mapping.set() }

// Candidates are what a decoder reads from one picture's outputs, before suppression.
type Candidates struct {
	// List holds at most Settings.PreNMS boxes whose scores are over the confidence, in the order of the outputs, or by
	// descending score if some were cut.
	List []Detection
	// NotFinite counts candidates that were dropped because a score, or the box of a sufficient score, is NaN or
	// infinite; Inverted those whose right or lower edge lies before the other; Cut those beyond the best PreNMS.
	NotFinite, Inverted, Cut int
	// Suppressed says that the model, or its peak picking, leaves one box per object: NMS is not applied.
	Suppressed bool
	// Notes are choices that were made from shapes and values, and outputs that were not read.
	Notes []string
	// Settled are the settings with those choices written in, so that further pictures and other variants of the model
	// are read alike.
	Settled Settings
}

// Candidates reads the outputs of one picture.
func (d Decoder) Candidates(outs []Output, s Settings) (*Candidates, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	in, err := read(outs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Name, err)
	}
	c, err := d.candidates(in, s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Name, err)
	}
	return c, nil
}

func (d Decoder) candidates(in []array, s Settings) (*Candidates, error) {
	order, note, err := pickOutputs(shapesOf(in), s)
	if err != nil {
		return nil, err
	}
	picked, unread := make([]array, len(order)), []string{}
	for i, k := range order {
		picked[i] = in[k]
	}
	for k, a := range in {
		if !slices.Contains(order, k) {
			unread = append(unread, a.String())
		}
	}
	v, err := d.choose(picked, s)
	if err != nil {
		return nil, err
	}
	joined, err := joinArrays(picked, leaves(shapesOf(picked)), v.joins)
	if err != nil {
		return nil, err
	}
	s.Joins = v.joins
	if s.Classes == 0 {
		s.Classes = v.classes
	}
	g := newGather(s)
	if len(v.joins) > 0 {
		g.note("%s", view{shapes: shapesOf(joined)}.describe())
	}
	if note != "" {
		g.note("%s", note)
	}
	if err := d.decode(joined, g); err != nil {
		return nil, err
	}
	return g.finish(joined, unread), nil
}

// Result is what was found in one picture. Detections are sorted by descending score; List of the candidates is nil.
type Result struct {
	Candidates
	Detections []Detection
}

// Decode reads the outputs of one picture and suppresses overlapping boxes.
func Decode(d Decoder, outs []Output, s Settings) (*Result, error) {
	c, err := d.Candidates(outs, s)
	if err != nil {
		return nil, err
	}
	r := &Result{Candidates: *c}
	r.List = nil
	if c.Suppressed {
		r.Detections = best(c.List, s.Most)
	} else {
		r.Detections = NMS(c.List, s.IoU, s.Agnostic, s.Most)
	}
	return r, nil
}
