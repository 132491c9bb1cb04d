package coco

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// fine is a set without problems: two objects, both found.
func fine() (*Dataset, []Annotation) {
	gt := &Dataset{
		Images:     []Image{{ID: 1, Width: 50, Height: 40}, {ID: 2, Width: 50, Height: 40}},
		Categories: []Category{{ID: 1, Name: "cat"}, {ID: 2, Name: "dog"}},
	}
	var dt []Annotation
	for i := range int64(2) {
		box := [4]float64{10, 10, 20, 20}
		gt.Annotations = append(gt.Annotations, Annotation{ID: i + 1, ImageID: i + 1, CategoryID: 1, Box: box, Area: 400, Segmentation: rectangle(box)})
		dt = append(dt, Annotation{ImageID: i + 1, CategoryID: 1, Box: box, Score: .5, Segmentation: rectangle(box)})
	}
	return gt, dt
}

func TestProblemsAreCountedAndNamed(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	type set struct {
		gt *Dataset
		dt *[]Annotation
	}
	truth := func(change func(a *Annotation)) func(s set) {
		return func(s set) {
			a := s.gt.Annotations[0]
			a.ID = 9
			change(&a)
			s.gt.Annotations = append(s.gt.Annotations, a)
		}
	}
	found := func(change func(a *Annotation)) func(s set) {
		return func(s set) {
			a := (*s.dt)[0]
			change(&a)
			*s.dt = append(*s.dt, a)
		}
	}
	runs := func(s string, h, w int) func(a *Annotation) {
		return func(a *Annotation) { a.Segmentation = &Segmentation{Size: [2]int{h, w}, Compressed: s} }
	}
	other, _ := FromBitmap(make([]bool, 6), 2, 3)
	for _, c := range []struct {
		name   string
		kind   Type
		change func(s set)
		want   Kind
		first  string
		ap     float64
	}{
		{"an image twice", Boxes, func(s set) { s.gt.Images = append(s.gt.Images, s.gt.Images[0]) }, DuplicateImage, "image 1", 1},
		{"a category twice", Boxes, func(s set) { s.gt.Categories = append(s.gt.Categories, s.gt.Categories[1]) }, DuplicateCategory, "category 2", 1},
		{"an annotation twice", Boxes, truth(func(a *Annotation) { a.ID = 2 }), DuplicateAnnotation, "annotation 2", 67. / 101},
		{"id 0", Boxes, func(s set) { s.gt.Annotations[0].ID = 0 }, ZeroID, "in image 1", -2},
		{"truth of an unknown image", Boxes, truth(func(a *Annotation) { a.ImageID = 7 }), TruthUnknownImage, "annotation 9 of image 7", 1},
		{"truth of an unknown category", Boxes, truth(func(a *Annotation) { a.CategoryID = 7 }), TruthUnknownCategory, "annotation 9 of category 7", 1},
		{"truth without category", Boxes, truth(func(a *Annotation) { a.Missing = FieldCategory }), TruthIncomplete, "annotation 9", 1},
		{"truth without box", Boxes, truth(func(a *Annotation) { a.Missing = FieldBox }), TruthIncomplete, "annotation 9", 1},
		{"truth without mask", Masks, truth(func(a *Annotation) { a.Segmentation = nil }), TruthIncomplete, "annotation 9", 1},
		{"truth with NaN", Boxes, truth(func(a *Annotation) { a.Box[1] = nan }), TruthNotFinite, "annotation 9", 1},
		{"truth with an infinite area", Boxes, truth(func(a *Annotation) { a.Area = inf }), TruthNotFinite, "annotation 9", 1},
		{"truth with a negative box", Boxes, truth(func(a *Annotation) { a.Box[2] = -1 }), TruthNegativeBox, "annotation 9", 67. / 101},
		{"truth without area", Boxes, func(s set) { s.gt.Annotations[1].Missing, s.gt.Annotations[1].Area = FieldArea, 0 }, TruthNoArea, "annotation 2", 1},
		{"truth without area, masks", Masks, func(s set) { s.gt.Annotations[1].Missing, s.gt.Annotations[1].Area = FieldArea, 0 }, TruthNoArea, "annotation 2", 1},
		{"a broken mask of truth", Masks, truth(runs("55", 40, 50)), TruthMaskBroken, "annotation 9: a mask of 40 x 50 pixels whose runs sum to 10", 1},
		{"polygons without a size", Masks, func(s set) {
			s.gt.Images = append(s.gt.Images, Image{ID: 3})
			truth(func(a *Annotation) { a.ImageID = 3 })(s)
		}, TruthMaskBroken, "annotation 9: polygons in an image without a size", 1},
		{"a mask of truth of another size", Masks, truth(runs(other.String(), 2, 3)), TruthMaskSize, "annotation 9", 67. / 101},
		{"a detection in an unknown image", Boxes, found(func(a *Annotation) { a.ImageID = -4 }), UnknownImage, "detection 2 of image -4", 1},
		{"a detection of an unknown category", Boxes, found(func(a *Annotation) { a.CategoryID = 1 << 40 }), UnknownCategory, "detection 2 of category 1099511627776", 1},
		{"a detection without score", Boxes, found(func(a *Annotation) { a.Missing = FieldScore }), Incomplete, "detection 2", 1},
		{"a detection without box", Boxes, found(func(a *Annotation) { a.Missing = FieldBox }), Incomplete, "detection 2", 1},
		{"a detection with NaN for a score", Boxes, found(func(a *Annotation) { a.Score = nan }), NotFinite, "detection 2", 1},
		{"an infinite detection", Boxes, found(func(a *Annotation) { a.Box[3] = inf }), NotFinite, "detection 2", 1},
		{"a detection with a negative box", Boxes, found(func(a *Annotation) { a.Box[3] = -1 }), NegativeBox, "detection 2", 1},
		{"a broken mask", Masks, found(runs("\n", 40, 50)), MaskBroken, "detection 2: byte 0 of the mask's string is 0xa", 1},
		{"a mask of another size", Masks, found(func(a *Annotation) { runs(other.String(), 2, 3)(a); a.Score = .1 }), MaskSize, "detection 2", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			gt, dt := fine()
			p := DefaultParams(c.kind)
			p.Strict = true
			if _, err := Evaluate(gt, dt, p); err != nil {
				t.Fatalf("without it: %v", err)
			}
			c.change(set{gt, &dt})
			_, err := Evaluate(gt, dt, p)
			var refused *ProblemsError
			if !errors.As(err, &refused) || refused.Problems.Count(c.want) != 1 {
				t.Errorf("strict: %v", err)
			}
			p.Strict = false
			r, err := Evaluate(gt, dt, p)
			if err != nil {
				t.Fatal(err)
			}
			list := r.Problems.List()
			if len(list) != 1 || list[0].Kind != c.want || list[0].Count != 1 || !slices.Equal(list[0].First, []string{c.first}) {
				t.Errorf("%+v", list)
			}
			if want := map[bool]int{true: 1}[Kinds[c.want].Skipped]; r.Problems.Skipped() != want {
				t.Errorf("%d skipped", r.Problems.Skipped())
			}
			if c.ap != -2 && !near(r.Stats[0], c.ap) {
				t.Errorf("AP %g, want %g", r.Stats[0], c.ap)
			}
		})
	}
}

func TestOneBrokenDetectionDoesNotDecideForAll(t *testing.T) {
	gt, dt := fine()
	dt = slices.Insert(dt, 0, Annotation{ImageID: 1, CategoryID: 1, Score: .9, Missing: FieldBox})
	r, err := Evaluate(gt, dt, DefaultParams(Boxes))
	if err != nil || !near(r.Stats[0], 1) || r.Problems.Count(Incomplete) != 1 {
		t.Errorf("%v, %v: %s", r.Stats, err, r.Problems.String())
	}
}

func TestMasksWithoutBoxesHaveTheirOwn(t *testing.T) {
	gt, dt := fine()
	for i := range dt {
		dt[i].Box, dt[i].Missing = [4]float64{}, FieldBox
	}
	for _, kind := range []Type{Boxes, Masks} {
		r, err := Evaluate(gt, dt, DefaultParams(kind))
		if err != nil || !near(r.Stats[0], 1) || r.Problems.String() != "" {
			t.Errorf("%v, %v: %s", r.Stats, err, r.Problems.String())
		}
	}
	for i := range dt {
		dt[i].Missing = 0 // made in Go, where a box that nobody set is zero
	}
	if r, err := Evaluate(gt, dt, DefaultParams(Masks)); err != nil || !near(r.Stats[0], 1) || !near(r.Stats[3], 1) {
		t.Errorf("%v, %v", r.Stats, err)
	}
}

func TestManyProblemsAreNamedInPart(t *testing.T) {
	gt, dt := fine()
	for i := range 100000 {
		dt = append(dt, Annotation{ImageID: int64(i) + 10, CategoryID: 1, Score: .5, Box: [4]float64{0, 0, 1, 1}})
	}
	var before string
	for _, parallel := range []int{1, 2, 5} {
		p := DefaultParams(Boxes)
		p.Parallel = parallel
		r, err := Evaluate(gt, dt, p)
		if err != nil {
			t.Fatal(err)
		}
		text := r.Problems.String()
		if !strings.HasPrefix(text, "100000 detections in images that the dataset does not have") || !strings.Contains(text, "(detection 2 of image 10, ") || !strings.Contains(text, ", …)") || before != "" && text != before {
			t.Errorf("%d goroutines: %s", parallel, text)
		}
		before = text
	}
}

func TestKindsAreInOrder(t *testing.T) {
	keys := map[string]bool{}
	for i, about := range Kinds {
		if int(about.Kind) != i || keys[about.Key] {
			t.Errorf("%d is %+v", i, about)
		}
		keys[about.Key] = true
	}
	if len(Kinds) != kinds {
		t.Errorf("%d kinds of %d", len(Kinds), kinds)
	}
}

func TestParamsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(p *Params)
	}{
		{"no thresholds", "needed", func(p *Params) { p.IoUs = nil }},
		{"nothing", "needed", func(p *Params) { *p = Params{} }},
		{"a type", "neither", func(p *Params) { p.Type = 7 }},
		{"recalls that fall", "ascend", func(p *Params) { p.Recalls = []float64{1, 0} }},
		{"NaN", "NaN", func(p *Params) { p.IoUs[3] = math.NaN() }},
		{"a range", "is 2 to 1", func(p *Params) { p.AreaRanges[0] = AreaRange{"all", 2, 1} }},
		{"a label twice", `two area ranges "all"`, func(p *Params) { p.AreaRanges[1].Label = "all" }},
		{"no detections", "positive", func(p *Params) { p.MaxDets = []int{0} }},
		{"a number twice", "[1 5 5]", func(p *Params) { p.MaxDets = []int{5, 1, 5} }},
		{"an image", "image 7 is not in", func(p *Params) { p.Images = []int64{1, 7} }},
		{"a category", "category 7 is not in", func(p *Params) { p.Categories = []int64{7} }},
	} {
		gt, dt := fine()
		p := DefaultParams(Boxes)
		c.change(&p)
		if _, err := Evaluate(gt, dt, p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestNothingIsMinusOne(t *testing.T) {
	gt, dt := fine()
	none := [12]float64{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}
	for _, c := range []struct {
		name string
		gt   *Dataset
		want [12]float64
	}{
		{"no dataset", &Dataset{}, none},
		{"no ground truth", &Dataset{Images: gt.Images, Categories: gt.Categories}, none},
		{"no categories", &Dataset{Images: gt.Images}, none},
		{"all found", gt, [12]float64{1, 1, 1, 1, -1, -1, 1, 1, 1, 1, -1, -1}},
	} {
		for _, useCats := range []bool{true, false} {
			p := DefaultParams(Boxes)
			p.UseCats = useCats
			r, err := Evaluate(c.gt, dt, p)
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.want {
				if !near(r.Stats[i], c.want[i]) {
					t.Errorf("%s: %v", c.name, r.Stats)
					break
				}
			}
		}
	}
	r, err := Evaluate(gt, nil, DefaultParams(Boxes))
	if err != nil || r.Stats != [12]float64{0, 0, 0, 0, -1, -1, 0, 0, 0, 0, -1, -1} {
		t.Errorf("nothing found: %v %v", r.Stats, err)
	}
}

func TestCurvesAndCategories(t *testing.T) {
	gt, dt := fine()
	dt[1].Score = .25
	dt = append(dt, Annotation{ImageID: 2, CategoryID: 1, Box: [4]float64{40, 30, 5, 5}, Score: .4})
	p := DefaultParams(Boxes)
	p.Recalls = []float64{0, .5, .75, 1}
	r, err := Evaluate(gt, dt, p)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := r.Curve(1, .75)
	want := []CurvePoint{{0, 1 / (1 + epsilon), .5}, {.5, 1 / (1 + epsilon), .5}, {.75, 2. / 3, .25}, {1, 2. / 3, .25}}
	if err != nil || !slices.Equal(curve, want) {
		t.Errorf("%v %v, want %v", curve, err, want)
	}
	if curve, err = r.Curve(2, .75); err != nil || curve != nil {
		t.Errorf("a category without objects: %v %v", curve, err)
	}
	if _, err = r.Curve(3, .75); err == nil {
		t.Error("an unknown category has a curve")
	}
	if _, err = r.Curve(1, .76); err == nil {
		t.Error("an unknown threshold has a curve")
	}
	list := r.Categories()
	if len(list) != 2 || list[0].Name != "cat" || list[0].Truths != 2 || !near(list[0].AP, 5./6) || !near(list[0].AP50, 5./6) || list[1].Truths != 0 || list[1].AP != -1 || list[1].AP50 != -1 {
		t.Errorf("%+v", list)
	}
}
