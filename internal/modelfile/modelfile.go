// Package modelfile reads a model from a file of any format that the program knows.
//
//  1. Formats lists the formats; a new one is a package that reads it, and an entry here.
//  2. Load reads a file, Is says whether its name has the ending of a format.
//
// A format's reader gives the model as ONNX, which all rooms above work on.
package modelfile

import (
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/onnx"
)

// Format is a kind of file that holds a model.
type Format struct {
	Name    string
	Endings []string // of file names, in lower case, with the point
	Load    func(path string) (*onnx.Model, error)
}

// Formats lists what can be read, the most usual first.
var Formats = []Format{
	{Name: "ONNX", Endings: []string{".onnx"}, Load: onnx.Load},
}

// Is says whether the name of a file has the ending of a format.
func Is(path string) bool { return of(path) >= 0 }

// Load reads a model. A file with another ending is read as the first format, which says what is wrong with it.
func Load(path string) (*onnx.Model, error) {
	return Formats[max(of(path), 0)].Load(path)
}

// Endings names the endings of all formats, for messages: ".onnx", or ".onnx or .other".
func Endings() string {
	var list []string
	for _, f := range Formats {
		list = append(list, f.Endings...)
	}
	return strings.Join(list, " or ")
}

func of(path string) int {
	ending := strings.ToLower(filepath.Ext(path))
	return slices.IndexFunc(Formats, func(f Format) bool { return slices.Contains(f.Endings, ending) })
}
