package coco

import (
	"bytes"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of values that are skipped.
const maxDepth = 256

// scanner reads JSON values from a window. Its methods say whether they succeeded; what went wrong stands in err. A method that fails
// leaves pos where the trouble is.
type scanner struct{ window }

func scanBytes(data []byte) *scanner { return &scanner{window{buf: data, size: int64(len(data))}} }

// scanFile starts at an offset.
func scanFile(src io.ReaderAt, size, offset int64) *scanner {
	return &scanner{window{src: src, size: size, base: offset, buf: make([]byte, 0, windowSize)}}
}

// fresh is a scanner over the same input, at another offset.
func (s *scanner) fresh(offset int64) *scanner {
	if s.src == nil {
		return &scanner{window{buf: s.buf, pos: int(offset), size: s.size}}
	}
	return scanFile(s.src, s.size, offset)
}

// peek skips white space and gives the byte behind it.
func (s *scanner) peek() (byte, bool) {
	for i := s.pos; i < len(s.buf); i++ {
		switch c := s.buf[i]; c {
		case ' ', '\n', '\t', '\r':
		default:
			s.pos = i
			return c, true
		}
	}
	return 0, s.short()
}

// punctuation skips white space and the given byte.
func (s *scanner) punctuation(want byte) bool {
	if s.pos < len(s.buf) && s.buf[s.pos] == want {
		s.pos++
		return true
	}
	c, ok := s.peek()
	switch {
	case !ok:
		return false
	case c != want:
		return s.failf("%q where %q should be", c, want)
	}
	s.pos++
	return true
}

func (s *scanner) word(w string) bool {
	rest := s.buf[s.pos:]
	switch {
	case len(rest) < len(w):
		return s.short()
	case string(rest[:len(w)]) != w:
		return s.failf("no value")
	}
	s.pos += len(w)
	return true
}

func (s *scanner) literal(text []byte) bool {
	if !bytes.HasPrefix(s.buf[s.pos:], text) {
		return false
	}
	s.pos += len(text)
	return true
}

// end says whether only white space is left. It is the last call.
func (s *scanner) end() bool {
	for {
		if _, ok := s.peek(); ok {
			return s.failf("something behind the end")
		}
		if s.err != errShort { //nolint:errorlint // compared for speed, never wrapped
			s.err = nil
			return true
		}
		s.err = nil
		if !s.refill(len(s.buf)) {
			return false
		}
	}
}

// member goes to the next value of an object and gives its key; the opening brace is already scanned. The key is good
// until the scanner moves on. At the closing brace more is false.
func (s *scanner) member(first bool) (key []byte, more, ok bool) {
	c, ok := s.peek()
	switch {
	case !ok:
		return nil, false, false
	case c == '}':
		s.pos++
		return nil, false, true
	case !first:
		if !s.punctuation(',') {
			return nil, false, false
		}
	}
	if key, ok = s.text(); !ok {
		return nil, false, false
	}
	return key, true, s.punctuation(':')
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

// element goes to the next value of an array; the opening bracket is already scanned.
func (s *scanner) element(first bool) (more, ok bool) {
	c, ok := s.peek()
	switch {
	case !ok:
		return false, false
	case c == ']':
		s.pos++
		return false, true
	case !first:
		if !s.punctuation(',') {
			return false, false
		}
		if c, ok = s.peek(); !ok {
			return false, false
		}
		if c == ']' {
			return false, s.failf("a comma before the end of an array")
		}
	}
	return true, true
}

// text reads a string. What it gives is good until the scanner moves on.
func (s *scanner) text() ([]byte, bool) {
	if !s.punctuation('"') {
		return nil, false
	}
	start := s.pos
	for i, c := range s.buf[start:] {
		switch {
		case c == '"':
			s.pos = start + i + 1
			return s.buf[start : start+i], true
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			s.pos = start + i
			return nil, s.failf("a control character in a string")
		}
	}
	return nil, s.short()
}

// escaped reads a string with escapes from its first byte.
func (s *scanner) escaped(start int) ([]byte, bool) {
	var out []byte
	for i := start; i < len(s.buf); {
		switch c := s.buf[i]; {
		case c == '"':
			s.pos = i + 1
			return out, true
		case c < ' ':
			s.pos = i
			return nil, s.failf("a control character in a string")
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		if i++; i == len(s.buf) {
			break
		}
		switch k := bytes.IndexByte([]byte(`"\/bfnrt`), s.buf[i]); {
		case k >= 0:
			out = append(out, "\"\\/\b\f\n\r\t"[k])
			i++
		case s.buf[i] == 'u':
			r, ok := s.hex(i + 1)
			if !ok {
				return nil, false
			}
			i += 5
			if utf16.IsSurrogate(r) {
				low := rune(0)
				if i+1 < len(s.buf) && s.buf[i] == '\\' && s.buf[i+1] == 'u' {
					if low, ok = s.hex(i + 2); !ok {
						return nil, false
					}
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			s.pos = i
			return nil, s.failf("an unknown escape in a string")
		}
	}
	return nil, s.short()
}

func (s *scanner) hex(i int) (rune, bool) {
	if i+4 > len(s.buf) {
		return 0, s.short()
	}
	r := rune(0)
	for k, c := range s.buf[i : i+4] {
		d := bytes.IndexByte([]byte("0123456789abcdef"), c)
		if d < 0 {
			d = bytes.IndexByte([]byte("0123456789ABCDEF"), c)
		}
		if d < 0 {
			s.pos = i + k
			return 0, s.failf("an escape that is not hexadecimal")
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

// skip passes over any value.
func (s *scanner) skip(depth int) bool {
	c, ok := s.peek()
	switch {
	case !ok:
		return false
	case depth > maxDepth:
		return s.failf("values nested more than %d deep", maxDepth)
	case c == '"':
		_, ok = s.text()
		return ok
	case c == '[':
		s.pos++
		for first := true; ; first = false {
			more, ok := s.element(first)
			if !ok || !more {
				return ok
			}
			if !s.skip(depth + 1) {
				return false
			}
		}
	case c == '{':
		s.pos++
		for first := true; ; first = false {
			_, more, ok := s.member(first)
			if !ok || !more {
				return ok
			}
			if !s.skip(depth + 1) {
				return false
			}
		}
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	_, ok = s.number()
	return ok
}
