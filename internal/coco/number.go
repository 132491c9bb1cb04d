package coco

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"strconv"
)

// pow10 holds the powers of ten that fit 64 bits.
var pow10 = [20]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// quotient is m / 10^k to the nearest double, ties to even, for 0 ≤ k ≤ 19.
func quotient(m uint64, k int) float64 {
	if m < 1<<53 && k <= 22 {
		return float64(m) / float64(pow10[k]) // both exact, one rounding; 1e19 is a double
	}
	d := pow10[k]
	shift := bits.LeadingZeros64(m)
	dshift := bits.LeadingZeros64(d)
	m, d = m<<shift, d<<dshift
	hi, lo := m, uint64(0)
	exp := dshift - shift - 64
	if m >= d {
		hi, lo = m>>1, m<<63
		exp++
	}
	q, rest := bits.Div64(hi, lo, d) // 64 significant bits: 53 of the result, 11 that decide the rounding
	mantissa, cut := q>>11, q&(1<<11-1)
	if cut > 1<<10 || cut == 1<<10 && (rest != 0 || mantissa&1 != 0) {
		mantissa++ // 2^53 is a double too
	}
	return float64(mantissa) * math.Float64frombits(uint64(exp+11+1023)<<52)
}

// eightDigits reads up to eight digits at once; more says that there were eight and others may follow.
func eightDigits(buf []byte, i int) (v uint64, next int, more bool) {
	if i+8 > len(buf) {
		for ; i < len(buf) && buf[i]-'0' <= 9; i++ {
			v = v*10 + uint64(buf[i]-'0')
		}
		return v, i, false
	}
	x := binary.LittleEndian.Uint64(buf[i:]) ^ 0x3030303030303030
	other := (x + 0x7676767676767676 | x) & 0x8080808080808080 // a bit for bytes that are no digits; those behind the first do not matter
	n := bits.TrailingZeros64(other) / 8
	x <<= 64 - 8*n
	x = x*10 + x>>8 // pairs of digits in every other byte
	x = (x&0x000000ff000000ff*(100+1000000<<32) + x>>16&0x000000ff000000ff*(1+10000<<32)) >> 32
	return x, i + n, n == 8
}

// number reads a JSON number, or NaN, Infinity and -Infinity as Python writes them. Beyond the range of a double it is
// infinite.
func (s *scanner) number() (float64, bool) {
	buf, i := s.buf, s.pos
	negative := i < len(buf) && buf[i] == '-'
	if negative {
		i++
	}
	first := i
	m := uint64(0)
	for ; i < len(buf) && buf[i]-'0' <= 9; i++ {
		m = m*10 + uint64(buf[i]-'0')
	}
	digits := i - first
	switch {
	case i == len(buf):
		return 0, s.short() // what follows decides
	case digits == 0:
		return s.wordNumber(negative)
	case buf[first] == '0':
		if digits > 1 {
			return 0, s.failf("a number with leading zeros")
		}
		digits = 0
	}
	exp := 0
	if buf[i] == '.' {
		i++
		point := i
		for more := true; more; {
			var part uint64
			from := i
			part, i, more = eightDigits(buf, i)
			m = m*pow10[i-from] + part
		}
		exp = point - i
		digits -= exp
		switch {
		case i == len(buf):
			return 0, s.short()
		case exp == 0:
			return 0, s.failf("a number without digits behind its point")
		}
	}
	if buf[i] == 'e' || buf[i] == 'E' {
		var e int
		var ok bool
		if e, i, ok = s.exponent(i + 1); !ok {
			return 0, false
		}
		exp += e
	}
	start := s.pos
	s.pos = i
	var v float64
	switch {
	case digits <= 19 && m == 0:
	case digits <= 19 && -19 <= exp && exp <= 0:
		v = quotient(m, -exp)
	default:
		var err error
		if v, err = strconv.ParseFloat(string(buf[start:i]), 64); err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, s.failf("a number that is none")
		}
		return v, true
	}
	if negative {
		v = -v
	}
	return v, true
}

// exponent reads what follows the e of a number, to at most ±100000.
func (s *scanner) exponent(i int) (e, next int, ok bool) {
	sign := 1
	if i < len(s.buf) && (s.buf[i] == '+' || s.buf[i] == '-') {
		sign = int(',') - int(s.buf[i])
		i++
	}
	first := i
	for ; i < len(s.buf) && s.buf[i]-'0' <= 9; i++ {
		e = min(e*10+int(s.buf[i]-'0'), 100000)
	}
	switch {
	case i == len(s.buf):
		return 0, i, s.short()
	case i == first:
		return 0, i, s.failf("a number without digits in its exponent")
	}
	return sign * e, i, true
}

func (s *scanner) wordNumber(negative bool) (float64, bool) {
	sign := 1
	if negative {
		sign = -1
		s.pos++
	}
	switch {
	case s.pos < len(s.buf) && s.buf[s.pos] == 'I':
		return math.Inf(sign), s.word("Infinity")
	case !negative && s.pos < len(s.buf) && s.buf[s.pos] == 'N':
		return math.NaN(), s.word("NaN")
	}
	return 0, s.failf("no number")
}

// integer reads a number without a fraction, as ids and sizes are. 3.0 and 3e2 are integers.
func (s *scanner) integer() (int64, bool) {
	buf, i := s.buf, s.pos
	m := int64(0)
	for ; i < len(buf) && buf[i]-'0' <= 9; i++ {
		m = m*10 + int64(buf[i]-'0')
		if i-s.pos > 17 {
			return s.bigInteger()
		}
	}
	if i == s.pos || i == len(buf) || buf[s.pos] == '0' && i > s.pos+1 || buf[i] == '.' || buf[i] == 'e' || buf[i] == 'E' {
		return s.bigInteger()
	}
	s.pos = i
	return m, true
}

func (s *scanner) bigInteger() (int64, bool) {
	start := s.pos
	v, ok := s.number()
	if !ok {
		return 0, false
	}
	if n, err := strconv.ParseInt(string(s.buf[start:s.pos]), 10, 64); err == nil {
		return n, true
	}
	if v != math.Trunc(v) || math.Abs(v) >= 1<<53 {
		s.pos = start
		return 0, s.failf("%g is no integer", v)
	}
	return int64(v), true
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
