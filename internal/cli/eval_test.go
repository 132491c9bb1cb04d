package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

func evaluate(t *testing.T, args ...string) result.Evaluation {
	t.Helper()
	status, stdout, stderr := run(t, append([]string{"eval"}, args...)...)
	var e result.Evaluation
	if err := json.Unmarshal([]byte(stdout), &e); status != 0 || err != nil {
		t.Fatalf("%d %v %s", status, err, stderr)
	}
	return e
}

// yoloxNano are the arguments that describe the fixtures' detector.
func yoloxNano(t *testing.T) []string {
	t.Helper()
	return []string{fixture.Path(t, "models", "yolox_nano.onnx"), "--data", fixture.Path(t, "coco", "instances.json"), "--task", "detection", "--model-config", filepath.Join(fixture.Root(), "examples", "yolox_nano.yaml")}
}

func readCSV(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestEmulatedScores(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	model, data := segmenter(t)
	e := evaluate(t, model, "--task", "segmentation", "--data", data, "--variant", "w8a8@htp", "--variant", "w8a16@htp", "--out", t.TempDir(), "--json")
	for i, m := range e.Models {
		if m.Scores[0].V < 0.99 || (m.Emulator != nil) != (i > 0) {
			t.Errorf("%s: %v, emulator %+v", m.Name, m.Scores, m.Emulator)
		}
	}
	if len(e.Models) != 3 {
		t.Errorf("%d models", len(e.Models))
	}
}

func TestInputsAreTried(t *testing.T) {
	t.Parallel()
	model, data := segmenter(t)
	status, stdout, stderr := run(t, "eval", model, "--data", data, "--task", "segmentation", "--try-inputs", "--input-color", "bgr", "--json")
	var tried result.TriedInputs
	if err := json.Unmarshal([]byte(stdout), &tried); status != 0 || err != nil {
		t.Fatalf("%d %v %s", status, err, stderr)
	}
	// The model takes RGB; its pictures fill the input, whatever their proportions.
	if best := tried.Tried[0]; best.Input.InputColor != "rgb" || best.Asked {
		t.Errorf("%+v", best)
	}
	if status, stdout, stderr := run(t, "eval", model, "--data", data, "--task", "segmentation", "--try-inputs", "--input-color", "bgr"); status != 0 || !strings.Contains(stdout, "--input-color rgb") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
}

// segmenter writes a model that gives each pixel the class of its brighter colour, red or green, and a data set for it.
func segmenter(t *testing.T) (model, data string) {
	t.Helper()
	dir := t.TempDir()
	p := &onnxpb.ModelProto{
		IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}},
		Graph: &onnxpb.GraphProto{
			Name:        proto.String("g"),
			Node:        []*onnxpb.NodeProto{{OpType: proto.String("Conv"), Name: proto.String("c"), Input: []string{"x", "w"}, Output: []string{"y"}}},
			Initializer: []*onnxpb.TensorProto{{Name: proto.String("w"), Dims: []int64{2, 3, 1, 1}, DataType: proto.Int32(1), FloatData: []float32{1, 0, 0, 0, 1, 0}}},
			Input:       []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", 1, []int64{1, 3, 16, 16})},
			Output:      []*onnxpb.ValueInfoProto{onnx.ValueInfo("y", 1, []int64{1, 2, 16, 16})},
		},
	}
	b, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	model = filepath.Join(dir, "seg.onnx")
	if err := os.WriteFile(model, b, 0o600); err != nil {
		t.Fatal(err)
	}
	data = filepath.Join(dir, "set")
	for i := range 3 {
		picture, mask := image.NewRGBA(image.Rect(0, 0, 32, 32)), image.NewGray(image.Rect(0, 0, 32, 32))
		for y := range 32 {
			for x := range 32 {
				green := x >= 8*(i+1)
				c := color.RGBA{200, 20, 0, 255}
				if green {
					c = color.RGBA{20, 200, 0, 255}
					mask.SetGray(x, y, color.Gray{Y: 1})
				}
				picture.Set(x, y, c)
			}
		}
		for folder, m := range map[string]image.Image{"images": picture, "masks": mask} {
			path := filepath.Join(data, folder, fmt.Sprintf("%d.png", i))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(f, m); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return model, data
}

func TestSegmentationFromPicturesToMasks(t *testing.T) {
	t.Parallel()
	model, data := segmenter(t)
	dir := t.TempDir()
	e := evaluate(t, model, "--task", "segmentation", "--data", data, "--variant", "w8a8", "--out", dir, "--json")
	if e.Models[0].Scores[0].V != 1 || e.Models[0].Scores[4].V != 1 || e.Models[1].Scores[3].V < 0.99 || len(e.Pictures) != 3 {
		t.Errorf("%+v", e.Models)
	}
	f, err := os.Open(filepath.Join(dir, "processed_outputs", "seg-w8a8", "1.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil || m.Bounds().Dx() != 32 {
		t.Fatal(err)
	}
	if got, ok := m.At(20, 3).(color.Gray); !ok || got.Y != 1 {
		t.Errorf("%v", m.At(20, 3))
	}
	rows := readCSV(t, filepath.Join(dir, "results", "results.csv"))
	if strings.Join(rows[0], ",") != "model_name,fscore,precision,recall,accuracy,FPS" || len(rows) != 3 {
		t.Errorf("%v", rows)
	}
	info, err := os.ReadFile(filepath.Join(dir, "results", "seg.json"))
	if err != nil || !strings.Contains(string(info), `"predictions_dir":"processed_outputs/seg"`) {
		t.Errorf("%v %s", err, info)
	}
	// Agreement needs no truth.
	e = evaluate(t, model, "--task", "agreement", "--data", filepath.Join(data, "images"), "--variant", "w8a8", "--out", dir, "--json")
	s := e.Models[1].Scores[0]
	if !s.OK || s.V < 20 {
		t.Errorf("%+v", e.Models[1])
	}
	for _, row := range []struct {
		misses float64
		near   bool
	}{{0.005, true}, {0.5, false}} {
		status, _, stderr := run(t, "eval", model, "--task", "agreement", "--data", filepath.Join(data, "images"), "--variant", "w8a8", "--out", t.TempDir(), fmt.Sprintf("--fail-under=%.6f", s.V+row.misses))
		if status != 3 || strings.Contains(stderr, "another number of threads may turn around") != row.near {
			t.Errorf("missed by %g: %d %q", row.misses, status, stderr)
		}
	}
}

func TestEvalRefusesWhatItCannotScore(t *testing.T) {
	t.Parallel()
	model, data := segmenter(t)
	nano := fixture.Path(t, "models", "yolox_nano.onnx")
	instances := fixture.Path(t, "coco", "instances.json")
	junk := filepath.Join(t.TempDir(), "junk.json")
	if err := os.WriteFile(junk, []byte(`{"images": [{"id": 1}], "categories"`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{nano, "--data", instances}, "which task?"},
		{[]string{nano, "--data", instances, "--task", "walking"}, "task"},
		{[]string{nano, "--data", junk, "--task", "detection"}, "junk.json"},
		{[]string{nano, "--data", instances, "--task", "detection", "--images", t.TempDir()}, "none of the 64 pictures"},
		{[]string{nano, "--data", instances, "--task", "detection", "--decoder", "yolo"}, "unknown decoder"},
		{[]string{nano, "--data", instances, "--task", "detection", "--conf", "7"}, "confidence"},
		{[]string{model, "--data", instances, "--task", "detection"}, "--decoder"},
		{[]string{nano, "--data", data, "--task", "segmentation"}, "none of the outputs"},
		{[]string{nano, "--data", instances, "--task", "detection", "--variant", "x"}, "variant"},
	} {
		status, _, stderr := run(t, append(append([]string{"eval"}, c.args...), "--limit", "2", "--out", t.TempDir())...)
		if status != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: %d %s", c.args, status, stderr)
		}
	}
	if status, _, stderr := run(t, "stats", t.TempDir()); status != exitUsage || !strings.Contains(stderr, "no workspace") {
		t.Error(status, stderr)
	}
	status, _, stderr := run(t, "eval", model, "--task", "segmentation", "--data", data, "--out", t.TempDir(), "--fail-drop=-1")
	if status != exitNo || !strings.Contains(stderr, "drops by") {
		t.Error(status, stderr)
	}
}

// TestProblemsOfADataSetAreCounted damages the annotations in every way that occurs.
func TestProblemsOfADataSetAreCounted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "set.json")
	text := `{"images": [{"id": 9, "file_name": "000000000009.jpg", "width": 640, "height": 480}, {"id": 9, "file_name": "000000000009.jpg", "width": 640, "height": 480}, {"id": 4, "file_name": "absent.jpg", "width": 5, "height": 5}],
 "annotations": [{"id": 1, "image_id": 9, "category_id": 51, "bbox": [1, 187, 611, 285], "area": 120057, "iscrowd": 0}, {"id": 1, "image_id": 9, "category_id": 51, "bbox": [311, 4, 319, 228], "area": 44434, "iscrowd": 0},
 {"id": 3, "image_id": 77, "category_id": 51, "bbox": [1, 1, 5, 5], "area": 25}, {"id": 4, "image_id": 9, "bbox": [1, 1, 5, 5], "area": 25}, {"id": 5, "image_id": 9, "category_id": 51, "bbox": [1, 1, -5, 5], "area": 25},
 {"id": 6, "image_id": 9, "category_id": 51, "bbox": [NaN, 1, 5, 5], "area": 25}],
 "categories": [{"id": 51, "name": "bowl"}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append(yoloxNano(t), "--data", path, "--images", fixture.Path(t, "coco", "val"), "--out", t.TempDir(), "--json")
	e := evaluate(t, args...)
	all := strings.Join(e.Problems, "\n")
	for _, want := range []string{"absent.jpg", "images whose id another one has", "ground truth of images that the dataset does not have", "without image_id, category_id", "negative width", "NaN", "whose id another annotation has"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if !e.Models[0].Scores[0].OK {
		t.Error("no score")
	}
	status, _, stderr := run(t, append(append([]string{"eval"}, args...), "--strict")...)
	if status != exitUsage || !strings.Contains(stderr, "refused") {
		t.Error(status, stderr)
	}
}

func TestEvaluationsAreReadBackWhole(t *testing.T) {
	t.Parallel()
	model, data := segmenter(t)
	dir := t.TempDir()
	e := evaluate(t, model, "--task", "segmentation", "--data", data, "--out", dir, "--json")
	db, err := workspace.OpenExisting(t.Context(), workspace.Folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	list, _, err := db.Evaluations.All(t.Context())
	if err != nil || len(list) != 1 || list[0].Models[1].Scores[0] != e.Models[1].Scores[0] || list[0].Name != "seg" || len(list[0].Pictures) != 3 {
		t.Errorf("%v %+v", err, list)
	}
}

// TestOutputsOfABoardAreScored scores a folder of a DLC's own outputs, as integers and as float32, against the QDQ model
// that it came from.
func TestOutputsOfABoardAreScored(t *testing.T) {
	t.Parallel()
	for _, native := range []bool{false, true} {
		d := zooDumps(t, 3, native)
		e := evaluate(t, fixture.Path(t, "qnn", "zoo.onnx"), "--task", "agreement", "--data", d.samples, "--variant", "qdq="+fixture.Path(t, "qnn", "zoo_w8a8_per_channel.onnx"),
			"--variant", "board=dumps:"+d.dir+"@"+d.dlc, "--out", t.TempDir(), "--json")
		a, b := e.Models[1].Scores[0], e.Models[2].Scores[0]
		if !a.OK || math.Abs(a.V-b.V) > 1e-3 || e.Models[2].Bytes < 1000 {
			t.Errorf("native %v: %v as a model, %v from the board: %v %v", native, a, b, e.Problems, e.Warnings)
		}
	}
}
