package jpeg

import "errors"

// rowFunc gives a row of a component at the picture's full width, and perhaps some samples more; it holds until the
// next call.
type rowFunc func(y int) []uint8

// rows gives a component's rows at full size, by libjpeg's choice: a triangle filter where the picture is twice as wide
// or high ("fancy upsampling"), though not for planes of one or two columns, repeated samples at other ratios.
func (c *component) rows(maxH, maxV int) (rowFunc, error) {
	if maxH%c.h != 0 || maxV%c.v != 0 {
		return nil, errors.New("fractional sampling ratios are not supported")
	}
	sx, sy := maxH/c.h, maxV/c.v
	row := func(y int) []uint8 {
		y = min(max(y, 0), c.height-1)
		return c.plane[y*c.stride() : y*c.stride()+c.width]
	}
	// near and far are the two rows that a row lies between when there are twice as many.
	near := func(y int) []uint8 { return row(y / 2) }
	far := func(y int) []uint8 { return row(y/2 - 1 + 2*(y%2)) }
	out := make([]uint8, sx*c.width)
	switch {
	case sx == 1 && sy == 1:
		return row, nil
	case sx == 2 && sy == 1 && c.width > 2:
		return func(y int) []uint8 { widen(out, row(y)); return out }, nil
	case sx == 2 && sy == 2 && c.width > 2:
		sums := make([]uint16, c.width)
		return func(y int) []uint8 { widen2(out, near(y), far(y), sums); return out }, nil
	case sx == 1 && sy == 2:
		return func(y int) []uint8 { between(out, near(y), far(y), uint(1+y%2)); return out }, nil
	}
	return func(y int) []uint8 { repeat(out, row(y/sy), sx); return out }, nil
}

// widen doubles a row: the nearer sample weighs 3 and the farther one 1, halves are rounded up and down in turn. At the
// borders the sample stands alone.
func widen(out, in []uint8) {
	last := len(in) - 1
	out[0], out[2*last+1] = in[0], in[last]
	for x := range last {
		a, b := uint(in[x]), uint(in[x+1])
		o := out[2*x+1 : 2*x+3 : 2*x+3]
		o[0] = uint8((3*a + b + 2) >> 2)
		o[1] = uint8((3*b + a + 1) >> 2)
	}
}

// widen2 is widen in both directions, rounded once: near is the row that weighs 3.
func widen2(out, near, far []uint8, sums []uint16) {
	near, far = near[:len(sums)], far[:len(sums)]
	for x := range sums {
		sums[x] = 3*uint16(near[x]) + uint16(far[x])
	}
	last := len(sums) - 1
	out[0], out[2*last+1] = uint8((4*sums[0]+8)>>4), uint8((4*sums[last]+7)>>4)
	a := sums[0]
	for x, b := range sums[1:] {
		o := out[2*x+1 : 2*x+3 : 2*x+3]
		o[0] = uint8((3*a + b + 7) >> 4)
		o[1] = uint8((3*b + a + 8) >> 4)
		a = b
	}
}

// between mixes two rows, 3 to 1.
func between(out, near, far []uint8, half uint) {
	near, far = near[:len(out)], far[:len(out)]
	for x := range out {
		out[x] = uint8((3*uint(near[x]) + uint(far[x]) + half) >> 2)
	}
}

// repeat writes every sample n times.
func repeat(out, in []uint8, n int) {
	for x, v := range in {
		o := out[n*x : n*x+n]
		for i := range o {
			o[i] = v
		}
	}
}
