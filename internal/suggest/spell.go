// Package suggest finds what somebody meant who misspelt a name.
package suggest

import (
	"cmp"
	"slices"
)

// Nearest sorts names by how few edits lead from them to the one wanted, nearest first; the list given stays as it is.
func Nearest(wanted string, names []string) []string {
	list := slices.Clone(names)
	slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(Distance(wanted, a), Distance(wanted, b)) })
	return list
}

// longest bounds the work on names out of files.
const longest = 100

// Distance is the Levenshtein distance of two names' first hundred bytes.
func Distance(a, b string) int {
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
