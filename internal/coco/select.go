package coco

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
)

// What a lookup gives for ids that are not chosen.
const (
	notChosen = -1
	unknown   = -2
)

// lookup maps ids to indices of those chosen.
type lookup struct {
	lo    int64
	dense []int32
	other map[int64]int32
}

// newLookup maps the chosen ids to 0, 1, … and the other known ones to notChosen.
func newLookup(known, chosen []int64) lookup {
	var l lookup
	if len(known) == 0 {
		return l
	}
	lo, hi := slices.Min(known), slices.Max(known)
	set := func(id int64, i int32) { l.other[id] = i }
	if span := uint64(hi) - uint64(lo); span < 1<<20 {
		l.lo, l.dense = lo, make([]int32, span+1)
		for i := range l.dense {
			l.dense[i] = unknown
		}
		set = func(id int64, i int32) { l.dense[id-lo] = i }
	} else {
		l.other = make(map[int64]int32, len(known))
	}
	for _, id := range known {
		set(id, notChosen)
	}
	for i, id := range chosen {
		set(id, int32(i))
	}
	return l
}

func (l *lookup) index(id int64) int32 {
	if d := uint64(id) - uint64(l.lo); d < uint64(len(l.dense)) {
		return l.dense[d]
	}
	if i, ok := l.other[id]; ok {
		return i
	}
	return unknown
}

// choose gives the ids that are evaluated: all known ones, ascending, or those asked for, which must be known.
func choose(what string, known, asked []int64, ascending bool) ([]int64, error) {
	if asked == nil {
		return slices.Compact(slices.Sorted(slices.Values(known))), nil
	}
	have := map[int64]bool{}
	for _, id := range known {
		have[id] = true
	}
	var ids []int64
	for _, id := range asked {
		first, ok := have[id]
		if !ok {
			return nil, fmt.Errorf("%s %d is not in the dataset", what, id)
		}
		if first {
			ids = append(ids, id)
		}
		have[id] = false
	}
	if ascending {
		slices.Sort(ids)
	}
	return ids, nil
}

// member is an annotation that takes part.
type member struct {
	index int32 // in the dataset or among the detections
	image int32
}

// group holds what takes part by category, in its order within each.
type group struct {
	members []member
	start   []int // of each category, and the end
}

func (g *group) of(k int) []member { return g.members[g.start[k]:g.start[k+1]] }

// place says where an annotation belongs, as indices; the category is negative if it does not take part.
type place struct{ category, image int32 }

var nowhere = place{notChosen, notChosen}

// groupBy sorts n annotations by category. where is called once for each, by several goroutines.
func groupBy(n, categories, parallel int, where func(i int, p *Problems) place, problems *Problems) group {
	chunks := max(1, min(parallel, n>>14))
	edge := func(c int) int { return n * c / chunks }
	of := make([]place, n)
	counts := make([][]int, chunks)
	found := make([]Problems, chunks)
	each(chunks, func(c int) {
		count := make([]int, categories)
		for i := edge(c); i < edge(c+1); i++ {
			if of[i] = where(i, &found[c]); of[i].category >= 0 {
				count[of[i].category]++
			}
		}
		counts[c] = count
	})
	g := group{start: make([]int, categories+1)}
	sum := 0
	for k := range categories {
		g.start[k] = sum
		for c := range chunks {
			counts[c][k], sum = sum, sum+counts[c][k]
		}
	}
	g.start[categories] = sum
	g.members = make([]member, sum)
	each(chunks, func(c int) {
		next := counts[c]
		for i := edge(c); i < edge(c+1); i++ {
			if k := of[i].category; k >= 0 {
				g.members[next[k]] = member{int32(i), of[i].image}
				next[k]++
			}
		}
	})
	for c := range found {
		problems.merge(&found[c])
	}
	return g
}

// each calls f for 0 … n−1, each in a goroutine of its own.
func each(n int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// MostPixels is the greatest coordinate, width and height, up or down, of a box that can be one of a picture. Beyond it areas leave
// the range of a double sooner or later, and what is computed of them is no number.
const MostPixels = 1e9

// Usable says whether a box is finite and lies within MostPixels.
func Usable(box [4]float64) bool {
	for _, v := range box {
		if !(math.Abs(v) <= MostPixels) { // NaN too
			return false
		}
	}
	return true
}

// usableArea says whether an area can be one of a usable box.
func usableArea(area float64) bool { return math.Abs(area) <= MostPixels*MostPixels }

// placeTruth sorts out one annotation of the ground truth.
func (e *evaluation) placeTruth(i int, p *Problems) place {
	a := &e.gt.Annotations[i]
	name := func() string { return "annotation " + strconv.FormatInt(a.ID, 10) }
	need := FieldImage | FieldCategory
	if e.p.Type == Boxes {
		need |= FieldBox
	}
	if a.Missing.Has(need) || e.p.Type == Masks && a.Segmentation == nil {
		p.add(TruthIncomplete, name)
		return nowhere
	}
	image, category := e.images.index(a.ImageID), e.categories.index(a.CategoryID)
	switch {
	case image == unknown:
		p.add(TruthUnknownImage, func() string { return name() + " of image " + strconv.FormatInt(a.ImageID, 10) })
	case category == unknown:
		p.add(TruthUnknownCategory, func() string { return name() + " of category " + strconv.FormatInt(a.CategoryID, 10) })
	case image < 0 || category < 0:
	case e.p.Type == Boxes && !Usable(a.Box) || !usableArea(a.Area):
		p.add(TruthNotFinite, name)
	default:
		if e.p.Type == Boxes && (a.Box[2] < 0 || a.Box[3] < 0) {
			p.add(TruthNegativeBox, name)
		}
		if a.Missing.Has(FieldArea) {
			p.add(TruthNoArea, name)
		}
		if a.ID == 0 && !a.Missing.Has(FieldID) {
			p.add(ZeroID, func() string { return "in image " + strconv.FormatInt(a.ImageID, 10) })
		}
		return place{category, image}
	}
	return nowhere
}

// placeDetection sorts out one detection.
func (e *evaluation) placeDetection(i int, p *Problems) place {
	a := &e.dt[i]
	name := func() string { return "detection " + strconv.Itoa(i) }
	need := FieldImage | FieldCategory | FieldScore
	if e.boxed {
		need |= FieldBox
	}
	if a.Missing.Has(need) || !e.boxed && a.Segmentation == nil {
		p.add(Incomplete, name)
		return nowhere
	}
	image, category := e.images.index(a.ImageID), e.categories.index(a.CategoryID)
	switch {
	case image == unknown:
		p.add(UnknownImage, func() string { return name() + " of image " + strconv.FormatInt(a.ImageID, 10) })
	case category == unknown:
		p.add(UnknownCategory, func() string { return name() + " of category " + strconv.FormatInt(a.CategoryID, 10) })
	case image < 0 || category < 0:
	case math.IsNaN(a.Score) || !Usable(a.Box):
		p.add(NotFinite, name)
	default:
		if a.Box[2] < 0 || a.Box[3] < 0 {
			p.add(NegativeBox, name)
		}
		return place{category, image}
	}
	return nowhere
}
