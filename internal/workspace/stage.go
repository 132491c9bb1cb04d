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

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/encodings"
	"quantcheck/internal/floatjson"
	"quantcheck/internal/result"
	"quantcheck/internal/scratch"
)

// Stage collects a run's by-products in a folder of its own, so that nothing of them is seen before the run is done.
// It implements the check's output.
type Stage struct {
	// OnDevice is the variant whose tensors a device made: they lie with the DLC, models_dlc/<name>, as the seed has it.
	OnDevice string

	folder  Folder
	spec    result.CheckSpec
	dir     string           // temporary, "" until something is written
	drafts  atomicfile.Batch // files that go to places of their own
	tensors []*outputs       // folders that go to their places as a whole
	shown   []string         // paths, in the order in which they were staged
	single  []string         // those of them that are files
	lost    []string         // paths whose content is gone, because they could not be put into their places
}

// outputs are the saved tensors of one model.
type outputs struct {
	staged string // temporary folder
	model  string // final folder of the model
	shapes map[string][]int64
}

// NewStage makes a stage for what the spec asks to be saved.
func NewStage(f Folder, spec result.CheckSpec) *Stage { return &Stage{folder: f, spec: spec} }

// open makes the temporary folder.
func (s *Stage) open() error {
	if s.dir != "" {
		return nil
	}
	if err := atomicfile.MakeFolder(string(s.folder)); err != nil {
		return err
	}
	var err error
	s.dir, err = scratch.Hidden(string(s.folder), "run")
	return err
}

// write stages one file that will lie at path.
func (s *Stage) write(path string, data []byte) error {
	if err := s.open(); err != nil {
		return err
	}
	s.shown, s.single = append(s.shown, path), append(s.single, path)
	return s.drafts.WriteIn(s.dir, path, atomicfile.Bytes(data))
}

// outputs gives the staged tensors of a model.
func (s *Stage) outputs(model string) (*outputs, error) {
	if i := slices.IndexFunc(s.tensors, func(o *outputs) bool { return o.model == model }); i >= 0 {
		return s.tensors[i], nil
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	o := &outputs{filepath.Join(s.dir, strconv.Itoa(len(s.tensors))), model, map[string][]int64{}}
	s.tensors, s.shown = append(s.tensors, o), append(s.shown, o.final())
	return o, nil
}

// final is the folder in which the tensors will lie.
func (o *outputs) final() string { return filepath.Join(o.model, "output") }

// Tensor stages a layer's values as the seed writes them: float32, little-endian, one file per layer.
func (s *Stage) Tensor(variant string, layer result.Layer, values []float32, shape []int64) error {
	o, err := s.outputs(s.modelFolder(variant))
	if err != nil {
		return err
	}
	raw := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	o.shapes[layer.Clean] = slices.Clone(shape)
	name := fileName(layer.Clean) + ".raw"
	if err := atomicfile.PutUnsynced(filepath.Join(o.staged, name), atomicfile.Bytes(raw)); err != nil {
		return fmt.Errorf("save %s: %w", filepath.Join(o.final(), name), err)
	}
	return nil
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
		if err := s.write(s.ModelFile(v.Spec.Name), model); err != nil {
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
	return s.write(s.EncodingsFile(v.Spec.Name), data)
}

// ModelFile is where a variant's QDQ model goes.
func (s *Stage) ModelFile(variant string) string {
	return filepath.Join(s.folder.ModelONNX(s.spec.Name, ""), s.spec.Name+"-"+variant+".onnx")
}

// Outputs is the folder that a variant's tensors go to, "" standing for the float model.
func (s *Stage) Outputs(variant string) string {
	return (&outputs{model: s.modelFolder(variant)}).final()
}

// modelFolder is the folder of a variant's tensors and their shapes.
func (s *Stage) modelFolder(variant string) string {
	if variant != "" && variant == s.OnDevice {
		return s.folder.ModelDLC(s.spec.Name)
	}
	return s.folder.ModelONNX(s.spec.Name, variant)
}

// EncodingsFile is the file that was asked for; with several variants each gets one, told apart by the variant's name.
func (s *Stage) EncodingsFile(variant string) string {
	if len(s.spec.Variants) == 1 {
		return s.spec.Encodings
	}
	ext := filepath.Ext(s.spec.Encodings)
	return s.spec.Encodings[:len(s.spec.Encodings)-len(ext)] + "-" + variant + ext
}

// Commit puts everything into its place, so that a power cut does not lose it any more, and gives the paths, folders of tensors as
// one. Tensors replace all older ones of the same model.
func (s *Stage) Commit() ([]string, error) {
	for _, o := range s.tensors {
		config, err := floatjson.Text(o.shapes, "  ")
		if err != nil {
			return nil, err
		}
		if err := s.drafts.WriteIn(s.dir, filepath.Join(o.model, "config.json"), atomicfile.Bytes(config)); err != nil {
			return nil, err
		}
	}
	for _, o := range s.tensors {
		if err := atomicfile.ReplaceFolder(o.staged, o.final()); err != nil {
			return nil, err
		}
	}
	if err := s.drafts.Commit(); err != nil {
		s.lost = s.single
		return nil, err
	}
	s.Discard()
	return s.shown, nil
}

// Discard removes what was staged and not put into its place.
func (s *Stage) Discard() {
	s.drafts.Discard()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // a leftover in the workspace harms nobody
		s.dir = ""
	}
}
