package dataset

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Every way of resizing is one of its own: one that is listed and not computed would be as the default.
func TestEveryWordOfResizeDoesSomethingElse(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	p := &Picture{Width: 40, Height: 20, Pix: make([]uint8, 3*40*20)}
	for i := range p.Pix {
		p.Pix[i] = uint8(1 + r.IntN(255))
	}
	var seen [][]uint8
	var places []Placement
	for _, w := range Resizes {
		d := Default()
		d.Resize = w.Name
		pix, place := d.Fit(p, 16, 16).Pix, d.Place(40, 20, 16, 16)
		if slices.ContainsFunc(seen, func(o []uint8) bool { return slices.Equal(o, pix) }) || w.Name != cropPadHeight && slices.Contains(places, place) {
			t.Errorf("%s is as another one: %v", w.Name, place)
		}
		seen, places = append(seen, pix), append(places, place)
		if old := d; w.Name == cropPadHeight { // by the name that it had before
			old.Resize = "seed"
			if err := old.Check(); err != nil || !slices.Equal(old.Fit(p, 16, 16).Pix, pix) || old.Place(40, 20, 16, 16) != place {
				t.Errorf("its old name does something else: %v", err)
			}
		}
	}
}
