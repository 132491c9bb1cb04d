package model

import (
	"fmt"
	"strings"

	"quantcheck/internal/modelfile"
	"quantcheck/internal/onnx"
)

// File is what Read says of a file.
type File struct {
	Notes    []string // what was raised
	External []string // files beside the model that hold weights
}

// Read reads a float model's file, with single precision in place of half precision, which ONNX Runtime computes in few operators on
// the CPU and which quantizers do not go together with. Whatever takes a file as the float model reads it with this
// function.
func Read(path string) (*onnx.Model, File, error) {
	m, err := modelfile.Load(path)
	if err != nil {
		return nil, File{}, err
	}
	f := File{External: m.ExternalFiles()}
	m, raised, err := onnx.Raise(m)
	if err != nil {
		return nil, File{}, fmt.Errorf("%s: %w", path, err)
	}
	if len(raised.Types) == 0 {
		return m, f, nil
	}
	var types []string
	for _, d := range raised.Types {
		types = append(types, d.String())
	}
	note := fmt.Sprintf("the model is in %s; it was raised to float32: %s", strings.Join(types, " and "), counted(raised.Constants, "constant, whose values stay", "constants, whose values stay"))
	if raised.Casts > 0 {
		note += fmt.Sprintf(", and %s, which round no more", counted(raised.Casts, "cast", "casts"))
	}
	f.Notes = []string{note + "; check compares the two with --variant half=" + path}
	return m, f, nil
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
