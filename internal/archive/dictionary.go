package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// MaxDictionary is how large a dictionary of xz may be; xz -9 declares 64 MiB. Whoever unpacks allocates what a header declares.
const MaxDictionary = 128 << 20

// dictionaries passes an xz file on and follows its structure (The .xz File Format, 1.2.1): a block whose dictionary is too large is an
// error before its header is passed on, and so are blocks that declare more than MaxBytes in all.
type dictionaries struct {
	b       *bufio.Reader
	free    int64 // bytes that are passed on before the structure goes on
	step    func() error
	check   int64  // bytes of a block's check
	block   int64  // bytes of the block so far, by four
	records uint64 // of the index that are to come
	total   int64  // of all dictionaries
}

func newDictionaries(b *bufio.Reader) *dictionaries {
	d := &dictionaries{b: b}
	d.step = d.stream
	return d
}

// Read implements io.Reader.
func (d *dictionaries) Read(p []byte) (int, error) {
	for d.free == 0 {
		if err := d.step(); err != nil {
			return 0, err
		}
	}
	n, err := d.b.Read(p[:min(int64(len(p)), d.free)])
	d.free -= int64(n)
	return n, err
}

// peek gives bytes that are still to be passed on.
func (d *dictionaries) peek(n int) ([]byte, error) {
	head, err := d.b.Peek(n)
	if errors.Is(err, io.EOF) && len(head) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return head, err
}

// stream is at the header of a stream, at the padding behind one, or at the end.
func (d *dictionaries) stream() error {
	head, err := d.peek(4)
	if err != nil {
		return err
	}
	if bytes.Equal(head, make([]byte, 4)) {
		d.free = 4
		return nil
	}
	if head, err = d.peek(12); err != nil {
		return err
	}
	sizes := [16]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}
	d.free, d.check, d.step = 12, sizes[head[7]&15], d.header
	return nil
}

var errBlock = errors.New("its xz data has a block that is damaged or of an unknown kind")

// header is at the header of a block, or at the index.
func (d *dictionaries) header() error {
	head, err := d.peek(1)
	if err != nil {
		return err
	}
	if head[0] == 0 {
		return d.index()
	}
	size := 4 * (int(head[0]) + 1)
	if head, err = d.peek(size); err != nil {
		return err
	}
	rest := bytes.NewReader(head[2 : size-4])
	sizes := 0
	for _, there := range []byte{0x40, 0x80} { // what it takes packed, and unpacked
		if head[1]&there != 0 {
			sizes++
		}
	}
	for range sizes {
		if _, err := binary.ReadUvarint(rest); err != nil {
			return errBlock
		}
	}
	const lzma2 = 0x21
	filter, _ := binary.ReadUvarint(rest)
	length, _ := binary.ReadUvarint(rest)
	code, err := rest.ReadByte()
	if err != nil || head[1]&3 != 0 || filter != lzma2 || length != 1 {
		return errBlock
	}
	dictionary, err := lzma.DecodeDictCap(code)
	if err != nil {
		return errBlock
	}
	if dictionary > MaxDictionary {
		return fmt.Errorf("its xz data declares a dictionary of %d MiB, the limit is %d MiB", dictionary>>20, MaxDictionary>>20)
	}
	if d.total += dictionary; d.total > MaxBytes {
		return fmt.Errorf("the blocks of its xz data declare dictionaries of more than %d GiB", int64(MaxBytes)>>30)
	}
	d.free, d.block, d.step = int64(size), 0, d.chunk
	return nil
}

// chunk is at a chunk of LZMA2, or behind the last one.
func (d *dictionaries) chunk() error {
	head, err := d.peek(1)
	if err != nil {
		return err
	}
	switch kind := head[0]; {
	case kind == 0: // the end, padding and the check
		d.free = 1 + (-(d.block + 1))&3 + d.check
		d.step = d.header
		return nil
	case kind <= 2: // not packed
		if head, err = d.peek(3); err == nil {
			d.free = 3 + int64(binary.BigEndian.Uint16(head[1:])) + 1
		}
	case kind >= 0x80:
		if head, err = d.peek(5); err == nil {
			d.free = 5 + int64(binary.BigEndian.Uint16(head[3:])) + 1
		}
		if kind >= 0xc0 { // with properties
			d.free++
		}
	default:
		return errBlock
	}
	d.block += d.free
	return err
}

// index is at the index.
func (d *dictionaries) index() error {
	n, size, err := d.number(1)
	if err != nil {
		return err
	}
	d.records, d.block, d.free, d.step = n, int64(size), int64(size), d.record
	return nil
}

// record is at a record of the index, or behind the last one: padding, a check, and the stream's end of 12 bytes.
func (d *dictionaries) record() error {
	if d.records == 0 {
		d.free = (-d.block)&3 + 4 + 12
		d.step = d.stream
		return nil
	}
	_, size, err := d.number(0)
	if err == nil {
		_, size, err = d.number(size)
	}
	if err != nil {
		return err
	}
	d.records--
	d.block += int64(size)
	d.free = int64(size)
	return nil
}

// number reads the number that lies from bytes ahead, and says where it ends.
func (d *dictionaries) number(from int) (n uint64, end int, err error) {
	for end = from + 1; end <= from+binary.MaxVarintLen64; end++ {
		head, err := d.peek(end)
		if err != nil {
			return 0, 0, err
		}
		if n, size := binary.Uvarint(head[from:]); size > 0 {
			return n, end, nil
		}
	}
	return 0, 0, errBlock
}
