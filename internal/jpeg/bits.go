package jpeg

import "encoding/binary"

// bitReader reads the bits of entropy-coded data up to the next marker, and zeros from there on.
type bitReader struct {
	data []byte
	pos  int    // of the next byte that is not in buf
	buf  uint64 // the next bits, the first one uppermost
	n    int    // how many of them count
	fake int    // how many of those, the last ones, are zeros behind the data
}

// reset begins anew at a byte.
func (b *bitReader) reset(pos int) { b.pos, b.buf, b.n, b.fake = pos, 0, 0, 0 }

// overrun says whether bits were taken that are not there.
func (b *bitReader) overrun() bool { return b.fake > b.n }

// fill brings buf to more than 48 bits, enough for a code of 16 bits and a value of 16.
func (b *bitReader) fill() {
	if b.pos+8 <= len(b.data) {
		w := binary.BigEndian.Uint64(b.data[b.pos:])
		if (^w-0x0101010101010101)&w&0x8080808080808080 == 0 { // no byte is 0xff
			// The bits of a byte that does not fit whole are set again by the next fill.
			b.buf |= w >> (uint(b.n) & 63)
			whole := (63 - b.n) >> 3
			b.pos += whole
			b.n += 8 * whole
			return
		}
	}
	for b.n <= 56 {
		c, size := b.next()
		if size == 0 {
			b.fake += 64 - b.n
			b.n = 64
			return
		}
		b.buf |= uint64(c) << (uint(56-b.n) & 63)
		b.n += 8
		b.pos += size
	}
}

// next gives the byte at pos and how many bytes it takes, none in front of a marker and at the end.
func (b *bitReader) next() (c uint8, size int) {
	if b.pos >= len(b.data) {
		return 0, 0
	}
	if c := b.data[b.pos]; c != 0xff {
		return c, 1
	}
	for i := b.pos + 1; i < len(b.data); i++ {
		switch b.data[i] {
		case 0xff: // fill bytes
		case 0:
			return 0xff, i + 1 - b.pos
		default:
			return 0, 0
		}
	}
	return 0, 0
}

// bit takes one bit.
func (b *bitReader) bit() int32 { return int32(b.take(1)) }

// take takes n bits, 1 to 16.
func (b *bitReader) take(n uint) uint32 {
	if b.n < 32 {
		b.fill()
	}
	v := uint32(b.buf >> ((64 - n) & 63))
	b.buf <<= n & 63
	b.n -= int(n)
	return v
}

// entropyReader decodes the blocks of a scan's entropy-coded data, one after another.
type entropyReader struct {
	bits   bitReader
	eobRun int       // progressive: blocks that have nothing more in this scan
	block  [64]int16 // of a sequential scan; zero between two blocks
}

// extend turns the s bits v (s is 1 to 15) into the signed value that they stand for (T.81, F.2.2.1).
func extend(v int32, s uint) int32 {
	half := int32(1) << ((s - 1) & 31)
	return v + (v-half)>>31&(1-2*half)
}
