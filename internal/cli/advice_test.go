package cli

import (
	"slices"
	"testing"

	"github.com/alecthomas/kong"

	"quantcheck/internal/cause"
)

// Each command is proposed by a cause, or there is a reason why none does. The room cause holds the same of options and passes.
func TestAdviceKnowsEveryCommand(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&program{}, lists())
	if err != nil {
		t.Fatal(err)
	}
	var there, known []string
	for _, c := range parser.Model.Children {
		if c.Type == kong.CommandNode && !c.Hidden {
			there = append(there, c.Name)
		}
	}
	for _, m := range cause.Commands {
		known = append(known, m.Name)
	}
	slices.Sort(there)
	slices.Sort(known)
	if !slices.Equal(there, known) {
		t.Errorf("commands are %v, and advice knows %v", there, known)
	}
}
