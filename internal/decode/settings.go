package decode

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Option is a choice that may be left to the values.
type Option string

// The three answers; "auto" means the same as nothing.
const (
	Auto Option = ""
	Yes  Option = "yes"
	No   Option = "no"
)

func (o Option) valid() bool { return o == Auto || o == "auto" || o == Yes || o == No }

// or gives the answer that was set, else the one that was found.
func (o Option) or(found bool) bool {
	switch o {
	case Yes:
		return true
	case No:
		return false
	}
	return found
}

func answer(yes bool) Option {
	if yes {
		return Yes
	}
	return No
}

// Settings are how outputs are read and boxes are chosen. They are plain data; see SeedSettings and ScoringSettings.
type Settings struct {
	Width  int `yaml:"width" json:"width"` // of the model's input, in pixels
	Height int `yaml:"height" json:"height"`
	// Classes is the number of classes without a background class; 0: from the shapes, as far as they tell.
	Classes int `yaml:"classes" json:"classes"`

	Confidence float64 `yaml:"confidence" json:"confidence"` // a score must be greater
	IoU        float64 `yaml:"iou" json:"iou"`               // a box that overlaps a better one more than this is dropped
	Most       int     `yaml:"most" json:"most"`             // boxes per picture
	Agnostic   bool    `yaml:"agnostic" json:"agnostic"`     // boxes of different classes suppress each other
	// MultiLabel gives a candidate one box for every class over the confidence, as YOLOv5's val.py does; else its best
	// class only.
	MultiLabel bool `yaml:"multi-label" json:"multi_label"`
	PreNMS     int  `yaml:"pre-nms" json:"pre_nms"` // at most so many candidates, the best, go into NMS

	// Anchors are widths and heights in pixels, by scale from the finest on; nil: the decoder's own.
	Anchors [][][2]float64 `yaml:"anchors" json:"anchors,omitempty"`
	// Strides are pixels per cell, by scale, ascending; nil: those that the shapes and the input's size tell.
	Strides []int `yaml:"strides" json:"strides,omitempty"`
	// Sigmoid says whether the outputs still need their sigmoid (SSD: softmax). Auto: if a value is no probability.
	Sigmoid Option `yaml:"sigmoid" json:"sigmoid,omitempty"`
	// Objectness says whether the channel before the class scores is multiplied with them. Auto: as the family has it.
	Objectness Option `yaml:"objectness" json:"objectness,omitempty"`
	// BoxScale is what boxes are multiplied by to be in pixels, for a model that gives parts of its side; 0: nothing, they are.
	BoxScale float64 `yaml:"box-scale" json:"box_scale,omitempty"`
	Priors   Priors  `yaml:"priors" json:"priors"`
	Mapping  Mapping `yaml:"mapping" json:"mapping"`
	// Outputs names the outputs that are read, the pieces of a cut head in the order in which they are joined; nil: all, in the model's
	// order. Where none of them is there, all are read, and a note says so.
	Outputs []string `yaml:"outputs" json:"outputs,omitempty"`
	// Joins are how outputs are joined before they are read. They are found out on the first picture.
	Joins []Join `yaml:"-" json:"joins,omitempty"`
}

// Priors describe the default boxes of an SSD. The zero value stands for those of Ultra-Light-Fast-Generic-Face-Detector.
type Priors struct {
	// Decoded says whether the box output already holds corners in 0..1. Auto: if nearly all are the right way round.
	Decoded        Option      `yaml:"decoded" json:"decoded,omitempty"`
	MinBoxes       [][]float64 `yaml:"min-boxes" json:"min_boxes,omitempty"` // edges in pixels, by level
	CenterVariance float64     `yaml:"center-variance" json:"center_variance,omitempty"`
	SizeVariance   float64     `yaml:"size-variance" json:"size_variance,omitempty"`
}

// The orders of a box's four numbers.
const (
	XYXY   = "xyxy"   // left, top, right, bottom
	XYWH   = "xywh"   // left, top, width, height
	CXCYWH = "cxcywh" // centre, width, height
	YXYX   = "yxyx"   // top, left, bottom, right
)

var formats = []string{XYXY, XYWH, CXCYWH, YXYX}

// Mapping says which outputs hold what in a model that gives boxes itself. See the decoder boxes.
type Mapping struct {
	Boxes      string `yaml:"boxes" json:"boxes,omitempty"`
	Scores     string `yaml:"scores" json:"scores,omitempty"`
	Classes    string `yaml:"classes" json:"classes,omitempty"`
	Count      string `yaml:"count" json:"count,omitempty"`   // how many boxes are valid; "": all
	Format     string `yaml:"format" json:"format,omitempty"` // "": xyxy
	Normalised bool   `yaml:"normalised" json:"normalised,omitempty"`
	// FirstClass is the number that the model gives to the first class; lower ones are background.
	FirstClass int `yaml:"first-class" json:"first_class,omitempty"`
	// Suppressed says that the model applies NMS itself.
	Suppressed bool `yaml:"suppressed" json:"suppressed,omitempty"`
}

func (m Mapping) set() bool { return m.Boxes != "" || m.Scores != "" || m.Classes != "" }

// SeedSettings are those of the seed tool, for looking at boxes. The input's size is still to be filled in.
func SeedSettings() Settings {
	return Settings{Confidence: 0.25, IoU: 0.5, Most: 300, PreNMS: 30000}
}

// ScoringSettings are for computing mAP, where boxes of low confidence count: 100 boxes are what COCO looks at. The
// input's size is still to be filled in.
func ScoringSettings() Settings {
	return Settings{Confidence: 0.01, IoU: 0.65, Most: 100, PreNMS: 30000}
}

const (
	maxSide    = 1 << 16 // pixels
	maxClasses = 1 << 20
	maxBoxes   = 1 << 22
)

// boxScale is what boxes are multiplied by, 1 if they are in pixels.
func (s Settings) boxScale() float64 {
	if s.BoxScale > 0 {
		return s.BoxScale
	}
	return 1
}

// Check says what is wrong with the settings.
func (s Settings) Check() error {
	switch {
	case s.Width < 1 || s.Height < 1 || s.Width > maxSide || s.Height > maxSide:
		return fmt.Errorf("the model's input of %d×%d pixels is no size to decode boxes for", s.Width, s.Height)
	case s.Classes < 0 || s.Classes > maxClasses:
		return fmt.Errorf("%d classes", s.Classes)
	case !(s.Confidence >= 0 && s.Confidence <= 1):
		return fmt.Errorf("the confidence %g is not between 0 and 1", s.Confidence)
	case !(s.IoU >= 0 && s.IoU <= 1):
		return fmt.Errorf("the IoU %g is not between 0 and 1", s.IoU)
	case s.Most < 1 || s.PreNMS < 1 || s.Most > maxBoxes || s.PreNMS > maxBoxes:
		return fmt.Errorf("at most %d boxes from %d candidates: both must be between 1 and %d", s.Most, s.PreNMS, maxBoxes)
	case !s.Sigmoid.valid() || !s.Objectness.valid() || !s.Priors.Decoded.valid():
		return errors.New("sigmoid, objectness and decoded are auto, yes or no")
	case !(s.BoxScale >= 0 && s.BoxScale <= maxSide):
		return fmt.Errorf("boxes cannot be multiplied by %g", s.BoxScale)
	case s.Mapping.Format != "" && !slices.Contains(formats, s.Mapping.Format):
		return fmt.Errorf("unknown box format %q; there are %v", s.Mapping.Format, formats)
	}
	if len(s.Joins) > mostJoins {
		return fmt.Errorf("outputs are joined %d times", len(s.Joins))
	}
	for i, stride := range s.Strides {
		if stride < 1 || stride > maxSide || i > 0 && stride <= s.Strides[i-1] {
			return fmt.Errorf("strides %v are not positive and ascending", s.Strides)
		}
	}
	for _, scale := range s.Anchors {
		if len(scale) == 0 || len(scale) != len(s.Anchors[0]) {
			return errors.New("every scale has the same number of anchors, at least one")
		}
		for _, a := range scale {
			if !positive(a[0]) || !positive(a[1]) {
				return fmt.Errorf("an anchor of %g×%g pixels", a[0], a[1])
			}
		}
	}
	for _, level := range s.Priors.MinBoxes {
		for _, edge := range level {
			if !positive(edge) {
				return fmt.Errorf("a prior box of %g pixels", edge)
			}
		}
	}
	for _, v := range []float64{s.Priors.CenterVariance, s.Priors.SizeVariance} {
		if v != 0 && !positive(v) {
			return fmt.Errorf("a variance of %g", v)
		}
	}
	return nil
}

func positive(v float64) bool { return v > 0 && !math.IsInf(v, 0) }
