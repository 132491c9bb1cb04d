package web

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"quantcheck/internal/dataset"
	"quantcheck/internal/result"
)

// picture is what the models made of one picture. Masks and what changed in them are data URLs, "" where there is none.
type picture struct {
	Name    string `json:"name"`
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Image   int    `json:"image"` // index into the page's images
	Differs []num  `json:"differs"`
	// Truth and Found hold boxes as numbers, seven for each: x, y, width, height, class, score in thousandths and kind,
	// an index into kinds.
	Truth     []num    `json:"truth" ts:"number[]"`
	Found     [][]num  `json:"found" ts:"number[][]"`
	TruthMask string   `json:"truthMask"`
	Masks     []string `json:"masks"`
	Changed   []string `json:"changed"`
	InMasks   []int    `json:"inMasks"` // classes that the masks show
}

// kinds is what a box can be, as ui/src/scores.ts numbers it. The last one is of the truth only.
var kinds = []result.Change{result.Same, result.Moved, result.OtherClass, result.Lost, result.New, "crowd"}

const (
	mostEvaluated = 24  // pictures of one evaluation in the page
	evaluatedSide = 480 // their longest side in pixels
)

// album holds the pictures of all evaluations once each: evaluations of several models share a data set.
type album struct {
	known map[string]shot // by path
	urls  []string
}

// shot is a picture in an album.
type shot struct {
	index         int // −1: it cannot be drawn
	width, height int
}

// shots gives the pictures of some files, and draws those that are new.
func (a *album) shots(paths []string) []shot {
	var fresh []string
	for _, p := range paths {
		if _, ok := a.known[p]; !ok {
			a.known[p] = shot{index: -1}
			fresh = append(fresh, p)
		}
	}
	drawn := make([]*thumbnail, len(fresh))
	var drawing errgroup.Group
	budget := dataset.NewBudget(memoryOfPictures)
	drawing.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range fresh {
		drawing.Go(func() error {
			if t, ok := thumbnailOf(p, evaluatedSide, budget); ok {
				drawn[i] = &t
			}
			return nil
		})
	}
	_ = drawing.Wait() // a picture that cannot be drawn is counted by who asked for it
	for i, t := range drawn {
		if t != nil {
			a.known[fresh[i]] = shot{len(a.urls), t.width, t.height}
			a.urls = append(a.urls, t.url)
		}
	}
	list := make([]shot, len(paths))
	for i, p := range paths {
		list[i] = a.known[p]
	}
	return list
}

// gallery chooses and draws an evaluation's pictures.
type gallery struct {
	budget *dataset.Budget // of the pictures that are decoded
	of     *result.Evaluation
	folder string
	album  *album

	mutex                           sync.Mutex
	gone, damaged, noMask, notBoxes int
	masked                          bool // there are masks of classes
}

// pictures gives those that are worth looking at, in the evaluation's order.
func (g *gallery) pictures() []picture {
	chosen := g.choose()
	drawn := make([]*picture, len(chosen))
	paths := make([]string, len(chosen))
	for i, k := range chosen {
		paths[i] = g.path(g.of.Pictures[k].Path)
	}
	shots := g.album.shots(paths)
	var drawing errgroup.Group
	drawing.SetLimit(runtime.GOMAXPROCS(0))
	for i, k := range chosen {
		if shots[i].index < 0 {
			g.damaged++
			continue
		}
		drawing.Go(func() error {
			drawn[i] = g.picture(&g.of.Pictures[k], shots[i])
			return nil
		})
	}
	_ = drawing.Wait() // none fails
	list := []picture{}
	for _, p := range drawn {
		if p != nil {
			list = append(list, *p)
		}
	}
	return list
}

// choose picks the pictures where the variants differ most from float, each variant's worst in turn, of those whose file
// is there.
func (g *gallery) choose() []int {
	var there []int
	for k := range g.of.Pictures {
		if info, err := os.Stat(g.path(g.of.Pictures[k].Path)); err == nil && info.Mode().IsRegular() {
			there = append(there, k)
		} else {
			g.gone++
		}
	}
	if len(there) <= mostEvaluated {
		return there
	}
	var rankings [][]int
	for m := 1; m < max(len(g.of.Models), 2); m++ {
		rankings = append(rankings, slices.SortedStableFunc(slices.Values(there), func(a, b int) int {
			return cmp.Compare(g.differs(b, m), g.differs(a, m))
		}))
	}
	taken := map[int]bool{}
	for at := 0; len(taken) < mostEvaluated; at++ {
		for _, r := range rankings {
			if len(taken) < mostEvaluated {
				taken[r[at]] = true
			}
		}
	}
	return slices.DeleteFunc(there, func(k int) bool { return !taken[k] })
}

func (g *gallery) differs(picture, model int) float64 {
	if d := g.of.Pictures[picture].Differs; model < len(d) {
		return d[model]
	}
	return math.Inf(-1)
}

func (g *gallery) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(g.folder, p)
}

func (g *gallery) picture(p *result.EvalPicture, s shot) *picture {
	d := &picture{Name: p.Name, Width: p.Width, Height: p.Height, Image: s.index, Differs: []num{}, Truth: g.boxes(p.Truth), Found: [][]num{}, InMasks: []int{}}
	if p.Width <= 0 || p.Height <= 0 {
		d.Width, d.Height = s.width, s.height
	}
	for m := range g.of.Models {
		differs, found := num{}, []num{}
		if m < len(p.Differs) {
			differs = some(p.Differs[m])
		}
		if m < len(p.Found) {
			found = g.boxes(p.Found[m])
		}
		d.Differs, d.Found = append(d.Differs, differs), append(d.Found, found)
	}
	g.masks(p, d)
	return d
}

// boxes writes boxes as numbers; those that are no place in a picture are counted and left out.
func (g *gallery) boxes(list []result.Box) []num {
	numbers := make([]num, 0, 7*len(list))
	for _, b := range list {
		finite := true
		for _, v := range []float32{b.X, b.Y, b.W, b.H, b.Score} {
			finite = finite && !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
		}
		if !finite {
			g.count(&g.notBoxes)
			continue
		}
		kind := max(slices.Index(kinds, b.Change), 0)
		if b.Crowd {
			kind = len(kinds) - 1
		}
		tenth := func(v float32) num { return some(math.Round(float64(v)*10) / 10) }
		numbers = append(numbers, tenth(b.X), tenth(b.Y), tenth(b.W), tenth(b.H), some(float64(b.Class)), some(math.Round(float64(b.Score)*1000)), some(float64(kind)))
	}
	return numbers
}

func (g *gallery) count(what *int) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	*what++
}

// notes says what is not in the page.
func (g *gallery) notes() []string {
	var list []string
	say := func(n int, text string) {
		if n > 0 {
			list = append(list, fmt.Sprintf(text, n))
		}
	}
	say(g.gone, "%d pictures are not where they were evaluated any more; they are left out below.")
	say(g.damaged, "%d pictures can no longer be read; they are left out below.")
	say(g.noMask, "%d masks cannot be read; they are left out below.")
	say(g.notBoxes, "%d boxes have no finite place; they are not drawn.")
	return list
}
