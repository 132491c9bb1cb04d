package decode

import (
	"fmt"
	"slices"
)

var centernet = Decoder{
	Name: "centernet",
	Help: `heat map [1,C,H,W], sizes [1,2,H,W] and, if there are, offsets [1,2,H,W], all in cells of one grid. Boxes stand where
the heat map equals the greatest of its 3×3 neighbours; there is no further suppression.`,
	Source: "arXiv 1904.07850; xingyizhou/CenterNet, src/lib/models/decode.py, ctdet_decode",
	fits: func(shapes []Shape, s Settings) (bool, string) {
		m, why := centerMaps(shapes, s)
		if why != "" {
			return false, why
		}
		offsets := "without offsets"
		if m.offset != nil {
			offsets = fmt.Sprintf("offsets in %q", shapes[m.offset.output].Name)
		}
		return true, fmt.Sprintf("a heat map of %s in %q on stride %d, sizes in %q, %s",
			classCount(m.heat.c), shapes[m.heat.output].Name, m.heat.stride, shapes[m.size.output].Name, offsets)
	},
	decode: decodeCenters,
}

// hotspots are the outputs of a CenterNet.
type hotspots struct {
	heat, size plane
	offset     *plane
}

// centerMaps finds the outputs: by their names if those tell, else in the published order.
func centerMaps(shapes []Shape, s Settings) (hotspots, string) {
	none := fmt.Sprintf("no maps [1,C,H,W] and one or two [1,2,H,W] alone on one grid of a %d×%d input, %s", s.Width, s.Height, s.wanted())
	list := planes(shapes, s, func(c int, cuts []int) bool { return len(cuts) == 0 && (c == 2 || s.classes(c)) })
	if len(list) < 2 || len(list) > 3 || len(list) != len(shapes) {
		return hotspots{}, none
	}
	slices.SortFunc(list, func(a, b plane) int { return a.output - b.output })
	var m hotspots
	isOffset := func(name string) bool { return named(name, "reg", "off") }
	isSize := func(name string) bool { return named(name, "wh", "size") }
	take := func(tries ...func(p plane, name string) bool) (plane, bool) {
		for _, right := range tries {
			if i := slices.IndexFunc(list, func(p plane) bool { return right(p, shapes[p.output].Name) }); i >= 0 {
				p := list[i]
				list = slices.Delete(list, i, i+1)
				return p, true
			}
		}
		return plane{}, false
	}
	neither := func(name string) bool { return !isSize(name) && !isOffset(name) }
	var heat, size bool
	m.heat, heat = take(
		func(p plane, name string) bool { return s.classes(p.c) && named(name, "hm", "heat") },
		func(p plane, name string) bool { return s.classes(p.c) && p.c != 2 && neither(name) },
		func(p plane, name string) bool { return s.classes(p.c) && neither(name) },
	)
	m.size, size = take(
		func(p plane, name string) bool { return p.c == 2 && isSize(name) },
		func(p plane, name string) bool { return p.c == 2 && !isOffset(name) },
	)
	if !heat || !size || m.size.stride != m.heat.stride {
		return hotspots{}, none
	}
	if len(list) == 1 {
		m.offset = &list[0]
		if m.offset.c != 2 || m.offset.stride != m.heat.stride {
			return hotspots{}, none
		}
	}
	return m, ""
}

func decodeCenters(in []array, g *gather) error {
	m, why := centerMaps(shapesOf(in), g.s)
	if why != "" {
		return fmt.Errorf("%s; the outputs are %v", why, shapesOf(in))
	}
	for _, p := range []*plane{&m.heat, &m.size, m.offset} {
		if p != nil {
			g.read[p.output] = true
		}
	}
	logits := g.sigmoids("values of the heat map", m.heat.all(in, 0, m.heat.c))
	g.s.Classes, g.s.Strides = m.heat.c, []int{m.heat.stride}
	g.out.Suppressed = true
	stride := float64(m.heat.stride)
	for y := range m.heat.h {
		for x := range m.heat.w {
			v := m.heat.at(in, y, x)
			for class := range v.n {
				if !m.peak(in, y, x, class) || !g.score(v.part(class, class+1), logits, 1) {
					continue
				}
				g.labels[0].class = class
				dx, dy := 0.5, 0.5
				if m.offset != nil {
					o := m.offset.at(in, y, x)
					dx, dy = o.at(0), o.at(1)
				}
				size := m.size.at(in, y, x)
				g.addCenter((float64(x)+dx)*stride, (float64(y)+dy)*stride, size.at(0)*stride, size.at(1)*stride)
			}
		}
	}
	return nil
}

// peak says whether no neighbour of a cell is hotter.
func (m hotspots) peak(in []array, y, x, class int) bool {
	here := m.heat.at(in, y, x).at(class)
	for ny := max(y-1, 0); ny <= min(y+1, m.heat.h-1); ny++ {
		for nx := max(x-1, 0); nx <= min(x+1, m.heat.w-1); nx++ {
			if m.heat.at(in, ny, nx).at(class) > here {
				return false
			}
		}
	}
	return true
}
