package jpeg

import (
	"errors"
	"fmt"
)

// maxScans bounds the work that a small progressive file can ask for.
const maxScans = 500

var errDamaged = errors.New("damaged entropy-coded data")

// scanHeader is what a scan holds.
type scanHeader struct {
	components []*component
	from, to   int  // progressive: the coefficients, in zigzag order
	high, low  uint // progressive: bit positions that are there already and after this scan
}

// scan reads a scan's header and data, and says how many components it has.
func (d *decoder) scan(body []byte) (int, error) {
	if d.scans++; d.scans > maxScans {
		return 0, errors.New("too many scans")
	}
	h, err := d.scanHeader(body)
	if err != nil {
		return 0, err
	}
	if d.scans == 1 {
		if err := d.allocate(); err != nil {
			return 0, err
		}
	}
	for _, c := range h.components {
		if c.quant != nil {
			continue
		}
		if c.quantIndex > 3 || d.quants[c.quantIndex] == nil {
			return 0, errors.New("a quantization table is missing")
		}
		c.quant = d.quants[c.quantIndex]
	}
	if !d.progressive {
		return len(h.components), d.walk(h, func(c *component, x, y int) error {
			mask, ok := d.coded.sequential(c)
			if !ok {
				return errDamaged
			}
			if x < c.blocksX && y < c.blocksY {
				inverse(&d.coded.block, mask, c.plane[8*(y*c.stride()+x):], c.stride())
			} else {
				clear(d.coded.block[:])
			}
			return nil
		})
	}
	one, err := d.progression(h)
	if err != nil {
		return 0, err
	}
	return len(h.components), d.walk(h, one)
}

func (d *decoder) scanHeader(body []byte) (*scanHeader, error) {
	if len(d.components) == 0 {
		return nil, errors.New("a scan without a frame")
	}
	if len(body) < 1 || body[0] < 1 || body[0] > 4 || len(body) != 4+2*int(body[0]) {
		return nil, errors.New("a scan header of impossible length")
	}
	n := int(body[0])
	tail := body[1+2*n:]
	h := &scanHeader{from: int(tail[0]), to: int(tail[1]), high: uint(tail[2] >> 4), low: uint(tail[2] & 15)}
	if d.progressive {
		if h.from > h.to || h.to > 63 || h.from == 0 && h.to != 0 || h.from > 0 && n > 1 ||
			h.high != 0 && h.low != h.high-1 || h.low > 13 {
			return nil, errors.New("a damaged progressive scan header")
		}
	}
	next := 0
	for i := range n {
		id, tables := body[1+2*i], body[2+2*i]
		place, ok := d.find(id, next)
		if !ok {
			return nil, fmt.Errorf("a scan of component %d, which is none or out of order", id)
		}
		next = place + 1
		c := d.components[place]
		var err error
		if !d.progressive || h.from == 0 && h.high == 0 {
			if c.dc, err = table(d.dcs[:], standardDC, tables>>4, true); err != nil {
				return nil, err
			}
		}
		if !d.progressive || h.from > 0 {
			if c.ac, err = table(d.acs[:], standardAC, tables&15, false); err != nil {
				return nil, err
			}
		}
		h.components = append(h.components, c)
	}
	return h, nil
}

// find gives the place of the component of that name at or behind next: a scan keeps the frame's order.
func (d *decoder) find(id uint8, next int) (place int, ok bool) {
	for i := next; i < len(d.components); i++ {
		if d.components[i].id == id {
			return i, true
		}
	}
	return 0, false
}

// table builds a table of the file, or the standard's if the file has none of that number.
func table(own []*huffmanSpec, standard [2]*huffmanSpec, index uint8, dc bool) (*huffman, error) {
	switch {
	case int(index) < len(own) && own[index] != nil:
		return own[index].build(dc)
	case int(index) < len(standard):
		return standard[index].build(dc)
	}
	return nil, errors.New("a Huffman table is missing")
}

// walk calls one for each block of a scan's data, in their order; blocks that only fill up a unit lie beyond the
// component's blocksX or blocksY. It takes the restart markers in between.
func (d *decoder) walk(h *scanHeader, one func(c *component, x, y int) error) error {
	d.coded.bits.data = d.file.data
	d.coded.bits.reset(d.file.pos)
	for _, c := range h.components {
		c.last = 0
	}
	unitsX, unitsY := ceilDiv(d.width, 8*d.maxH), ceilDiv(d.height, 8*d.maxV)
	alone := len(h.components) == 1
	if alone {
		unitsX, unitsY = h.components[0].blocksX, h.components[0].blocksY
	} else {
		blocks := 0
		for _, c := range h.components {
			blocks += c.h * c.v
		}
		if blocks > 10 {
			return errors.New("more than ten blocks a unit")
		}
	}
	done := 0
	for y := range unitsY {
		for x := range unitsX {
			if d.restart > 0 && done > 0 && done%d.restart == 0 {
				if err := d.nextInterval(h, done/d.restart-1); err != nil {
					return err
				}
			}
			done++
			if alone {
				if err := one(h.components[0], x, y); err != nil {
					return err
				}
			} else {
				for _, c := range h.components {
					for i := range c.h * c.v {
						if err := one(c, c.h*x+i%c.h, c.v*y+i/c.h); err != nil {
							return err
						}
					}
				}
			}
			if d.coded.bits.overrun() {
				if d.coded.bits.pos+2 > len(d.file.data) {
					return errTruncated
				}
				return errDamaged
			}
		}
	}
	d.file.pos = d.coded.bits.pos
	return nil
}

// nextInterval goes over a restart marker; they are numbered modulo eight.
func (d *decoder) nextInterval(h *scanHeader, number int) error {
	d.file.pos = d.coded.bits.pos
	marker, err := d.file.nextMarker()
	if err != nil {
		return err
	}
	if marker != rst0+uint8(number&7) {
		return errDamaged
	}
	d.coded.bits.reset(d.file.pos)
	d.coded.eobRun = 0
	for _, c := range h.components {
		c.last = 0
	}
	return nil
}
