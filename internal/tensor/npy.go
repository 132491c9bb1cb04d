package tensor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// maxNpyBytes bounds what a .npy header can make ReadNpy allocate.
const maxNpyBytes = 1 << 31

var (
	npyDescr   = regexp.MustCompile(`'descr'\s*:\s*'([<>|=]?)([a-z][0-9]+)'`)
	npyFortran = regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`)
	npyShape   = regexp.MustCompile(`'shape'\s*:\s*\(([0-9,\s]*)\)`)
	npyTypes   = map[string]DType{
		"f4": Float32, "f2": Float16, "f8": Float64, "u1": Uint8, "i1": Int8, "u2": Uint16, "i2": Int16,
		"u4": Uint32, "i4": Int32, "u8": Uint64, "i8": Int64, "b1": Bool,
	}
)

// ReadNpy reads a NumPy array file (format versions 1 to 3): little-endian, C order.
func ReadNpy(r io.Reader) (Tensor, error) {
	dtype, shape, err := ReadNpyHeader(r)
	if err != nil {
		return Tensor{}, err
	}
	count, err := Count(shape)
	if err != nil || ByteSize(dtype, count) > maxNpyBytes {
		return Tensor{}, fmt.Errorf(".npy shape %v: %w", shape, ErrTooLarge)
	}
	raw, err := io.ReadAll(io.LimitReader(r, int64(ByteSize(dtype, count))))
	if err != nil {
		return Tensor{}, err
	}
	return FromLittleEndian(dtype, shape, raw)
}

// ReadNpyHeader reads what stands before the values: their type and shape.
func ReadNpyHeader(r io.Reader) (DType, []int64, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:6]) != "\x93NUMPY" {
		return Undefined, nil, errors.New("not a .npy file")
	}
	length := make([]byte, 4)
	if head[6] == 1 {
		length = length[:2]
	}
	if _, err := io.ReadFull(r, length); err != nil {
		return Undefined, nil, errors.New("truncated .npy header")
	}
	n := int64(binary.LittleEndian.Uint32(append(length, 0, 0)[:4]))
	header, err := io.ReadAll(io.LimitReader(r, min(n, 1<<20)))
	if err != nil || int64(len(header)) != n {
		return Undefined, nil, errors.New("truncated .npy header")
	}
	descr, fortran, shapeText := npyDescr.FindSubmatch(header), npyFortran.FindSubmatch(header), npyShape.FindSubmatch(header)
	if descr == nil || fortran == nil || shapeText == nil {
		return Undefined, nil, fmt.Errorf(".npy header not understood: %q", bytes.TrimSpace(header))
	}
	dtype, ok := npyTypes[string(descr[2])]
	if !ok || string(descr[1]) == ">" {
		return Undefined, nil, fmt.Errorf(".npy type %s%s is not supported; save it as little-endian float32", descr[1], descr[2])
	}
	shape := []int64{}
	for part := range strings.SplitSeq(string(shapeText[1]), ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		d, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return Undefined, nil, fmt.Errorf(".npy shape (%s)", shapeText[1])
		}
		shape = append(shape, d)
	}
	if string(fortran[1]) == "True" && len(shape) > 1 {
		return Undefined, nil, errors.New(".npy in Fortran order is not supported; save numpy.ascontiguousarray(x)")
	}
	return dtype, shape, nil
}

// WriteNpy writes a NumPy array file, format version 1.
func WriteNpy(w io.Writer, t Tensor) error {
	name := ""
	for k, d := range npyTypes {
		if d == t.DType {
			name = k
		}
	}
	if name == "" {
		return fmt.Errorf("no .npy type for %s", t.DType)
	}
	dims := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = strconv.FormatInt(d, 10) + ","
	}
	order := "<"
	if t.DType.Bits() == 8 {
		order = "|"
	}
	header := fmt.Sprintf("{'descr': '%s%s', 'fortran_order': False, 'shape': (%s), }", order, name, strings.Join(dims, " "))
	header += strings.Repeat(" ", 63-(10+len(header))%64) + "\n"
	if _, err := w.Write(append([]byte{0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, byte(len(header)), byte(len(header) >> 8)}, header...)); err != nil {
		return err
	}
	_, err := w.Write(t.LittleEndian())
	return err
}
