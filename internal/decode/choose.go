package decode

import (
	"fmt"
	"strings"
)

// fitted is a view that a decoder takes.
type fitted struct {
	view
	why     string
	classes int  // that were assumed; 0: none
	listed  bool // in the model's order
}

// fitting lists the views that a decoder takes.
func (d Decoder) fitting(list []view, s Settings, named bool) []fitted {
	fits := d.fits
	if named && d.takes != nil {
		fits = d.takes
	}
	all := func(s Settings) (fit []fitted) {
		for _, v := range list {
			if ok, why := fits(v.shapes, s); ok {
				fit = append(fit, fitted{view: v, why: why})
			}
		}
		return fit
	}
	if s.Classes == 0 {
		assumed := s
		assumed.Classes = cocoClasses
		if fit := all(assumed); len(fit) > 0 {
			for i := range fit {
				fit[i].why += " (COCO's 80 classes assumed)"
				fit[i].classes = cocoClasses
			}
			return fit
		}
	}
	return all(s)
}

const cocoClasses = 80

// choose finds how outputs are joined for a decoder that was chosen: not at all, if they fit as they are.
//
//  1. As they are.
//  2. Joined in the model's order, then in another one, then a part of them. Several ways are told apart by the outputs' names and values.
//  3. What the decoder takes by its name alone: joined in the model's order, as they are, then as in 2.
func (d Decoder) choose(in []array, s Settings) (fitted, error) {
	shapes := shapesOf(in)
	asTheyAre := fitted{view: view{shapes: leaves(shapes)}}
	if len(s.Joins) > 0 || !d.joinable(s) {
		asTheyAre.joins = s.Joins
		return asTheyAre, nil
	}
	fits := d.fits
	if d.takes != nil {
		fits = d.takes
	}
	if ok, _ := fits(shapes, s); ok {
		return asTheyAre, nil
	}
	var lists [3][]view
	for how := range lists {
		lists[how] = views(shapes, order(how))
	}
	if len(lists[listed]) == 0 { // nothing agrees
		return asTheyAre, nil
	}
	for how, list := range lists {
		fit := d.fitting(list, s, true)
		if how == int(listed) && len(fit) > 0 {
			for i := range fit {
				fit[i].listed = true
			}
			fit = append(fit, d.fitting(lists[shuffled], s, true)...)
		}
		if len(fit) > 0 {
			return d.pick(fit, in)
		}
	}
	return d.tryAll(in, s, asTheyAre, lists)
}

// tryAll reads the values in all ways, where shapes alone do not speak for a decoder that was named.
func (d Decoder) tryAll(in []array, s Settings, asTheyAre fitted, lists [3][]view) (fitted, error) {
	try := func(list []view) (fit []fitted) {
		for _, v := range list {
			joined, err := joinArrays(in, leaves(shapesOf(in)), v.joins)
			if err == nil && d.decode(joined, newGather(s)) == nil {
				fit = append(fit, fitted{view: v})
			}
		}
		return fit
	}
	for k, list := range [][]view{lists[listed], {asTheyAre.view}, lists[shuffled], lists[some]} {
		if fit := try(list[:min(len(list), mostTried)]); len(fit) > 0 {
			for i := range fit {
				fit[i].listed = k == 0
			}
			return d.pick(fit, in)
		}
	}
	return asTheyAre, nil // its error says what is wrong
}

// pick takes the view that names and values speak for most: of equal ones the first, if it has the model's order.
func (d Decoder) pick(fit []fitted, in []array) (fitted, error) {
	names := shapesOf(in)
	best, most := []fitted{}, 0
	seen := map[string]bool{}
	for _, f := range fit {
		if seen[f.key()] {
			continue
		}
		seen[f.key()] = true
		e := f.evidence(in, names)
		if len(best) == 0 || e > most {
			best, most = best[:0], e
		}
		if e == most {
			best = append(best, f)
		}
	}
	if len(best) == 1 || best[0].listed {
		return best[0], nil
	}
	var ways []string
	for _, f := range best[:min(len(best), 4)] {
		for _, s := range f.shapes {
			if len(s.parts) > 1 {
				ways = append(ways, s.Name)
			}
		}
	}
	return fitted{}, fmt.Errorf("the outputs %v are pieces of a head that can be joined in several ways, such as %s: name those that are read, in their order, in the model's YAML (eval: decode: outputs: [...])",
		names, strings.Join(ways, " or "))
}

// mostTried is how many ways to join outputs are tried on values.
const mostTried = 64
