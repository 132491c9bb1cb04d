package decode_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
)

// model is a detector on ONNX Runtime.
type model struct {
	run    *ort.Runner
	loader dataset.Loader
}

// open compiles a fixture model; more tells which tensors to yield besides its outputs.
func open(t *testing.T, file string, d dataset.Description, more func(m *onnx.Model, types map[string][]int64) []string) model {
	t.Helper()
	path := fixture.Beside(t, "models", file)
	r := fixture.Runtime(t)
	m, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if m, _, err = onnx.FixInputs(m, nil); err != nil {
		t.Fatal(err)
	}
	types, err := ort.Types(r, m)
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]int64{}
	for name, typ := range types {
		shapes[name] = typ.Shape
	}
	run, err := ort.New(r, m, ort.Options{Taps: append(m.Outputs(), more(m, shapes)...), Types: types})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run.Close)
	dtype, shape, _ := onnx.TypeOf(m.Inputs()[0])
	return model{run, dataset.Loader{Inputs: []dataset.Input{{Name: m.Inputs()[0].GetName(), DType: dtype, Shape: shape}}, Description: d}}
}

// outputs runs the model on a picture.
func (m model) outputs(t *testing.T, source dataset.Source) map[string]decode.Output {
	t.Helper()
	s, err := m.loader.Load(source)
	if err != nil {
		t.Fatal(err)
	}
	f := m.run.Start(runner.Sample{Inputs: s.Inputs})
	defer f.Close()
	outs := map[string]decode.Output{}
	for range m.run.Segments() {
		batch, err := f.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, tap := range batch.Taps {
			outs[tap.Name] = decode.Output{Name: tap.Name, Tensor: tap.Tensor.Clone()}
		}
		batch.Release()
	}
	return outs
}

func pictures(t *testing.T, limit int) []dataset.Source {
	t.Helper()
	set, err := dataset.Find(fixture.Beside(t, "coco", "val"), limit)
	if err != nil {
		t.Fatal(err)
	}
	return set.Sources
}

// truth is what COCO's annotators drew in a picture.
type truth struct {
	width, height int
	boxes         []decode.Detection // in pixels of the picture
}

func truths(t *testing.T) map[string]truth {
	t.Helper()
	data, err := os.ReadFile(fixture.Beside(t, "coco", "instances.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Images []struct {
			ID, Width, Height int
			Name              string `json:"file_name"`
		}
		Annotations []struct {
			ImageID  int `json:"image_id"`
			Category int `json:"category_id"`
			BBox     [4]float32
		}
		Categories []struct{ ID int }
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	var categories []int
	for _, c := range file.Categories {
		categories = append(categories, c.ID)
	}
	slices.Sort(categories)
	list := map[string]truth{}
	for _, image := range file.Images {
		tr := truth{width: image.Width, height: image.Height}
		for _, a := range file.Annotations {
			if a.ImageID == image.ID {
				b := a.BBox
				tr.boxes = append(tr.boxes, decode.Detection{Box: [4]float32{b[0], b[1], b[0] + b[2], b[1] + b[3]}, Class: slices.Index(categories, a.Category)})
			}
		}
		list[image.Name] = tr
	}
	return list
}

// TestYoloxFindsWhatPeopleAnnotated: on real pictures most confident boxes are objects of the same class, and most large
// objects are found; rows and the maps that they were made of give the same boxes.
func TestYoloxFindsWhatPeopleAnnotated(t *testing.T) {
	d := dataset.Default()
	d.InputColor, d.Resize, d.PadValue, d.PadPosition = "bgr", "letterbox", 114, "bottom-right"
	var maps []string
	m := open(t, "yolox_nano.onnx", d, func(m *onnx.Model, shapes map[string][]int64) []string {
		for _, n := range m.Graph().GetNode() {
			if s := shapes[n.GetOutput()[0]]; n.GetOpType() == "Concat" && len(s) == 4 && s[1] == 85 {
				maps = append(maps, n.GetOutput()[0])
			}
		}
		return maps
	})
	if len(maps) != 3 {
		t.Fatalf("maps of 85 channels: %q", maps)
	}
	s := decode.SeedSettings()
	s.Width, s.Height = 416, 416
	known := truths(t)
	confident, right, large, found := 0, 0, 0, 0
	for _, source := range pictures(t, 0) {
		outs := m.outputs(t, source)
		out := []decode.Output{outs["output"]}
		decoder, why, err := decode.RecogniseValues(out, s)
		if err != nil || decoder.Name != "yolox" {
			t.Fatalf("%s: %s (%s), %v", source.Name, decoder.Name, why, err)
		}
		r, err := decode.Decode(decoder, out, s)
		if err != nil {
			t.Fatal(err)
		}
		var scales []decode.Output
		for _, name := range maps {
			scales = append(scales, outs[name])
		}
		other, err := decode.Decode(decoder, scales, s)
		if err != nil || !slices.Equal(r.Detections, other.Detections) {
			t.Fatalf("%s: rows and maps differ (%v)", source.Name, err)
		}
		tr := known[filepath.Base(source.Files[""])]
		ratio := min(416/float32(tr.width), 416/float32(tr.height))
		agrees := func(a, b decode.Detection) bool {
			for k := range a.Box {
				a.Box[k] /= ratio
			}
			return a.Class == b.Class && decode.IoU(a.Box, b.Box) > 0.5
		}
		for _, b := range r.Detections {
			if b.Score > 0.5 {
				confident++
				if slices.ContainsFunc(tr.boxes, func(g decode.Detection) bool { return agrees(b, g) }) {
					right++
				}
			}
		}
		for _, g := range tr.boxes {
			if (g.Box[2]-g.Box[0])*(g.Box[3]-g.Box[1]) > 0.1*float32(tr.width*tr.height) {
				large++
				if slices.ContainsFunc(r.Detections, func(b decode.Detection) bool { return agrees(b, g) }) {
					found++
				}
			}
		}
	}
	t.Logf("%d of %d boxes over 0.5 are right, %d of %d large objects are found", right, confident, found, large)
	if confident < 100 || large < 50 || right*100 < confident*80 || found*100 < large*60 {
		t.Errorf("%d of %d boxes over 0.5 are right, %d of %d large objects are found", right, confident, found, large)
	}
}

// TestPriorsEqualTheModelsOwnDecoding: the face detector's graph decodes its boxes itself; offsets and logits taken from
// before that give the same boxes.
func TestPriorsEqualTheModelsOwnDecoding(t *testing.T) {
	d := dataset.Default()
	d.Mean, d.Scale = dataset.Numbers{127}, dataset.Numbers{128}
	before := map[string]string{}
	m := open(t, "version-RFB-320.onnx", d, func(m *onnx.Model, _ map[string][]int64) []string {
		for _, n := range m.Graph().GetNode() {
			switch n.GetOpType() {
			case "Softmax":
				before["scores"] = n.GetInput()[0]
			case "Slice":
				if before["boxes"] == "" { // the first one takes the centres out of the offsets
					before["boxes"] = n.GetInput()[0]
				}
			}
		}
		return []string{before["scores"], before["boxes"]}
	})
	s := decode.ScoringSettings()
	s.Width, s.Height = 320, 240
	boxes, confident := 0, 0
	for _, source := range pictures(t, 12) {
		outs := m.outputs(t, source)
		ready := []decode.Output{outs["scores"], outs["boxes"]}
		decoder, why, err := decode.Recognise(shapesOf(ready), s)
		if err != nil || decoder.Name != "ssd" {
			t.Fatalf("%s (%s), %v", decoder.Name, why, err)
		}
		want, err := decoder.Candidates(ready, s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decoder.Candidates([]decode.Output{outs[before["scores"]], outs[before["boxes"]]}, s)
		if err != nil {
			t.Fatal(err)
		}
		if want.Settled.Priors.Decoded != decode.Yes || got.Settled.Priors.Decoded != decode.No || want.Settled.Sigmoid != decode.No || got.Settled.Sigmoid != decode.Yes {
			t.Fatalf("%s: %q and %q", source.Name, want.Notes, got.Notes)
		}
		if len(got.List) != len(want.List) {
			t.Fatalf("%s: %d boxes, want %d", source.Name, len(got.List), len(want.List))
		}
		for i, b := range want.List {
			off := math.Abs(float64(b.Score - got.List[i].Score))
			for k := range 4 {
				off = max(off, math.Abs(float64(b.Box[k]-got.List[i].Box[k]))/320)
			}
			if off > 1e-5 || b.Class != 0 || got.List[i].Class != 0 {
				t.Fatalf("%s: box %d is %+v, want %+v", source.Name, i, got.List[i], b)
			}
			if b.Score > 0.7 {
				confident++
			}
		}
		boxes += len(want.List)
	}
	t.Logf("%d boxes, %d over 0.7", boxes, confident)
	if boxes < 100 || confident == 0 {
		t.Errorf("%d boxes, %d over 0.7: nothing is shown", boxes, confident)
	}
}
