// Package identity says what determines the numbers of a run, as a hash: two runs of one identity compute the same bits.
package identity

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/dataset"
	"quantcheck/internal/floatjson"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/paths"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
	"quantcheck/internal/workpool"
)

// identity is all that determines the numbers of a run: two runs of one identity compute the same bits, so that one may go on
// where the other was interrupted. Files count by their content; the raw outputs of a device, of which there may be many
// gigabytes, by path, size and time.
type identity struct {
	Command string
	Spec    any // the request, with the description of the input and all flags
	Config  any // how outputs are read and scored
	Program []string
	ORT     string
	Machine hostinfo.Info
	QNN     []string // Qualcomm's libraries; nil: they take no part
	Files   []hashed
	Samples [][]string // names and files of the samples of each set, in their order
	Dumps   []string
}

// hashed is a file and its content.
type hashed struct{ Path, SHA256 string }

// Absolute makes the paths in a request those that hold in every working folder.
func Absolute(s *result.Sources, p *result.Place) {
	s.Model, p.Out = paths.Absolute(s.Model), paths.Absolute(p.Out)
}

// Of gives the hash of a run's identity: of a command with its request (spec) and configuration on a session and sets of samples. Files beyond those of samples and variants are named by more.
func Of(b *session.Session, command string, spec, config any, more []string, sets ...*dataset.Set) (key [sha256.Size]byte, err error) {
	id := identity{Command: command, Spec: spec, Config: config, ORT: b.ORT.About().Version, Machine: hostinfo.Describe(), Program: program()}
	files := append([]string{b.Run.Model.Path}, more...)
	files = append(files, b.Float.External...)
	for _, v := range b.Specs() {
		if v.File != "" {
			files = append(files, v.File)
		}
		if v.Kind == variant.File {
			m, err := modelfile.Load(v.File)
			if err != nil {
				return key, usage.Mark(err)
			}
			files = append(files, m.ExternalFiles()...)
		}
		if v.Kind == variant.Dumps {
			list, err := listing(v.Dir)
			if err != nil {
				return key, usage.Mark(err)
			}
			id.Dumps = append(id.Dumps, list...)
		}
		if (session.Emulated(v) || v.Kind == variant.DLC) && id.QNN == nil {
			kit := b.Emulator.Kit
			id.QNN = []string{qnn.Version, fmt.Sprint(b.Emulator.SoC, b.Emulator.Arch, b.Emulator.Fallback)}
			for _, path := range []string{kit.Provider(), kit.HTP(), kit.IR(), kit.System()} {
				id.QNN = append(id.QNN, stamp(path))
			}
		}
	}
	for _, set := range sets {
		var names []string
		for _, s := range set.Sources {
			names = append(names, s.Name)
			for name, path := range s.Files {
				files = append(files, path)
				names = append(names, name+"="+path)
			}
		}
		id.Samples = append(id.Samples, names)
	}
	if id.Files, err = hashAll(files); err != nil {
		return key, err
	}
	text, err := floatjson.Marshal(id)
	return sha256.Sum256(text), err
}

// program says which build of the program this is; one that was not built from a clean source is told apart by its file.
func program() []string {
	list := []string{hostinfo.Version, hostinfo.Describe().Revision}
	if !hostinfo.Clean() {
		if path, err := os.Executable(); err == nil {
			list = append(list, stamp(path))
		}
	}
	return list
}

// stamp is a file's path, size and time.
func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return path + ": " + err.Error()
	}
	return fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano())
}

// listing stamps all files below a folder.
func listing(dir string) ([]string, error) {
	var list []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, stamp(path))
		}
		return err
	})
	return list, err
}

// hashAll reads files, each once, and gives them sorted. One that cannot be read is known by that: a run notes such a sample and
// goes on.
func hashAll(files []string) ([]hashed, error) {
	for i := range files {
		files[i] = paths.Absolute(files[i])
	}
	slices.Sort(files)
	files = slices.Compact(files)
	list := make([]hashed, len(files))
	var g errgroup.Group
	g.SetLimit(max(workpool.Workers(), 2))
	for i, path := range files {
		g.Go(func() error {
			sum, err := atomicfile.SHA256(path)
			if err != nil {
				sum = "not read: " + err.Error()
			}
			list[i] = hashed{path, sum}
			return nil
		})
	}
	return list, g.Wait()
}
