// Package coco reads and writes detection sets in COCO's JSON and evaluates detections as pycocotools does, to the same
// numbers.
//
//  1. Reader (or ReadDataset, ReadResults) turns JSON into plain annotations; what a file leaves out stays marked as
//     missing.
//  2. Evaluate groups ground truth and detections by category and image, matches them at every IoU threshold and in every
//     area range, and accumulates precision over recall: one category at a time, categories side by side.
//  3. A Result holds pycocotools' twelve numbers, its arrays, values per category, curves, and the Problems: what was
//     skipped, and what was counted though it looks wrong.
//
// Masks are run-length encoded as in the COCO API (mask.go, polygon.go). Sources of the definitions: cocoeval.py, coco.py and
// maskApi.c of pycocotools 2.0.11.
package coco

import "encoding/json"

// Dataset is the ground truth: what the images are and what is to be found in them. Licences and keys that are not
// named here are not kept.
type Dataset struct {
	Info        json.RawMessage // as it stands in the file; nil if there is none
	Images      []Image
	Annotations []Annotation
	Categories  []Category
}

// Image is one picture. Width and Height are pixels; polygons are drawn on a raster of that size.
type Image struct {
	ID            int64
	Width, Height int
	FileName      string
}

// Category is one class of objects.
type Category struct {
	ID                  int64
	Name, Supercategory string
}

// Annotation is an object of the ground truth or a detection. A detection is told from ground truth by where it stands;
// its ID, Area, Crowd and Ignore are not used, its Score is.
type Annotation struct {
	ID, ImageID, CategoryID int64
	Box                     [4]float64 // x, y of the top left corner, width, height; pixels
	Area                    float64    // pixels; of the object, not of its box
	Score                   float64
	Segmentation            *Segmentation // nil: none
	Crowd                   bool          // a region of many objects: matched by any number of detections, and ignored
	Ignore                  bool          // read and written, but not used: pycocotools overwrites it with Crowd
	Missing                 Fields        // what the file did not say; the fields themselves are zero
}

// Fields is a set of an annotation's fields. The zero value is the empty set, so an annotation made in Go is complete.
type Fields uint8

// The fields that a file may leave out.
const (
	FieldID Fields = 1 << iota
	FieldImage
	FieldCategory
	FieldBox
	FieldArea
	FieldScore
)

// Has says whether any field of f is in the set.
func (s Fields) Has(f Fields) bool { return s&f != 0 }

// Segmentation is the outline of an object as it stands in a file: polygons, or runs as a list or as a compressed
// string. At most one of the three is set.
type Segmentation struct {
	Polygons   [][]float64 // x, y, x, y, …; the object is their union
	Size       [2]int      // height, width; of the runs only
	Counts     []uint32    // runs, column by column, beginning with background
	Compressed string      // the same runs in COCO's string
}

// Mask gives the pixels of the object on a raster of the given size, which only polygons use. The error says why there
// are none: broken runs, no polygon of more than two points, coordinates out of bounds.
func (s *Segmentation) Mask(height, width int) (Mask, error) {
	switch {
	case s.Compressed != "":
		return ParseMask(s.Compressed, s.Size[0], s.Size[1])
	case s.Counts != nil:
		m := Mask{H: s.Size[0], W: s.Size[1], Counts: s.Counts}
		return m, m.check()
	}
	return polygonsMask(s.Polygons, height, width)
}
