package result

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Sound says what in a stored evaluation points outside of it, so that whoever reads one that was damaged, or written by somebody
// else, can leave it out; nil: every list has the length, and every index the range, that the fields' comments promise.
func (e *Evaluation) Sound() error {
	if len(e.Columns) == 0 || len(e.Models) == 0 {
		return fmt.Errorf("it has %d columns and %d models", len(e.Columns), len(e.Models))
	}
	for i := range e.Models {
		m := &e.Models[i]
		if len(m.Scores) != len(e.Columns) {
			return fmt.Errorf("%s has %d scores in %d columns", m.Name, len(m.Scores), len(e.Columns))
		}
		if n := len(m.ByClass); n > 0 && n != len(e.Classes) {
			return fmt.Errorf("%s has scores of %d classes, of which there are %d", m.Name, n, len(e.Classes))
		}
	}
	for i := range e.Pictures {
		if err := e.soundPicture(&e.Pictures[i]); err != nil {
			return fmt.Errorf("picture %s: %w", e.Pictures[i].Name, err)
		}
	}
	return nil
}

func (e *Evaluation) soundPicture(p *EvalPicture) error {
	for what, n := range map[string]int{"lists of boxes": len(p.Found), "masks": len(p.Masks), "differences": len(p.Differs)} {
		if n > 0 && n != len(e.Models) {
			return fmt.Errorf("%d %s of %d models", n, what, len(e.Models))
		}
	}
	if p.Width < 0 || p.Height < 0 || p.Width > math.MaxInt32 || p.Height > math.MaxInt32 {
		return fmt.Errorf("a size of %d × %d", p.Width, p.Height)
	}
	for _, boxes := range append([][]Box{p.Truth}, p.Found...) {
		for _, b := range boxes {
			if b.Class < 0 || len(e.Classes) > 0 && b.Class >= len(e.Classes) {
				return fmt.Errorf("a box of class %d, of which there are %d", b.Class, len(e.Classes))
			}
		}
	}
	return nil
}

// Sound is what Evaluation.Sound is, for an exploration.
func (e *Explored) Sound() error {
	n := len(e.Points)
	if e.Best < -1 || e.Best >= n || e.Start < 0 || e.Start >= n {
		return fmt.Errorf("it has %d points, the best is number %d, the start number %d", n, e.Best, e.Start)
	}
	for _, p := range e.Points {
		for _, c := range p.Changed {
			if c.Layer < -1 { // it counts the model's layers, of which an exploration does not say how many there are
				return fmt.Errorf("the point %s changes layer %d", p.Title, c.Layer)
			}
		}
	}
	return nil
}

// Sound is what Evaluation.Sound is, for an estimate.
func (e *Estimated) Sound() error {
	if e.Estimate == nil {
		return errors.New("it has no figures")
	}
	return nil
}

// Sound is what Evaluation.Sound is, for a layer of a run; samples is how many the run has.
func (l *LayerResult) Sound() error {
	if !slices.Contains([]Status{Compared, Fused, NotQuantized, NotComparable}, l.Status) {
		return fmt.Errorf("the status %q", l.Status)
	}
	if h := l.Histogram; h != nil {
		if len(h.Float) != len(h.Variant) {
			return fmt.Errorf("histograms of %d and %d bins", len(h.Float), len(h.Variant))
		}
		for _, bins := range [][]int{h.Float, h.Variant} {
			if slices.ContainsFunc(bins, func(n int) bool { return n < 0 }) {
				return errors.New("a histogram with a negative count")
			}
		}
	}
	return nil
}

// Sound is what Evaluation.Sound is, for a verdict; layers is how many the run has.
func (v *Verdict) Sound(layers int) error {
	for i := range v.Decisions {
		if slices.ContainsFunc(v.Decisions[i].Layers, func(k int) bool { return k < 0 || k >= layers }) {
			return fmt.Errorf("decisions of layers %v, of which there are %d", v.Decisions[i].Layers, layers)
		}
	}
	for i := range v.Parts {
		if k := v.Parts[i].Layer; k < 0 || k >= layers {
			return fmt.Errorf("a part of layer %d, of which there are %d", k, layers)
		}
	}
	for i := range v.Causes {
		if slices.ContainsFunc(v.Causes[i].Layers, func(k int) bool { return k < 0 || k >= layers }) {
			return fmt.Errorf("a cause of layers %v, of which there are %d", v.Causes[i].Layers, layers)
		}
	}
	return nil
}
