package coco

import "sync"

const (
	splitFrom  = 1 << 20 // bytes that are worth a goroutine
	guessBytes = 1 << 16 // where the start of an element is looked for
	sampled    = 256     // elements whose size tells how many will come
)

// part is a stretch of a long array, read by a goroutine of its own. Where a part begins is a guess: what looks like the
// start of an element could stand in a string. So every part reads on until it comes to an element that begins exactly
// where another one does; a part that nobody comes to was a wrong guess and is forgotten.
type part struct {
	s    *scanner
	list []Annotation
	next int // the part that goes on; the number of parts if the array ends here
}

// annotations reads an array from behind its bracket and gives the scanner that stands behind it, or has the error.
func (r Reader) annotations(s *scanner) ([]Annotation, *scanner) {
	head := part{s: s}
	start := s.offset()
	ended := head.read(r, nil, 0, sampled)
	if s.err != nil || ended {
		return head.list, s
	}
	perByte := min(1.02*float64(len(head.list))/float64(s.offset()-start), 1./24)
	at := []int64{s.offset()}
	bytesLeft := s.size - at[0]
	if n := min(int64(r.parallel()), bytesLeft/splitFrom); n > 1 {
		for i := int64(1); i < n; i++ {
			if b := s.guess(at[0] + bytesLeft*i/n); b > at[len(at)-1] {
				at = append(at, b)
			}
		}
	}
	return join(r, s, head.list, at, perByte)
}

// join reads the parts that begin at the given offsets, all into one slice with room for everything that is expected.
func join(r Reader, s *scanner, head []Annotation, at []int64, perByte float64) ([]Annotation, *scanner) {
	room := func(offset int64) int { return len(head) + int(float64(offset-at[0])*perByte) }
	all := append(make([]Annotation, 0, room(s.size)+16), head...)
	parts := make([]part, len(at))
	var wg sync.WaitGroup
	for i := range parts {
		p := &parts[i]
		end := cap(all)
		if i+1 < len(at) {
			end = room(at[i+1])
		}
		p.s, p.list = s, all[:len(head):end]
		if i > 0 {
			from := room(at[i])
			p.s, p.list = s.fresh(at[i]), all[from:from:end]
		}
		wg.Go(func() {
			touch(p.list)
			p.read(r, at, i+1, -1)
		})
	}
	wg.Wait()
	list := parts[0].list
	if len(list) <= cap(all) && &list[0] == &all[:1][0] {
		list = all[:len(list)] // the room up to the end is free again
	}
	last := &parts[0]
	for last.s.err == nil && last.next < len(parts) {
		last = &parts[last.next]
		list = append(list, last.list...)
	}
	return list, last.s
}

// touch writes to every page of the room behind a list. Taking so much memory starts a collection, and pages that the
// collector reads before anybody has written to them cost another, dearer fault when they are: a tenth of the time.
func touch(list []Annotation) {
	const perPage = 4096 / 96 // an annotation is a little smaller
	room := list[len(list):cap(list)]
	for i := 0; i < len(room); i += perPage {
		room[i].Missing = allFields
	}
}

// read reads elements until another part begins, or the array ends, or there are limit of them (unless limit is
// negative). Parts begin at the given offsets, those from next on are ahead.
func (p *part) read(r Reader, at []int64, next, limit int) (ended bool) {
	s := p.s
	reader := annotationReader{s: s, boxesOnly: r.BoxesOnly}
	var a Annotation
	more, stop := false, false
	first := len(p.list) == 0 || next > 1
	scan := func() (ok bool) {
		if more, ok = s.element(first); !ok || !more {
			return ok
		}
		for next < len(at) && at[next] < s.offset() {
			next++
		}
		if stop = next < len(at) && at[next] == s.offset(); stop {
			return true
		}
		return reader.read(&a)
	}
	for len(p.list) != limit && s.unit(scan) {
		if stop {
			p.next = next
			return false
		}
		if !more {
			p.next = len(at)
			return true
		}
		p.list = append(p.list, a)
		first = false
	}
	return false
}

// guess looks for an object that follows another one, from the given offset on. It gives −1 if it sees none.
func (w *window) guess(offset int64) int64 {
	var look []byte
	if w.src == nil {
		look = w.buf[offset:min(offset+guessBytes, w.size)]
	} else {
		look = make([]byte, min(guessBytes, w.size-offset))
		if n, _ := w.src.ReadAt(look, offset); n < len(look) {
			return -1 // the part before will come to the same trouble
		}
	}
	last := byte(0) // before white space
	comma := false
	for i, c := range look {
		switch c {
		case ' ', '\n', '\t', '\r':
		case ',':
			comma = last == '}'
			last = c
		case '{':
			if comma {
				return offset + int64(i)
			}
			last = c
		default:
			comma = false
			last = c
		}
	}
	return -1
}
