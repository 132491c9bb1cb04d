package resume

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Coder writes values into bytes, or reads them back, in one order: a function that takes a Coder serves both directions. It
// keeps its first error; after one, nothing is read any more. Numbers are exact, NaN and infinities too. What is read is bounded:
// no list gets longer than the bytes that are left.
type Coder struct {
	data    []byte
	at      int
	reading bool
	err     error
}

// NewWriter makes a Coder that writes.
func NewWriter() *Coder { return &Coder{} }

// NewReader makes a Coder that reads.
func NewReader(data []byte) *Coder { return &Coder{data: data, reading: true} }

// Reading says whether values are read.
func (c *Coder) Reading() bool { return c.reading }

// Data is what was written.
func (c *Coder) Data() []byte { return c.data }

// Err is the first error.
func (c *Coder) Err() error { return c.err }

// Close gives the first error; bytes that were not read are one.
func (c *Coder) Close() error {
	if c.err == nil && c.reading && c.at < len(c.data) {
		c.err = fmt.Errorf("%d bytes too many", len(c.data)-c.at)
	}
	return c.err
}

// Fail notes an error: what was read makes no sense.
func (c *Coder) Fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// Need notes an error while reading if a condition does not hold.
func (c *Coder) Need(holds bool, what string) {
	if c.reading && !holds {
		c.Fail("%s", what)
	}
}

var errShort = errors.New("it ends early")

// take gives the next n bytes, nil after an error.
func (c *Coder) take(n int) []byte {
	if c.err == nil && n > len(c.data)-c.at {
		c.err = errShort
	}
	if c.err != nil {
		return nil
	}
	c.at += n
	return c.data[c.at-n : c.at]
}

// Int64 is a whole number, of few bytes if it is near 0.
func (c *Coder) Int64(v *int64) {
	if !c.reading {
		c.data = binary.AppendVarint(c.data, *v)
		return
	}
	if c.err != nil {
		return
	}
	got, n := binary.Varint(c.data[c.at:])
	if n <= 0 {
		c.err = errShort
		return
	}
	c.at += n
	*v = got
}

// Int is a whole number.
func (c *Coder) Int(v *int) {
	n := int64(*v)
	c.Int64(&n)
	*v = int(n)
}

// Bool is a yes or no.
func (c *Coder) Bool(v *bool) {
	if !c.reading {
		b := byte(0)
		if *v {
			b = 1
		}
		c.data = append(c.data, b)
	} else if b := c.take(1); b != nil {
		*v = b[0] != 0
	}
}

// Uint16 is a set of 16 bits.
func (c *Coder) Uint16(v *uint16) {
	if !c.reading {
		c.data = binary.LittleEndian.AppendUint16(c.data, *v)
	} else if b := c.take(2); b != nil {
		*v = binary.LittleEndian.Uint16(b)
	}
}

// Float64 keeps every bit.
func (c *Coder) Float64(v *float64) {
	if !c.reading {
		c.data = binary.LittleEndian.AppendUint64(c.data, math.Float64bits(*v))
	} else if b := c.take(8); b != nil {
		*v = math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
}

// Float32 keeps every bit.
func (c *Coder) Float32(v *float32) {
	if !c.reading {
		c.data = binary.LittleEndian.AppendUint32(c.data, math.Float32bits(*v))
	} else if b := c.take(4); b != nil {
		*v = math.Float32frombits(binary.LittleEndian.Uint32(b))
	}
}

// String is a text.
func (c *Coder) String(v *string) {
	b := []byte(nil)
	if !c.reading {
		b = []byte(*v)
	}
	c.Blob(&b)
	if c.reading && c.err == nil {
		*v = strings.Clone(string(b))
	}
}

// Blob is a list of bytes; what is read shares the Coder's memory.
func (c *Coder) Blob(v *[]byte) {
	n := len(*v)
	c.Int(&n)
	switch {
	case !c.reading:
		c.data = append(c.data, *v...)
	case c.err == nil && (n < 0 || n > len(c.data)-c.at):
		c.err = errShort
	default:
		*v = c.take(n)
	}
}

// count is a list's length, −1 for nil. Each element takes a byte at least.
func (c *Coder) count(length int, isNil bool) int {
	if isNil {
		length = -1
	}
	c.Int(&length)
	if c.reading && c.err == nil && (length < -1 || length > len(c.data)-c.at) {
		c.err = errShort
	}
	if c.err != nil {
		return -1
	}
	return length
}

// Slice is a list of any length; nil and empty stay apart.
func Slice[T any](c *Coder, list *[]T, each func(*T)) {
	n := c.count(len(*list), *list == nil)
	if c.reading {
		*list = nil
		if n >= 0 {
			*list = make([]T, 0, min(n, 256))
		}
		for range n {
			var v T
			if each(&v); c.err != nil {
				return
			}
			*list = append(*list, v)
		}
		*list = slices.Clip(*list)
		return
	}
	for i := range *list {
		each(&(*list)[i])
	}
}

// Each is a list whose length both sides know.
func Each[T any](c *Coder, list []T, each func(*T)) {
	for i := range list {
		if c.err != nil {
			return
		}
		each(&list[i])
	}
}

// Optional is a value or nil.
func Optional[T any](c *Coder, p **T, each func(*T)) {
	there := *p != nil
	c.Bool(&there)
	if c.reading {
		*p = nil
		if there && c.err == nil {
			*p = new(T)
		}
	}
	if there && c.err == nil {
		each(*p)
	}
}
