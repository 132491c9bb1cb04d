package htpcost

import (
	"bytes"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scanner walks over a JSON document. Its first error stays and moves it to the end, so that every loop ends.
type scanner struct {
	data  []byte
	at    int
	depth int
	err   error
	texts map[string]string // one copy of each text: few are written thousands of times
}

// deepest bounds how deep values lie in each other.
const deepest = 64

func (s *scanner) fail(what string) {
	if s.err == nil {
		s.err = fmt.Errorf("byte %d: %s", s.at, what)
	}
	s.at = len(s.data)
}

// peek gives the next byte that is no space, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.data) {
		switch c := s.data[s.at]; c {
		case ' ', '\n', '\t', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// take steps over a byte, which must be the next one that is no space.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		s.fail(fmt.Sprintf("%q is missing", c))
		return false
	}
	s.at++
	return true
}

// raw steps over a text and gives what stands between its quotes.
func (s *scanner) raw() (inside []byte, escaped bool) {
	if !s.take('"') {
		return nil, false
	}
	from := s.at
	for {
		i := bytes.IndexByte(s.data[s.at:], '"')
		if i < 0 {
			s.at = from
			s.fail("a text has no end")
			return nil, false
		}
		before := s.data[s.at : s.at+i]
		slash := bytes.IndexByte(before, '\\')
		if slash < 0 {
			s.at += i + 1
			return s.data[from : s.at-1], escaped
		}
		escaped = true
		s.at = min(s.at+slash+2, len(s.data)) // over the byte that it escapes, which may be a quote
	}
}

// text reads a text.
func (s *scanner) text() string {
	inside, escaped := s.raw()
	return s.decode(inside, escaped)
}

// decode makes a text of what stands between its quotes.
func (s *scanner) decode(inside []byte, escaped bool) string {
	if t, known := s.texts[string(inside)]; known {
		return t
	}
	t := strings.ToValidUTF8(string(inside), "\uFFFD")
	if escaped {
		t = unescape(t)
	}
	if s.texts == nil {
		s.texts = map[string]string{}
	}
	s.texts[string(inside)] = t
	return t
}

// unescape takes the backslashes out of a text; what they do not mean in JSON stays as it is.
func unescape(t string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(t, '\\')
		if i < 0 || i+1 == len(t) {
			b.WriteString(t)
			return b.String()
		}
		b.WriteString(t[:i])
		c := t[i+1]
		rest := t[i+2:]
		switch k := strings.IndexByte(`"\/bfnrt`, c); {
		case k >= 0:
			b.WriteByte("\"\\/\b\f\n\r\t"[k])
		case c == 'u':
			if r, after, ok := unicode(rest); ok {
				b.WriteRune(r)
				rest = after
				break
			}
			fallthrough
		default:
			b.WriteByte('\\')
			rest = t[i+1:]
			_, size := utf8.DecodeRuneInString(rest)
			b.WriteString(rest[:size])
			rest = rest[size:]
		}
		t = rest
	}
}

// unicode reads the four digits behind \u, and a second half behind them if they are the first one.
func unicode(t string) (r rune, rest string, ok bool) {
	four := func(t string) (uint64, bool) {
		if len(t) < 4 {
			return 0, false
		}
		v, err := strconv.ParseUint(t[:4], 16, 16)
		return v, err == nil
	}
	high, ok := four(t)
	if !ok {
		return 0, t, false
	}
	t = t[4:]
	if high < 0xd800 || high > 0xdfff {
		return rune(high), t, true
	}
	if half, isHalf := strings.CutPrefix(t, `\u`); isHalf && high < 0xdc00 {
		if low, ok := four(half); ok && low >= 0xdc00 && low <= 0xdfff {
			return rune(0x10000 + (high-0xd800)<<10 + low - 0xdc00), half[4:], true
		}
	}
	return utf8.RuneError, t, true
}

// word steps over a number or a literal and gives it.
func (s *scanner) word() []byte {
	s.peek()
	from := s.at
	for s.at < len(s.data) {
		c := s.data[s.at]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E' {
			s.at++
			continue
		}
		break
	}
	if from == s.at {
		s.fail("a value is missing")
		return nil
	}
	return s.data[from:s.at]
}

// whole reads a number that is not negative and not above most; a broken one is rounded.
func (s *scanner) whole(most int64) int64 {
	from := s.at
	w := s.word()
	v := int64(0)
	for i, c := range w {
		if c < '0' || c > '9' || i > 17 {
			f, err := strconv.ParseFloat(string(w), 64)
			if err != nil || !(f >= 0 && f <= float64(most)) {
				s.at = from
				s.fail(fmt.Sprintf("no number from 0 to %d", most))
				return 0
			}
			return int64(math.Round(f))
		}
		v = v*10 + int64(c-'0')
	}
	if v > most {
		s.at = from
		s.fail(fmt.Sprintf("no number from 0 to %d", most))
		return 0
	}
	return v
}

// members goes over the members of an object by their keys, as they stand between the quotes; the loop's body steps over each
// value.
func (s *scanner) members() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s.list('{', '}', func() bool {
			key, _ := s.raw()
			return s.take(':') && yield(key)
		})
	}
}

// elements goes over the elements of an array; the loop's body steps over each.
func (s *scanner) elements() iter.Seq[int] {
	return func(yield func(int) bool) {
		n := -1
		s.list('[', ']', func() bool { n++; return yield(n) })
	}
}

func (s *scanner) list(first, last byte, each func() bool) {
	if !s.take(first) {
		return
	}
	if s.depth++; s.depth > deepest {
		s.fail("values lie too deep in each other")
		return
	}
	defer func() { s.depth-- }()
	if s.peek() == last {
		s.at++
		return
	}
	for each() && s.err == nil {
		if s.peek() == last {
			s.at++
			return
		}
		if !s.take(',') {
			return
		}
	}
}

// skip steps over a value.
func (s *scanner) skip() {
	switch s.peek() {
	case '{':
		for range s.members() {
			s.skip()
		}
	case '[':
		for range s.elements() {
			s.skip()
		}
	case '"':
		s.raw()
	default:
		s.word()
	}
}
