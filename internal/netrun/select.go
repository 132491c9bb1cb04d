package netrun

import (
	"fmt"
	"slices"

	"quantcheck/internal/dlc"
	"quantcheck/internal/qnn/compose"
	"quantcheck/internal/suggest"
)

// selection finds tensors of a DLC's graph by the names that people give.
type selection struct {
	made     map[string]bool     // tensors that a node makes
	spelled  map[string][]string // the same by the composer's spelling
	nodes    map[string][]string // node → what it makes
	elsewise map[string]string   // inputs and weights: what they are
	err      error               // of the first name that is not found
}

func newSelection(g *dlc.Graph) *selection {
	s := &selection{made: map[string]bool{}, spelled: map[string][]string{}, nodes: map[string][]string{}, elsewise: map[string]string{}}
	for _, n := range g.Nodes {
		for _, out := range n.Outputs {
			if !s.made[out] {
				s.made[out] = true
				s.spelled[compose.Reported(out)] = append(s.spelled[compose.Reported(out)], out)
			}
		}
		s.nodes[n.Name] = append(s.nodes[n.Name], n.Outputs...)
	}
	for _, t := range g.Tensors {
		switch {
		case s.made[t.Name]:
		case t.Location == dlc.Input:
			s.elsewise[t.Name] = "an input of the graph, which no operator makes"
		case t.Location == dlc.Static:
			s.elsewise[t.Name] = "a weight, which no operator makes"
		}
	}
	return s
}

// tensors finds tensors by their names, the file's or the composer's.
func (s *selection) tensors(names []string) (found []string) {
	for _, name := range names {
		if t, ok := s.tensor(name); ok {
			found = append(found, t)
		} else {
			s.unknown(name, false)
		}
	}
	return found
}

// layers finds what operators make, by the operators' names or the tensors'.
func (s *selection) layers(names []string) (found []string) {
	for _, name := range names {
		if list, ok := s.nodes[name]; ok {
			found = append(found, list...)
		} else if t, ok := s.tensor(name); ok {
			found = append(found, t)
		} else {
			s.unknown(name, true)
		}
	}
	return found
}

func (s *selection) tensor(name string) (string, bool) {
	if s.made[name] {
		return name, true
	}
	if alike := s.spelled[name]; len(alike) == 1 {
		return alike[0], true
	}
	return "", false
}

func (s *selection) unknown(name string, layers bool) {
	if s.err != nil {
		return
	}
	what, names := "tensor", []string{}
	for t := range s.made {
		names = append(names, t)
	}
	if layers {
		what = "layer or tensor"
		for n := range s.nodes {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	switch other, is := s.elsewise[name]; {
	case is:
		s.err = fmt.Errorf("%q is %s", name, other)
	case len(names) == 0:
		s.err = fmt.Errorf("the DLC has no %s %q", what, name)
	default:
		s.err = fmt.Errorf("the DLC has no %s %q; nearest: %q", what, name, suggest.Nearest(name, names)[0])
	}
}
