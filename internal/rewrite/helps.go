package rewrite

import (
	"maps"
	"slices"
)

// helps are operators that the HTP refuses, with the pass that puts another one in their place.
var helps = map[string]string{"Erf": "fuse-gelu"}

// Helps is the pass that may take an operator that the HTP refuses out of a model; "" if none does.
func Helps(op string) string { return helps[op] }

// Helped lists the operators for which there is such a pass.
func Helped() []string { return slices.Sorted(maps.Keys(helps)) }
