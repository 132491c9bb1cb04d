package workspace

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/encodings"
	"quantcheck/internal/result"
	"quantcheck/internal/scratch"
)

// Stage collects a run's by-products in a folder of its own, so that nothing of them is seen before the run is done.
// It implements the check's output.
type Stage struct {
	// OnDevice is the variant whose tensors a device made: they lie with the DLC, models_dlc/<name>, as the seed has it.
	OnDevice string

	folder Folder
	spec   result.Spec
	dir    string   // temporary, "" until something is written
	moves  []move   // in the order in which they were staged
	shapes []shaped // of saved tensors, by folder
}

type move struct{ from, to string }

type shaped struct {
	dir   string // final folder of the model
	layer string
	shape []int64
}

// NewStage makes a stage for what the spec asks to be saved.
func NewStage(f Folder, spec result.Spec) *Stage { return &Stage{folder: f, spec: spec} }

// write stages one file that will lie at path.
func (s *Stage) write(path string, data []byte) error {
	if s.dir == "" {
		if err := os.MkdirAll(string(s.folder), 0o777); err != nil {
			return err
		}
		dir, err := scratch.Hidden(string(s.folder), "run")
		if err != nil {
			return err
		}
		s.dir = dir
	}
	from := filepath.Join(s.dir, strconv.Itoa(len(s.moves)))
	s.moves = append(s.moves, move{from, path})
	if err := os.WriteFile(from, data, 0o644); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	return nil
}

// Tensor stages a layer's values as the seed writes them: float32, little-endian, one file per layer.
func (s *Stage) Tensor(variant string, layer result.Layer, values []float32, shape []int64) error {
	dir := s.folder.ModelONNX(s.spec.Name, variant)
	if variant != "" && variant == s.OnDevice {
		dir = s.folder.ModelDLC(s.spec.Name)
	}
	raw := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	s.shapes = append(s.shapes, shaped{dir, layer.Clean, slices.Clone(shape)})
	return s.write(filepath.Join(dir, "output", fileName(layer.Clean)+".raw"), raw)
}

// fileName shortens a name that no file system takes; a hash keeps it apart from others.
func fileName(name string) string {
	const most = 200
	if len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.ToValidUTF8(name[:most-17], "") + "-" + hex.EncodeToString(sum[:8])
}

// Model stages a variant's QDQ model and encodings, if they were asked for.
func (s *Stage) Model(v *result.Variant, layers []result.Layer, model []byte) error {
	if s.spec.SaveModel {
		name := s.spec.Name + "-" + v.Spec.Name
		if err := s.write(filepath.Join(s.folder.ModelONNX(s.spec.Name, ""), name+".onnx"), model); err != nil {
			return err
		}
	}
	if s.spec.Encodings == "" {
		return nil
	}
	data, err := encodings.Write("1.0.0", layers, v)
	if err != nil {
		return err
	}
	return s.write(s.encodingsPath(v.Spec.Name), data)
}

// encodingsPath is the file that was asked for; with several variants each gets one, told apart by the variant's name.
func (s *Stage) encodingsPath(variant string) string {
	if len(s.spec.Variants) == 1 {
		return s.spec.Encodings
	}
	ext := filepath.Ext(s.spec.Encodings)
	return s.spec.Encodings[:len(s.spec.Encodings)-len(ext)] + "-" + variant + ext
}

// Commit puts everything into its place and gives the paths, folders of tensors as one. Older tensors of the same model
// are removed.
func (s *Stage) Commit() ([]string, error) {
	configs := map[string]map[string][]int64{}
	for _, t := range s.shapes {
		if configs[t.dir] == nil {
			configs[t.dir] = map[string][]int64{}
			if err := os.RemoveAll(filepath.Join(t.dir, "output")); err != nil {
				return nil, err
			}
		}
		configs[t.dir][t.layer] = t.shape
	}
	var paths []string
	for _, m := range s.moves {
		if err := os.MkdirAll(filepath.Dir(m.to), 0o777); err != nil {
			return nil, err
		}
		if err := settle(m.from, m.to); err != nil {
			return nil, err
		}
		shown := m.to
		if filepath.Ext(m.to) == ".raw" {
			shown = filepath.Dir(m.to)
		}
		if !slices.Contains(paths, shown) {
			paths = append(paths, shown)
		}
	}
	for dir, config := range configs {
		if err := WriteJSON(filepath.Join(dir, "config.json"), config); err != nil {
			return nil, err
		}
	}
	s.Discard()
	return paths, nil
}

// settle renames, or copies to another file system.
func settle(from, to string) error {
	if os.Rename(from, to) == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return WriteFile(to, data)
}

// Discard removes what was staged and not put into its place.
func (s *Stage) Discard() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // a leftover in the workspace harms nobody
		s.dir = ""
	}
}
