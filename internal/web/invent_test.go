package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quantcheck/internal/fixture"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// scene is what evaluations are invented from: pictures with their true boxes.
type scene struct {
	path          string
	width, height int
	truth         []result.Box
}

// paintScenes writes so many pictures.
func paintScenes(t testing.TB, n int) []scene {
	t.Helper()
	var list []scene
	for i := range n {
		img := image.NewRGBA(image.Rect(0, 0, 200, 150))
		for y := range 150 {
			for x := range 200 {
				img.Set(x, y, color.RGBA{uint8(x + 10*i), uint8(y), uint8(x * y / 90), 255})
			}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, nil); err != nil {
			t.Fatal(err)
		}
		s := scene{filepath.Join(t.TempDir(), fmt.Sprintf("%d.jpg", i)), 200, 150, []result.Box{{X: 15, Y: 20, W: 60, H: 50, Class: i % 3}, {X: 110, Y: 60, W: 70, H: 60, Class: 1}}}
		if err := os.WriteFile(s.path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// cocoScenes gives the first pictures of the public set.
func cocoScenes(t *testing.T, n int) (list []scene, classes []string) {
	t.Helper()
	data, err := os.ReadFile(fixture.Path(t, "coco", "instances.json"))
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Images []struct {
			ID            int
			File          string `json:"file_name"`
			Width, Height int
		}
		Annotations []struct {
			Image    int        `json:"image_id"`
			Category int        `json:"category_id"`
			Crowd    int        `json:"iscrowd"`
			Box      [4]float32 `json:"bbox"`
		}
		Categories []struct {
			ID   int
			Name string
		}
	}
	if err := json.Unmarshal(data, &set); err != nil {
		t.Fatal(err)
	}
	number := map[int]int{}
	for _, c := range set.Categories {
		number[c.ID] = len(classes)
		classes = append(classes, c.Name)
	}
	for _, img := range set.Images[:n] {
		s := scene{path: fixture.Path(t, "coco", "val", img.File), width: img.Width, height: img.Height}
		for _, a := range set.Annotations {
			if a.Image == img.ID {
				s.truth = append(s.truth, result.Box{X: a.Box[0], Y: a.Box[1], W: a.Box[2], H: a.Box[3], Class: number[a.Category], Crowd: a.Crowd == 1})
			}
		}
		list = append(list, s)
	}
	return list, classes
}

// detect invents a detector and variants that move, rename, lose and add more boxes the later they come.
func detect(id int64, scenes []scene, classes []string, variants int) *result.Evaluation {
	r := rand.New(rand.NewPCG(uint64(id), 5))
	e := &result.Evaluation{
		ID: id, Name: "detector" + hostile, Started: time.Date(2026, 11, 25, 1, int(id), 3, 0, time.UTC), Seconds: 12.5, Inference: 10,
		Task: result.Detection, Data: "invented data " + hostile, Reading: "read as " + hostile, Model: result.Model{Path: hostile},
		Columns: []result.Column{{Key: "mAP", Title: "mAP", Higher: true}, {Key: "AP50", Title: "AP50", Higher: true}, {Key: "AR", Title: "AR", Higher: true}},
		Classes: classes, Problems: []string{"a problem with " + hostile},
	}
	for m := range variants + 1 {
		loss := 0.02 * float64(m*m)
		one := result.EvalModel{Name: "float", File: fmt.Sprintf("detector-%d", id), Bytes: 4 << 20, FPS: metric.Defined(40 + 30*float64(m)),
			Scores: []metric.Value{metric.Defined(0.33 - loss), metric.Defined(0.5 - loss), metric.Defined(0.4 - loss)}}
		if m > 0 {
			one.Name, one.Bytes, one.Drop = fmt.Sprintf("w8a8-%d", m-1), 4<<20/int64(m+1), metric.Defined(loss)
			one.File += "-" + one.Name
			one.Spec = &variant.Spec{Name: one.Name, Kind: variant.Recipe, WeightBits: 8, ActBits: 8, PerChannel: true, Calibrator: variant.TF, BiasBits: 32}
			one.Agree = result.Agree{Share: metric.Defined(0.9 - 2*loss), SQNR: metric.Defined(30 - 3*float64(m)), Cos: metric.Defined(0.99)}
		}
		for range classes {
			v := metric.Defined(max(0.1+0.5*r.Float64()-loss*r.Float64()*2, 0))
			if r.IntN(10) == 0 {
				v = metric.Value{}
			}
			one.ByClass = append(one.ByClass, v)
		}
		for k := range 101 {
			recall := float64(k) / 100
			one.Curve = append(one.Curve, result.CurvePoint{Recall: recall, Precision: max((1-recall*recall)*(1-loss), 0)})
		}
		e.Models = append(e.Models, one)
	}
	for i, s := range scenes {
		p := result.EvalPicture{Name: filepath.Base(s.path), Path: s.path, Width: s.width, Height: s.height, Truth: s.truth}
		if i == 0 {
			p.Name = "first" + hostile
		}
		for m := range variants + 1 {
			var found []result.Box
			changed := 0
			for _, b := range s.truth {
				b.Score, b.Crowd = 0.4+0.5*r.Float32(), false
				if m > 0 && r.IntN(8) < m {
					b.Change = []result.Change{result.Moved, result.OtherClass, result.Lost}[r.IntN(3)]
					switch b.Change {
					case result.Moved:
						b.X, b.W = b.X+b.W/5, b.W*4/5
					case result.OtherClass:
						b.Class = (b.Class + 1) % len(classes)
					}
					changed++
				}
				count(&e.Models[m].Agree, b.Change, m)
				found = append(found, b)
			}
			if m > 0 && r.IntN(3) == 0 {
				found = append(found, result.Box{X: float32(s.width) / 3, Y: float32(s.height) / 3, W: 40, H: 40, Class: r.IntN(len(classes)), Score: 0.31, Change: result.New})
				count(&e.Models[m].Agree, result.New, m)
				changed++
			}
			p.Found, p.Differs = append(p.Found, found), append(p.Differs, float64(changed))
		}
		e.Pictures = append(e.Pictures, p)
	}
	return e
}

func count(a *result.Agree, c result.Change, model int) {
	if model == 0 {
		return
	}
	switch c {
	case result.Same:
		a.Kept++
	case result.Moved:
		a.Moved++
	case result.OtherClass:
		a.Other++
	case result.Lost:
		a.Lost++
	case result.New:
		a.New++
	}
}

// segment invents masks in a workspace: the truth, float, and variants that are wrong in a strip.
func segment(t *testing.T, id int64, scenes []scene, task result.Task, folder string) *result.Evaluation {
	t.Helper()
	e := detect(id, scenes, []string{"background", "road", "car" + hostile}, 2)
	e.Task, e.Name, e.Columns = task, string(task)+hostile, []result.Column{{Key: "F1", Title: "fscore", Higher: true}}
	if task == result.Depth {
		e.Columns, e.Classes = []result.Column{{Key: "RMSE", Title: "RMSE"}}, nil
	}
	for m := range e.Models {
		e.Models[m].Curve = nil
		e.Models[m].Scores = e.Models[m].Scores[:1]
	}
	for i := range e.Pictures {
		p := &e.Pictures[i]
		p.Truth, p.Found = nil, make([][]result.Box, len(e.Models))
		p.Differs = []float64{0, 0.1 * float64(i), 0.2 * float64(i)}
		for m := -1; m < len(e.Models); m++ {
			name := filepath.Join("masks", fmt.Sprintf("%s-%d-%d.png", task, i, m+1))
			img := image.NewGray16(image.Rect(0, 0, p.Width, p.Height))
			small := image.NewGray(img.Rect)
			for y := range p.Height {
				for x := range p.Width {
					class := 3 * x / p.Width
					if m > 0 && y < 20*m {
						class = 0
					}
					small.SetGray(x, y, color.Gray{uint8(class)})
					img.SetGray16(x, y, color.Gray16{uint16(max(1000*x/p.Width+100*y+500*max(m, 0), 1))})
				}
			}
			var b bytes.Buffer
			var pixels image.Image = small
			if task == result.Depth {
				pixels = img
			}
			if err := png.Encode(&b, pixels); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(folder, "masks"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, name), b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			if m < 0 {
				p.TruthMask = name
			} else {
				p.Masks = append(p.Masks, name)
			}
		}
	}
	return e
}

func profile(name string, layers int) *result.Cycles {
	r := rand.New(rand.NewPCG(uint64(len(name)), 8))
	c := &result.Cycles{Model: name + hostile}
	sum := 0.0
	for k := range layers {
		l := result.LayerCycle{ID: k + 2, Name: fmt.Sprintf("/block/%d%s", k, hostile), Mean: math.Round(1e5 * r.Float64()), Std: metric.Defined(12), Unit: "cycles"}
		sum += l.Mean
		c.Layers = append(c.Layers, l)
	}
	for k := range c.Layers {
		c.Layers[k].Share = c.Layers[k].Mean / sum
	}
	return c
}
