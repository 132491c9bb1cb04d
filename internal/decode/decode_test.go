package decode_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/decode"
	"quantcheck/internal/tensor"
)

func lookup(t testing.TB, name string) decode.Decoder {
	t.Helper()
	d, err := decode.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func shapesOf(outs []decode.Output) []decode.Shape {
	var shapes []decode.Shape
	for _, o := range outs {
		shapes = append(shapes, decode.Shape{Name: o.Name, Dims: o.Tensor.Shape})
	}
	return shapes
}

// same compares detections; boxes and scores are float32.
func same(t *testing.T, got, want []decode.Detection) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d boxes, want %d", len(got), len(want))
	}
	for i := range want {
		ok := got[i].Class == want[i].Class && math.Abs(float64(got[i].Score-want[i].Score)) < 1e-5
		for k := range 4 {
			ok = ok && math.Abs(float64(got[i].Box[k]-want[i].Box[k])) < 1e-3
		}
		if !ok {
			t.Fatalf("box %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestDecodersFollowTheirFormulas(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range samples() {
		seen[s.decoder] = true
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			d := lookup(t, s.decoder)
			c, err := d.Candidates(s.outs, s.settings)
			if err != nil {
				t.Fatal(err)
			}
			if len(s.want) == 0 || c.NotFinite+c.Inverted+c.Cut != 0 {
				t.Fatalf("%d wanted; %d not finite, %d inverted, %d cut", len(s.want), c.NotFinite, c.Inverted, c.Cut)
			}
			same(t, c.List, s.want)
			again, err := d.Candidates(s.outs, c.Settled)
			if err != nil {
				t.Fatal("with settled settings:", err)
			}
			same(t, again.List, s.want)
		})
	}
	for _, d := range decode.All {
		if !seen[d.Name] || d.Help == "" || d.Source == "" {
			t.Errorf("%s has no sample, no help or no source", d.Name)
		}
	}
}

func TestShapesTellTheDecoder(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		d, why, err := decode.Recognise(shapesOf(s.outs), s.settings)
		switch {
		case s.recognised && (err != nil || d.Name != s.decoder || why == ""):
			t.Errorf("%s: %s (%s), %v", s.name, d.Name, why, err)
		case s.recognised:
			t.Logf("%s: %s", s.name, why)
		case s.decoder != "yolov7" && s.name != "yolox maps" && err == nil:
			t.Errorf("%s: %s (%s) although the shapes do not tell", s.name, d.Name, why)
		}
	}
}

func TestValuesTellRawRowsFromPixels(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		if s.name != "yolox rows" && s.name != "yolov6 rows" {
			continue
		}
		var several *decode.AmbiguousError
		if _, _, err := decode.Recognise(shapesOf(s.outs), s.settings); !errors.As(err, &several) || !strings.Contains(err.Error(), "--decoder") {
			t.Errorf("%s: %v", s.name, err)
		}
		if d, why, err := decode.RecogniseValues(s.outs, s.settings); err != nil || d.Name != s.decoder {
			t.Errorf("%s: %s (%s), %v", s.name, d.Name, why, err)
		}
		unknown := s.settings // so that 8 numbers may be 4 + 4 classes as well
		unknown.Classes = 0
		d, _, err := decode.RecogniseValues(s.outs, unknown)
		if errors.As(err, &several) != (s.decoder == "yolov6") || err == nil && d.Name != s.decoder || err != nil && !slices.Equal(several.Names(), []string{"yolov6", "yolov8"}) {
			t.Errorf("%s, classes unknown: %s, %v", s.name, d.Name, err)
		}
		zeros := []decode.Output{as("o", make([]float32, len(s.outs[0].Tensor.F32)), s.outs[0].Tensor.Shape...)}
		if d, _, err := decode.RecogniseValues(zeros, s.settings); err == nil {
			t.Errorf("zeros are taken for %s", d.Name)
		}
	}
}

func TestUnknownClassesAreCOCOsWhereThatDecides(t *testing.T) {
	t.Parallel()
	s := decode.SeedSettings()
	s.Width, s.Height = 640, 640
	maps := func(c ...int64) (shapes []decode.Shape) {
		for _, side := range []int64{80, 40, 20} {
			for _, n := range c {
				shapes = append(shapes, decode.Shape{Name: "o", Dims: []int64{1, n, side, side}})
			}
		}
		return shapes
	}
	for _, row := range []struct {
		name   string
		shapes []decode.Shape
		want   string // "": none or several
	}{
		{"the seed's 85 channels", maps(85), "yolov6"},
		{"84 channels", maps(84), "yolov6"},
		{"144 channels", maps(144), "yolov8"},
		{"148 channels", maps(148), "yolov6"},
		{"255 channels", maps(255), "yolov5"},
		{"4 and 80 channels", maps(4, 80), "yolov6"},
		{"64 and 80 channels", maps(64, 80), "yolov8"},
		{"18 channels: one class with anchors or 13 without", maps(18), ""},
		{"3 channels", maps(3), ""},
		{"another size of input", []decode.Shape{{Name: "o", Dims: []int64{1, 85, 52, 52}}}, ""},
		{"25200 rows of 85", []decode.Shape{{Name: "o", Dims: []int64{1, 25200, 85}}}, "yolov5"},
		{"84 by 8400", []decode.Shape{{Name: "o", Dims: []int64{1, 84, 8400}}}, "yolov8"},
		{"8400 rows of 85: raw or in pixels", []decode.Shape{{Name: "o", Dims: []int64{1, 8400, 85}}}, ""},
		{"25199 rows", []decode.Shape{{Name: "o", Dims: []int64{1, 25199, 85}}}, ""},
		{"300 rows of 6", []decode.Shape{{Name: "o", Dims: []int64{1, 300, 6}}}, "boxes"},
		{"an unknown dimension", []decode.Shape{{Name: "o", Dims: []int64{1, -1, 85}}}, ""},
		{"a batch of two", []decode.Shape{{Name: "o", Dims: []int64{2, 25200, 85}}}, ""},
		{"a heat map, sizes, offsets", []decode.Shape{{Name: "hm", Dims: []int64{1, 80, 160, 160}}, {Name: "wh", Dims: []int64{1, 2, 160, 160}}, {Name: "reg", Dims: []int64{1, 2, 160, 160}}}, "centernet"},
		{"no outputs", nil, ""},
	} {
		d, why, err := decode.Recognise(row.shapes, s)
		if row.want == "" && err == nil || row.want != "" && (err != nil || d.Name != row.want) {
			t.Errorf("%s: %q (%s), %v", row.name, d.Name, why, err)
		}
	}
}

func TestMultiLabelGivesEveryClassOverTheConfidence(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		if s.name != "yolov8 boxes in rows" {
			continue
		}
		s.settings.MultiLabel = true
		c, err := lookup(t, s.decoder).Candidates(s.outs, s.settings)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for i, v := range s.outs[0].Tensor.F32 {
			if i%7 >= 4 && v > confidence {
				want++
			}
		}
		if len(c.List) != want || want <= len(s.want) {
			t.Errorf("%d boxes, want %d, more than %d", len(c.List), want, len(s.want))
		}
	}
}

func TestBadValuesAreCounted(t *testing.T) {
	t.Parallel()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	s := settings()
	s.Mapping = decode.Mapping{Boxes: "b", Scores: "s"}
	r, err := decode.Decode(lookup(t, "boxes"), []decode.Output{
		as("b", []float32{0, 0, 1, 1, nan, 0, 1, 1, 0, 0, inf, 1, 5, 5, 4, 6, nan, nan, nan, nan, 0, 0, 9, 9}, 1, 6, 4),
		as("s", []float32{nan, 0.9, 0.9, 0.9, 0.1, 0.9}, 1, 6), as("more", nil, 0),
	}, s)
	if err != nil {
		t.Fatal(err)
	}
	if r.NotFinite != 3 || r.Inverted != 1 || len(r.Detections) != 1 {
		t.Errorf("%d not finite, %d inverted, %v", r.NotFinite, r.Inverted, r.Detections)
	}
	if !slices.Contains(r.Notes, "outputs that were not read: more[0]") {
		t.Errorf("notes: %q", r.Notes)
	}
	s.PreNMS = 1
	outs := []decode.Output{as("b", make([]float32, 40), 1, 10, 4), as("s", []float32{.5, .6, .7, .8, .9, .99, .9, .8, .7, .6}, 1, 10)}
	c, err := lookup(t, "boxes").Candidates(outs, s)
	if err != nil || c.Cut != 9 || len(c.List) != 1 || c.List[0].Score != 0.99 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestConfidenceThatIsNoneIsNoted(t *testing.T) {
	t.Parallel()
	var outs []decode.Output
	for _, g := range gridSizes {
		list := make([]float32, 8*g.w*g.h)
		for i := range list {
			list[i] = map[bool]float32{true: 0.5, false: 0.9}[i/(g.w*g.h) == 4]
		}
		outs = append(outs, as("o", list, 1, 8, int64(g.h), int64(g.w)))
	}
	s := settings()
	c, err := lookup(t, "yolov6").Candidates(outs, s)
	if err != nil || len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "objectness") || c.List[0].Score != 0.9 {
		t.Fatalf("%+v, %v", c, err)
	}
	s.Objectness = decode.Yes
	c, err = lookup(t, "yolov6").Candidates(outs, s)
	if err != nil || len(c.Notes) != 0 || math.Abs(float64(c.List[0].Score)-0.45) > 1e-6 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	with := func(change func(s *decode.Settings)) decode.Settings {
		s := settings()
		change(&s)
		return s
	}
	box := []decode.Output{as("boxes", make([]float32, 8), 1, 2, 4), as("scores", make([]float32, 2), 1, 2)}
	for _, row := range []struct {
		name, decoder, want string
		outs                []decode.Output
		settings            decode.Settings
	}{
		{"no size", "yolov5", "is no size", box, decode.SeedSettings()},
		{"confidence", "yolov5", "not between 0 and 1", box, with(func(s *decode.Settings) { s.Confidence = math.NaN() })},
		{"strides", "yolov5", "ascending", box, with(func(s *decode.Settings) { s.Strides = []int{8, 8} })},
		{"anchors", "yolov5", "anchor", box, with(func(s *decode.Settings) { s.Anchors = [][][2]float64{{{0, 1}}} })},

		{"a scale without anchors", "yolov5", "at least one", box, with(func(s *decode.Settings) { s.Anchors = [][][2]float64{{}} })},
		{"format", "boxes", "xyxy", box, with(func(s *decode.Settings) { s.Mapping.Format = "corners" })},
		{"a misspelt output", "boxes", `nearest first, ["boxes" "scores"]`, box, with(func(s *decode.Settings) { s.Mapping = decode.Mapping{Boxes: "boxs", Scores: "scores"} })},
		{"scores of other boxes", "boxes", "does not hold scores for 2 boxes", append([]decode.Output{as("s", make([]float32, 3), 1, 3)}, box...), with(func(s *decode.Settings) { s.Mapping = decode.Mapping{Boxes: "boxes", Scores: "s"} })},
		{"too few values", "yolov8", "has 3 values where", []decode.Output{as("o", make([]float32, 3), 1, 2, 4)}, settings()},
		{"a negative dimension", "yolov8", "dimension -1", []decode.Output{as("o", nil, 1, -1, 4)}, settings()},
		{"text", "yolov8", "string", []decode.Output{{Name: "o", Tensor: tensor.Tensor{DType: tensor.String, Shape: []int64{1}}}}, settings()},
		{"shapes", "yolov8", "no output is [1,4+C,N], C = 3 classes", box, settings()},
		{"priors", "ssd", "priors with strides", []decode.Output{as("boxes", []float32{1, 1, 0, 0}, 1, 1, 4), as("scores", make([]float32, 4), 1, 1, 4)}, settings()},
		{"corners or not", "ssd", "say whether they are decoded", []decode.Output{
			as("boxes", []float32{0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, -1, 1}, 1, 4, 4), as("scores", make([]float32, 16), 1, 4, 4),
		}, settings()},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if _, err := decode.Decode(lookup(t, row.decoder), row.outs, row.settings); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
	if _, err := decode.Lookup("yolov9"); err == nil || !strings.Contains(err.Error(), "yolov5") {
		t.Errorf("%v", err)
	}
	if _, _, err := decode.Recognise(shapesOf(box), settings()); err == nil || !strings.Contains(err.Error(), "yolov8: ") || !strings.Contains(err.Error(), "--decoder") {
		t.Errorf("%v", err)
	}
}

// TestSettledChoicesStay: another variant's values do not change what was found out on the first.
func TestSettledChoicesStay(t *testing.T) {
	t.Parallel()
	list := make([]float32, 42*7)
	list[4] = 0.9
	d := lookup(t, "yolov8")
	c, err := d.Candidates([]decode.Output{as("o", list, 1, 42, 7)}, settings())
	if err != nil || c.Settled.Sigmoid != decode.No {
		t.Fatalf("%+v, %v", c, err)
	}
	list[5] = 1.5                                                                             // would be a logit
	for sigmoid, want := range map[decode.Option]int{c.Settled.Sigmoid: 1, decode.Auto: 42} { // the sigmoid of 0 is 0.5
		s := c.Settled
		s.Sigmoid = sigmoid
		again, err := d.Candidates([]decode.Output{as("o", list, 1, 42, 7)}, s)
		if err != nil || len(again.List) != want {
			t.Errorf("sigmoid %q: %d boxes, want %d (%v)", sigmoid, len(again.List), want, err)
		}
	}
}
