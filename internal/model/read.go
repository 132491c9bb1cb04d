package model

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/floattwin"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/onnx"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// File is what Read says of a file.
type File struct {
	Notes    []string // what was raised
	External []string // files beside the model that hold weights
	// Quantized says how the model is quantized already; nil: it is not.
	Quantized *floattwin.Found
}

// Read reads a float model's file, with single precision in place of half precision, which ONNX Runtime computes in few operators on
// the CPU and which quantizers do not go together with. Whatever takes a file as the float model reads it with this
// function.
func Read(path string) (*onnx.Model, File, error) {
	m, err := modelfile.Load(path)
	if err != nil {
		return nil, File{}, err
	}
	f := File{External: m.ExternalFiles(), Quantized: floattwin.Find(m)}
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
	compares := "; check compares the two with --variant half=" + path
	if slices.Contains(raised.Types, tensor.BFloat16) {
		compares = "; the two cannot be compared, since ONNX Runtime's CPU does not compute in bfloat16"
	}
	f.Notes = []string{note + compares}
	return m, f, nil
}

// AlreadyQuantized says what to do with a model that is quantized already.
func AlreadyQuantized(path string, was *floattwin.Found) string {
	return fmt.Sprintf("%s is already quantized (%s): \"quantcheck strip %s -o FLOAT.onnx\" writes its float twin, and \"quantcheck check FLOAT.onnx --variant mine=%s\" compares it as it is", path, was, path, path)
}

// TakenByHTP says whether a model is quantized; it fails if it is in a way that the HTP does not take.
func TakenByHTP(path string, m *onnx.Model) (quantized bool, err error) {
	was := floattwin.Find(m)
	if was != nil && !slices.Equal(was.Kinds, []floattwin.Kind{floattwin.QDQ}) && !slices.Equal(was.Kinds, []floattwin.Kind{floattwin.Weights}) {
		return true, usage.Mark(errors.New("the HTP takes quantized models as QDQ only; " + AlreadyQuantized(path, was)))
	}
	return was != nil, nil
}

// Taking is what a command does with a model that is quantized already.
type Taking int

// The ways to take one.
const (
	Refuse Taking = iota // it is an error that says what to do instead
	AsItIs               // a warning says so
	Twin                 // its float twin stands for it, which a warning says
)

// taken does with a quantized model what a command wants.
func taken(m *onnx.Model, path string, file File, how Taking) (*onnx.Model, []string, error) {
	if file.Quantized == nil {
		return m, nil, nil
	}
	says := AlreadyQuantized(path, file.Quantized)
	switch how {
	case AsItIs:
		return m, []string{says}, nil
	case Twin:
		twin, _, err := floattwin.Make(m)
		if err != nil {
			return nil, nil, err
		}
		twin.SHA256 = m.SHA256
		return twin, []string{fmt.Sprintf("%s is already quantized (%s): its float twin, as quantcheck strip writes it, is the reference here; the twin's weights are the rounded ones, so what is measured is what activations lose. With the original float model: quantcheck check FLOAT.onnx --variant mine=%s", path, file.Quantized, path)}, nil
	}
	return nil, nil, usage.Mark(errors.New(says))
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
