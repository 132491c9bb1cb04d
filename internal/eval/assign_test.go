package eval

import (
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/coco"
	"quantcheck/internal/decode"
	"quantcheck/internal/labels"
	"quantcheck/internal/result"
)

// categorised is a set of 12 pictures with a box of each category in turn.
func categorised(categories ...coco.Category) *labels.Detections {
	d := &labels.Detections{Set: &coco.Dataset{Categories: categories}}
	for i := range 12 {
		d.Set.Images = append(d.Set.Images, coco.Image{ID: int64(i + 1), Width: 64, Height: 64})
		d.Set.Annotations = append(d.Set.Annotations, coco.Annotation{ID: int64(i + 1), ImageID: int64(i + 1), CategoryID: categories[i%len(categories)].ID, Box: [4]float64{8, 8, 32, 32}, Area: 1024})
	}
	return d
}

// scored gives an evaluation of a model that has the right box on each picture, of the class that right gives for the category in turn.
func scored(t *testing.T, set *labels.Detections, config Config, right func(i int) int, shift float32) *result.Evaluation {
	t.Helper()
	config.Decoder = "boxes"
	config.Decode.Mapping = decode.Mapping{Boxes: "b", Scores: "s", Classes: "c"}
	b := NewBoxes(set, config, 2, false)
	for i := range 12 {
		p := plain(64, 64, labels.Image{ID: int64(i + 1)})
		out := ready([6]float32{8 + shift, 8, 40 + shift, 40, 0.9, float32(right(i % len(set.Set.Categories)))})
		if err := b.Picture(p, [][]decode.Output{out, out}); err != nil {
			t.Fatal(err)
		}
	}
	e := evaluation(result.Detection, "float", "v")
	if err := b.Conclude(e); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestClassesInAnotherOrderThanTheSet has sets whose ids are not the model's order.
func TestClassesInAnotherOrderThanTheSet(t *testing.T) {
	named := func(ids ...int64) (list []coco.Category) {
		for i, id := range ids {
			list = append(list, coco.Category{ID: id, Name: []string{"red", "green", "blue"}[i]})
		}
		return list
	}
	config := func(yaml, metadata []string) Config {
		c := Usual()
		c.Classes, c.ModelNames = yaml, metadata
		return c
	}
	gaps := named(90, 7, 12)
	cocoSet := []coco.Category{{ID: 90, Name: "Zahnbürste"}, {ID: 1, Name: "Mensch"}, {ID: 13, Name: "Halteschild"}}
	for _, c := range []struct {
		name   string
		set    []coco.Category
		config Config
		right  func(i int) int
		says   string
	}{
		{"names in the YAML", gaps, config([]string{"blue", "green", "red"}, []string{"red", "green", "blue"}), func(i int) int { return 2 - i }, "boxes"},
		{"names in the metadata", gaps, config(nil, []string{"Red", "green", "blue"}), func(i int) int { return i }, "metadata"},
		{"a part of the names, which agree with the ids", named(1, 2, 3), config(nil, []string{"red", "grün", "blue"}), func(i int) int { return i }, "agrees"},
		{"ids in order", named(1, 2, 3), config(nil, nil), func(i int) int { return i }, "boxes"},
		{"as the set lists them", gaps, config(nil, nil), func(i int) int { return i }, "lists its categories"},
		{"id = class", named(2, 0, 5), config(nil, nil), func(i int) int { return []int{2, 0, 5}[i] }, "id = class"},
		{"id − 1 = class, metadata of other names", named(2, 9, 6), config(nil, []string{"x", "y"}), func(i int) int { return []int{1, 8, 5}[i] }, "id − 1"},
		{"COCO's ids in another language", cocoSet, config(nil, nil), func(i int) int { return []int{79, 0, 11}[i] }, "80 of 91"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.HasPrefix(c.name, "COCO") {
				c.config.Decode.Classes = 80
			}
			e := scored(t, categorised(c.set...), c.config, c.right, 0)
			near(t, "mAP", e.Models[0].Scores[0], 1)
			near(t, "mAP of the variant", e.Models[1].Scores[0], 1)
			if !strings.Contains(e.Reading, c.says) || len(e.Warnings) != 0 || len(e.Models[0].Annotations) != 12 {
				t.Errorf("%q, warnings %q, %d boxes", e.Reading, e.Warnings, len(e.Models[0].Annotations))
			}
			for i, p := range e.Pictures {
				if len(p.Found[0]) != 1 || len(p.Truth) != 1 || p.Found[0][0].Class != p.Truth[0].Class {
					t.Fatalf("picture %d: %+v, %+v", i, p.Found, p.Truth)
				}
			}
			if a := e.Models[1].Agree; a.Kept != 12 {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestAScoreOfNothingIsSaid has a float model that is wrong about places, and one that is wrong about classes.
func TestAScoreOfNothingIsSaid(t *testing.T) {
	set := categorised(coco.Category{ID: 1, Name: "a"}, coco.Category{ID: 2, Name: "b"})
	for _, c := range []struct {
		name, says string
		right      func(i int) int
		shift      float32
	}{
		{"places", "--try-inputs", func(i int) int { return i }, 24},
		{"classes", "classes: [...]", func(i int) int { return i }, 0},
	} {
		config := Usual()
		if c.name == "classes" {
			config.Classes = []string{"B", "A"} // the wrong way round
		}
		e := scored(t, set, config, c.right, c.shift)
		if !e.Blind() || len(e.Warnings) != 1 || !strings.Contains(e.Warnings[0], c.says) || !strings.Contains(e.Warnings[0], "float model itself") {
			t.Errorf("%s: mAP %v, warnings %q", c.name, e.Models[0].Scores[0], e.Warnings)
		}
	}
}

// TestClassificationByName has folders in the order of the alphabet, and a model whose classes stand otherwise.
func TestClassificationByName(t *testing.T) {
	for _, c := range []struct {
		name     string
		data     []string
		yaml     []string
		metadata []string
		right    []int
		says     bool
	}{
		{"metadata", []string{"blue", "red"}, nil, []string{"red", "green", "Blue"}, []int{2, 0}, true},
		{"YAML", []string{"blue", "red"}, []string{"blue", "green", "red"}, []string{"red", "green", "blue"}, []int{0, 2}, true},
		{"metadata of another model", []string{"blue", "red"}, nil, []string{"red", "blue"}, []int{0, 1}, false},
		{"not all names", []string{"blue", "yellow"}, nil, []string{"red", "green", "blue"}, []int{0, 1}, false},
	} {
		config := Usual()
		config.Classes, config.ModelNames = c.yaml, c.metadata
		data := &labels.Classes{Names: c.data, Images: []labels.Image{{Class: 0}, {Class: 1}}}
		l := NewLabels(data, config, 1)
		for k, class := range c.right {
			scores := make([]float32, 3)
			scores[class] = 1
			if err := l.Picture(plain(4, 4, labels.Image{Class: k}), [][]decode.Output{output(scores, 1, 3)}); err != nil {
				t.Fatal(err)
			}
		}
		e := evaluation(result.Classification, "float")
		if err := l.Conclude(e); err != nil {
			t.Fatal(err)
		}
		near(t, c.name, e.Models[0].Scores[0], 1)
		if strings.Contains(e.Reading, "by name") != c.says {
			t.Errorf("%s: %q", c.name, e.Reading)
		}
	}
}

func TestCOCOsIDs(t *testing.T) {
	if len(cocoIDs) != len(cocoNames) || cocoIDs[79] != 90 || cocoIDs[11] != 13 || !slices.IsSorted(cocoIDs) {
		t.Errorf("%v", cocoIDs)
	}
}
