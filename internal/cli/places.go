package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/dataset"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/onnx"
	"quantcheck/internal/snpe"
	"quantcheck/internal/variant"
	"quantcheck/internal/workspace"
)

// place is a file or a folder of a command, as it was given; "" is none.
type place struct{ flag, path string }

// String is the place as people wrote it.
func (p place) String() string { return p.flag + " " + p.path }

// places are all files and folders that a command reads and writes. Before anything is done they are held against each other: no
// command writes over what it reads, or into the samples that it reads.
type places struct {
	model   place   // what is read, and what --overwrite lets a file replace
	reads   []place // other files and folders that are read
	samples []place // pictures and the like: files, lists of files, folders
	inputs  place   // a list of input files of a DLC

	files     []place // that are written
	models    []place // files that are written, with another one for weights beside them
	folders   []place // below which is written
	replaces  []place // folders that are replaced as a whole
	overwrite bool

	ofModel func() []string // modelFiles, once
}

// placed is a command that writes files.
type placed interface{ places() places }

// check refuses outputs that would destroy inputs, by naming both. Other spellings of a path, symbolic and hard links are seen.
func (p places) check() error {
	p.ofModel = sync.OnceValue(p.modelFiles)
	written := given(slices.Concat(p.files, p.models))
	if err := p.distinct(written); err != nil {
		return err
	}
	for _, w := range written {
		if info, err := os.Stat(w.path); err == nil && info.IsDir() {
			return usagef("%v is a folder", w)
		}
		if err := p.spare(w, w.path); err != nil {
			return err
		}
		if err := p.outsideSamples(w); err != nil {
			return err
		}
	}
	for _, w := range given(p.models) {
		if err := p.spare(w, onnx.WeightsBeside(w.path)); err != nil {
			return err
		}
	}
	for _, w := range given(slices.Concat(p.folders, p.replaces)) {
		if isDefaultWorkspace(w) {
			continue
		}
		if err := p.outsideSamples(w); err != nil {
			return err
		}
	}
	return p.keepReplaced()
}

// isDefaultWorkspace says whether a folder is the working folder as the workspace, which it is if no other is named. It may hold the
// samples too: what a workspace has lies in folders of its own, where samples are not looked for.
func isDefaultWorkspace(w place) bool { return w.flag == "--out" && filepath.Clean(w.path) == "." }

func given(list []place) []place {
	var out []place
	for _, p := range list {
		if p.path != "" {
			out = append(out, p)
		}
	}
	return out
}

// distinct sees that no two outputs are the same file.
func (p places) distinct(written []place) error {
	at := map[string]place{}
	for _, w := range written {
		if info, err := os.Stat(w.path); err == nil && !info.Mode().IsRegular() {
			continue // /dev/null takes everything
		}
		full := final(w.path)
		if other, twice := at[full]; twice {
			return usagef("%v and %v are the same file", other, w)
		}
		at[full] = w
	}
	return nil
}

// final is where a path leads, as far as it is there.
func final(path string) string {
	if to, err := atomicfile.Target(path); err == nil {
		path = to
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	for dir, rest := abs, ""; ; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		if full, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(full, rest)
		}
		if filepath.Dir(dir) == dir {
			return abs
		}
	}
}

// spare sees that writing a file does not replace one that is read. What is not there yet is none.
func (p places) spare(w place, path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil //nolint:nilerr // writing will tell
	}
	same := func(read string) bool {
		other, err := os.Stat(read)
		return err == nil && os.SameFile(info, other)
	}
	beside := ""
	if path != w.path {
		beside = " would write " + path + ", which"
	}
	for i, file := range p.ofModel() {
		switch {
		case !same(file), p.overwrite && w.flag == "-o":
		case i == 0 && beside == "":
			return usagef("%v is the model that is read, %s; give another name%s", w, p.model.path, p.offer(w))
		default:
			return usagef("%v%s is read with the model %s; give another name%s", w, beside, p.model.path, p.offer(w))
		}
	}
	for _, r := range given(p.reads) {
		for _, file := range []string{r.path, workspace.Folder(r.path).Database()} {
			if same(file) {
				return usagef("%v%s is read, as %v; give another name", w, beside, r)
			}
		}
	}
	for _, f := range given(p.folders) {
		if same(workspace.Folder(f.path).Database()) {
			return usagef("%v is the database of %v; give another name", w, f)
		}
	}
	for _, s := range given(p.samples) {
		if same(s.path) {
			return usagef("%v is read, as %v; give another name", w, s)
		}
		set, err := dataset.Find(s.path, 0)
		if err != nil {
			continue // the command will tell
		}
		for _, source := range set.Sources {
			for _, sample := range source.Files {
				if same(sample) {
					return usagef("%v is one of the samples of %v; give another name", w, s)
				}
			}
		}
	}
	return nil
}

// offer names the flag that would allow it, for commands that have it.
func (p places) offer(w place) string {
	if w.flag == "-o" {
		return ", or --overwrite to replace it"
	}
	return ""
}

// modelFiles are the model, and the files of its weights and of its description.
func (p places) modelFiles() []string {
	if p.model.path == "" {
		return nil
	}
	list := []string{p.model.path}
	if modelfile.Is(p.model.path) {
		stem := strings.TrimSuffix(p.model.path, filepath.Ext(p.model.path))
		list = append(list, stem+".yaml")
		if m, err := modelfile.Load(p.model.path); err == nil {
			list = append(list, m.ExternalFiles()...)
		}
	}
	return list
}

// outsideSamples sees that nothing is written into a folder of samples.
func (p places) outsideSamples(w place) error {
	for _, s := range given(p.samples) {
		if within(w.path, s.path) {
			return usagef("%v lies in the samples of %v; give another place", w, s)
		}
	}
	return nil
}

// within says whether a path is a folder, or lies or would lie below it; links are followed.
func within(path, folder string) bool {
	want, err := os.Stat(folder)
	if err != nil || !want.IsDir() {
		return false
	}
	for at := final(path); ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && os.SameFile(info, want) {
			return true
		}
		if filepath.Dir(at) == at {
			return false
		}
	}
}

// keepReplaced sees that nothing that is read lies in a folder that is replaced.
func (p places) keepReplaced() error {
	for _, w := range given(p.replaces) {
		for _, r := range given(slices.Concat([]place{p.model, p.inputs}, p.reads, p.samples)) {
			if within(r.path, w.path) {
				return usagef("%v lies in %s, which is replaced; give another place", r, w.path)
			}
		}
	}
	if p.inputs.path == "" || len(p.replaces) == 0 {
		return nil
	}
	data, err := os.ReadFile(p.inputs.path)
	if err != nil {
		return nil //nolint:nilerr // the command will tell
	}
	list, err := snpe.ReadInputList(data)
	if err != nil {
		return nil //nolint:nilerr // the command will tell
	}
	for _, line := range list.Inferences {
		for _, item := range line.Items {
			for _, w := range p.replaces {
				if within(item.Path, w.path) {
					return usagef("%s, an input of %v, lies in %s, which is written; give another place", item.Path, p.inputs, w.path)
				}
			}
		}
	}
	return nil
}

// variantFiles are what ready variants are read from. Texts that are no variants the command will tell of.
func variantFiles(texts []string) []place {
	var list []place
	for _, text := range texts {
		if specs, err := variant.ParseAll([]string{text}); err == nil {
			for _, s := range specs {
				list = append(list, place{"--variant", s.File}, place{"--variant", s.Dir})
			}
		}
	}
	return list
}
