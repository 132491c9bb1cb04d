package labels

import (
	"path/filepath"
	"strings"
	"testing"
)

// Each reader gets a set of nothing, of one thing, and of things that cannot be. It gives an error or what is left, never a panic, and no
// number of what it gives is infinite or NaN.
func TestEmptySingleAndAbsurdSets(t *testing.T) {
	t.Parallel()
	coco := func(images, annotations, categories string) map[string]string {
		return map[string]string{"a.png": "", "set.json": `{"images":[` + images + `],"annotations":[` + annotations + `],"categories":[` + categories + `]}`}
	}
	const image, category = `{"id":1,"file_name":"a.png","width":100,"height":50}`, `{"id":1,"name":"x"}`
	box := func(values string) string {
		return `{"id":1,"image_id":1,"category_id":1,"bbox":[` + values + `],"area":4}`
	}
	long := strings.Repeat("0.5 ", 100_000)
	for name, row := range map[string]struct {
		files  map[string]string
		images int // that are read; −1: an error
	}{
		"COCO, nothing":               {coco("", "", ""), -1},
		"COCO, no categories":         {coco(image, "", ""), -1},
		"COCO, one box":               {coco(image, box("1,1,2,2"), category), 1},
		"COCO, huge box":              {coco(image, box("1e308,1e308,1e308,1e308"), category), 1},
		"COCO, negative box":          {coco(image, box("5,5,-2,-2"), category), 1},
		"COCO, too few numbers":       {coco(image, box("1"), category), -1},
		"COCO, a picture twice":       {coco(image+","+image, "", category), 1},
		"COCO, ids at the limits":     {coco(`{"id":9223372036854775807,"file_name":"a.png","width":100,"height":50}`, "", `{"id":-9223372036854775808,"name":""}`), 1},
		"YOLO, empty labels":          {map[string]string{"a.png": "", "a.txt": ""}, -1},
		"YOLO, one box":               {map[string]string{"a.png": "", "a.txt": "0 0.5 0.5 0.1 0.1"}, 1},
		"YOLO, all of the picture":    {map[string]string{"a.png": "", "a.txt": "0 0.5 0.5 1 1"}, 1},
		"YOLO, numbers that are none": {map[string]string{"a.png": "", "a.txt": "0 nan inf -inf 1e999"}, -1},
		"YOLO, a class of billions":   {map[string]string{"a.png": "", "a.txt": "9999999999 0.5 0.5 0.1 0.1"}, -1},
		"YOLO, a negative class":      {map[string]string{"a.png": "", "a.txt": "-1 0.5 0.5 0.1 0.1"}, -1},
		"YOLO, a long line":           {map[string]string{"a.png": "", "a.txt": "0 " + long}, -1},
	} {
		dir := write(t, row.files)
		data := dir
		if _, ok := row.files["set.json"]; ok {
			data = filepath.Join(dir, "set.json")
		}
		d, err := ReadDetections(data, "")
		if (err != nil) != (row.images < 0) || err == nil && len(d.Images) != row.images {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		for _, a := range d.Set.Annotations {
			for _, v := range append(a.Box[:], a.Area) {
				if v-v != 0 {
					t.Errorf("%s: %+v", name, a)
				}
			}
		}
	}
	for name, row := range map[string]struct {
		files  map[string]string
		images int
	}{
		"nothing":             {map[string]string{"labels.csv": ""}, -1},
		"a header only":       {map[string]string{"labels.csv": "file,label\n"}, -1},
		"one":                 {map[string]string{"a.png": "", "labels.csv": "a.png,0\n"}, 1},
		"a class of billions": {map[string]string{"a.png": "", "labels.csv": "a.png,99999999999999999999\n"}, -1},
		"a negative class":    {map[string]string{"a.png": "", "labels.csv": "a.png,-1\n"}, -1},
		"many columns":        {map[string]string{"a.png": "", "labels.csv": "a.png" + strings.Repeat(",0", 10_000) + "\n"}, 1},
	} {
		c, err := ReadClasses(filepath.Join(write(t, row.files), "labels.csv"), "")
		if (err != nil) != (row.images < 0) || err == nil && len(c.Images) != row.images {
			t.Errorf("classes, %s: %v", name, err)
		}
	}
	for name, files := range map[string]map[string]string{"nothing": {}, "pictures only": {"data/a.png": ""}, "masks only": {"gt/a.png": ""}, "empty folders": {"data/x": "", "gt/x": ""}} {
		if p, err := ReadPairs(write(t, files), "", ".png"); err == nil {
			t.Errorf("pairs, %s: %d", name, len(p.Images))
		}
	}
}
