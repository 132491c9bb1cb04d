package labels

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/coco"
	"quantcheck/internal/fixture"
)

// write makes files below a folder; a text of "WxH" for a picture makes one of that size.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".png") && text == "" {
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 100, 50))); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCOCO(t *testing.T) {
	path := fixture.Path(t, "coco", "instances.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ReadDetections(path, "")
	if err != nil || len(d.Images) != 64 || len(d.Set.Annotations) != bytes.Count(data, []byte(`"bbox"`)) || len(d.Problems.List()) != 0 {
		t.Fatalf("%v %d images, %v", err, len(d.Images), d.Problems.List())
	}
	dir := write(t, map[string]string{
		"a.png": "", "set.json": `{"images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 50}, {"id": 2, "file_name": "gone.png"}], "annotations": [], "categories": [{"id": 1, "name": "x"}]}`,
		"none.json": `{"images": [{"id": 2, "file_name": "gone.png"}], "annotations": [], "categories": [{"id": 1, "name": "x"}]}`, "list.json": `[]`, "junk.json": `{"images": [`,
	})
	d, err = ReadDetections(filepath.Join(dir, "set.json"), "")
	if err != nil || len(d.Images) != 1 || len(d.Problems.List()) != 1 || !strings.Contains(d.Problems.List()[0], `"gone.png" (id 2)`) {
		t.Errorf("%v %+v", err, d)
	}
	for file, says := range map[string]string{"none.json": "none of the 1 pictures", "list.json": "list.json", "junk.json": "junk.json", "absent.json": "absent.json"} {
		if _, err := ReadDetections(filepath.Join(dir, file), ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestYOLO(t *testing.T) {
	dir := write(t, map[string]string{
		"images/a.png": "", "images/b.png": "", "images/c.png": "", "images/bad.jpg": "no picture", "data.yaml": "names: {0: cat, 1: dog}\n",
		"labels/a.txt": "0 0.5 0.5 0.2 0.4\n1 0.1 0.1 0.3 0.1 0.3 0.3\n\n0 1.5 0 0 0\nx 0 0 0 0\n1 0.5 0.5 0 0.1\n", "labels/b.txt": "", "labels/orphan.txt": "0 0 0 1 1",
	})
	d, err := ReadDetections(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Images) != 3 || len(d.Set.Annotations) != 2 || len(d.Set.Categories) != 2 || d.Set.Categories[1].Name != "dog" {
		t.Errorf("%+v", d.Set)
	}
	box := d.Set.Annotations[0].Box
	for i, want := range [4]float64{40, 15, 20, 20} {
		if math.Abs(box[i]-want) > 1e-9 {
			t.Errorf("box %v", box)
		}
	}
	polygon := d.Set.Annotations[1]
	if polygon.Segmentation == nil || math.Abs(polygon.Area-0.5*20*10) > 1e-9 || math.Abs(polygon.Box[2]-20) > 1e-9 {
		t.Errorf("polygon %+v", polygon)
	}
	all := strings.Join(d.Problems.List(), "\n")
	for _, want := range []string{"a.txt:4", "a.txt:5", "a.txt:6", "c.png", "orphan.txt", "bad.jpg"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	for says, files := range map[string]map[string]string{
		"no label belongs": {"a.png": ""}, "label 2 of a.txt: 312 is not within 0..1": {"a.png": "", "a.txt": "0 0.5 0.5 0.1 0.1\n0 312 40 20 20"},
		"label 1 of a.txt: 64.5": {"a.png": "", "a.txt": "0 0.1 0.1 64.5 0.1 0.2 0.2"}, "2 label files has a usable label": {"a.png": "", "b.png": "", "a.txt": "", "b.txt": "\n\n"},
		"within 0..1 and are left out: a.txt:1": {"a.png": "", "a.txt": "x 1 1 1 1"}, "without an area and are left out: a.txt:1": {"a.png": "", "a.txt": "0 0.5 0.5 0 0"}, "holds no pictures": {"labels/a.txt": ""}, "only 1 classes are named": {"a.png": "", "a.txt": "3 0.5 0.5 0.1 0.1", "classes.txt": "cat\n"},
	} {
		if _, err := ReadDetections(write(t, files), ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestPairs(t *testing.T) {
	dir := write(t, map[string]string{"data/a.png": "", "data/b.png": "", "gt/a.png": "", "gt/other.png": ""})
	p, err := ReadPairs(dir, "", ".png")
	if err != nil || len(p.Images) != 1 || filepath.Base(p.Images[0].Truth) != "a.png" || len(p.Problems.List()) != 2 {
		t.Errorf("%v %+v", err, p)
	}
	twice := write(t, map[string]string{"images/a.png": "", "depth/a.png": "", "depth/a.npy": "x"})
	if _, err := ReadPairs(twice, "", ".png", ".npy"); err == nil || !strings.Contains(err.Error(), "could both be") {
		t.Errorf("%v", err)
	}
	if _, err := ReadPairs(write(t, map[string]string{"x/a.png": ""}), "", ".png"); err == nil || !strings.Contains(err.Error(), "--image-dir") {
		t.Errorf("%v", err)
	}
	if p, err := ReadPairs(filepath.Join(dir, "gt"), filepath.Join(dir, "data"), ".png"); err != nil || len(p.Images) != 1 {
		t.Errorf("%v", err)
	}
}

func TestClassesOfFoldersAndCSV(t *testing.T) {
	dir := write(t, map[string]string{"cat/1.png": "", "cat/2.png": "", "empty/readme.txt": ""})
	if err := os.Symlink(filepath.Join(write(t, map[string]string{"a/1.png": ""}), "a"), filepath.Join(dir, "ant")); err != nil {
		t.Fatal(err)
	}
	c, err := ReadClasses(dir, "")
	if err != nil || len(c.Images) != 3 || !slices.Equal(c.Names, []string{"ant", "cat", "empty"}) || c.Images[0].Class != 0 || c.Images[1].Class != 1 || len(c.Problems.List()) != 1 {
		t.Errorf("%v %+v", err, c)
	}
	c, err = ReadClasses(write(t, map[string]string{"0/a.png": "", "10/a.png": "", "2/a.png": ""}), "")
	if err != nil || len(c.Names) != 11 || c.Images[1].Class != 10 {
		t.Errorf("numbers are not their own classes: %v %+v", err, c)
	}
	dir = write(t, map[string]string{"a.png": "", "b.png": "", "labels.csv": "file,label\na.png,5\nb.png, 3\ngone.png,1\nalone\n"})
	c, err = ReadClasses(filepath.Join(dir, "labels.csv"), "")
	if err != nil || len(c.Images) != 2 || c.Images[0].Class != 5 || c.Images[1].Class != 3 || len(c.Problems.List()) != 2 {
		t.Errorf("%v %+v", err, c)
	}
	for _, files := range []map[string]string{{"labels.csv": "gone.png,1"}, {"labels.csv": "\"", "a.png": ""}} {
		if _, err := ReadClasses(filepath.Join(write(t, files), "labels.csv"), ""); err == nil {
			t.Error("read")
		}
	}
}

func FuzzLabels(f *testing.F) {
	f.Add("0 0.5 0.5 0.2 0.4\n1 0.1 0.1 0.3 0.1 0.3 0.3")
	f.Add("0 nan 1e999 -1 2")
	f.Fuzz(func(t *testing.T, text string) {
		d := &Detections{Set: &coco.Dataset{}}
		if _, err := d.addLabels(1, 640, 480, text, "f"); err != nil {
			return
		}
		for _, a := range d.Set.Annotations {
			for _, v := range a.Box {
				if v-v != 0 {
					t.Errorf("%q gives %v", text, a.Box)
				}
			}
		}
	})
}

func TestNamesThatLeadOutOfThePicturesFolderAreLeftOut(t *testing.T) {
	dir := write(t, map[string]string{"out.png": "", "set/a.png": "", "set/sub/b.png": "", "set/set.json": `{"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "../out.png"}, {"id": 3, "file_name": "/etc/passwd"},
		{"id": 4, "file_name": "up/out.png"}, {"id": 5, "file_name": "sub/b.png"}, {"id": 6, "file_name": "sub/../../out.png"}, {"id": 7, "file_name": ""}], "annotations": [], "categories": [{"id": 1, "name": "x"}]}`,
		"set/list.csv": "a.png,1\n../out.png,2\n"})
	if err := os.Symlink(dir, filepath.Join(dir, "set", "up")); err != nil {
		t.Fatal(err)
	}
	d, err := ReadDetections(filepath.Join(dir, "set", "set.json"), "")
	if err != nil || len(d.Images) != 2 || d.Images[0].Name != "a.png" || d.Images[1].Name != "sub/b.png" {
		t.Fatalf("%v %+v", err, d)
	}
	all := strings.Join(d.Problems.List(), "\n")
	for _, want := range []string{`"../out.png" (id 2)`, `"/etc/passwd" (id 3)`, `"up/out.png" (id 4)`, "4 images of the data set have names that lead out"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in\n%s", want, all)
		}
	}
	c, err := ReadClasses(filepath.Join(dir, "set", "list.csv"), "")
	if err != nil || len(c.Images) != 1 || !strings.Contains(strings.Join(c.Problems.List(), ""), "../out.png") {
		t.Errorf("%v %+v", err, c)
	}
}
