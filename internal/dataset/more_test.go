package dataset

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/tensor"
)

func TestDescriptionFromYAML(t *testing.T) {
	for name, c := range map[string]struct {
		yaml   string
		change func(*Description)
	}{
		"empty":   {"", func(*Description) {}},
		"numbers": {"mean: 127\nscale: [1, 2, 3]\n", func(d *Description) { d.Mean, d.Scale = Numbers{127}, Numbers{1, 2, 3} }},
		"words": {"input-color: bgr\nresize: letterbox\npad-value: 0\npad-position: bottom-right\nlayout: NHWC\n", func(d *Description) {
			d.InputColor, d.Resize, d.PadValue, d.PadPosition, d.Layout = "bgr", "letterbox", 0, "bottom-right", "NHWC"
		}},
		"shape as list": {"input-shape: [1, 3, 64, 64]\n", func(d *Description) { d.InputShape = ShapeTexts{"": "1,3,64,64"} }},
		"shape as text": {"input-shape: 1,3,64,64\n", func(d *Description) { d.InputShape = ShapeTexts{"": "1,3,64,64"} }},
		"shapes":        {"input-shape:\n  a: [1, 2]\n  b: 3,4\n", func(d *Description) { d.InputShape = ShapeTexts{"a": "1,2", "b": "3,4"} }},
	} {
		got, want := Default(), Default()
		c.change(&want)
		if err := got.Parse([]byte(c.yaml)); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if err := got.Check(); err != nil || got.String() != want.String() || len(got.InputShape) != len(want.InputShape) || got.Layout != want.Layout {
			t.Errorf("%s: %+v, want %+v (%v)", name, got, want, err)
		}
		for k, v := range want.InputShape {
			if got.InputShape[k] != v {
				t.Errorf("%s: shape %q is %q, want %q", name, k, got.InputShape[k], v)
			}
		}
	}
	for yaml, want := range map[string]string{
		"maen: 3\n":                "maen",
		"mean: [1, two]\n":         "mean",
		"resize: [1\n":             "1 |",
		"input-shape: {a: {b: 1}}": "input-shape",
	} {
		d := Default()
		if err := d.Parse([]byte(yaml)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", yaml, err, want)
		}
	}
}

func TestFlagsAndFileHaveTheSameKeys(t *testing.T) {
	values := map[string]string{
		"input-color": "bgr", "resize": "crop", "pad-value": "7", "pad-position": "bottom-right", "mean": "1,2,3", "scale": "4", "layout": "NHWC", "input-shape": "x=1,2",
	}
	if len(values) != len(Keys) {
		t.Fatalf("%v", Keys)
	}
	d := Default()
	for _, k := range Keys {
		key := k.Name
		if err := d.Set(key, values[key]); err != nil {
			t.Error(err)
		}
	}
	if err := d.Check(); err != nil || d.InputShape["x"] != "1,2" || d.String() != "bgr, crop, (pixel − [1 2 3]) / 4" {
		t.Errorf("%s %v", d, err)
	}
}

func FuzzDescription(f *testing.F) {
	for _, s := range []string{"mean: 127\nscale: [1, 2, 3]\n", "input-shape:\n  a: [1, 2]\n", "a: &x [*x]", "resize: !!binary x", "? :"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		d := Default()
		if d.Parse(data) == nil && d.Check() == nil {
			_, _ = d.Shapes()
			_ = d.String()
		}
	})
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	a, b := write(t, dir, "a b.png", "x"), write(t, dir, "b.raw", "x")
	write(t, dir, "readme.md", "x")
	write(t, dir, ".hidden.png", "x")
	list := write(t, t.TempDir(), "list.txt", "# comment\n"+a+"\n\n"+b+"\n")
	relative := write(t, dir, "relative.txt", "b.raw\n")
	snpe := write(t, dir, "input_list.txt", "#out1 out2\n%t\nids:0:="+b+" mask:=b.raw\n")
	names := func(s *Set) (out []string) {
		for _, x := range s.Sources {
			out = append(out, x.Name)
		}
		return out
	}
	for path, want := range map[string][]string{dir: {"a b.png", "b.raw"}, list: {"a b.png", "b.raw"}, a: {"a b.png"}, relative: {"b.raw"}, snpe: {"b.raw"}} {
		s, err := Find(path, 0)
		if err != nil || !slices.Equal(names(s), want) {
			t.Errorf("%s: %v %v", path, s, err)
		}
	}
	if s, _ := Find(dir, 1); len(s.Sources) != 1 || len(s.Warnings) != 1 {
		t.Errorf("%+v", s)
	}
	s, err := Find(snpe, 0)
	if err != nil || s.Sources[0].Files["ids:0"] != b || s.Sources[0].Files["mask"] != b {
		t.Errorf("%+v %v", s, err)
	}
	for content, want := range map[string]string{"": "names no samples", "a:= b:=c": "not name:=path", "a:=b a:=c": "given twice"} {
		if _, err := Find(write(t, dir, "bad.txt", content), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestLoadSeveralInputs(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.raw", string(tensor.Floats([]float32{1, 2}).LittleEndian()))
	write(t, dir, "b.raw", "\x05\x06\x07")
	list := write(t, dir, "list.txt", "a:=a.raw b:=b.raw\n")
	l := Loader{Description: Default(), Inputs: []Input{{"a", tensor.Float32, []int64{1, 2}}, {"b", tensor.Float32, []int64{3}}}}
	set, err := Find(list, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Check(set); err != nil {
		t.Fatal(err)
	}
	s, err := l.Load(set.Sources[0])
	if err != nil || !slices.Equal(s.Inputs["a"].F32, []float32{1, 2}) || !slices.Equal(s.Inputs["b"].F32, []float32{5, 6, 7}) {
		t.Errorf("%+v %v", s, err)
	}
	one, err := Find(filepath.Join(dir, "a.raw"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Check(one); err == nil || !strings.Contains(err.Error(), "a:=a.raw b:=b.raw") {
		t.Error(err)
	}
}

func TestPicturesBecomeTensors(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	img.Set(0, 0, color.NRGBA{10, 20, 30, 255})
	img.Set(1, 0, color.NRGBA{40, 50, 60, 0}) // transparency is dropped, not blended
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	path := write(t, t.TempDir(), "p.png", b.String())
	for name, c := range map[string]struct {
		change func(*Description)
		shape  []int64
		want   []float32
	}{
		"rgb NCHW":   {func(*Description) {}, []int64{1, 3, 1, 2}, []float32{10, 40, 20, 50, 30, 60}},
		"bgr NHWC":   {func(d *Description) { d.InputColor = "bgr" }, []int64{1, 1, 2, 3}, []float32{30, 20, 10, 60, 50, 40}},
		"normalised": {func(d *Description) { d.Mean, d.Scale = Numbers{10, 20, 30}, Numbers{10} }, []int64{1, 3, 1, 2}, []float32{0, 3, 0, 3, 0, 3}},
		"gray":       {func(d *Description) { d.InputColor = "gray" }, []int64{1, 1, 1, 2}, []float32{18, 48}},
		"letterbox":  {func(d *Description) { d.Resize, d.PadPosition = "letterbox", "bottom-right" }, []int64{1, 3, 2, 2}, []float32{10, 40, 114, 114, 20, 50, 114, 114, 30, 60, 114, 114}},
		"crop":       {func(d *Description) { d.Resize = "crop" }, []int64{1, 3, 1, 1}, []float32{10, 20, 30}},
	} {
		d := Default()
		c.change(&d)
		l := Loader{Description: d, Inputs: []Input{{"x", tensor.Float32, c.shape}}}
		s, err := l.Load(Source{Name: name, Files: map[string]string{"": path}})
		if err != nil || !slices.Equal(s.Inputs["x"].F32, c.want) {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
}

func TestOrientation(t *testing.T) {
	// 2 × 1: red, green. Orientation 6 means: turn clockwise by 90° to see it upright.
	p := &Picture{Width: 2, Height: 1, Pix: []uint8{255, 0, 0, 0, 255, 0}}
	first := map[int]bool{1: true, 2: false, 3: false, 4: true, 5: true, 6: true, 7: false, 8: false}
	for o, red := range first {
		q := p.upright(o)
		if (q.Width == 1) != (o >= 5) || (q.Pix[0] == 255) != red {
			t.Errorf("orientation %d: %d × %d %v", o, q.Width, q.Height, q.Pix)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 16, 8)), nil); err != nil {
		t.Fatal(err)
	}
	exif := "\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
	turned, err := Decode([]byte(b.String()[:2] + exif + b.String()[2:]))
	if err != nil || turned.Width != 8 || turned.Height != 16 {
		t.Errorf("%+v %v", turned, err)
	}
}

func FuzzDecode(f *testing.F) {
	img := image.NewRGBA(image.Rect(0, 0, 9, 7))
	var a, b bytes.Buffer
	if jpeg.Encode(&a, img, nil) != nil || png.Encode(&b, img) != nil {
		f.Fatal("encode")
	}
	f.Add(a.Bytes())
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if config, _, err := image.DecodeConfig(bytes.NewReader(data)); err == nil && config.Width*config.Height > 1<<20 {
			return // large pictures are slow, not wrong
		}
		p, err := Decode(data)
		if err == nil && len(p.Pix) != 3*p.Width*p.Height {
			t.Fatalf("%d × %d with %d bytes", p.Width, p.Height, len(p.Pix))
		}
	})
}
