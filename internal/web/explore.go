package web

import (
	"quantcheck/internal/dataset"
	"quantcheck/internal/result"
)

// explorations is the view of explorations.
type explorations struct {
	Explorations []result.Explored `json:"explorations"` // as they are stored, with no list missing
}

var _ = show(func(c Content) explorations {
	var p explorations
	p.Explorations = []result.Explored{}
	for _, one := range c.Explorations {
		p.Explorations = append(p.Explorations, describeExploration(one))
	}
	return p
})

// describeExploration is an exploration as the page has it: as it is, with no list missing.
func describeExploration(e *result.Explored) result.Explored {
	x := *e
	x.Classes, x.Limits, x.Story, x.Warnings = list(x.Classes), list(x.Limits), list(x.Story), list(x.Warnings)
	x.Unencoded, x.Converts, x.Files, x.Commands = list(x.Unencoded), list(x.Converts), list(x.Files), list(x.Commands)
	x.Origins, x.Layers, x.Points = list(x.Origins), list(x.Layers), append([]result.ExplorePoint{}, x.Points...)
	x.Machine.Features, x.Model.Inputs, x.Spec.Variants = list(x.Machine.Features), list(x.Model.Inputs), list(x.Spec.Variants)
	in := &x.Spec.Input
	in.Mean, in.Scale = list(in.Mean), list(in.Scale)
	if in.InputShape == nil {
		in.InputShape = dataset.ShapeTexts{}
	}
	for i := range x.Points {
		x.Points[i].Changed = list(x.Points[i].Changed)
	}
	return x
}

// list is a list that is not nil.
func list[L ~[]T, T any](l L) L {
	if l == nil {
		return L{}
	}
	return l
}
