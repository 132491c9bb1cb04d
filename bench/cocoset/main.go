// Cocoset writes a made-up COCO dataset and detections for it, to measure evaluators with: boxes of the sizes that COCO
// has, detections near them whose score falls with their error, and noise.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"quantcheck/internal/coco"
)

func main() {
	var s set
	dir := flag.String("dir", ".", "folder for gt.json and dt.json")
	flag.IntVar(&s.images, "images", 5000, "images")
	flag.IntVar(&s.truths, "truths", 36000, "objects")
	flag.IntVar(&s.detections, "detections", 500000, "detections")
	flag.IntVar(&s.categories, "categories", 80, "categories")
	flag.Uint64Var(&s.seed, "seed", 1, "seed of what is made up")
	flag.Parse()
	if err := s.write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "cocoset:", err)
		os.Exit(1)
	}
}

type set struct {
	images, truths, detections, categories int
	seed                                   uint64
}

func (s set) write(dir string) error {
	rng := rand.New(rand.NewPCG(s.seed, 1))
	d := s.dataset(rng)
	if err := save(filepath.Join(dir, "gt.json"), func(w *bufio.Writer) error { return coco.WriteDataset(w, d) }); err != nil {
		return err
	}
	dt := s.detect(rng, d)
	return save(filepath.Join(dir, "dt.json"), func(w *bufio.Writer) error { return writeResults(w, dt) })
}

func save(path string, write func(*bufio.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// dataset makes the ground truth. Categories are as uneven as in COCO; one object in fifty is a crowd.
func (s set) dataset(rng *rand.Rand) *coco.Dataset {
	d := &coco.Dataset{Info: json.RawMessage(`{"description": "made up by bench/cocoset"}`)}
	for k := range s.categories {
		d.Categories = append(d.Categories, coco.Category{ID: int64(k + 1), Name: "category " + strconv.Itoa(k+1), Supercategory: "thing"})
	}
	id := int64(0)
	for range s.images {
		id += 1 + int64(rng.IntN(200))
		w, h := 640, 480-rng.IntN(4)*15
		if rng.IntN(4) == 0 {
			w, h = h, w
		}
		d.Images = append(d.Images, coco.Image{ID: id, Width: w, Height: h, FileName: fmt.Sprintf("%012d.jpg", id)})
	}
	for i := range s.truths {
		m := d.Images[rng.IntN(s.images)]
		box := anyBox(rng, m)
		for j := range box {
			box[j] = math.Round(box[j]*100) / 100
		}
		a := coco.Annotation{ID: int64(i + 1), ImageID: m.ID, CategoryID: s.category(rng), Box: box, Crowd: rng.IntN(50) == 0}
		a.Area = math.Round(box[2]*box[3]*(.4+.5*rng.Float64())*1e4) / 1e4
		d.Annotations = append(d.Annotations, a)
	}
	return d
}

func (s set) category(rng *rand.Rand) int64 {
	u := rng.Float64()
	return 1 + int64(u*u*u*float64(s.categories))
}

// anyBox has a side between 6 pixels and the image's, small ones more often.
func anyBox(rng *rand.Rand, m coco.Image) [4]float64 {
	side := 6 * math.Pow(float64(min(m.Width, m.Height))/6, rng.Float64())
	ratio := math.Exp(rng.NormFloat64() * .4)
	w, h := min(side*ratio, float64(m.Width)), min(side/ratio, float64(m.Height))
	return [4]float64{rng.Float64() * (float64(m.Width) - w), rng.Float64() * (float64(m.Height) - h), w, h}
}

// detect makes two detections of each object in turns until half of all are made, the others are noise. They come image by
// image, as detectors write them.
func (s set) detect(rng *rand.Rand, d *coco.Dataset) []coco.Annotation {
	dt := make([]coco.Annotation, 0, s.detections)
	near := min(s.detections/2, 2*len(d.Annotations))
	for i := range near {
		a := d.Annotations[i%len(d.Annotations)]
		off := .3 * rng.Float64()
		for j := range a.Box {
			a.Box[j] += rng.NormFloat64() * off * a.Box[2+j%2] / 2
		}
		a.Box[2], a.Box[3] = max(a.Box[2], 1), max(a.Box[3], 1)
		a.Score = math.Pow(rng.Float64(), .3+3*off)
		if rng.IntN(10) == 0 {
			a.CategoryID = s.category(rng)
		}
		dt = append(dt, a)
	}
	for len(dt) < s.detections {
		m := d.Images[rng.IntN(len(d.Images))]
		u := rng.Float64()
		dt = append(dt, coco.Annotation{ImageID: m.ID, CategoryID: s.category(rng), Box: anyBox(rng, m), Score: .001 + .6*u*u*u})
	}
	slices.SortStableFunc(dt, func(a, b coco.Annotation) int { return int(a.ImageID - b.ImageID) })
	return dt
}

// writeResults writes one line with single precision widened to double, which is what detectors in Python write.
func writeResults(w *bufio.Writer, dt []coco.Annotation) error {
	number := func(v float64) string { return strconv.FormatFloat(float64(float32(v)), 'g', -1, 64) }
	for i := range dt {
		a := &dt[i]
		before := ", "
		if i == 0 {
			before = "["
		}
		if _, err := fmt.Fprintf(w, `%s{"image_id": %d, "category_id": %d, "bbox": [%s, %s, %s, %s], "score": %s}`, before, a.ImageID, a.CategoryID,
			number(a.Box[0]), number(a.Box[1]), number(a.Box[2]), number(a.Box[3]), number(a.Score)); err != nil {
			return err
		}
	}
	_, err := w.WriteString("]")
	return err
}
