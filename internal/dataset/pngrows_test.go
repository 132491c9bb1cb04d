package dataset

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"
)

// chunk is a part of a PNG.
func chunk(kind string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, kind...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// makePNG makes a PNG whose filtered rows are random, so that every filter occurs; before are chunks between header and pixels.
func makePNG(t testing.TB, r *rand.Rand, h pngHeader, before ...[]byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	size := (int(h.depth)*h.samples()*h.width + 7) / 8
	row := make([]byte, 1+size)
	for range h.height {
		for i := range row {
			row[i] = byte(r.Uint32())
		}
		row[0] %= 5
		if _, err := z.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return assemble(h, packed.Bytes(), before...)
}

// assemble makes a PNG of its packed rows, in two parts.
func assemble(h pngHeader, packed []byte, before ...[]byte) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(h.width)), uint32(h.height))
	interlace := byte(0)
	if h.interlaced {
		interlace = 1
	}
	data := append([]byte(pngMagic), chunk("IHDR", append(head, h.depth, h.colour, 0, 0, interlace))...)
	for _, b := range before {
		data = append(data, b...)
	}
	data = append(data, chunk("IDAT", packed[:len(packed)/2])...)
	data = append(data, chunk("IDAT", packed[len(packed)/2:])...)
	return append(data, chunk("IEND", nil)...)
}

func TestRowsOfAPNGAreThoseThatImagePNGDecodes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	tried := 0
	for colour := range uint8(7) {
		for _, depth := range []uint8{1, 2, 4, 8, 16} {
			for _, size := range [][2]int{{1, 1}, {7, 3}, {64, 9}, {3, 40}} {
				h := pngHeader{width: size[0], height: size[1], depth: depth, colour: colour}
				if !h.known() {
					continue
				}
				variants := [][][]byte{{}}
				transparent := make([]byte, 2*h.samples())
				switch colour {
				case pngPalette:
					colours := make([]byte, 3*min(1<<depth, 200)) // fewer than there are indices
					for i := range colours {
						colours[i] = byte(r.Uint32())
					}
					variants = [][][]byte{{chunk("PLTE", colours)}, {chunk("PLTE", colours), chunk("tRNS", []byte{0, 128})}, {chunk("gAMA", []byte{0, 0, 1, 1}), chunk("PLTE", colours[:3])}}
				case pngGrey, pngRGB:
					variants = append(variants, [][]byte{chunk("tRNS", transparent)}, [][]byte{chunk("tEXt", []byte("a\x00b"))})
				}
				for v, before := range variants {
					t.Run(fmt.Sprintf("colour %d, %d bits, %v, %d", colour, depth, size, v), func(t *testing.T) {
						data := makePNG(t, r, h, before...)
						want, err := decodePNG(data)
						if err != nil {
							t.Fatal(err)
						}
						got, err := Decode(data)
						if err != nil {
							t.Fatal(err)
						}
						if got.Width != want.Width || got.Height != want.Height || !slices.Equal(got.Pix, want.Pix) {
							t.Error("the pixels differ")
						}
					})
					tried++
				}
			}
		}
	}
	if tried < 100 {
		t.Errorf("%d pictures", tried)
	}
}

func TestADamagedPNGIsAnError(t *testing.T) {
	t.Parallel()
	h := pngHeader{width: 9, height: 5, depth: 8, colour: pngRGB}
	good := makePNG(t, rand.New(rand.NewPCG(3, 4)), h)
	var short, long, odd bytes.Buffer
	for b, rows := range map[*bytes.Buffer]int{&short: 4, &long: 6, &odd: 5} {
		z := zlib.NewWriter(b)
		row := make([]byte, 28)
		if b == &odd {
			row[0] = 7
		}
		for range rows {
			_, _ = z.Write(row)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	flipped := slices.Clone(good)
	flipped[len(flipped)-30] ^= 1
	palette := h
	palette.colour = pngPalette
	cases := map[string][]byte{
		"too few rows": assemble(h, short.Bytes()), "too many rows": assemble(h, long.Bytes()), "an unknown filter": assemble(h, odd.Bytes()), "a flipped bit": flipped,
		"no palette": assemble(palette, short.Bytes()), "no end": good[:len(good)-12], "cut": good[:len(good)/2], "only a header": good[:33],
		"nothing packed": assemble(h, nil), "a wrong checksum of the rows": assemble(h, append(slices.Clone(long.Bytes()[:len(long.Bytes())-1]), 7)),
	}
	for name, data := range cases {
		if _, err := Decode(data); err == nil {
			t.Errorf("%s: decoded", name)
		}
		if _, err := decodePNG(data); err == nil {
			t.Errorf("%s: image/png decodes it", name)
		}
	}
}

func FuzzPNGRows(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, h := range []pngHeader{{width: 5, height: 4, depth: 8, colour: pngRGB}, {width: 9, height: 3, depth: 1, colour: pngGrey}, {width: 3, height: 3, depth: 16, colour: pngRGBA}} {
		f.Add(makePNG(f, r, h))
	}
	f.Add(makePNG(f, r, pngHeader{width: 5, height: 4, depth: 2, colour: pngPalette}, chunk("PLTE", []byte{1, 2, 3, 4, 5, 6})))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readPNGHeader(data)
		if err != nil || h.pixels() > 1<<18 {
			return
		}
		got, err := Decode(data)
		if err != nil {
			return
		}
		want, err := decodePNG(data)
		if err == nil && !slices.Equal(got.Pix, want.Pix) {
			t.Error("the pixels differ from image/png's")
		}
	})
}
