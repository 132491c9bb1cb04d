package coco

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"
)

// oracle is the definition written down plainly: cocoeval.py line by line, on sets without problems.
type oracle struct {
	p                         Params
	images, categories        []int64
	sizes                     map[int64]Image
	gt, dt                    []Annotation
	precision, scores, recall map[[5]int]float64
}

func newOracle(gt *Dataset, dt []Annotation, p Params) *oracle {
	o := &oracle{p: p, gt: gt.Annotations, dt: slices.Clone(dt), sizes: map[int64]Image{}}
	for _, m := range gt.Images {
		o.sizes[m.ID] = m
		if p.Images == nil || slices.Contains(p.Images, m.ID) {
			o.images = append(o.images, m.ID)
		}
	}
	for _, c := range gt.Categories {
		if p.Categories == nil || slices.Contains(p.Categories, c.ID) {
			o.categories = append(o.categories, c.ID)
		}
	}
	slices.Sort(o.images)
	slices.Sort(o.categories)
	first := len(dt) > 0 && !dt[0].Missing.Has(FieldBox)
	for i := range o.dt { // loadRes
		d := &o.dt[i]
		d.ID = int64(i + 1)
		if first {
			d.Area = d.Box[2] * d.Box[3]
			continue
		}
		area := 0
		for _, set := range o.bitmap(d) {
			if set {
				area++
			}
		}
		d.Area = float64(area)
	}
	return o
}

func (o *oracle) bitmap(a *Annotation) []bool {
	m := o.sizes[a.ImageID]
	s := a.Segmentation
	if s == nil {
		s = rectangle(a.Box)
	}
	mask, err := s.Mask(m.Height, m.Width)
	if err != nil {
		panic(err)
	}
	pixels, err := mask.Bitmap()
	if err != nil {
		panic(err)
	}
	return pixels
}

func (o *oracle) iou(g, d *Annotation) float64 {
	if o.p.Type == Masks {
		return oracleIoU(o.bitmap(g), o.bitmap(d), g.Crowd)
	}
	w := min(d.Box[2]+d.Box[0], g.Box[2]+g.Box[0]) - max(d.Box[0], g.Box[0])
	h := min(d.Box[3]+d.Box[1], g.Box[3]+g.Box[1]) - max(d.Box[1], g.Box[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	both, u := float64(w*h), float64(d.Box[2]*d.Box[3])
	if !g.Crowd {
		u = u + float64(g.Box[2]*g.Box[3]) - both
	}
	return both / u
}

// group gives an image's annotations in one category, or of all categories one after the other.
func (o *oracle) group(list []Annotation, image int64, k int) []*Annotation {
	var out []*Annotation
	for i, c := range o.categories {
		if o.p.UseCats && i != k {
			continue
		}
		for j := range list {
			if list[j].ImageID == image && list[j].CategoryID == c {
				out = append(out, &list[j])
			}
		}
	}
	return out
}

// evaluated is what evaluateImg gives.
type evaluated struct {
	scores       []float64
	matches, ign [][]bool // [t][d]
	gtIgnore     []bool
}

func (o *oracle) evaluateImage(image int64, k int, area AreaRange) *evaluated {
	gt, dt := o.group(o.gt, image, k), o.group(o.dt, image, k)
	if len(gt) == 0 && len(dt) == 0 {
		return nil
	}
	ignore := map[*Annotation]bool{}
	for _, g := range gt {
		ignore[g] = g.Crowd || g.Area < area.Lo || g.Area > area.Hi
	}
	sort.SliceStable(gt, func(i, j int) bool { return !ignore[gt[i]] && ignore[gt[j]] })
	sort.SliceStable(dt, func(i, j int) bool { return dt[i].Score > dt[j].Score })
	dt = dt[:min(len(dt), o.p.MaxDets[len(o.p.MaxDets)-1])]
	e := &evaluated{}
	for _, d := range dt {
		e.scores = append(e.scores, d.Score)
	}
	for _, g := range gt {
		e.gtIgnore = append(e.gtIgnore, ignore[g])
	}
	iou := make([][]float64, len(dt))
	for i, d := range dt {
		for _, g := range gt {
			iou[i] = append(iou[i], o.iou(g, d))
		}
	}
	for _, threshold := range o.p.IoUs {
		gtm := make([]int64, len(gt))
		matches, ign := make([]bool, len(dt)), make([]bool, len(dt))
		for di, d := range dt {
			best, m := min(threshold, 1-1e-10), -1
			for gi, g := range gt {
				if gtm[gi] > 0 && !g.Crowd {
					continue
				}
				if m > -1 && !ignore[gt[m]] && ignore[g] {
					break
				}
				if iou[di][gi] < best {
					continue
				}
				best, m = iou[di][gi], gi
			}
			if m >= 0 {
				ign[di], matches[di], gtm[m] = ignore[gt[m]], gt[m].ID != 0, d.ID
			}
			if !matches[di] && (d.Area < area.Lo || d.Area > area.Hi) {
				ign[di] = true
			}
		}
		e.matches, e.ign = append(e.matches, matches), append(e.ign, ign)
	}
	return e
}

func (o *oracle) accumulate() {
	o.precision, o.scores, o.recall = map[[5]int]float64{}, map[[5]int]float64{}, map[[5]int]float64{}
	classes := len(o.categories)
	if !o.p.UseCats {
		classes = min(classes, 1)
	}
	for k := range classes {
		for a, area := range o.p.AreaRanges {
			var all []*evaluated
			for _, image := range o.images {
				if e := o.evaluateImage(image, k, area); e != nil {
					all = append(all, e)
				}
			}
			for m, limit := range o.p.MaxDets {
				for t := range o.p.IoUs {
					o.curve(all, t, k, a, m, limit)
				}
			}
		}
	}
}

func (o *oracle) curve(all []*evaluated, t, k, a, m, limit int) {
	for r := range o.p.Recalls {
		o.precision[[5]int{t, r, k, a, m}], o.scores[[5]int{t, r, k, a, m}] = -1, -1
	}
	o.recall[[5]int{t, k, a, m}] = -1
	type det struct {
		score      float64
		match, ign bool
	}
	var dets []det
	truths := 0.
	for _, e := range all {
		for d := range e.scores[:min(limit, len(e.scores))] {
			dets = append(dets, det{e.scores[d], e.matches[t][d], e.ign[t][d]})
		}
		for _, ign := range e.gtIgnore {
			if !ign {
				truths++
			}
		}
	}
	if truths == 0 {
		return
	}
	slices.SortStableFunc(dets, func(x, y det) int { return cmp.Compare(y.score, x.score) })
	var rc, pr []float64
	tp, fp := 0., 0.
	for _, d := range dets {
		if !d.ign && d.match {
			tp++
		}
		if !d.ign && !d.match {
			fp++
		}
		rc, pr = append(rc, tp/truths), append(pr, tp/((fp+tp)+epsilon))
	}
	o.recall[[5]int{t, k, a, m}] = tp / truths
	for i := len(pr) - 1; i > 0; i-- {
		pr[i-1] = max(pr[i-1], pr[i])
	}
	for r, at := range o.p.Recalls {
		i := sort.SearchFloat64s(rc, at)
		o.precision[[5]int{t, r, k, a, m}], o.scores[[5]int{t, r, k, a, m}] = 0, 0
		if i < len(pr) {
			o.precision[[5]int{t, r, k, a, m}], o.scores[[5]int{t, r, k, a, m}] = pr[i], dets[i].score
		}
	}
}

// randomSet makes a small set full of ties: coarse boxes and scores, crowds, areas at the borders of ranges.
func randomSet(rng *rand.Rand, masks bool) (*Dataset, []Annotation) {
	d := &Dataset{}
	for k := range 1 + rng.IntN(4) {
		d.Categories = append(d.Categories, Category{ID: int64(7 - 2*k), Name: "c"})
	}
	for i := range rng.IntN(6) {
		d.Images = append(d.Images, Image{ID: int64(40 - 3*i), Width: 24 + rng.IntN(9), Height: 24})
	}
	boxes := func() [4]float64 {
		v := func(n int) float64 { return float64(rng.IntN(n)) / float64(1+rng.IntN(2)) }
		return [4]float64{v(12), v(12), v(14), v(12)}
	}
	outline := func(a *Annotation, m Image) {
		if !masks {
			return
		}
		switch rng.IntN(3) {
		case 0:
			b := a.Box
			a.Segmentation = &Segmentation{Polygons: [][]float64{{b[0], b[1], b[0] + b[2], b[1] + b[3], b[0], b[1] + b[3]}, {b[0], b[1], 20, 3, b[2], 9.5}}}
		case 1:
			mask, _ := FromBitmap(drawBitmap(rng, m.Height, m.Width), m.Height, m.Width)
			a.Segmentation = &Segmentation{Size: [2]int{m.Height, m.Width}, Compressed: mask.String()}
		default:
			mask, _ := FromBitmap(drawBitmap(rng, m.Height, m.Width), m.Height, m.Width)
			a.Segmentation = &Segmentation{Size: [2]int{m.Height, m.Width}, Counts: mask.Counts}
		}
	}
	zero := rng.IntN(8) == 0
	missing := Fields(0)
	if masks && rng.IntN(3) > 0 {
		missing = FieldBox
	}
	var dt []Annotation
	for i := range d.Images {
		m := d.Images[i]
		for range rng.IntN(8) {
			a := Annotation{ID: int64(len(d.Annotations) + 1), ImageID: m.ID, CategoryID: d.Categories[rng.IntN(len(d.Categories))].ID, Box: boxes(), Crowd: rng.IntN(6) == 0}
			if zero {
				a.ID--
			}
			a.Area = []float64{10, 32 * 32, 96 * 96, 40000, 1e11, 99}[rng.IntN(6)]
			outline(&a, m)
			d.Annotations = append(d.Annotations, a)
		}
		many := 12
		if rng.IntN(9) == 0 {
			many = 150
		}
		for range rng.IntN(many) {
			a := Annotation{ImageID: m.ID, CategoryID: d.Categories[rng.IntN(len(d.Categories))].ID, Box: boxes(), Score: float64(rng.IntN(9)) / 8, Missing: missing}
			if n := len(d.Annotations); n > 0 && rng.IntN(2) == 0 {
				near := d.Annotations[rng.IntN(n)]
				a.Box, a.Segmentation, a.CategoryID = near.Box, near.Segmentation, near.CategoryID
				if near.ImageID != m.ID {
					a.Segmentation = nil
				}
			}
			if a.Segmentation == nil {
				outline(&a, m)
			}
			if masks && missing == 0 && rng.IntN(3) == 0 {
				a.Segmentation = nil
				a.Box[2]++
			}
			if masks && missing == 0 && a.Box == [4]float64{} {
				a.Box[0] = 1
			}
			dt = append(dt, a)
		}
	}
	rng.Shuffle(len(dt), func(i, j int) { dt[i], dt[j] = dt[j], dt[i] })
	return d, dt
}

// randomParams are COCO's, or others.
func randomParams(rng *rand.Rand, kind Type, d *Dataset) Params {
	p := DefaultParams(kind)
	p.Parallel = 1 + rng.IntN(3)
	if rng.IntN(2) == 0 {
		return p
	}
	p.UseCats = rng.IntN(2) == 0
	p.MaxDets = []int{[]int{1, 2, 5}[rng.IntN(3)], 10, 100}[:1+rng.IntN(3)]
	if rng.IntN(2) == 0 {
		p.IoUs = []float64{.9, 0, .5, .25, 1}[:1+rng.IntN(5)]
		p.Recalls = []float64{-.5, 0, 0, .1, 1. / 3, .5, 1, 1.5}
		p.AreaRanges = append(p.AreaRanges, AreaRange{"tiny", 0, 30})
	}
	if rng.IntN(4) == 0 {
		p.IoUs = linspace(.01, .99, 99)
	}
	for _, m := range d.Images {
		if rng.IntN(2) == 0 {
			p.Images = append(p.Images, m.ID)
		}
	}
	if rng.IntN(2) == 0 {
		p.Categories = []int64{d.Categories[rng.IntN(len(d.Categories))].ID}
	}
	return p
}

func TestEvaluateEqualsTheDefinition(t *testing.T) {
	for _, kind := range []Type{Boxes, Masks} {
		t.Run([]string{"boxes", "masks"}[kind], func(t *testing.T) {
			t.Parallel()
			for _, seed := range []uint64{0x3d05, 0xe} { // ties across categories without UseCats
				holdAgainstDefinition(t, seed, kind)
			}
			rapid.Check(t, func(t *rapid.T) { holdAgainstDefinition(t, rapid.Uint64().Draw(t, "seed"), kind) })
		})
	}
}

func holdAgainstDefinition(t rapid.TB, seed uint64, kind Type) {
	rng := rand.New(rand.NewPCG(seed, 1))
	gt, dt := randomSet(rng, kind == Masks)
	p := randomParams(rng, kind, gt)
	r, err := Evaluate(gt, dt, p)
	if err != nil {
		t.Fatal(err)
	}
	o := newOracle(gt, dt, r.Params)
	o.accumulate()
	compare(t, r, o)
}

func compare(t rapid.TB, r *Result, o *oracle) {
	T, R, K, A, M := r.Shape()
	if n := T * R * K * A * M; n != len(o.precision) {
		t.Fatalf("%d values, want %d", n, len(o.precision))
	}
	for at, want := range o.precision {
		if got := r.Precision(at[0], at[1], at[2], at[3], at[4]); got != want {
			t.Fatalf("precision at %v is %g, want %g", at, got, want)
		}
		if got, want := r.Score(at[0], at[1], at[2], at[3], at[4]), o.scores[at]; got != want {
			t.Fatalf("score at %v is %g, want %g", at, got, want)
		}
	}
	for at, want := range o.recall {
		if got := r.Recall(at[0], at[1], at[2], at[3]); got != want {
			t.Fatalf("recall at %v is %g, want %g", at, got, want)
		}
	}
	sum, n := 0., 0
	m := slices.Index(r.Params.MaxDets, 100)
	for at, v := range o.precision {
		if at[3] == 0 && at[4] == m && v > -1 {
			sum += v
			n++
		}
	}
	want := -1.
	if n > 0 {
		want = sum / float64(n)
	}
	if !near(r.Stats[0], want) {
		t.Fatalf("AP %g, want %g", r.Stats[0], want)
	}
}

func TestSorterIsAStableSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		special := []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), -1, 1, math.SmallestNonzeroFloat64}
		var s sorter
		for range 3 {
			list := make([]ranked, rng.IntN(2*fewToSort))
			for i := range list {
				list[i] = ranked{score: special[rng.IntN(len(special))], image: int32(rng.IntN(5)), index: int32(rng.IntN(9))}
				if rng.IntN(2) == 0 {
					list[i].score = rng.NormFloat64()
				}
			}
			want := slices.Clone(list)
			slices.SortStableFunc(want, func(a, b ranked) int {
				return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.image, b.image))
			})
			got := s.sort(list)
			for i := range got {
				got[i].rank = 0
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	})
}
