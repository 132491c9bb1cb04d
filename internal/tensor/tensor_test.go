package tensor

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestHalfConversionIsExact(t *testing.T) {
	for h := range 1 << 16 {
		f := HalfToFloat(uint16(h))
		if f != f {
			if back := FloatToHalf(f); back&0x7c00 != 0x7c00 || back&0x3ff == 0 {
				t.Fatalf("%04x: NaN became %04x", h, back)
			}
			continue
		}
		if back := FloatToHalf(f); back != uint16(h) {
			t.Fatalf("%04x is %g and became %04x", h, f, back)
		}
	}
	for f, want := range map[float32]uint16{
		65504: 0x7bff, 65519: 0x7bff, 65520: 0x7c00, 1e9: 0x7c00, -1e9: 0xfc00, 5.9604645e-8: 1, 2.98e-8: 0, 2.9802326e-8: 1,
		1.00048828125: 0x3c00, 1.0014648: 0x3c02, float32(math.Inf(-1)): 0xfc00, 0.33333334: 0x3555,
	} {
		if got := FloatToHalf(f); got != want {
			t.Errorf("%g became %04x, want %04x", f, got, want)
		}
	}
}

func TestNpyRoundTrip(t *testing.T) {
	for _, want := range []Tensor{
		Floats([]float32{1, -2, 3.5, 0, 5, 6}, 1, 2, 3),
		{DType: Uint8, Shape: []int64{3}, Raw: []byte{1, 2, 255}},
		{DType: Int64, Shape: []int64{}, Raw: []byte{7, 0, 0, 0, 0, 0, 0, 0}},
	} {
		var b bytes.Buffer
		if err := WriteNpy(&b, want); err != nil {
			t.Fatal(err)
		}
		if b.Len()-want.Bytes() != 128 && (b.Len()-want.Bytes())%64 != 0 {
			t.Errorf("header of %d bytes", b.Len()-want.Bytes())
		}
		got, err := ReadNpy(&b)
		if err != nil || got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) || !slices.Equal(got.F32, want.F32) || !bytes.Equal(got.Raw, want.Raw) {
			t.Errorf("%+v, want %+v: %v", got, want, err)
		}
	}
}

func TestNpyErrors(t *testing.T) {
	header := func(text string) string { return "\x93NUMPY\x01\x00" + string([]byte{byte(len(text)), 0}) + text }
	for content, want := range map[string]string{
		"nothing": "not a .npy",
		header("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }") + "abcd":                 "little-endian",
		header("{'descr': '<f4', 'fortran_order': True, 'shape': (1,2), }") + "abcdabcd":             "Fortran",
		header("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }") + "abcd":                 "4 bytes where",
		header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }"):                "too large",
		header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999999,), }"): "shape",
		header("{}"):                        "not understood",
		header("{}")[:9]:                    "truncated",
		"\x93NUMPY\x02\x00\xff\xff\xff\xff": "truncated",
	} {
		if _, err := ReadNpy(strings.NewReader(content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", content, err, want)
		}
	}
}

func FuzzReadNpy(f *testing.F) {
	var b bytes.Buffer
	if err := WriteNpy(&b, Floats([]float32{1, 2}, 2)); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ReadNpy(bytes.NewReader(data))
		if err == nil && got.Bytes() > len(data) {
			t.Fatalf("%d bytes of values from %d bytes of file", got.Bytes(), len(data))
		}
	})
}
