package encodings

import (
	"fmt"

	"quantcheck/internal/quant"
	"quantcheck/internal/result"
)

// channelMajor gives the encodings of a divided weight as version 1.0.0 has them, which says nothing of axes: all blocks of the first channel, then
// those of the next. It fails where places of a kernel have encodings of their own, for which that version has no words.
func channelMajor(p *result.Param) ([]quant.Encoding, error) {
	b := p.Blocks
	if len(b.Grid) < 2 || b.Axis > 1 {
		return nil, fmt.Errorf("%s: its blocks lie along axis %d, for which version 1.0.0 has no words: take 2.0.0", p.Tensor, b.Axis)
	}
	inner := int64(1)
	for _, d := range b.Grid[2:] {
		inner *= d
	}
	rows, columns := b.Grid[0], b.Grid[1]
	if rows*columns*inner != int64(len(p.Encodings)) {
		return nil, fmt.Errorf("%s: %d encodings for a grid of %v", p.Tensor, len(p.Encodings), b.Grid)
	}
	at := func(r, c int64) (quant.Encoding, error) {
		first := p.Encodings[(r*columns+c)*inner]
		for _, e := range p.Encodings[(r*columns+c)*inner : (r*columns+c+1)*inner] {
			if e != first {
				return first, fmt.Errorf("%s: places of its kernel have encodings of their own, for which version 1.0.0 has no words: take 2.0.0", p.Tensor)
			}
		}
		return first, nil
	}
	var list []quant.Encoding
	channels, blocks := rows, columns
	if b.Axis == 0 {
		channels, blocks = columns, rows
	}
	for c := range channels {
		for k := range blocks {
			r, q := c, k
			if b.Axis == 0 {
				r, q = k, c
			}
			e, err := at(r, q)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
	}
	return list, nil
}

// param100 is a parameter in version 1.0.0.
func param100(p *result.Param) (entry, error) {
	if p.Blocks == nil {
		return integer(p.Tensor, p.Axis, p.Encodings...), nil
	}
	list, err := channelMajor(p)
	if err != nil {
		return entry{}, err
	}
	e := integer(p.Tensor, p.Axis, list...)
	e.Type, e.Block = "PER_BLOCK", p.Blocks.Size
	return e, nil
}

// param200 is a parameter in version 2.0.0: scales and zero points lie as the tensor does, in nested lists.
func param200(p *result.Param) entry200 {
	e := integer200(p.Tensor, p.Axis, p.Encodings...)
	if p.Blocks == nil {
		return e
	}
	e.Block = p.Blocks.Size
	if scales, ok := e.Scale.([]float64); ok {
		e.Scale = nested(scales, p.Blocks.Grid)
	}
	if zeros, ok := e.Zero.([]int); ok {
		e.Zero = nested(zeros, p.Blocks.Grid)
	}
	return e
}

// nested divides a list into lists of lists, by a shape.
func nested[T any](list []T, shape []int64) any {
	if len(shape) < 2 {
		return list
	}
	each := len(list) / int(shape[0])
	var parts []any
	for i := range int(shape[0]) {
		parts = append(parts, nested(list[i*each:(i+1)*each], shape[1:]))
	}
	return parts
}
