package coco

import (
	"fmt"
	"strings"
)

// Kind is one kind of trouble with a dataset or with detections.
type Kind int

// The kinds of problems, in the order in which they are told.
const (
	DuplicateImage Kind = iota
	DuplicateCategory
	DuplicateAnnotation
	ZeroID
	TruthUnknownImage
	TruthUnknownCategory
	TruthIncomplete
	TruthNotFinite
	TruthNegativeBox
	TruthNoArea
	TruthMaskBroken
	TruthMaskSize
	UnknownImage
	UnknownCategory
	Incomplete
	NotFinite
	NegativeBox
	MaskBroken
	MaskSize
	kinds int = iota
)

// About says what a kind of problem is and what is done about it.
type About struct {
	Kind    Kind
	Key     string // for machines
	Text    string // what is wrong and what follows
	Skipped bool   // whether the object is left out; others are counted as pycocotools counts them, unless Text says more
}

// Kinds lists every kind in order.
var Kinds = []About{
	{DuplicateImage, "duplicate-image", "images whose id another one has: the last one's size counts", false},
	{DuplicateCategory, "duplicate-category", "categories whose id another one has: the last one's name counts", false},
	{DuplicateAnnotation, "duplicate-annotation", "ground truth whose id another annotation has: each counts for itself, where pycocotools takes the last one several times", false},
	{ZeroID, "zero-id", "ground truth with the id 0: pycocotools takes a detection that is matched with it for a false positive, and so do these numbers", false},
	{TruthUnknownImage, "truth-unknown-image", "ground truth of images that the dataset does not have: skipped", true},
	{TruthUnknownCategory, "truth-unknown-category", "ground truth of categories that the dataset does not have: skipped", true},
	{TruthIncomplete, "truth-incomplete", "ground truth without image_id, category_id or the box or segmentation that is compared: skipped", true},
	{TruthNotFinite, "truth-not-finite", "ground truth whose box or area is unusable (NaN, infinite, or over a billion pixels): skipped", true},
	{TruthNegativeBox, "truth-negative-box", "ground truth with a negative width or height: nothing matches it", false},
	{TruthNoArea, "truth-no-area", "ground truth without area: that of its box or mask is taken", false},
	{TruthMaskBroken, "truth-mask-broken", "ground truth with a broken segmentation: skipped", true},
	{TruthMaskSize, "truth-mask-size", "ground truth whose mask has another size than the image: only masks of that size match it", false},
	{UnknownImage, "unknown-image", "detections in images that the dataset does not have: skipped, where pycocotools stops", true},
	{UnknownCategory, "unknown-category", "detections of categories that the dataset does not have: skipped", true},
	{Incomplete, "incomplete", "detections without image_id, category_id, score or the box or segmentation that is compared: skipped", true},
	{NotFinite, "not-finite", "detections whose box is unusable (NaN, infinite, or over a billion pixels), or whose score is NaN: skipped", true},
	{NegativeBox, "negative-box", "detections with a negative width or height: they match nothing, and one whose area is negative counts nowhere", false},
	{MaskBroken, "mask-broken", "detections with a broken segmentation: skipped", true},
	{MaskSize, "mask-size", "detections whose mask has another size than the image: they match only masks of that size", false},
}

// firstNamed is how many objects of each kind of problem are named.
const firstNamed = 5

// Problems counts what is wrong with a dataset and with detections. The zero value has none.
type Problems struct {
	counts [kinds]int
	first  [kinds][]string
}

// Found is one kind of problem that occurred.
type Found struct {
	About
	Count int
	First []string // names of the first few
}

// Count says how many objects have a problem of a kind.
func (p *Problems) Count(k Kind) int { return p.counts[k] }

// Skipped says how many annotations and detections were left out.
func (p *Problems) Skipped() int {
	n := 0
	for _, about := range Kinds {
		if about.Skipped {
			n += p.counts[about.Kind]
		}
	}
	return n
}

// List gives what occurred, in the order of the kinds.
func (p *Problems) List() []Found {
	var list []Found
	for _, about := range Kinds {
		if n := p.counts[about.Kind]; n > 0 {
			list = append(list, Found{about, n, p.first[about.Kind]})
		}
	}
	return list
}

// add counts a problem; name is only called for those that are named.
func (p *Problems) add(k Kind, name func() string) {
	p.counts[k]++
	if len(p.first[k]) < firstNamed {
		p.first[k] = append(p.first[k], name())
	}
}

// merge adds the problems that another part found.
func (p *Problems) merge(other *Problems) {
	for k := range p.counts {
		p.counts[k] += other.counts[k]
		p.first[k] = append(p.first[k], other.first[k]...)
		p.first[k] = p.first[k][:min(len(p.first[k]), firstNamed)]
	}
}

// String tells every kind in a line of its own.
func (p *Problems) String() string {
	var lines []string
	for _, f := range p.List() {
		more := ""
		if f.Count > len(f.First) {
			more = ", …"
		}
		lines = append(lines, fmt.Sprintf("%d %s (%s%s)", f.Count, f.Text, strings.Join(f.First, ", "), more))
	}
	return strings.Join(lines, "\n")
}

// ProblemsError is why Evaluate refuses under Params.Strict.
type ProblemsError struct{ Problems Problems }

func (e *ProblemsError) Error() string { return "refused:\n" + e.Problems.String() }
