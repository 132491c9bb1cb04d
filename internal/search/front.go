package search

import (
	"cmp"
	"slices"
)

// Priced is a candidate with what it scores and costs.
type Priced struct {
	Score float64
	Price float64
}

// Front gives the places of those candidates that no other beats: none is as cheap with a higher score, or cheaper with as high
// a one. They are ordered by price; of equal candidates the first stands for all.
func Front(list []Priced) []int {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(list[a].Price, list[b].Price), cmp.Compare(list[b].Score, list[a].Score))
	})
	var front []int
	for _, i := range order {
		if len(front) == 0 || list[i].Score > list[front[len(front)-1]].Score {
			front = append(front, i)
		}
	}
	return front
}

// Thin keeps at most so many points of a front: the first, the last, those that must stay, and of the rest those where the
// score grows most.
func Thin(front []int, list []Priced, most int, keep func(i int) bool) []int {
	for len(front) > max(most, 2) {
		drop, least := -1, 0.0
		for k := 1; k+1 < len(front); k++ {
			if keep(front[k]) {
				continue
			}
			if grown := list[front[k]].Score - list[front[k-1]].Score; drop < 0 || grown < least {
				drop, least = k, grown
			}
		}
		if drop < 0 {
			break
		}
		front = slices.Delete(slices.Clone(front), drop, drop+1)
	}
	return front
}
