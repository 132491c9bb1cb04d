package eval

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/coco"
	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/labels"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
)

func output(values []float32, shape ...int64) []decode.Output {
	return []decode.Output{{Name: "y", Tensor: tensor.Floats(values, shape...)}}
}

func evaluation(task result.Task, models ...string) *result.Evaluation {
	e := &result.Evaluation{Task: task}
	for _, m := range models {
		e.Models = append(e.Models, result.EvalModel{Name: m})
	}
	return e
}

func near(t *testing.T, what string, got metric.Value, want float64) {
	t.Helper()
	if !got.OK || math.Abs(got.V-want) > 1e-9 {
		t.Errorf("%s: %v, want %g", what, got, want)
	}
}

// writeGray writes a PNG of grey levels.
func writeGray(t *testing.T, path string, width int, levels ...uint8) string {
	t.Helper()
	data, err := encodeGray(width, len(levels)/width, levels)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func plain(width, height int, image labels.Image) Picture {
	return Picture{Image: image, Path: image.Path, Width: width, Height: height, Input: [2]int{width, height}, Place: dataset.Placement{ScaleX: 1, ScaleY: 1}}
}

func TestSegmentationByHand(t *testing.T) {
	dir := t.TempDir()
	// Truth: 0 0 1 1 / 2 2 255 1; float finds 0 1 1 1 / 2 0 1 1; the variant 0 0 0 0 / 2 2 2 2.
	mask := writeGray(t, filepath.Join(dir, "a.png"), 4, 0, 0, 1, 1, 2, 2, 255, 1)
	scores := func(classes ...int) []float32 {
		values := make([]float32, 3*len(classes))
		for i, c := range classes {
			values[c*len(classes)+i] = 1
		}
		return values
	}
	m := NewMasks(&labels.Pairs{}, Usual(), 2, nil)
	err := m.Picture(plain(4, 2, labels.Image{Name: "a", Truth: mask}), [][]decode.Output{
		{{Name: "y", Tensor: tensor.Floats(scores(0, 1, 1, 1, 2, 0, 1, 1), 1, 3, 2, 4)}}, {{Name: "y", Tensor: tensor.Floats(scores(0, 0, 0, 0, 2, 2, 2, 2), 1, 3, 2, 4)}},
	})
	if err == nil || !strings.Contains(err.Error(), "none of the outputs") {
		t.Fatal("a map of 2 × 4 is taken for a picture", err)
	}
	config := Usual()
	config.Output = "y"
	m = NewMasks(&labels.Pairs{}, config, 2, nil)
	if err := m.Picture(plain(4, 2, labels.Image{Name: "a", Truth: mask}), [][]decode.Output{
		output(scores(0, 1, 1, 1, 2, 0, 1, 1), 1, 3, 2, 4), output(scores(0, 0, 0, 0, 2, 2, 2, 2), 1, 3, 2, 4),
	}); err != nil {
		t.Fatal(err)
	}
	e := evaluation(result.Segmentation, "float", "v")
	if err := m.Conclude(e); err != nil {
		t.Fatal(err)
	}
	// Of 7 pixels that count, float has 5 right: classes 1 (3 of 3 true, 4 found) and 2 (1 of 2, 1 found).
	f := e.Models[0].Scores
	near(t, "accuracy", f[3], 5./7)
	near(t, "precision", f[1], 4./5)
	near(t, "recall", f[2], 4./5)
	near(t, "fscore", f[0], 4./5)
	near(t, "IoU of class 1", e.Models[0].ByClass[1], 3./4)
	near(t, "mIoU", f[4], (1./3+3./4+1./2)/3)
	near(t, "agreement", e.Models[1].Agree.Share, 2./8)
	if !e.Models[1].Drop.OK || e.Models[1].Drop.V <= 0 {
		t.Errorf("drop %v", e.Models[1].Drop)
	}
}

func TestBinarySegmentationOfLogits(t *testing.T) {
	mask := writeGray(t, filepath.Join(t.TempDir(), "a.png"), 2, 0, 255, 255, 0)
	config := Usual()
	config.Output = "y"
	m := NewMasks(&labels.Pairs{}, config, 1, nil)
	if err := m.Picture(plain(2, 2, labels.Image{Truth: mask}), [][]decode.Output{output([]float32{-3, 0.2, 5, -0.1}, 1, 1, 2, 2)}); err != nil {
		t.Fatal(err)
	}
	e := evaluation(result.Segmentation, "float")
	if err := m.Conclude(e); err != nil {
		t.Fatal(err)
	}
	near(t, "accuracy", e.Models[0].Scores[3], 1)
}

func TestMasksThatDoNotFit(t *testing.T) {
	dir := t.TempDir()
	colours := image.NewNRGBA(image.Rect(0, 0, 8, 8))
	colours.Set(1, 1, color.NRGBA{200, 10, 10, 255})
	var b bytes.Buffer
	if err := png.Encode(&b, colours); err != nil {
		t.Fatal(err)
	}
	coloured := filepath.Join(dir, "c.png")
	if err := os.WriteFile(coloured, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	m := NewMasks(&labels.Pairs{}, Usual(), 1, nil)
	values := make([]float32, 2*64)
	for i := range 64 {
		values[i] = 1
	}
	outs := [][]decode.Output{output(values, 1, 2, 8, 8)}
	for name, path := range map[string]string{
		"wrong size": writeGray(t, filepath.Join(dir, "w.png"), 5, make([]uint8, 15)...), "no file": filepath.Join(dir, "none.png"), "coloured": coloured,
		"beyond": writeGray(t, filepath.Join(dir, "b.png"), 8, append([]uint8{9}, make([]uint8, 63)...)...),
	} {
		if err := m.Picture(plain(8, 8, labels.Image{Name: name, Truth: path}), outs); err != nil {
			t.Fatal(name, err)
		}
	}
	e := evaluation(result.Segmentation, "float")
	if err := m.Conclude(e); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(e.Problems, "\n")
	for _, want := range []string{"other proportions", "wrong size: 5×3 for 8×8", "none.png", "colours", "classes beyond the model's 2", "beyond (1 pixels)"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	near(t, "accuracy of what is left", e.Models[0].Scores[3], 1)
}

func TestDepthByHand(t *testing.T) {
	dir := t.TempDir()
	img := image.NewGray16(image.Rect(0, 0, 6, 6))
	want := make([]float32, 36)
	got := make([]float32, 36)
	square, rel, within := 0.0, 0.0, 0.0
	n := 0.0
	r := rand.New(rand.NewPCG(1, 2))
	for i := range want {
		v := uint16(r.IntN(4000))
		if i%5 == 0 {
			v = 0
		}
		img.SetGray16(i%6, i/6, color.Gray16{Y: v})
		want[i], got[i] = float32(v)/1000, float32(r.Float64()*4)
		if v > 0 {
			e := float64(got[i]) - float64(want[i])
			square += e * e
			rel += math.Abs(e) / float64(want[i])
			if max(got[i]/want[i], want[i]/got[i]) < 1.25 {
				within++
			}
			n++
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "d.png")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	config := Usual()
	config.DepthScale = 1000
	d := NewDepths(&labels.Pairs{}, config, 2, nil)
	p := plain(6, 6, labels.Image{Name: "d", Truth: path})
	if err := d.Picture(p, [][]decode.Output{output(got, 1, 1, 6, 6), output(make([]float32, 36), 1, 1, 6, 6)}); err != nil {
		t.Fatal(err)
	}
	e := evaluation(result.Depth, "float", "zero")
	if err := d.Conclude(e); err != nil {
		t.Fatal(err)
	}
	near(t, "RMSE", e.Models[0].Scores[0], math.Sqrt(square/n))
	near(t, "AbsRel", e.Models[0].Scores[1], rel/n)
	near(t, "δ", e.Models[0].Scores[2], within/n)
	if drop := e.Models[1].Drop; !drop.OK || math.Abs(drop.V-(e.Models[1].Scores[0].V-e.Models[0].Scores[0].V)) > 1e-12 {
		t.Errorf("drop %v: a greater error is worse", drop)
	}
	// With the median, predictions that are the truth times a factor are right.
	config.DepthAlign = "median"
	d = NewDepths(&labels.Pairs{}, config, 1, nil)
	scaled := make([]float32, 36)
	for i, v := range want {
		scaled[i] = 7 * v
	}
	if err := d.Picture(p, [][]decode.Output{output(scaled, 1, 6, 6)}); err != nil {
		t.Fatal(err)
	}
	e = evaluation(result.Depth, "float")
	if err := d.Conclude(e); err != nil || e.Models[0].Scores[0].V > 1e-6 {
		t.Errorf("%v %v", err, e.Models[0].Scores)
	}
}

func TestClassificationByHand(t *testing.T) {
	l := NewLabels(&labels.Classes{Names: []string{"a", "b", "c", "d", "e", "f", "g"}}, Usual(), 2)
	for _, c := range []struct {
		class int
		float []float32
		got   []float32
	}{
		{0, []float32{9, 1, 2, 3, 4, 5, 6}, []float32{1, 9, 2, 3, 4, 5, 6}},                                                         // right; not among the best five
		{2, []float32{5, 5, 5, 0, 0, 0, 0}, []float32{0, 0, 7, 0, 0, 0, 0}},                                                         // ties: the first; right
		{6, []float32{float32(math.NaN()), 1, 2, 3, 4, 5, 6}, []float32{float32(math.NaN()), 0, 0, 0, 0, 0, float32(math.Inf(-1))}}, // NaN is no score
	} {
		if err := l.Picture(plain(4, 4, labels.Image{Name: "x", Class: c.class}), [][]decode.Output{output(c.float, 1, 7), output(c.got, 1, 7)}); err != nil {
			t.Fatal(err)
		}
	}
	e := evaluation(result.Classification, "float", "v")
	if err := l.Conclude(e); err != nil {
		t.Fatal(err)
	}
	near(t, "top1", e.Models[0].Scores[0], 2./3)
	near(t, "top5", e.Models[0].Scores[1], 1)
	near(t, "top1 of the variant", e.Models[1].Scores[0], 1./3)
	near(t, "top5 of the variant", e.Models[1].Scores[1], 1./3)
	near(t, "agreement", e.Models[1].Agree.Share, 0)
	if e.Classes[6] != "g" || !e.Models[0].ByClass[0].OK || e.Models[0].ByClass[1].OK {
		t.Errorf("%v %v", e.Classes, e.Models[0].ByClass)
	}
	beyond := NewLabels(&labels.Classes{Images: []labels.Image{{Class: 9}}}, Usual(), 1)
	if err := beyond.Picture(plain(1, 1, labels.Image{}), [][]decode.Output{output(make([]float32, 7), 1, 7)}); err == nil || !strings.Contains(err.Error(), "class-offset") {
		t.Errorf("%v", err)
	}
}

func TestChangesOfBoxes(t *testing.T) {
	box := func(x, y, w, h float32, class int) result.Box {
		return result.Box{X: x, Y: y, W: w, H: h, Class: class}
	}
	float := []result.Box{box(0, 0, 10, 10, 1), box(100, 0, 10, 10, 1), box(200, 0, 10, 10, 1), box(300, 0, 10, 10, 1)}
	got := []result.Box{box(0, 0, 10, 11, 1), box(102, 0, 10, 10, 1), box(200, 0, 10, 10, 2), box(400, 0, 10, 10, 1)}
	var marked []result.Box
	a := compareBoxes(float, got, &marked)
	if a.Kept != 1 || a.Moved != 1 || a.Other != 1 || a.Lost != 1 || a.New != 1 {
		t.Errorf("%+v", a)
	}
	var changes []string
	for _, b := range marked {
		changes = append(changes, string(b.Change))
	}
	if !slices.Equal(changes, []string{"", "moved", "other class", "new", "lost"}) || marked[4].X != 300 {
		t.Errorf("%q", changes)
	}
	// One of the same class is preferred to one of greater overlap.
	a = compareBoxes([]result.Box{box(0, 0, 10, 10, 1)}, []result.Box{box(0, 0, 10, 10, 2), box(0, 0, 10, 12, 1)}, &marked)
	if a.Kept != 1 || a.New != 1 {
		t.Errorf("%+v", a)
	}
	// Whatever the boxes, each of float's and each of the variant's is counted once.
	r := rand.New(rand.NewPCG(5, 5))
	for range 200 {
		random := func() (list []result.Box) {
			for range r.IntN(12) {
				list = append(list, box(float32(r.IntN(40)), float32(r.IntN(40)), 1+float32(r.IntN(30)), 1+float32(r.IntN(30)), r.IntN(2)))
			}
			return list
		}
		f, g := random(), random()
		a := compareBoxes(f, g, &marked)
		both := a.Kept + a.Moved + a.Other
		if both+a.Lost != len(f) || both+a.New != len(g) || len(marked) != len(g)+a.Lost {
			t.Fatalf("%+v of %d and %d", a, len(f), len(g))
		}
	}
}

func TestDistanceOfOutputs(t *testing.T) {
	d := NewDistance(3, true)
	x := []float32{1, 2, 3, 4}
	if err := d.Picture(plain(1, 1, labels.Image{Name: "a"}), [][]decode.Output{output(x, 4), output(x, 4), output([]float32{1, 2, 3, 5}, 4)}); err != nil {
		t.Fatal(err)
	}
	if err := d.Picture(plain(1, 1, labels.Image{Name: "b"}), [][]decode.Output{output(x, 4), output(x, 4), nil}); err != nil {
		t.Fatal(err)
	}
	e := evaluation(result.Agreement, "float", "same", "off")
	if err := d.Conclude(e); err != nil {
		t.Fatal(err)
	}
	if !math.IsInf(e.Models[1].Scores[0].V, 1) || len(e.Problems) != 1 || !strings.Contains(e.Problems[0], "off gave nothing on 1") {
		t.Errorf("%+v %v", e.Models[1].Scores, e.Problems)
	}
	near(t, "SQNR", e.Models[2].Scores[0], 10*math.Log10(30))
}

func detections(categories ...string) *labels.Detections {
	d := &labels.Detections{Set: &coco.Dataset{Images: []coco.Image{{ID: 1, Width: 64, Height: 64}}}}
	for i, n := range categories {
		d.Set.Categories = append(d.Set.Categories, coco.Category{ID: int64(10 + i), Name: n})
	}
	d.Set.Annotations = []coco.Annotation{{ID: 1, ImageID: 1, CategoryID: 10, Box: [4]float64{8, 8, 16, 16}, Area: 256}}
	return d
}

// ready are boxes in the form of the decoder for outputs that are boxes already.
func ready(boxes ...[6]float32) []decode.Output {
	var b, s, c []float32
	for _, x := range boxes {
		b, s, c = append(b, x[:4]...), append(s, x[4]), append(c, x[5])
	}
	n := int64(len(boxes))
	return []decode.Output{{Name: "b", Tensor: tensor.Floats(b, 1, n, 4)}, {Name: "s", Tensor: tensor.Floats(s, 1, n)}, {Name: "c", Tensor: tensor.Floats(c, 1, n)}}
}

func TestDetectionsWithAMappingOfOutputs(t *testing.T) {
	config, err := ReadConfig("task: detection\ndecoder: boxes\nclasses: [cat, dog]\ndecode:\n  mapping: {boxes: b, scores: s, classes: c}\n")
	if err != nil {
		t.Fatal(err)
	}
	b := NewBoxes(detections("cat", "dog"), config, 2, false)
	p := Picture{Image: labels.Image{ID: 1, Name: "a"}, Width: 64, Height: 64, Input: [2]int{128, 128}, Place: dataset.Placement{ScaleX: 2, ScaleY: 2}}
	if err := b.Picture(p, [][]decode.Output{ready([6]float32{16, 16, 48, 48, 0.9, 0}), ready([6]float32{16, 16, 48, 48, 0.8, 1})}); err != nil {
		t.Fatal(err)
	}
	e := evaluation(result.Detection, "float", "v")
	if err := b.Conclude(e); err != nil {
		t.Fatal(err)
	}
	near(t, "mAP", e.Models[0].Scores[0], 1)
	near(t, "mAP of another class", e.Models[1].Scores[0], 0)
	if a := e.Models[1].Agree; a.Other != 1 || !a.Share.OK || a.Share.V != 0 {
		t.Errorf("%+v", a)
	}
	if len(e.Models[0].Curve) != 101 || e.Models[0].Curve[50].Precision < 1-1e-9 || e.Models[0].Annotations[0].Box != [4]float64{8, 8, 16, 16} {
		t.Errorf("%+v", e.Models[0].Annotations)
	}
}

func TestClassesOfModelAndSet(t *testing.T) {
	for _, c := range []struct {
		name       string
		set, model []string
		classes    int
		want       []int
		says       string
	}{
		{"by order", []string{"a", "b"}, nil, 2, []int{0, 1}, ""},
		{"by name", []string{"b", "a"}, []string{"A", "B", "other"}, 3, []int{1, 0, -1}, ""},
		{"COCO's names for a part of them", []string{"dog", "cat"}, nil, 80, nil, ""},
		{"no name in common", []string{"x"}, []string{"a"}, 1, nil, "none of the model's 1 classes"},
	} {
		config := Usual()
		config.Classes = c.model
		b := NewBoxes(detections(c.set...), config, 1, false)
		err := b.mapClasses(c.classes)
		switch {
		case c.says != "":
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", c.name, err)
			}
		case err != nil, c.want != nil && !slices.Equal(b.assigned.categories, c.want):
			t.Errorf("%s: %v %v", c.name, err, b.assigned.categories)
		case c.classes == 80:
			if b.assigned.categories[16] != 0 || b.assigned.categories[15] != 1 || b.assigned.categories[0] != -1 {
				t.Errorf("%s: %v", c.name, b.assigned.categories)
			}
		}
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	for text, says := range map[string]string{
		"task: nothing": "task", "treshold: 1": "treshold", "depth-scale: 0": "depth-scale", "depth-align: mean": "depth-align", "class-offset: 100000": "class-offset", "[": "eval",
	} {
		if _, err := ReadConfig(dataset.Block(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzReadConfig(f *testing.F) {
	f.Add("task: detection\ndecode: {iou: 0.5, anchors: [[[1,2]]]}")
	f.Add("classes: [a, b]\nthreshold: .nan")
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = ReadConfig(dataset.Block(text))
	})
}

// A head of boxes to 640 and scores under 1: the scores are lost, which the whole output does not show.
func TestALostPartStandsForItsOutput(t *testing.T) {
	x, y := make([]float32, 6*8), make([]float32, 6*8)
	for i := range x {
		if i < 4*8 {
			x[i], y[i] = float32(20*i), float32(20*i)+0.5
		} else {
			x[i] = 0.3
		}
	}
	d := NewDistance(2, true)
	out := func(v []float32) []decode.Output {
		return []decode.Output{{Name: "o", Tensor: tensor.Floats(v, 1, 6, 8)}}
	}
	if err := d.Picture(Picture{}, [][]decode.Output{out(x), out(y)}); err != nil {
		t.Fatal(err)
	}
	e := &result.Evaluation{Models: make([]result.EvalModel, 2)}
	if err := d.Conclude(e); err != nil {
		t.Fatal(err)
	}
	if m := e.Models[1].Agree; m.SQNR.V != 0 || m.Cos.V != 0 || len(e.Problems) != 1 {
		t.Errorf("%+v %v", m, e.Problems)
	}
}
