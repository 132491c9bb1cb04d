package jpeg

import (
	"errors"
	"math/bits"
)

// progression notes what a progressive scan brings and gives the function that decodes a block's part of it.
func (d *decoder) progression(h *scanHeader) (func(c *component, x, y int) error, error) {
	for _, c := range h.components {
		for k := h.from; k <= h.to; k++ {
			if int8(h.high) != max(c.known[k], 0) {
				return nil, errors.New("progressive scans out of order")
			}
			c.known[k] = int8(h.low)
		}
	}
	d.coded.eobRun = 0
	var decode partFunc = d.coded.refineAC
	switch {
	case h.from == 0 && h.high == 0:
		decode = d.coded.firstDC
	case h.from == 0:
		decode = d.coded.refineDC
	case h.high == 0:
		decode = d.coded.firstAC
	}
	var beyond [64]int16
	return func(c *component, x, y int) error {
		block, mask := &beyond, new(uint64)
		if x < c.blocksX && y < c.blocksY {
			i := y*c.blocksX + x
			block, mask = (*[64]int16)(c.coefs[64*i:]), &c.masks[i]
		}
		if !decode(h, c, block, mask) {
			return errDamaged
		}
		return nil
	}, nil
}

// partFunc adds a scan's part of a block; it is false for data that no encoder writes. A DC coefficient counts as
// something else than zero, whatever it is.
type partFunc func(h *scanHeader, c *component, block *[64]int16, mask *uint64) bool

func (e *entropyReader) firstDC(h *scanHeader, c *component, block *[64]int16, mask *uint64) bool {
	v, ok := c.dc.value(&e.bits)
	c.last += v.v
	block[0] = int16(c.last << h.low)
	*mask |= 1
	return ok
}

func (e *entropyReader) refineDC(h *scanHeader, _ *component, block *[64]int16, _ *uint64) bool {
	block[0] |= int16(e.bits.bit() << h.low)
	return true
}

func (e *entropyReader) firstAC(h *scanHeader, c *component, block *[64]int16, mask *uint64) bool {
	if e.eobRun > 0 {
		e.eobRun--
		return true
	}
	for k := h.from; k <= h.to; k++ {
		v, ok := c.ac.value(&e.bits)
		switch {
		case !ok:
			return false
		case v.size > 0:
			k += int(v.run)
			place := natural[k] & 63
			block[place] = int16(v.v << h.low)
			*mask |= 1 << place
		case v.run == 15:
			k += 15
		default:
			e.eobRun = e.runLength(v.run) - 1
			return true
		}
	}
	return true
}

// runLength is the number of blocks, this one first, that have nothing more in this scan.
func (e *entropyReader) runLength(size uint8) int {
	n := 1 << size
	if size > 0 {
		n += int(e.bits.take(uint(size)))
	}
	return n
}

func (e *entropyReader) refineAC(h *scanHeader, c *component, block *[64]int16, mask *uint64) bool {
	k := h.from
	for e.eobRun == 0 && k <= h.to {
		v, ok := c.ac.value(&e.bits)
		if !ok || v.v > 1 || v.v < -1 {
			return false
		}
		if v.size == 0 && v.run < 15 {
			e.eobRun = e.runLength(v.run)
			break
		}
		k = e.refine(h, block, k, int(v.run))
		if v.size > 0 {
			place := natural[k] & 63
			block[place] = int16(v.v << h.low)
			*mask |= 1 << place
		}
		k++
	}
	if e.eobRun > 0 {
		e.refine(h, block, k, 64)
		e.eobRun--
	}
	return true
}

// refine reads a bit for each coefficient that is not zero, passes over so many that are, and gives the place of the
// zero behind them, or that behind the scan's last coefficient.
func (e *entropyReader) refine(h *scanHeader, block *[64]int16, k, zeros int) int {
	for ; k <= h.to; k++ {
		v := &block[natural[k]&63]
		if *v == 0 {
			if zeros == 0 {
				break
			}
			zeros--
			continue
		}
		if e.bits.bit() == 0 || *v&(1<<h.low) != 0 {
			continue
		}
		if *v > 0 {
			*v += 1 << h.low
		} else {
			*v -= 1 << h.low
		}
	}
	return k
}

// reconstruct turns a progressive component's coefficients into samples. block is scratch, zero before and after.
func (c *component) reconstruct(block *[64]int16) {
	for i, mask := range c.masks {
		coefs := (*[64]int16)(c.coefs[64*i:])
		for m := mask; m != 0; m &= m - 1 {
			k := bits.TrailingZeros64(m) & 63
			block[k] = coefs[k] * c.quant[k]
		}
		x, y := i%c.blocksX, i/c.blocksX
		inverse(block, mask|1, c.plane[8*(y*c.stride()+x):], c.stride())
	}
	c.coefs, c.masks = nil, nil
}
