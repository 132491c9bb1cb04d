package rewrite

import (
	"slices"

	"quantcheck/internal/onnx"
)

var dropUnused = Pass{
	Name: "drop-unused", Title: "operators and initializers that no output depends on are removed", Tolerance: 0,
	Order: "at the end: it takes what the others have left over",
	Why:   "They take space, and a converter may trip over them.",
	Doc: `
    Before   x ─ A ─ y (output),  x ─ B ─ z (nobody's)        After   x ─ A ─ y

Inputs of the graph stay, used or not: who runs the model gives them. optimize --keep-output NAME drops the outputs that are not named
before all passes, with the operators, constants and inputs that only they need: heads that were there for training, say.
`,
	apply: func(s *sweep) error {
		wanted := map[string]bool{}
		for name := range s.x.Output {
			wanted[name] = true
		}
		for i := len(s.x.Nodes) - 1; i >= 0; i-- {
			n := s.x.Nodes[i]
			if slices.ContainsFunc(n.GetOutput(), func(out string) bool { return out != "" && wanted[out] }) {
				for _, in := range onnx.Uses(n) {
					wanted[in] = true
				}
				continue
			}
			s.replace(i)
			s.changed("%s (%s)", nameOf(n), n.GetOpType())
		}
		for _, t := range s.m.Graph().GetInitializer() {
			if !wanted[t.GetName()] {
				s.changed("%s (initializer)", t.GetName())
			}
		}
		return nil
	},
}
