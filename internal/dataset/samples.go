package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/snpe"
	"quantcheck/internal/tensor"
)

// Source is a sample that has not been read yet.
type Source struct {
	Name  string            // short, for people
	Files map[string]string // input name → file; the name "" stands for the model's only input
	// Inputs are values that are there already, by the names of the model's inputs; nil: they are read from the files.
	Inputs map[string]tensor.Tensor
}

// Set is a list of samples, with what was passed over while it was made.
type Set struct {
	Path     string
	Sources  []Source
	Warnings []string
}

// pictures and values are the endings of files that can be samples.
var (
	pictures = []string{".jpg", ".jpeg", ".png"}
	values   = []string{".npy", ".raw", ".bin"}
)

func ending(path string, list []string) bool {
	return slices.Contains(list, strings.ToLower(filepath.Ext(path)))
}

// Find lists the samples of a path: a picture, a .npy or .raw file, a folder of them (not its subfolders), a text file
// that names them, or an SNPE input list. limit > 0 takes the first ones only. Relative names in a text file are looked
// for in the working folder, then beside the text file.
func Find(path string, limit int) (*Set, error) {
	info, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: there is no such file or folder", path)
		}
		return nil, err
	}
	set := &Set{Path: path}
	switch {
	case info.IsDir():
		err = set.addFolder(path)
	case ending(path, pictures) || ending(path, values):
		set.add("", path)
	case ending(path, []string{".txt", ".lst", ".list"}):
		err = set.addList(path)
	default:
		err = fmt.Errorf("%s is neither a picture (.jpg, .png), nor .npy or .raw, nor a .txt list of them", path)
	}
	if err != nil {
		return nil, err
	}
	if limit > 0 && len(set.Sources) > limit {
		set.Sources = set.Sources[:limit]
	}
	return set, nil
}

// NpyShapes gives, by input, the shapes of the first sample's .npy files: what a model with open dimensions can be fixed to. It is empty where
// there are none, or where they cannot be read, which whoever reads the samples says. The only input of a model may be given
// without its name; it is called only. What is no file or folder, a pipe, can be read once and is left to whoever reads the samples.
func NpyShapes(path, only string) map[string][]int64 {
	shapes := map[string][]int64{}
	if !rereadable(path) {
		return shapes
	}
	set, err := Find(path, 1)
	if err != nil || len(set.Sources) == 0 {
		return shapes
	}
	for name, file := range set.Sources[0].Files {
		if shape, err := npyShape(file); err == nil {
			shapes[cmp.Or(name, only)] = shape
		}
	}
	return shapes
}

// OneByOne says whether the first sample of a path is for inputs that take one sample in the place of these, which take several at once in
// their first dimension: it is a picture, or .npy files that have 1 there or lack that dimension.
func OneByOne(path string, inputs []Input) bool {
	if !rereadable(path) {
		return false
	}
	set, err := Find(path, 1)
	if err != nil || len(set.Sources) == 0 {
		return false
	}
	for name, file := range set.Sources[0].Files {
		at := slices.IndexFunc(inputs, func(in Input) bool { return in.Name == name || name == "" && len(inputs) == 1 })
		if at < 0 {
			return false
		}
		if ending(file, pictures) {
			continue
		}
		want := inputs[at].Shape
		shape, err := npyShape(file)
		if err != nil || len(want) == 0 || !slices.Equal(shape, want[1:]) && !slices.Equal(shape, append([]int64{1}, want[1:]...)) {
			return false
		}
	}
	return true
}

// npyShape reads the shape of a .npy file.
func npyShape(file string) ([]int64, error) {
	if !ending(file, []string{".npy"}) || !rereadable(file) {
		return nil, fmt.Errorf("%s is no .npy file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, shape, err := tensor.ReadNpyHeader(f)
	return shape, err
}

func rereadable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && (info.IsDir() || info.Mode().IsRegular())
}

func (s *Set) add(input, path string) {
	s.Sources = append(s.Sources, Source{Name: filepath.Base(path), Files: map[string]string{input: path}})
}

func (s *Set) addFolder(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	other := 0
	for _, e := range entries {
		switch name := e.Name(); {
		case e.IsDir() || strings.HasPrefix(name, "."):
		case ending(name, pictures) || ending(name, values):
			s.add("", filepath.Join(path, name))
		default:
			other++
		}
	}
	if len(s.Sources) == 0 {
		return fmt.Errorf("%s holds no pictures (.jpg, .png) and no .npy or .raw files; it has %d other entries", path, len(entries))
	}
	if other > 0 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%d files in %s are no samples and were passed over", other, path))
	}
	return nil
}

// maxList bounds the size of a list of samples.
const maxList = 64 << 20

// addList reads a list of files or an SNPE input list: lines of "name:=path" items, or one bare path each; lines that
// begin with # or % name outputs and are no samples.
func (s *Set) addList(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxList {
		return fmt.Errorf("%s has %d bytes, too many for a list of samples", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '%' {
			continue
		}
		source, err := parseLine(line, filepath.Dir(path))
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, number, err)
		}
		s.Sources = append(s.Sources, source)
	}
	if len(s.Sources) == 0 {
		return fmt.Errorf("%s names no samples", path)
	}
	return nil
}

func parseLine(line, dir string) (Source, error) {
	source := Source{Files: map[string]string{}}
	if !strings.Contains(line, ":=") {
		source.Files[""] = locate(line, dir) // a bare path may hold spaces
		source.Name = filepath.Base(line)
		return source, nil
	}
	items, err := snpe.InputItems(line)
	if err != nil {
		return source, err
	}
	for _, item := range items {
		source.Files[item.Name] = locate(item.Path, dir)
		if source.Name == "" {
			source.Name = filepath.Base(item.Path)
		}
	}
	return source, nil
}

func locate(path, dir string) string {
	if filepath.IsAbs(path) {
		return path
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return filepath.Join(dir, path)
}
