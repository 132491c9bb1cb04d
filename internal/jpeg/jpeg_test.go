package jpeg

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

func TestPixelsAreOpenCVs(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("testdata/opencv.txt")
	if err != nil {
		t.Fatal(err)
	}
	photographs, there := fixture.Also(t, "coco", "val")
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		hash, size, name := f[0], f[1], f[2]
		path := filepath.Join("testdata", name)
		if strings.HasPrefix(name, "coco/") {
			if !there {
				continue
			}
			path = filepath.Join(photographs, filepath.Base(name))
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(m.Pix); hex.EncodeToString(sum[:]) != hash {
				t.Error("other pixels than OpenCV's")
			}
			w, h, _, err := Header(data)
			if got := fmt.Sprintf("%d×%d", w, h); err != nil || got != size || m.Width != w || m.Height != h {
				t.Errorf("%s %v, decoded %d×%d, OpenCV has %s", got, err, m.Width, m.Height, size)
			}
		})
	}
}

// small reads all files of testdata.
func small(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(files) < 20 {
		t.Fatal(len(files), err)
	}
	all := map[string][]byte{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(f)] = data
	}
	return all
}

func TestTruncatedPicturesAreErrorsUnlessNothingIsLost(t *testing.T) {
	t.Parallel()
	for name, data := range small(t) {
		whole, err := Decode(data)
		if err != nil {
			t.Fatal(name, err)
		}
		for n := range data {
			m, err := Decode(data[:n])
			if err == nil && !bytes.Equal(m.Pix, whole.Pix) {
				t.Errorf("%s: %d of %d bytes give another picture", name, n, len(data))
			}
			if err != nil && n == len(data)-2 && name != "junk.jpg" {
				t.Errorf("%s without its end marker: %v", name, err)
			}
		}
	}
}

// gray encodes a picture of one component with Go's encoder.
func gray(t testing.TB, width, height int) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetGray(x, y, color.Gray{Y: uint8(x*x/7 + 5*y + x*y%31)})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGrayIsWithinOneOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	data := gray(t, 123, 77)
	m, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range m.Pix {
		want := img.(*image.Gray).GrayAt(i/3%123, i/3/123).Y
		if d := int(v) - int(want); d < -1 || d > 1 {
			t.Fatalf("value %d is %d, not %d", i, v, want)
		}
	}
}

func TestDamageIsAnError(t *testing.T) {
	t.Parallel()
	good := gray(t, 40, 24)
	frame := bytes.Index(good, []byte{0xff, sof0})
	scan := bytes.Index(good, []byte{0xff, sos})
	quant := bytes.Index(good, []byte{0xff, dqt})
	tables := bytes.Index(good, []byte{0xff, dht})
	with := func(at int, b ...byte) []byte {
		return append(append(bytes.Clone(good[:at]), b...), good[at+len(b):]...)
	}
	restarts := small(t)["420-restart.jpg"]
	marker := bytes.Index(restarts, []byte{0xff, rst0 + 1})
	wrongMarker := bytes.Clone(restarts)
	wrongMarker[marker+1] = rst0 + 5
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":              {nil, "not a JPEG"},
		"another format":       {[]byte("\x89PNG\r\n\x1a\n"), "not a JPEG"},
		"start only":           {good[:2], "too early"},
		"twelve bits":          {with(frame+4, 12), "12 bits"},
		"no height":            {with(frame+5, 0, 0), "empty"},
		"too large":            {with(frame+5, 0xff, 0xff, 0xff, 0xff), "too large"},
		"larger than its data": {with(frame+5, 0x3f, 0xff, 0x3f, 0xff), "too early"},
		"two components":       {with(frame+9, 2), "2 components"},
		"no sampling":          {with(frame+11, 0x01), "sampling"},
		"lossless":             {with(frame+1, 0xc3), "type 3"},
		"arithmetic":           {with(frame+1, 0xc9), "type 9"},
		"no frame":             {append(bytes.Clone(good[:frame]), good[scan:]...), "without a frame"},
		"second frame":         {append(bytes.Clone(good[:scan]), good[frame:]...), "second frame"},
		"second start":         {append([]byte{0xff, soi}, good...), "second start"},
		"no quantization":      {with(quant+1, 0xfe), "quantization table is missing"},
		"quantization index":   {with(quant+4, 4), "quantization"},
		"other component":      {with(scan+5, 9), "which is none"},
		"Huffman index":        {with(tables+4, 7), "Huffman"},
		"too many codes":       {with(tables+5, 3), "Huffman"},
		"overfull lengths":     {with(tables+6, 6, 0), "Huffman"},
		"segment length":       {with(quant+2, 0, 1), "impossible length"},
		"restart marker":       {wrongMarker, "damaged"},
		"early marker":         {append(bytes.Clone(good[:len(good)-20]), 0xff, 0xd9, 0, 0), "damaged"},
		"progressive":          {with(frame+1, 0xc2), "progressive"},
	} {
		if m, err := Decode(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v %v, want %q", name, m != nil, err, c.want)
		}
	}
}

func TestFramesAndScansThatLibjpegRefusesAreErrors(t *testing.T) {
	t.Parallel()
	files := small(t)
	full, progressive := files["444.jpg"], files["420-progressive.jpg"]
	frame, scan := bytes.Index(full, []byte{0xff, sof0}), bytes.Index(full, []byte{0xff, sos})
	lastTable := bytes.LastIndex(progressive, []byte{0xff, dht})
	for name, c := range map[string]struct {
		data  []byte
		bytes map[int]byte
		want  string
	}{
		"ratio of 3 : 2":                {full, map[int]byte{frame + 11: 0x31, frame + 14: 0x21}, "fractional"},
		"twelve blocks a unit":          {full, map[int]byte{frame + 11: 0x22, frame + 14: 0x22, frame + 17: 0x22}, "ten blocks"},
		"components out of order":       {full, map[int]byte{scan + 5: 2, scan + 7: 1}, "out of order"},
		"refinement by more than a bit": {progressive, map[int]byte{bytes.IndexByte(progressive[lastTable+21:], 1) + lastTable + 21: 2}, "damaged"},
	} {
		data := bytes.Clone(c.data)
		for at, b := range c.bytes {
			data[at] = b
		}
		if _, err := Decode(data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAProgressivePictureWithoutItsLastScansIsAnError(t *testing.T) {
	t.Parallel()
	data := small(t)["420-progressive.jpg"]
	last := bytes.LastIndex(data, []byte{0xff, sos})
	for name, tail := range map[string][]byte{"with end": {0xff, eoi}, "without": nil} {
		if _, err := Decode(append(bytes.Clone(data[:last]), tail...)); err == nil {
			t.Error(name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range small(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w, h, _, err := Header(data)
		if err == nil && w*h > 1<<18 {
			return // large pictures are slow, not wrong
		}
		m, decodeErr := Decode(data)
		if decodeErr == nil && (err != nil || m.Width != w || m.Height != h || len(m.Pix) != 3*w*h) {
			t.Fatalf("%v: %d × %d, %d × %d with %d bytes", err, w, h, m.Width, m.Height, len(m.Pix))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	files, err := filepath.Glob(filepath.Join(fixture.Path(b, "coco", "val"), "*.jpg"))
	if err != nil || len(files) == 0 {
		b.Fatal(err)
	}
	all, pixels := make([][]byte, len(files)), 0
	for i, f := range files {
		if all[i], err = os.ReadFile(f); err != nil {
			b.Fatal(err)
		}
		w, h, _, err := Header(all[i])
		if err != nil {
			b.Fatal(err)
		}
		pixels += w * h
	}
	for name, decode := range map[string]func([]byte) error{
		"to RGB":                      func(data []byte) error { _, err := Decode(data); return err },
		"image/jpeg, to YCbCr planes": func(data []byte) error { _, err := jpeg.Decode(bytes.NewReader(data)); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(pixels)) // so that MB/s are megapixels a second
			for b.Loop() {
				for _, data := range all {
					if err := decode(data); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
