package labels

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Pairs is a data set of pictures with a file of truth each: masks or depth maps.
type Pairs struct {
	Images   []Image
	Problems Problems
}

// ReadPairs pairs pictures and truth by their names without endings. data is a folder with two folders below it, such as
// images/ and masks/ (or data/ and gt/, as the seed has them), or the folder of the truth if images is given.
func ReadPairs(data, images string, endings ...string) (*Pairs, error) {
	truth := data
	if images == "" {
		var ok, also bool
		images, ok = sub(data, "images", "data", "image", "img", "rgb")
		truth, also = sub(data, "masks", "gt", "labels", "mask", "depth", "annotations", "ground_truth")
		if !ok || !also {
			return nil, fmt.Errorf("%s does not hold two folders such as images/ and masks/ (or data/ and gt/); give the pictures' folder with --image-dir and the truth's with --data", data)
		}
	}
	pictures, err := listPictures(images)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(truth)
	if err != nil {
		return nil, err
	}
	byStem := map[string]string{}
	for _, e := range entries {
		if e.IsDir() || !slices.Contains(endings, strings.ToLower(filepath.Ext(e.Name()))) {
			continue
		}
		if other, twice := byStem[stem(e.Name())]; twice {
			return nil, fmt.Errorf("%s and %s could both be the truth of %s", other, e.Name(), stem(e.Name()))
		}
		byStem[stem(e.Name())] = e.Name()
	}
	p := &Pairs{}
	for i, path := range pictures {
		file, ok := byStem[stem(path)]
		if !ok {
			p.Problems.Add("pictures have no truth and are left out", filepath.Base(path))
			continue
		}
		delete(byStem, stem(path))
		p.Images = append(p.Images, Image{Name: filepath.Base(path), Path: path, ID: int64(i + 1), Truth: filepath.Join(truth, file)})
	}
	for _, file := range slices.Sorted(values(byStem)) {
		p.Problems.Add("files of truth have no picture and are left out", file)
	}
	if len(p.Images) == 0 {
		return nil, fmt.Errorf("no picture of %s has its truth (%s) in %s", images, strings.Join(endings, ", "), truth)
	}
	return p, nil
}

func values(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// Classes is a data set of pictures with a class each.
type Classes struct {
	Images   []Image
	Names    []string // by class; may be shorter than the greatest class
	Problems Problems
}

// ReadClasses reads a folder with a folder per class, or a CSV of file and label. Folders are numbered in the order of their
// names, or by their names if those are all numbers; so are labels of a CSV. images is the folder of a CSV's files.
func ReadClasses(data, images string) (*Classes, error) {
	if !isDir(data) {
		return readClassCSV(data, images)
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && isDir(filepath.Join(data, e.Name())) { // or a link to one
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s holds no folders of classes; a CSV of file,label is the other way", data)
	}
	c := &Classes{}
	classes, ordered, err := number(names)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", data, err)
	}
	c.Names = ordered
	for _, name := range names {
		pictures, err := listPictures(filepath.Join(data, name))
		if err != nil {
			c.Problems.Add("folders of classes hold no picture", name)
			continue
		}
		for _, path := range pictures {
			c.Images = append(c.Images, Image{Name: name + "/" + filepath.Base(path), Path: path, ID: int64(len(c.Images) + 1), Class: classes[name]})
		}
	}
	if len(c.Images) == 0 {
		return nil, fmt.Errorf("%s holds folders but no pictures in them", data)
	}
	return c, nil
}

// mostClass bounds the numbers of classes.
const mostClass = 1 << 20

// number gives each name its class. Names that are all whole numbers are the classes themselves; it is an error if one of these is out of
// range, since the others would not be numbered by their order then.
func number(names []string) (classes map[string]int, ordered []string, err error) {
	classes = map[string]int{}
	sorted := slices.Compact(slices.Sorted(slices.Values(names)))
	numeric, most, unusable := true, 0, ""
	for _, n := range sorted {
		v, err := strconv.Atoi(n)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			numeric = false
			break
		}
		if err != nil || v < 0 || v >= mostClass {
			unusable = n
			continue
		}
		most = max(most, v)
	}
	if numeric && unusable != "" {
		return nil, nil, fmt.Errorf("the class %s is not within 0..%d", unusable, mostClass-1)
	}
	if numeric {
		for k := range most + 1 {
			ordered = append(ordered, strconv.Itoa(k))
		}
		for _, n := range sorted {
			classes[n], _ = strconv.Atoi(n)
		}
		return classes, ordered, nil
	}
	for k, n := range sorted {
		classes[n] = k
	}
	return classes, sorted, nil
}

func readClassCSV(path, images string) (*Classes, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord, r.TrimLeadingSpace = -1, true
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if images == "" {
		images = filepath.Dir(path)
	}
	c := &Classes{}
	var files, labels []string
	for i, row := range rows {
		if len(row) < 2 {
			c.Problems.Add("lines are not file,label and are left out", fmt.Sprintf("%s:%d", filepath.Base(path), i+1))
			continue
		}
		if i == 0 && !isPicture(row[0]) {
			continue // a header
		}
		if !filepath.IsLocal(filepath.FromSlash(row[0])) {
			c.Problems.Add("files of the list lead out of the pictures' folder and are left out", row[0])
			continue
		}
		if info, err := os.Stat(filepath.Join(images, row[0])); err != nil || info.IsDir() {
			c.Problems.Add("files of the list are missing and are left out", row[0])
			continue
		}
		files, labels = append(files, row[0]), append(labels, strings.TrimSpace(row[1]))
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s names no picture that is there (looked for in %s)", path, images)
	}
	classes, ordered, err := number(labels)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.Names = ordered
	for i, name := range files {
		c.Images = append(c.Images, Image{Name: name, Path: filepath.Join(images, name), ID: int64(i + 1), Class: classes[labels[i]]})
	}
	return c, nil
}
