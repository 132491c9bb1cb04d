package htpcost

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

// Rename gives the layers the names and types of a model's nodes. Operators that are none of the model's keep theirs and are
// Added.
func (e *Estimate) Rename(types map[string]string) {
	known := func(name string) bool { _, ok := types[name]; return ok }
	for i := range e.Layers {
		l := &e.Layers[i]
		if l.Kind != Operator || l.Raw == "" {
			continue
		}
		name, ok := Resolve(l.Raw, known)
		l.Name, l.Added = name, !ok
		if ok {
			l.Op = types[name]
		}
	}
}
