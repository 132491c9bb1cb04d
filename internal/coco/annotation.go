package coco

import (
	"math"
	"strings"
)

const allFields = FieldID | FieldImage | FieldCategory | FieldBox | FieldArea | FieldScore

// key is a key of an annotation.
type key int

const (
	otherKey key = iota
	idKey
	imageKey
	categoryKey
	boxKey
	areaKey
	scoreKey
	crowdKey
	ignoreKey
	segmentationKey
)

func keyOf(text []byte) key {
	switch string(text) {
	case "id":
		return idKey
	case "image_id":
		return imageKey
	case "category_id":
		return categoryKey
	case "bbox":
		return boxKey
	case "area":
		return areaKey
	case "score":
		return scoreKey
	case "iscrowd":
		return crowdKey
	case "ignore":
		return ignoreKey
	case "segmentation":
		return segmentationKey
	}
	return otherKey
}

// shape is what stood between the values of an object. Objects of one array mostly look alike, down to the white space:
// then their keys are compared with the last one's instead of being scanned.
type shape struct {
	text  []byte
	steps []step
	whole bool // else it was given up
}

// step is a value of an object.
type step struct {
	key  key
	text int // where in the shape's text ends what stood before the value
}

// annotationReader reads the elements of an array of annotations.
type annotationReader struct {
	s         *scanner
	boxesOnly bool  // segmentations are skipped
	shape     shape // of the last annotation
}

// read reads one object of the ground truth or one detection.
func (r *annotationReader) read(a *Annotation) bool {
	s := r.s
	*a = Annotation{Missing: allFields}
	start := s.pos
	if r.alike(a) {
		return true
	}
	*a = Annotation{Missing: allFields}
	s.pos, s.err = start, nil
	r.shape = shape{text: r.shape.text[:0], steps: r.shape.steps[:0]}
	if !s.punctuation('{') {
		return false
	}
	for first := true; ; first = false {
		text, more, ok := s.member(first)
		switch {
		case !ok:
			return false
		case !more:
			r.shape.text = append(r.shape.text, s.buf[start:s.pos]...)
			r.shape.whole = true
			return true
		}
		if _, ok = s.peek(); !ok {
			return false
		}
		k := keyOf(text)
		r.shape.text = append(r.shape.text, s.buf[start:s.pos]...)
		r.shape.steps = append(r.shape.steps, step{k, len(r.shape.text)})
		if !r.value(a, k) {
			return false
		}
		start = s.pos
	}
}

// alike reads an annotation that has the shape of the last one. If it fails, for whatever reason, read reads it.
func (r *annotationReader) alike(a *Annotation) bool {
	s := r.s
	if !r.shape.whole {
		return false
	}
	before := 0
	for _, step := range r.shape.steps {
		if !s.literal(r.shape.text[before:step.text]) || s.pos == len(s.buf) || !r.value(a, step.key) {
			return false
		}
		before = step.text
	}
	return s.literal(r.shape.text[before:])
}

// value reads the value of a key of an annotation.
func (r *annotationReader) value(a *Annotation, k key) bool {
	s := r.s
	switch k {
	case idKey:
		return readField(s, a, FieldID, &a.ID)
	case imageKey:
		return readField(s, a, FieldImage, &a.ImageID)
	case categoryKey:
		return readField(s, a, FieldCategory, &a.CategoryID)
	case boxKey:
		return readBox(s, a)
	case areaKey:
		return readReal(s, a, FieldArea, &a.Area)
	case scoreKey:
		return readReal(s, a, FieldScore, &a.Score)
	case crowdKey:
		return readFlag(s, &a.Crowd)
	case ignoreKey:
		return readFlag(s, &a.Ignore)
	case segmentationKey:
		if !r.boxesOnly {
			return readSegmentation(s, a)
		}
	}
	return s.skip(1)
}

// readField reads an integer that may be null.
func readField(s *scanner, a *Annotation, f Fields, v *int64) (ok bool) {
	if s.pos < len(s.buf) && s.buf[s.pos] == 'n' {
		*v, a.Missing = 0, a.Missing|f
		return s.word("null")
	}
	a.Missing &^= f
	*v, ok = s.integer()
	return ok
}

// readReal reads a number that may be null.
func readReal(s *scanner, a *Annotation, f Fields, v *float64) (ok bool) {
	if s.pos < len(s.buf) && s.buf[s.pos] == 'n' {
		*v, a.Missing = 0, a.Missing|f
		return s.word("null")
	}
	a.Missing &^= f
	*v, ok = s.number()
	return ok
}

// readFlag reads true, false, null or a number that is not zero for true.
func readFlag(s *scanner, v *bool) bool {
	switch s.buf[s.pos] {
	case 't', 'f':
		*v = s.buf[s.pos] == 't'
		if *v {
			return s.word("true")
		}
		return s.word("false")
	case 'n':
		*v = false
		return s.word("null")
	}
	x, ok := s.number()
	*v = x != 0
	return ok
}

// readBox reads four numbers; none, or null, is no box.
func readBox(s *scanner, a *Annotation) bool {
	a.Box, a.Missing = [4]float64{}, a.Missing|FieldBox
	if s.buf[s.pos] == 'n' {
		return s.word("null")
	}
	if !s.punctuation('[') {
		return false
	}
	for i := 0; ; i++ {
		if 0 < i && i < 4 && s.nextNumber() {
			var ok bool
			if a.Box[i], ok = s.number(); !ok {
				return false
			}
			continue
		}
		more, ok := s.element(i == 0)
		switch {
		case !ok:
			return false
		case !more && i == 0:
			return true
		case !more && i < 4 || more && i == 4:
			return s.failf("a bbox that is not four numbers")
		case !more:
			a.Missing &^= FieldBox
			return true
		}
		if a.Box[i], ok = s.number(); !ok {
			return false
		}
	}
}

// readSegmentation reads polygons or runs; null and an empty list are none.
func readSegmentation(s *scanner, a *Annotation) bool {
	a.Segmentation = nil
	switch s.buf[s.pos] {
	case 'n':
		return s.word("null")
	case '{':
		a.Segmentation = &Segmentation{}
		return readRuns(s, a.Segmentation)
	}
	if !s.punctuation('[') {
		return false
	}
	var polygons [][]float64
	for {
		more, ok := s.element(len(polygons) == 0)
		if !ok {
			return false
		}
		if !more {
			break
		}
		p, ok := s.numbers()
		if !ok {
			return false
		}
		polygons = append(polygons, p)
	}
	if polygons != nil {
		a.Segmentation = &Segmentation{Polygons: polygons}
	}
	return true
}

// readRuns reads size and counts, a string or a list.
func readRuns(s *scanner, seg *Segmentation) bool {
	sized := false
	ok := s.members(func(key []byte) bool {
		switch string(key) {
		case "size":
			size, ok := s.numbers()
			if !ok {
				return false
			}
			if len(size) != 2 || !isCount(size[0]) || !isCount(size[1]) {
				return s.failf("a size of runs that is not height and width")
			}
			seg.Size = [2]int{int(size[0]), int(size[1])}
			sized = true
			return true
		case "counts":
			if s.buf[s.pos] == '"' {
				text, ok := s.text()
				seg.Compressed, seg.Counts = string(text), nil
				return ok
			}
			counts, ok := s.numbers()
			if !ok {
				return false
			}
			seg.Compressed, seg.Counts = "", make([]uint32, len(counts))
			for i, c := range counts {
				if !isCount(c) {
					return s.failf("a run of %g pixels", c)
				}
				seg.Counts[i] = uint32(c)
			}
			return true
		}
		return s.skip(2)
	})
	if ok && !sized {
		return s.failf("runs without size")
	}
	return ok
}

func isCount(v float64) bool { return v >= 0 && v <= math.MaxInt32 && v == math.Trunc(v) }

// readImage reads one image.
func readImage(s *scanner, m *Image) bool {
	*m = Image{}
	identified := false
	ok := s.members(func(key []byte) (ok bool) {
		switch string(key) {
		case "id":
			m.ID, ok = s.integer()
			identified = ok
			return ok
		case "width":
			return readExtent(s, &m.Width)
		case "height":
			return readExtent(s, &m.Height)
		case "file_name":
			return readName(s, &m.FileName)
		}
		return s.skip(1)
	})
	if ok && !identified {
		return s.failf("an image without id")
	}
	return ok
}

// readCategory reads one category.
func readCategory(s *scanner, c *Category) bool {
	*c = Category{}
	identified := false
	ok := s.members(func(key []byte) (ok bool) {
		switch string(key) {
		case "id":
			c.ID, ok = s.integer()
			identified = ok
			return ok
		case "name":
			return readName(s, &c.Name)
		case "supercategory":
			return readName(s, &c.Supercategory)
		}
		return s.skip(1)
	})
	if ok && !identified {
		return s.failf("a category without id")
	}
	return ok
}

// readExtent reads the width or the height of an image; null is 0.
func readExtent(s *scanner, v *int) bool {
	if s.buf[s.pos] == 'n' {
		*v = 0
		return s.word("null")
	}
	x, ok := s.integer()
	if ok && (x < 0 || x > math.MaxInt32) {
		return s.failf("a size of %d pixels", x)
	}
	*v = int(x)
	return ok
}

// readName reads a string; null is the empty one.
func readName(s *scanner, v *string) bool {
	if s.buf[s.pos] == 'n' {
		*v = ""
		return s.word("null")
	}
	text, ok := s.text()
	*v = strings.ToValidUTF8(string(text), "\ufffd")
	return ok
}
