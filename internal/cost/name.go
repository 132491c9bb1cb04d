package cost

import "strings"

// Resolve finds the model's name of an operator by the name that it goes by in the compiler: the same, or with what ONNX
// Runtime puts behind it. Where it rewrites a node it makes the name of a taken one its own by "_token_" and a number
// (Graph::GenerateNodeName in https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/graph/graph.cc), perhaps
// more than once. What has no such name, ok is false, was put in on the way, such as a Transpose between layouts.
func Resolve(raw string, known func(name string) bool) (name string, ok bool) {
	for name = raw; ; {
		if known(name) {
			return name, true
		}
		base, number, found := cutLast(name, "_token_")
		if !found || base == "" || number == "" || strings.Trim(number, "0123456789") != "" {
			return raw, false
		}
		name = base
	}
}

// cutLast cuts around the last instance of a separator.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// Rename gives the layers the model's names and lists those operators that are none of the model's.
func (e *Estimate) Rename(known func(name string) bool) (added []string) {
	for i := range e.Layers {
		l := &e.Layers[i]
		if l.Kind != Operator || l.Raw == "" {
			continue
		}
		var ok bool
		if l.Name, ok = Resolve(l.Raw, known); !ok {
			added = append(added, l.Raw)
		}
	}
	return added
}
