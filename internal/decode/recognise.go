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
	why string
}

// matches tries all decoders. A mapping that was set decides alone. Where several fit and the number of classes is not
// known, those that fit COCO's 80 are left, if there are.
func matches(shapes []Shape, s Settings) (list, failed []match) {
	try := func(s Settings) (list, failed []match) {
		for _, d := range All {
			if ok, why := d.Fits(shapes, s); ok {
				list = append(list, match{d, why})
			} else {
				failed = append(failed, match{d, why})
			}
		}
		return list, failed
	}
	if s.Mapping.set() {
		if ok, why := boxes.Fits(shapes, s); ok {
			return []match{{boxes, why}}, nil
		}
		_, why := boxes.Fits(shapes, s)
		return nil, []match{{boxes, why}}
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
	return list, failed
}

// Recognise picks a decoder by the shapes of the outputs and says why. It refuses if none fits or several do; the error
// lists them.
func Recognise(shapes []Shape, s Settings) (Decoder, string, error) {
	if err := s.Check(); err != nil {
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
// negative and centres lie all over the input; logarithms of sizes are negative somewhere and offsets are small.
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
	i := slices.Index(several.Names(), yolox.Name)
	r, ok := findRows(several.Shapes, func(n, c int, turned bool) bool {
		_, fits := s.scales(n, 1)
		return !turned && fits && s.classes(c-5)
	})
	if i < 0 || !ok {
		return d, why, err
	}
	negative, far := 0, 0
	for v := range r.all(in, 0, 4) {
		if v.at(2) < 0 || v.at(3) < 0 {
			negative++
		}
		if v.at(0) > float64(s.Width)/4 || v.at(1) > float64(s.Height)/4 {
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
