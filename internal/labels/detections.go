package labels

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/coco"
	"quantcheck/internal/dataset"
	"quantcheck/internal/yamltext"
)

// Detections is a data set of boxes (or masks of objects).
type Detections struct {
	Set      *coco.Dataset
	Images   []Image // those whose pictures are there, in the set's order
	Problems Problems
}

// ReadDetections reads COCO's JSON (data is a file), or YOLO's labels (data is a folder with images/ and labels/, or with
// pictures and labels side by side). images is the folder of the pictures; "" looks beside the data.
func ReadDetections(data, images string) (*Detections, error) {
	if isDir(data) {
		return readYOLO(data, images)
	}
	set, err := coco.ReadDatasetFile(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", data, err)
	}
	if len(set.Images) == 0 || len(set.Categories) == 0 {
		return nil, fmt.Errorf("%s names %d images and %d categories; is it a data set in COCO's form?", data, len(set.Images), len(set.Categories))
	}
	d := &Detections{Set: set}
	folders := []string{images}
	if images == "" {
		base := filepath.Dir(data)
		folders = []string{base, filepath.Join(base, stem(data)), filepath.Join(base, "images"), filepath.Join(base, "val"), filepath.Join(base, "data"), filepath.Join(base, "val2017"), filepath.Join(base, "..", "val2017"), filepath.Join(base, "..", "images")}
	}
	seen := map[int64]bool{}
	for _, image := range set.Images {
		if seen[image.ID] {
			continue // the evaluation counts it as a problem
		}
		seen[image.ID] = true
		path := ""
		if !filepath.IsLocal(filepath.FromSlash(image.FileName)) {
			d.Problems.Add("images of the data set have names that lead out of the pictures' folder and are left out", fmt.Sprintf("%q (id %d)", image.FileName, image.ID))
			continue
		}
		leaves := false
		for _, folder := range folders {
			candidate := filepath.Join(folder, filepath.FromSlash(image.FileName))
			if info, err := os.Stat(candidate); err == nil && !info.IsDir() {
				if leaves = !staysIn(folder, candidate); leaves {
					continue
				}
				path = candidate
				break
			}
		}
		if path == "" && leaves {
			d.Problems.Add("images of the data set are links that lead out of the pictures' folder and are left out", fmt.Sprintf("%q (id %d)", image.FileName, image.ID))
			continue
		}
		if path == "" {
			d.Problems.Add("images of the data set have no picture and are left out", fmt.Sprintf("%q (id %d)", image.FileName, image.ID))
			continue
		}
		d.Images = append(d.Images, Image{Name: image.FileName, Path: path, ID: image.ID})
	}
	if len(d.Images) == 0 {
		return nil, fmt.Errorf("none of the %d pictures that %s names was found in %s; give their folder with --image-dir", len(set.Images), data, strings.Join(folders, ", "))
	}
	return d, nil
}

// readYOLO reads a folder of YOLO's labels: a line per object, class cx cy w h, all relative to the picture, or class and
// the corners of a polygon.
func readYOLO(dir, images string) (*Detections, error) {
	if images == "" {
		images = dir
		if found, ok := sub(dir, "images", "data"); ok {
			images = found
		}
	}
	pictures, err := listPictures(images)
	if err != nil {
		return nil, err
	}
	labels := dir
	if found, ok := sub(dir, "labels"); ok {
		labels = found
	}
	d := &Detections{Set: &coco.Dataset{}}
	names, err := classNames(dir)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	most, found := -1, 0
	for i, path := range pictures {
		relative, err := filepath.Rel(images, path)
		if err != nil {
			return nil, err
		}
		id := int64(i + 1)
		label := filepath.Join(labels, strings.TrimSuffix(relative, filepath.Ext(relative))+".txt")
		used[label] = true
		width, height, err := dataset.Size(path)
		if err != nil {
			d.Problems.Add("pictures cannot be read and are left out", fmt.Sprintf("%s (%v)", relative, err))
			continue
		}
		d.Images = append(d.Images, Image{Name: filepath.ToSlash(relative), Path: path, ID: id})
		d.Set.Images = append(d.Set.Images, coco.Image{ID: id, Width: width, Height: height, FileName: filepath.ToSlash(relative)})
		text, err := os.ReadFile(label)
		if errors.Is(err, os.ErrNotExist) {
			d.Problems.Add("pictures have no label file and count as pictures without objects", relative)
			continue
		}
		if err != nil {
			return nil, err
		}
		found++
		greatest, err := d.addLabels(id, width, height, string(text), filepath.Base(label))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", labels, err)
		}
		most = max(most, greatest)
	}
	if found == 0 {
		return nil, fmt.Errorf("%s is neither a data set with labels/*.txt nor a COCO JSON: no label belongs to any of the %d pictures", dir, len(pictures))
	}
	if len(d.Set.Annotations) == 0 && len(names) == 0 {
		list := append(d.Problems.List(), "")
		return nil, fmt.Errorf("%s: none of its %d label files has a usable label, and no classes are named (data.yaml, classes.txt). %s", dir, found, list[0])
	}
	files, err := filepath.Glob(filepath.Join(labels, "*.txt"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !used[f] && filepath.Base(f) != "classes.txt" {
			d.Problems.Add("label files have no picture and are left out", filepath.Base(f))
		}
	}
	if len(names) > 0 && most >= len(names) {
		return nil, fmt.Errorf("%s: a label has the class %d, but only %d classes are named", dir, most, len(names))
	}
	for k := range max(most+1, len(names)) {
		name := strconv.Itoa(k)
		if k < len(names) {
			name = names[k]
		}
		d.Set.Categories = append(d.Set.Categories, coco.Category{ID: int64(k), Name: name})
	}
	return d, nil
}

// mostRelative is the greatest number that can be a label of an object at the picture's edge, written carelessly; what is greater
// is in pixels.
const mostRelative = 2

// addLabels reads one label file and gives the greatest class, −1 if there is none. A label in pixels is an error.
func (d *Detections) addLabels(image int64, width, height int, text, file string) (most int, err error) {
	most = -1
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		where := fmt.Sprintf("%s:%d", file, number)
		class, err := strconv.Atoi(fields[0])
		values := make([]float64, 0, len(fields)-1)
		for _, f := range fields[1:] {
			v, e := strconv.ParseFloat(f, 64)
			switch {
			case e != nil || v-v != 0:
				err = errors.Join(err, fmt.Errorf("%q", f))
			case v > mostRelative:
				return 0, fmt.Errorf("label %d of %s: %g is not within 0..1; labels are relative to the picture, not in pixels", number, file, v)
			case v < -0.01 || v > 1.01:
				err = errors.Join(err, fmt.Errorf("%q", f))
			}
			values = append(values, v)
		}
		if err != nil || class < 0 || class > 1<<20 || len(values) < 4 || len(values) > 5 && len(values)%2 != 0 {
			d.Problems.Add("lines of labels are not \"class cx cy w h\" within 0..1 and are left out", where)
			continue
		}
		a := coco.Annotation{ID: int64(len(d.Set.Annotations) + 1), ImageID: image, CategoryID: int64(class)}
		w, h := float64(width), float64(height)
		if len(values) <= 5 {
			a.Box = [4]float64{(values[0] - values[2]/2) * w, (values[1] - values[3]/2) * h, values[2] * w, values[3] * h}
			a.Area = a.Box[2] * a.Box[3]
		} else {
			polygon := make([]float64, len(values))
			for i, v := range values {
				polygon[i] = v * w
				if i%2 == 1 {
					polygon[i] = v * h
				}
			}
			a.Box, a.Area = around(polygon)
			a.Segmentation = &coco.Segmentation{Polygons: [][]float64{polygon}}
		}
		if a.Box[2] <= 0 || a.Box[3] <= 0 {
			d.Problems.Add("labels are boxes without an area and are left out", where)
			continue
		}
		most = max(most, class)
		d.Set.Annotations = append(d.Set.Annotations, a)
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return most, nil
}

// around is a polygon's box, and its area by the shoelace formula.
func around(p []float64) (box [4]float64, area float64) {
	x0, y0, x1, y1 := p[0], p[1], p[0], p[1]
	for i := 0; i+1 < len(p); i += 2 {
		x0, y0, x1, y1 = min(x0, p[i]), min(y0, p[i+1]), max(x1, p[i]), max(y1, p[i+1])
		j := (i + 2) % len(p)
		area += p[i]*p[j+1] - p[j]*p[i+1]
	}
	return [4]float64{x0, y0, x1 - x0, y1 - y0}, max(area, -area) / 2
}

// classNames reads the names of a data set's classes: data.yaml's names, or classes.txt; none if there is neither.
func classNames(dir string) ([]string, error) {
	for _, folder := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		for _, file := range []string{"data.yaml", "dataset.yaml"} {
			text, err := yamltext.ReadFile(filepath.Join(folder, file))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			var d struct {
				Names any `yaml:"names"`
			}
			if err := yamltext.Unmarshal(text, &d, false); err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Join(folder, file), err)
			}
			if names, ok := namesOf(d.Names); ok {
				return names, nil
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "classes.txt"))
	if err != nil {
		return nil, nil //nolint:nilerr // names are not needed
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' }), nil
}

// namesOf takes a list, or a map of numbers to names.
func namesOf(value any) ([]string, bool) {
	switch v := value.(type) {
	case []any:
		var names []string
		for _, n := range v {
			names = append(names, fmt.Sprint(n))
		}
		return names, true
	case map[string]any:
		var keys []int
		for k := range v {
			n, err := strconv.Atoi(k)
			if err != nil {
				return nil, false
			}
			keys = append(keys, n)
		}
		slices.Sort(keys)
		var names []string
		for i, k := range keys {
			if i != k {
				return nil, false
			}
			names = append(names, fmt.Sprint(v[strconv.Itoa(k)]))
		}
		return names, true
	}
	return nil, false
}
