package web

import "quantcheck/internal/result"

// describeExploration is an exploration as the page has it: as it is, its types being those of ui/src/explore.ts, with no list
// missing.
func describeExploration(e *result.Explored) *result.Explored {
	x := *e
	x.Classes, x.Limits, x.Story, x.Warnings = list(x.Classes), list(x.Limits), list(x.Story), list(x.Warnings)
	x.Unencoded, x.Converts, x.Files, x.Commands = list(x.Unencoded), list(x.Converts), list(x.Files), list(x.Commands)
	x.Origins, x.Layers, x.Points = list(x.Origins), list(x.Layers), append([]result.ExplorePoint{}, x.Points...)
	for i := range x.Points {
		x.Points[i].Changed = list(x.Points[i].Changed)
	}
	return &x
}

// list is a list that is not nil.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
