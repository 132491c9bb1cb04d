package htpcost

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Difference is a layer of two estimates side by side.
type Difference struct {
	Name   string   `json:"name"`
	Op     string   `json:"op"`
	Before *float64 `json:"before"` // cycles; nil: it is not in this one
	After  *float64 `json:"after"`
}

// Change is by how many cycles it grew.
func (d Difference) Change() float64 {
	change := 0.0
	if d.After != nil {
		change += *d.After
	}
	if d.Before != nil {
		change -= *d.Before
	}
	return change
}

// Differences joins two estimates' layers by their names, what changed most first.
func Differences(before, after *Estimate) []Difference {
	var list []Difference
	place := map[string]int{}
	key := func(l Layer) string {
		if l.Kind != Operator {
			return "(" + string(l.Kind) + ")"
		}
		if l.Name == "" {
			return fmt.Sprintf("operator %d", l.Node)
		}
		return l.Name
	}
	put := func(l Layer, which func(*Difference) **float64) {
		name := key(l)
		i, known := place[name]
		if !known {
			i = len(list)
			place[name] = i
			list = append(list, Difference{Name: name, Op: l.Op})
		}
		at := which(&list[i])
		c := l.Cycles
		if *at != nil {
			c += **at
		}
		*at = &c
	}
	for _, l := range before.Layers {
		put(l, func(d *Difference) **float64 { return &d.Before })
	}
	for _, l := range after.Layers {
		put(l, func(d *Difference) **float64 { return &d.After })
	}
	slices.SortFunc(list, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Change()), math.Abs(a.Change())), cmp.Compare(a.Name, b.Name))
	})
	return list
}
