// Package resultfiles says which files of an inference's result hold which tensors of a DLC, in which folders, and how large they are.
package resultfiles

import (
	"maps"
	"path"
	"slices"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
)

// Taps are the files of a result that hold a tensor that is wanted.
type Taps struct {
	exact, clean map[string]*dlc.Tensor
}

// NewTaps is for the tensors that are wanted.
func NewTaps(taps []align.Tap) Taps {
	w := Taps{map[string]*dlc.Tensor{}, map[string]*dlc.Tensor{}}
	for _, t := range taps {
		w.exact[strings.TrimLeft(t.Tensor.Name, "/")] = t.Tensor
		w.clean[align.Clean(t.Tensor.Name)] = t.Tensor
	}
	return w
}

func (w Taps) find(file string) *dlc.Tensor {
	name, ok := strings.CutSuffix(file, ".raw")
	if !ok {
		return nil
	}
	if t := w.exact[name]; t != nil {
		return t
	}
	return w.clean[align.Clean(name)]
}

// Takes says whether a file holds one.
func (w Taps) Takes(file string) bool { return w.find(file) != nil }

// Size is that of float32, −1 for integers, which tools write in their own width.
func (w Taps) Size(file string) int64 {
	t := w.find(file)
	if t == nil || !t.DType.Quantized() && t.DType.Bits() != 32 && t.DType.Bits() != 16 {
		return -1
	}
	return 4 * t.Elements()
}

// Folders lists the folders that a result's files need.
func Folders(tensors []dlc.Tensor) []string {
	set := map[string]bool{}
	for _, t := range tensors {
		if dir := path.Dir(strings.TrimLeft(t.Name, "/")); dir != "." && !strings.Contains(dir, "..") {
			set[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// NativeSizes says how many bytes a tensor's file has in its own type, −1 of others.
func NativeSizes(tensors []dlc.Tensor) func(file string) int64 {
	sizes := map[string]int64{}
	for _, t := range tensors {
		sizes[strings.TrimLeft(t.Name, "/")+".raw"] = t.Bytes()
	}
	return func(file string) int64 {
		if size, ok := sizes[file]; ok {
			return size
		}
		return -1
	}
}

// Outputs are those of a DLC.
func Outputs(path string) ([]dlc.Tensor, error) {
	f, err := inspect.OpenDLC(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []dlc.Tensor
	for _, t := range f.Graphs[0].At(dlc.Output) {
		list = append(list, *t)
	}
	return list, nil
}

// LayerBytes is what the layers of one inference take as float32.
func LayerBytes(g *dlc.Graph) int64 {
	sum := int64(0)
	for _, t := range g.Tensors {
		if t.Location != dlc.Static && t.Location != dlc.Input {
			sum += 4 * t.Elements()
		}
	}
	return sum
}
