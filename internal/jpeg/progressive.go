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
	d.eobRun = 0
	var decode partFunc = d.refineAC
	switch {
	case h.from == 0 && h.high == 0:
		decode = d.firstDC
	case h.from == 0:
		decode = d.refineDC
	case h.high == 0:
		decode = d.firstAC
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

func (d *decoder) firstDC(h *scanHeader, c *component, block *[64]int16, mask *uint64) bool {
	v, ok := c.dc.value(&d.bits)
	c.last += v.v
	block[0] = int16(c.last << h.low)
	*mask |= 1
	return ok
}

func (d *decoder) refineDC(h *scanHeader, _ *component, block *[64]int16, _ *uint64) bool {
	block[0] |= int16(d.bits.bit() << h.low)
	return true
}

func (d *decoder) firstAC(h *scanHeader, c *component, block *[64]int16, mask *uint64) bool {
	if d.eobRun > 0 {
		d.eobRun--
		return true
	}
	for k := h.from; k <= h.to; k++ {
		v, ok := c.ac.value(&d.bits)
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
			d.eobRun = d.runLength(v.run) - 1
			return true
		}
	}
	return true
}

// runLength is the number of blocks, this one first, that have nothing more in this scan.
func (d *decoder) runLength(size uint8) int {
	n := 1 << size
	if size > 0 {
		n += int(d.bits.take(uint(size)))
	}
	return n
}

func (d *decoder) refineAC(h *scanHeader, c *component, block *[64]int16, mask *uint64) bool {
	k := h.from
	for d.eobRun == 0 && k <= h.to {
		v, ok := c.ac.value(&d.bits)
		if !ok || v.v > 1 || v.v < -1 {
			return false
		}
		if v.size == 0 && v.run < 15 {
			d.eobRun = d.runLength(v.run)
			break
		}
		k = d.refine(h, block, k, int(v.run))
		if v.size > 0 {
			place := natural[k] & 63
			block[place] = int16(v.v << h.low)
			*mask |= 1 << place
		}
		k++
	}
	if d.eobRun > 0 {
		d.refine(h, block, k, 64)
		d.eobRun--
	}
	return true
}

// refine reads a bit for each coefficient that is not zero, passes over so many that are, and gives the place of the
// zero behind them, or that behind the scan's last coefficient.
func (d *decoder) refine(h *scanHeader, block *[64]int16, k, zeros int) int {
	for ; k <= h.to; k++ {
		v := &block[natural[k]&63]
		if *v == 0 {
			if zeros == 0 {
				break
			}
			zeros--
			continue
		}
		if d.bits.bit() == 0 || *v&(1<<h.low) != 0 {
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
