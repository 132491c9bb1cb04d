//go:build slow

package sensitivity_test

import (
	"testing"

	"quantcheck/internal/sensitivity"
)

func TestSlowYoloxIsWhatTheWholeModelGives(t *testing.T) {
	b := yolox(t, 1)
	all := sensitivity.Activations(b.p)
	var some []sensitivity.Candidate
	for i := 0; i < len(all); i += 37 {
		some = append(some, all[i])
	}
	for i, r := range b.examine(t, b.options(some)).List {
		one := b.alone(t, some[i].Name, nil)
		compare(t, some[i].Name, r, b.oracle(t, one.Model, one.Taps, b.m.Outputs()))
	}
}
