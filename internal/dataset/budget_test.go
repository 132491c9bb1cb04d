package dataset

import (
	"bytes"
	"compress/zlib"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"quantcheck/internal/tensor"
)

// empty is a PNG of black pixels that takes a thousandth of what it shows.
func empty(t *testing.T, h pngHeader) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	row := make([]byte, 1+(int(h.depth)*h.samples()*h.width+7)/8)
	for range h.height {
		if _, err := z.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return assemble(h, packed.Bytes())
}

func loaderOf(budget *Budget, width, height int64) Loader {
	return Loader{Description: Default(), Pictures: budget, Inputs: []Input{{"x", tensor.Float32, []int64{1, 3, height, width}}}}
}

func writeData(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(l Loader, path string) (*Sample, error) {
	return l.Load(Source{Name: filepath.Base(path), Files: map[string]string{"": path}})
}

// TestALargePNGIsReadInStrips reads one whose pixels take far more than is allocated.
func TestALargePNGIsReadInStrips(t *testing.T) { //nolint:paralleltest // it measures the process
	path := writeData(t, "p.png", empty(t, pngHeader{width: 4096, height: 4096, depth: 16, colour: pngRGBA}))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s, err := load(loaderOf(NewBudget(4<<20), 64, 64), path)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 || s.Width != 4096 {
		t.Errorf("%d MiB were allocated for a picture of %d × %d", took>>20, s.Width, s.Height)
	}
}

func TestAPictureThatTakesMoreThanTheBudgetIsRefusedBeforeItIsDecoded(t *testing.T) { //nolint:paralleltest // it measures the process
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, image.NewGray(image.Rect(0, 0, 2000, 2000)), nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"interlaced.png": {empty(t, pngHeader{width: 3000, height: 3000, depth: 16, colour: pngRGBA, interlaced: true}), "3000 × 3000 pixels would take 171 MB; --memory leaves 3 MB for pictures"},
		"grey.jpg":       {jpg.Bytes(), "2000 × 2000 pixels would take 4 MB; --memory leaves 3 MB for pictures"},
	} {
		path := writeData(t, name, c.data)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := load(loaderOf(NewBudget(3e6), 64, 64), path)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 2<<20 {
			t.Errorf("%s: %d MiB were allocated", name, took>>20)
		}
		if c := name == "grey.jpg"; c {
			if _, err := load(loaderOf(NewBudget(32e6), 64, 64), path); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestDecodingTakesNoMoreThanWasSaid holds the estimates against what is allocated.
func TestDecodingTakesNoMoreThanWasSaid(t *testing.T) { //nolint:paralleltest // it measures the process
	img := image.NewNRGBA(image.Rect(0, 0, 1000, 900))
	r := rand.New(rand.NewPCG(7, 8))
	for i := range img.Pix {
		img.Pix[i] = uint8(r.Uint32())
	}
	var jpg, plain bytes.Buffer
	if jpeg.Encode(&jpg, img, nil) != nil || png.Encode(&plain, img) != nil {
		t.Fatal("encode")
	}
	for name, data := range map[string][]byte{
		"jpeg": jpg.Bytes(), "png": plain.Bytes(), "16 bits": makePNG(t, r, pngHeader{width: 900, height: 800, depth: 16, colour: pngRGBA}),
	} {
		f, err := inspect(data)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rows, err := f.open()
		for range f.height {
			if err == nil {
				_, err = rows.next()
			}
		}
		runtime.ReadMemStats(&after)
		if took := int64(after.TotalAlloc - before.TotalAlloc); err != nil || took > f.memory+1<<16 {
			t.Errorf("%s: %d bytes were allocated, %d were said (%v)", name, took, f.memory, err)
		}
	}
}

// TestLoadersShareABudget lets more loaders decode at once than fit.
func TestLoadersShareABudget(t *testing.T) {
	t.Parallel()
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, image.NewGray(image.Rect(0, 0, 500, 500)), nil); err != nil {
		t.Fatal(err)
	}
	path := writeData(t, "p.jpg", jpg.Bytes())
	budget := NewBudget(500e3) // one at a time
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := load(loaderOf(budget, 32, 32), path); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if !budget.taken.TryAcquire(500e3) {
		t.Error("something was not given back")
	}
}

// TestAThinPictureIsCutBeforeItIsEnlarged fits pictures that a side of a thousand times the other would make huge.
func TestAThinPictureIsCutBeforeItIsEnlarged(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{100_000, 1}, {1, 100_000}} {
		path := writeData(t, "thin.png", empty(t, pngHeader{width: size[0], height: size[1], depth: 8, colour: pngGrey}))
		for _, resize := range []string{"stretch", "letterbox", "crop", "crop-pad-height", "seed"} {
			l := loaderOf(NewBudget(16<<20), 320, 320)
			l.Description.Resize = resize
			if s, err := load(l, path); err != nil || len(s.Inputs["x"].F32) != 3*320*320 {
				t.Errorf("%v, %s: %v", size, resize, err)
			}
		}
	}
}

// TestAWindowIsThePartOfTheWhole holds every part of a resized picture against the whole.
func TestAWindowIsThePartOfTheWhole(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 9))
	for range 300 {
		p := formula(1+r.IntN(40), 1+r.IntN(40), r.IntN(9))
		w, h := 1+r.IntN(60), 1+r.IntN(60)
		switch r.IntN(4) {
		case 0:
			w, h = p.Width, p.Height
		case 1:
			w, h = max(p.Width/2, 1), max(p.Height/2, 1)
			p = formula(2*w, 2*h, 1)
		}
		part := area{r.IntN(w), r.IntN(h), 0, 0}
		part.width, part.height = 1+r.IntN(w-part.x), 1+r.IntN(h-part.y)
		got, err := p.rows().window(w, h, part)
		if err != nil {
			t.Fatal(err)
		}
		whole := p.ResizeTo(w, h)
		for y := range part.height {
			from := 3 * ((part.y+y)*w + part.x)
			if !slices.Equal(got.Pix[3*y*part.width:3*(y+1)*part.width], whole.Pix[from:from+3*part.width]) {
				t.Fatalf("%d × %d to %d × %d, %+v: row %d differs", p.Width, p.Height, w, h, part, y)
			}
		}
	}
}
