package htpcost

import (
	"cmp"
	"slices"
	"strings"
)

// Group is several layers together.
type Group struct {
	Name   string `json:"name"`
	Layers int    `json:"layers"`
	Work
}

// Groups sums layers up by a key, the most expensive group first.
func Groups(layers []Layer, key func(Layer) string) []Group {
	var groups []Group
	place := map[string]int{}
	for _, l := range layers {
		name := key(l)
		i, known := place[name]
		if !known {
			i = len(groups)
			place[name] = i
			groups = append(groups, Group{Name: name})
		}
		g := &groups[i]
		g.Layers++
		g.Share += l.Share
		g.add(l.Work)
	}
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Cycles, a.Cycles), cmp.Compare(a.Name, b.Name))
	})
	return groups
}

// ByOp is a key: the operator's type, or what the layer is if it is no operator. Types that are not known are "?".
func ByOp(l Layer) string {
	switch {
	case l.Kind != Operator:
		return string(l.Kind)
	case l.Op == "":
		return "?"
	}
	return l.Op
}

// ByPrefix gives a key: the first parts of the layer's name, which '/' and '.' divide; the last part, the operator itself, is
// never among them. Layers without such parts are "", those that are no operators what they are.
func ByPrefix(parts int) func(Layer) string {
	return func(l Layer) string {
		if l.Kind != Operator {
			return string(l.Kind)
		}
		name := strings.TrimLeft(l.Name, "/.")
		at, end := 0, 0
		for range parts {
			i := strings.IndexAny(name[at:], "/.")
			if i < 0 {
				break
			}
			end = at + i
			at = end + 1
		}
		return name[:end]
	}
}
