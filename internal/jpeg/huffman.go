package jpeg

import "errors"

// huffmanSpec is a table as it stands in the file.
type huffmanSpec struct {
	counts  [16]uint8 // of codes of 1 to 16 bits
	symbols []uint8   // in the order of their codes
}

// lookBits is how many bits are decoded with one look into a table.
const lookBits = 10

// huffman decodes symbols of one run and one size: the upper four bits say how many zeros go before a value, the lower
// four how many bits the value takes.
type huffman struct {
	// look has an entry for each start of the data:
	//	bits 0–7    how many bits are done with; 0 if the code is longer than lookBits
	//	bits 8–15   the symbol; only its run, in bits 8–11, if the value is here too
	//	bits 16–31  the value, if its bits are in the start as well; no value is 0
	look    [1 << lookBits]uint32
	limit   [17]uint32 // behind the last code of a length and all shorter ones, brought to 16 bits
	offset  [17]int32  // from a code of a length to its symbol's index
	symbols [256]uint8
}

var errHuffman = errors.New("a damaged Huffman table")

// build makes the table that decodes a spec.
func (s *huffmanSpec) build(dc bool) (*huffman, error) {
	t := &huffman{}
	copy(t.symbols[:], s.symbols)
	code, index := uint32(0), int32(0)
	for i, count := range s.counts {
		length := i + 1
		code <<= 1
		t.offset[length] = index - int32(code)
		if count > 0 && code+uint32(count) >= 1<<length { // the code of ones alone is never used
			return nil, errHuffman
		}
		for range count {
			symbol := t.symbols[index]
			if dc && symbol > 15 {
				return nil, errHuffman
			}
			if length <= lookBits {
				t.enter(code, length, symbol)
			}
			code++
			index++
		}
		t.limit[length] = code << (16 - length)
	}
	return t, nil
}

// enter fills the entries of all starts that a short code begins.
func (t *huffman) enter(code uint32, length int, symbol uint8) {
	rest := lookBits - length
	size := int(symbol & 15)
	for tail := range uint32(1) << rest {
		e := uint32(symbol)<<8 | uint32(length)
		if size > 0 && size <= rest {
			v := extend(int32(tail>>(rest-size)), uint(size))
			e = uint32(v)<<16 | uint32(symbol>>4)<<8 | uint32(length+size)
		}
		t.look[code<<rest|tail] = e
	}
}

// long decodes a code that is longer than lookBits from the next 16 bits. The length 0 stands for no code.
func (t *huffman) long(next uint32) (symbol uint8, length uint) {
	for l := lookBits + 1; l <= 16; l++ {
		if next < t.limit[l] {
			return t.symbols[uint8(int32(next>>(16-l))+t.offset[l])], uint(l)
		}
	}
	return 0, 0
}

// value is what a code and the bits behind it say: after run zeros comes a value of size bits, none for size 0.
type value struct {
	run, size uint8
	v         int32
}

// value decodes one. The second result is false for a code that the table does not have.
func (t *huffman) value(b *bitReader) (value, bool) {
	if b.n < 32 {
		b.fill()
	}
	e := t.look[b.buf>>(64-lookBits)]
	if v := int32(e) >> 16; v != 0 {
		b.buf <<= e & 63
		b.n -= int(e & 63)
		return value{uint8(e >> 8), 1, v}, true
	}
	symbol, length := uint8(e>>8), uint(e&63)
	if length == 0 {
		if symbol, length = t.long(uint32(b.buf >> 48)); length == 0 {
			return value{}, false
		}
	}
	b.buf <<= length & 63
	b.n -= int(length)
	out := value{run: symbol >> 4, size: symbol & 15}
	if out.size > 0 {
		s := uint(out.size)
		out.v = extend(int32(b.buf>>((64-s)&63)), s)
		b.buf <<= s & 63
		b.n -= int(s)
	}
	return out, true
}

// sequential decodes one block of a sequential scan into block, dequantized. The mask has a bit for each place that
// may hold something else than 0. It is false for a code that a table does not have.
func (e *entropyReader) sequential(c *component) (mask uint64, ok bool) {
	b := &e.bits
	dc, ok := c.dc.value(b)
	if !ok {
		return 0, false
	}
	c.last += dc.v
	quant, block, table := c.quant, &e.block, c.ac
	block[0] = int16(c.last) * quant[0]
	mask = 1
	buf, n := b.buf, b.n
	for k := 1; k < 64; k++ {
		if n < 32 {
			b.buf, b.n = buf, n
			b.fill()
			buf, n = b.buf, b.n
		}
		e := table.look[buf>>(64-lookBits)]
		if v := int32(e) >> 16; v != 0 {
			buf <<= e & 63
			n -= int(e & 63)
			k += int(e >> 8 & 15)
			place := natural[k] & 63
			block[place] = int16(v) * quant[place]
			mask |= 1 << place
			continue
		}
		symbol, length := uint8(e>>8), uint(e&63)
		if length == 0 {
			if symbol, length = table.long(uint32(buf >> 48)); length == 0 {
				return 0, false
			}
		}
		buf <<= length & 63
		n -= int(length)
		s := uint(symbol & 15)
		if s == 0 {
			if symbol != 0xf0 {
				break // end of block
			}
			k += 15
			continue
		}
		k += int(symbol >> 4)
		place := natural[k] & 63
		block[place] = int16(extend(int32(buf>>((64-s)&63)), s)) * quant[place]
		mask |= 1 << place
		buf <<= s & 63
		n -= int(s)
	}
	b.buf, b.n = buf, n
	return mask, true
}

// Tables of T.81, K.3, which motion JPEGs leave out.
var (
	standardDC = [2]*huffmanSpec{
		{[16]uint8{0, 1, 5, 1, 1, 1, 1, 1, 1}, []uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{[16]uint8{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	}
	standardAC = [2]*huffmanSpec{
		{[16]uint8{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d}, []byte(
			"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\x08" +
				"\x23\x42\xb1\xc1\x15\x52\xd1\xf0\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28" +
				"\x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58\x59" +
				"\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89" +
				"\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6" +
				"\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2" +
				"\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa")},
		{[16]uint8{0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77}, []byte(
			"\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\x91" +
				"\xa1\xb1\xc1\x09\x23\x33\x52\xf0\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a\x26" +
				"\x27\x28\x29\x2a\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58" +
				"\x59\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\x84\x85\x86\x87" +
				"\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4" +
				"\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda" +
				"\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa")},
	}
)
