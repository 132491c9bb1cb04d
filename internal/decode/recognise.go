package decode

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/suggest"
)

// Lookup finds a decoder by its name.
func Lookup(name string) (Decoder, error) {
	names := make([]string, len(All))
	for i, d := range All {
		if names[i] = d.Name; d.Name == name {
			return d, nil
		}
	}
	return Decoder{}, fmt.Errorf("unknown decoder %q; there are, nearest first, %s", name, strings.Join(suggest.Nearest(name, names), ", "))
}

// match is a decoder that fits, and why.
type match struct {
	Decoder
	why   string
	joins []Join // of the outputs that it reads
	// assumed says that it fits COCO's 80 classes, where their number is not known.
	assumed bool
}

// matches tries all decoders. A mapping that was set decides alone. Where several fit and the number of classes is not
// known, those that fit COCO's 80 are left, if there are. Outputs are joined if none fits them as they are.
func matches(shapes []Shape, s Settings) (list, failed []match) {
	try := func(s Settings) (list, failed []match) {
		for _, d := range All {
			if ok, why := d.fits(shapes, s); ok {
				list = append(list, match{Decoder: d, why: why})
			} else {
				failed = append(failed, match{Decoder: d, why: why})
			}
		}
		return list, failed
	}
	if s.Mapping.set() {
		ok, why := boxes.fits(shapes, s)
		if ok {
			return []match{{Decoder: boxes, why: why}}, nil
		}
		return nil, []match{{Decoder: boxes, why: why}}
	}
	list, failed = try(s)
	if s.Classes == 0 && len(list) > 1 {
		s.Classes = 80
		if fewer, _ := try(s); len(fewer) > 0 {
			for i := range fewer {
				fewer[i].why += " (COCO's 80 classes assumed)"
			}
			return fewer, failed
		}
	}
	switch {
	case len(list) == 0:
		list = joined(shapes, s, All)
	case len(list) == 1 && list[0].Name == ssd.Name:
		list = besidePriors(shapes, s, list)
	}
	return list, failed
}

// besidePriors looks whether outputs that fit an SSD may be a cut head too: [1,N,4] and [1,N,C] with a row to each cell. With a third output
// of as many rows they are no SSD's.
func besidePriors(shapes []Shape, s Settings, list []match) []match {
	box, _, _ := ssdOutputs(shapes, s)
	beside := 0
	for _, shape := range shapes {
		if d := shape.Dims; len(d) == 3 && d[1] == int64(box.n) {
			beside++
		}
	}
	others := []Decoder{yolov8}
	if beside > 2 {
		others = []Decoder{yolov5, yolov6, yolov8, yolox}
	}
	more := joined(shapes, s, others)
	if len(more) > 0 && (beside > 2 || more[0].assumed) {
		return more
	}
	return append(list, more...)
}

// joined lists the decoders that take outputs joined: in the model's order, else in another, else a part of them.
func joined(shapes []Shape, s Settings, decoders []Decoder) (list []match) {
	for _, how := range []order{listed, shuffled, some} {
		ways := views(shapes, how)
		for _, d := range decoders {
			if fit := d.fitting(ways, s, false); len(fit) > 0 {
				list = append(list, match{d, fit[0].describe() + ": " + fit[0].why, fit[0].joins, fit[0].classes > 0})
			}
		}
		if len(list) > 0 {
			break
		}
	}
	if slices.ContainsFunc(list, func(m match) bool { return m.assumed }) {
		list = slices.DeleteFunc(list, func(m match) bool { return !m.assumed })
	}
	return list
}

// Recognise picks a decoder by the shapes of the outputs and says why. It refuses if none fits or several do; the error
// lists them.
func Recognise(shapes []Shape, s Settings) (Decoder, string, error) {
	if err := s.Check(); err != nil {
		return Decoder{}, "", err
	}
	shapes, err := pickShapes(shapes, s)
	if err != nil {
		return Decoder{}, "", err
	}
	list, failed := matches(shapes, s)
	switch len(list) {
	case 0:
		return Decoder{}, "", fmt.Errorf("no decoder fits the outputs %v:%s\nchoose one with --decoder, or name the outputs of boxes, scores and classes in the model's YAML", shapes, lines(failed))
	case 1:
		return list[0].Decoder, list[0].why, nil
	}
	return Decoder{}, "", &AmbiguousError{Shapes: shapes, list: list}
}

// AmbiguousError says that several decoders fit the shapes.
type AmbiguousError struct {
	Shapes []Shape
	list   []match
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("several decoders fit the outputs %v:%s\nchoose one with --decoder; the number of classes or a picture's outputs may tell them apart too", e.Shapes, lines(e.list))
}

// Names are the decoders that fit.
func (e *AmbiguousError) Names() []string {
	names := make([]string, len(e.list))
	for i, m := range e.list {
		names[i] = m.Name
	}
	return names
}

func lines(list []match) string {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, "\n  %s: %s", m.Name, m.why)
	}
	return b.String()
}

// RecogniseValues is Recognise with the outputs of a picture at hand. Where shapes leave raw rows (yolox) and rows in
// pixels (YOLOv6's, or YOLOX's decoded ones, which are read alike), it looks at the numbers: sizes in pixels are never
// negative and centres lie all over the input; logarithms of sizes are negative somewhere and offsets are small. Where they leave an SSD's
// two outputs and a cut head, an SSD's boxes are no pixels.
func RecogniseValues(outs []Output, s Settings) (Decoder, string, error) {
	in, err := read(outs)
	if err != nil {
		return Decoder{}, "", err
	}
	d, why, err := Recognise(shapesOf(in), s)
	var several *AmbiguousError
	if !errors.As(err, &several) {
		return d, why, err
	}
	if order, _, err := pickOutputs(shapesOf(in), s); err == nil {
		picked := make([]array, len(order))
		for k, i := range order {
			picked[k] = in[i]
		}
		in = picked
	}
	if k := slices.Index(several.Names(), ssd.Name); k >= 0 {
		return priorsOrPixels(in, s, several, k)
	}
	i := slices.Index(several.Names(), yolox.Name)
	if i < 0 {
		return d, why, err
	}
	if several.list[i].assumed {
		s.Classes = cocoClasses
	}
	in, joinErr := joinArrays(in, leaves(shapesOf(in)), several.list[i].joins)
	r, _, ok := findRows(shapesOf(in), s, layout{lead: 5, anchors: 1})
	if joinErr != nil || !ok {
		return d, why, err
	}
	negative, far := 0, 0
	for v := range r.all(in, 0, 4) {
		if v.at(2) < 0 || v.at(3) < 0 {
			negative++
		}
		if by := s.boxScale(); v.at(0)*by > float64(s.Width)/4 || v.at(1)*by > float64(s.Height)/4 {
			far++
		}
	}
	switch others := slices.Delete(slices.Clone(several.list), i, i+1); {
	case negative > 0 && 10*far < r.n:
		return yolox, fmt.Sprintf("%s; %d of %d rows have a negative size, so sizes are logarithms", several.list[i].why, negative, r.n), nil
	case negative > 0 || 2*far <= r.n:
		return d, why, err
	case len(others) == 1:
		return others[0].Decoder, others[0].why + "; sizes are positive and centres lie all over the input", nil
	default:
		return d, why, &AmbiguousError{Shapes: several.Shapes, list: others}
	}
}

// priorsOrPixels tells an SSD, number k of the decoders that fit, from heads whose boxes are in pixels.
func priorsOrPixels(in []array, s Settings, several *AmbiguousError, k int) (Decoder, string, error) {
	box, _, why := ssdOutputs(shapesOf(in), s)
	if why != "" {
		return Decoder{}, "", several
	}
	pixels := 0
	for v := range box.all(in, 0, 4) {
		if max(v.at(0), v.at(1), v.at(2), v.at(3))*s.boxScale() > 8 {
			pixels++
		}
	}
	others := slices.Delete(slices.Clone(several.list), k, k+1)
	switch {
	case 2*pixels > box.n && len(others) == 1:
		return others[0].Decoder, others[0].why + "; boxes are in pixels", nil
	case 10*pixels < box.n:
		return ssd, several.list[k].why + "; boxes are not in pixels", nil
	}
	return Decoder{}, "", several
}
