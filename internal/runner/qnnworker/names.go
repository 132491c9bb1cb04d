package qnnworker

import (
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/qnn/compose"
)

// own finds the file's name of each tensor that the composer reports, "" where there is none. Nodes keep their names and the
// order of their tensors; what hangs on no node is found by its spelling alone.
func own(file *dlc.Graph, d *compose.Description) []string {
	names := make([]string, len(d.Tensors))
	if file == nil {
		return names
	}
	reported := make(map[string]int, len(d.Tensors))
	for i, t := range d.Tensors {
		reported[t.Name] = i
	}
	set := func(inFile, name string) {
		if i, known := reported[name]; known && names[i] == "" && spelled(inFile, name) {
			names[i] = inFile
		}
	}
	nodes := make(map[string]*dlc.Node, len(d.Nodes))
	for i, n := range d.Nodes {
		if _, twice := nodes[n.Name]; twice {
			nodes[n.Name] = nil
			continue
		}
		nodes[n.Name] = &d.Nodes[i]
	}
	for _, n := range file.Nodes {
		m := nodes[n.Name]
		if m == nil {
			continue
		}
		for _, pair := range [][2][]string{{n.Outputs, m.Outputs}, {n.Inputs, m.Inputs}} {
			for i := range min(len(pair[0]), len(pair[1])) {
				set(pair[0][i], pair[1][i])
			}
		}
	}
	named := map[string]bool{}
	for _, n := range names {
		named[n] = true
	}
	for _, t := range file.Tensors {
		if !named[t.Name] {
			set(t.Name, compose.Reported(t.Name))
		}
	}
	return names
}

// spelled says whether a reported name can be that of a file's tensor: its spelling, with _0, _1 … behind it for a later one.
func spelled(inFile, name string) bool {
	rest, ok := strings.CutPrefix(name, compose.Reported(inFile))
	return ok && (rest == "" || rest[0] == '_' && len(rest) > 1 && strings.Trim(rest[1:], "0123456789") == "")
}

// candidates are the names under which the composer may report tensors of these names.
func candidates(file *dlc.Graph, names []string) []string {
	alike := map[string]int{}
	if file != nil {
		for _, t := range file.Tensors {
			alike[compose.Reported(t.Name)]++
		}
	}
	var list []string
	for _, n := range names {
		s := compose.Reported(n)
		list = append(list, n, s)
		for i := range alike[s] - 1 {
			list = append(list, fmt.Sprintf("%s_%d", s, i))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

const disagreementsMost = 20

// disagreements say where the composer's encodings are not those of our reader.
func disagreements(file *dlc.Graph, tensors []Tensor) []string {
	if file == nil {
		return nil
	}
	read := make(map[string]*dlc.Encoding, len(file.Tensors))
	for _, t := range file.Tensors {
		read[t.Name] = t.Encoding
	}
	var notes []string
	more := 0
	for _, t := range tensors {
		x := read[t.Own]
		if t.Own == "" || same(t.Encoding, x) {
			continue
		}
		if len(notes) == disagreementsMost {
			more++
			continue
		}
		notes = append(notes, fmt.Sprintf("the encoding of %s: Qualcomm's composer reports %s, the file was read as %s", t.Own, shown(t.Encoding), shown(x)))
	}
	if more > 0 {
		notes = append(notes, fmt.Sprintf("and %d encodings more on which the two disagree", more))
	}
	return notes
}

func same(a, b *dlc.Encoding) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Axis == b.Axis && a.Bits == b.Bits && slices.Equal(a.Scale, b.Scale) && slices.Equal(a.Offset, b.Offset)
}

func shown(e *dlc.Encoding) string {
	switch {
	case e == nil:
		return "none"
	case e.Axis < 0:
		return fmt.Sprintf("%d bits, scale %g, offset %d", e.Bits, e.Scale[0], e.Offset[0])
	}
	return fmt.Sprintf("%d bits, %d along axis %d, the first with scale %g and offset %d", e.Bits, len(e.Scale), e.Axis, e.Scale[0], e.Offset[0])
}
