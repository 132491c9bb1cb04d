package workspace

import (
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/floatjson"
)

// NewRefuge makes a workspace in the system's folder for temporary files, for results that their own workspace cannot take. It
// stays there until somebody removes it.
func NewRefuge() (Folder, error) {
	dir, err := os.MkdirTemp("", "quantcheck-kept-"+time.Now().Format("20060102-150405")+"-*")
	return Folder(dir), err
}

// elsewhere is the folder of files in a refuge that were to lie outside of the workspace.
func elsewhere(refuge Folder) string { return filepath.Join(string(refuge), "elsewhere") }

// Redirect lets what is staged go into another workspace, on any disk, in which nothing lies yet, after the one that it was staged for has
// failed. What had its place there already is copied. lost are the files that are in neither place any more.
func (s *Stage) Redirect(to Folder) (lost []string, err error) {
	place := func(path string) string { return redirected(path, s.folder, to) }
	s.drafts.Redirect(place)
	var copies atomicfile.Batch
	defer copies.Discard()
	for _, o := range s.tensors {
		from := o.staged
		if _, err := os.Stat(from); err != nil {
			from = o.final()
		}
		moved := outputs{model: place(o.model)}
		if err := copyTree(&copies, moved.final(), from); err != nil {
			lost = append(lost, o.final())
			continue
		}
		config, err := floatjson.Text(o.shapes, "  ")
		if err == nil {
			err = copies.WriteBytes(filepath.Join(moved.model, "config.json"), config)
		}
		if err != nil {
			return lost, err
		}
	}
	if err := copies.Commit(); err != nil {
		return lost, err
	}
	lost = append(lost, s.lost...)
	var shown []string
	for _, path := range s.shown {
		if !slices.Contains(lost, path) {
			shown = append(shown, place(path))
		}
	}
	s.tensors, s.shown, s.lost, s.folder = nil, shown, nil, to
	return lost, nil
}

// copyTree adds the files of a folder to a batch, for another folder.
func copyTree(b *atomicfile.Batch, to, from string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyTo(b, filepath.Join(to, below), path)
	})
}

// copyTo adds a copy of a file to a batch.
func copyTo(b *atomicfile.Batch, to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return b.Write(to, func(f *os.File) error {
		_, err := io.Copy(f, in)
		return err
	})
}

// redirected is a path in another workspace.
func redirected(path string, from, to Folder) string {
	below, err := filepath.Rel(string(from), path)
	if err != nil || below == ".." || strings.HasPrefix(below, ".."+string(filepath.Separator)) {
		return filepath.Join(elsewhere(to), filepath.Base(path))
	}
	return filepath.Join(string(to), below)
}

// inJSON is a text as it stands within a JSON string.
func inJSON(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(b[1 : len(b)-1])
}
