package coco

import (
	"bytes"
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

// annotation reads one object of the ground truth or one detection.
func (s *scanner) annotation(a *Annotation, boxesOnly bool) bool {
	*a = Annotation{Missing: allFields}
	start := s.pos
	if s.alike(a, boxesOnly) {
		return true
	}
	*a = Annotation{Missing: allFields}
	s.pos, s.err = start, nil
	s.shape = shape{text: s.shape.text[:0], steps: s.shape.steps[:0]}
	if !s.punctuation('{') {
		return false
	}
	for first := true; ; first = false {
		text, more, ok := s.member(first)
		switch {
		case !ok:
			return false
		case !more:
			s.shape.text = append(s.shape.text, s.buf[start:s.pos]...)
			s.shape.whole = true
			return true
		}
		if _, ok = s.peek(); !ok {
			return false
		}
		k := keyOf(text)
		s.shape.text = append(s.shape.text, s.buf[start:s.pos]...)
		s.shape.steps = append(s.shape.steps, step{k, len(s.shape.text)})
		if !s.value(a, k, boxesOnly) {
			return false
		}
		start = s.pos
	}
}

// alike reads an annotation that has the shape of the last one. If it fails, for whatever reason, annotation reads it.
func (s *scanner) alike(a *Annotation, boxesOnly bool) bool {
	if !s.shape.whole {
		return false
	}
	before := 0
	for _, step := range s.shape.steps {
		if !s.literal(s.shape.text[before:step.text]) || s.pos == len(s.buf) || !s.value(a, step.key, boxesOnly) {
			return false
		}
		before = step.text
	}
	return s.literal(s.shape.text[before:])
}

func (s *scanner) literal(text []byte) bool {
	if !bytes.HasPrefix(s.buf[s.pos:], text) {
		return false
	}
	s.pos += len(text)
	return true
}

// value reads the value of a key of an annotation.
func (s *scanner) value(a *Annotation, k key, boxesOnly bool) bool {
	switch k {
	case idKey:
		return s.field(a, FieldID, &a.ID)
	case imageKey:
		return s.field(a, FieldImage, &a.ImageID)
	case categoryKey:
		return s.field(a, FieldCategory, &a.CategoryID)
	case boxKey:
		return s.box(a)
	case areaKey:
		return s.real(a, FieldArea, &a.Area)
	case scoreKey:
		return s.real(a, FieldScore, &a.Score)
	case crowdKey:
		return s.flag(&a.Crowd)
	case ignoreKey:
		return s.flag(&a.Ignore)
	case segmentationKey:
		if !boxesOnly {
			return s.segmentation(a)
		}
	}
	return s.skip(1)
}

// members reads an object; read reads the value of a key, with white space before it already skipped.
func (s *scanner) members(read func(key []byte) bool) bool {
	if !s.punctuation('{') {
		return false
	}
	for first := true; ; first = false {
		key, more, ok := s.member(first)
		if !ok || !more {
			return ok
		}
		if _, ok = s.peek(); !ok || !read(key) {
			return false
		}
	}
}

// field reads an integer that may be null.
func (s *scanner) field(a *Annotation, f Fields, v *int64) (ok bool) {
	if s.pos < len(s.buf) && s.buf[s.pos] == 'n' {
		*v, a.Missing = 0, a.Missing|f
		return s.word("null")
	}
	a.Missing &^= f
	*v, ok = s.integer()
	return ok
}

// real reads a number that may be null.
func (s *scanner) real(a *Annotation, f Fields, v *float64) (ok bool) {
	if s.pos < len(s.buf) && s.buf[s.pos] == 'n' {
		*v, a.Missing = 0, a.Missing|f
		return s.word("null")
	}
	a.Missing &^= f
	*v, ok = s.number()
	return ok
}

// flag reads true, false, null or a number that is not zero for true.
func (s *scanner) flag(v *bool) bool {
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

// box reads four numbers; none, or null, is no box.
func (s *scanner) box(a *Annotation) bool {
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

// nextNumber goes to the next number of an array if it comes after a comma and at most one space.
func (s *scanner) nextNumber() bool {
	i := s.pos
	if i+2 >= len(s.buf) || s.buf[i] != ',' {
		return false
	}
	if i++; s.buf[i] == ' ' {
		i++
	}
	if c := s.buf[i]; c-'0' > 9 && c != '-' {
		return false
	}
	s.pos = i
	return true
}

// segmentation reads polygons or runs; null and an empty list are none.
func (s *scanner) segmentation(a *Annotation) bool {
	a.Segmentation = nil
	switch s.buf[s.pos] {
	case 'n':
		return s.word("null")
	case '{':
		a.Segmentation = &Segmentation{}
		return s.runs(a.Segmentation)
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

// numbers reads an array of numbers into a slice of its own, not nil.
func (s *scanner) numbers() ([]float64, bool) {
	if !s.punctuation('[') {
		return nil, false
	}
	var room [128]float64
	list := room[:0]
	for {
		if len(list) == 0 || !s.nextNumber() {
			more, ok := s.element(len(list) == 0)
			if !ok {
				return nil, false
			}
			if !more {
				return append(make([]float64, 0, len(list)), list...), true
			}
		}
		v, ok := s.number()
		if !ok {
			return nil, false
		}
		list = append(list, v)
	}
}

// runs reads size and counts, a string or a list.
func (s *scanner) runs(seg *Segmentation) bool {
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

// image reads one image.
func (s *scanner) image(m *Image) bool {
	*m = Image{}
	identified := false
	ok := s.members(func(key []byte) (ok bool) {
		switch string(key) {
		case "id":
			m.ID, ok = s.integer()
			identified = ok
			return ok
		case "width":
			return s.extent(&m.Width)
		case "height":
			return s.extent(&m.Height)
		case "file_name":
			return s.name(&m.FileName)
		}
		return s.skip(1)
	})
	if ok && !identified {
		return s.failf("an image without id")
	}
	return ok
}

// category reads one category.
func (s *scanner) category(c *Category) bool {
	*c = Category{}
	identified := false
	ok := s.members(func(key []byte) (ok bool) {
		switch string(key) {
		case "id":
			c.ID, ok = s.integer()
			identified = ok
			return ok
		case "name":
			return s.name(&c.Name)
		case "supercategory":
			return s.name(&c.Supercategory)
		}
		return s.skip(1)
	})
	if ok && !identified {
		return s.failf("a category without id")
	}
	return ok
}

// extent reads the width or the height of an image; null is 0.
func (s *scanner) extent(v *int) bool {
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

// name reads a string; null is the empty one.
func (s *scanner) name(v *string) bool {
	if s.buf[s.pos] == 'n' {
		*v = ""
		return s.word("null")
	}
	text, ok := s.text()
	*v = strings.ToValidUTF8(string(text), "\ufffd")
	return ok
}
