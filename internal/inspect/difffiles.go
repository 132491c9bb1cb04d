package inspect

import (
	"fmt"
	"os"

	"quantcheck/internal/encodings"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/usage"
)

// encodingsMost bounds a file of encodings: those of large language models, block by block, have some hundred megabytes.
const encodingsMost = 1 << 30

// DiffFiles holds a DLC against what was asked for: a JSON of encodings, a QDQ model, or another DLC.
func DiffFiles(path, against string) ([]Difference, error) {
	f, err := OpenDLC(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	asked, err := askedBy(against)
	if err != nil {
		return nil, usage.Mark(err)
	}
	return Diff(asked, f), nil
}

func askedBy(path string) (map[string]encodings.Asked, error) {
	f, err := ReadEncodings(path, nil)
	if err != nil {
		return nil, err
	}
	if err := f.Usable(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f.Tensors, nil
}

// ReadEncodings reads the encodings of a file: AIMET's JSON, or those that a QDQ model or a DLC holds. names are the tensors of a float model,
// under which those of a DLC are found; nil: they keep the DLC's names.
func ReadEncodings(path string, names []string) (*encodings.File, error) {
	switch {
	case modelfile.IsEncodings(path):
		return readJSON(path)
	case modelfile.Is(path):
		return readQDQ(path, names)
	case IsDLC(path):
		return readDLC(path, names)
	}
	return nil, fmt.Errorf("%s is neither a .json of encodings nor a QDQ .onnx nor a .dlc nor a listing of snpe-dlc-info", path)
}

func readJSON(path string) (*encodings.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > encodingsMost {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that a file of encodings may have", path, info.Size(), int64(encodingsMost))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := encodings.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// readQDQ gives the encodings of a QDQ model. A graph output's pair stands in front of its name, so that a float model's names are asked for one by one.
func readQDQ(path string, names []string) (*encodings.File, error) {
	m, err := modelfile.Load(path)
	if err != nil {
		return nil, err
	}
	found, err := qdq.Read(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f := &encodings.File{Tensors: map[string]encodings.Asked{}}
	for _, name := range names {
		if e, ok := found.Encodings[name]; ok {
			f.Tensors[name] = encodings.Asked{Bits: e.Bits, Encodings: []quant.Encoding{e}}
		}
	}
	if names == nil {
		for from, to := range found.Taps {
			if e, ok := found.Encodings[from]; ok && from != to { // a pair is known by what is before it
				f.Tensors[from] = encodings.Asked{Bits: e.Bits, Encodings: []quant.Encoding{e}}
			}
		}
	}
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
	for _, p := range found.Params {
		a := encodings.Asked{Bits: p.Encodings[0].Bits, Encodings: p.Encodings}
		if p.Axis >= 0 {
			axis := p.Axis
			a.Axis, a.Listed = &axis, true
		}
		if p.Blocks != nil {
			a.Block = p.Blocks.Size
		}
		if names == nil || known[p.Tensor] {
			f.Tensors[p.Tensor] = a
		}
	}
	if len(f.Tensors) == 0 {
		if len(found.Encodings) > 0 {
			return nil, fmt.Errorf("%s has no encoding for any tensor of the model: is it another one's?", path)
		}
		return nil, fmt.Errorf("%s has no quantizers: give the QDQ model", path)
	}
	return f, nil
}

func readDLC(path string, names []string) (*encodings.File, error) {
	d, err := OpenDLC(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f := &encodings.File{Tensors: map[string]encodings.Asked{}}
	for _, name := range names {
		if t := find(&d.Graphs[0], name); t != nil && t.Encoding != nil {
			f.Tensors[name] = encodings.Asked{Bits: t.Encoding.Bits, Encodings: Held(t)}
		}
	}
	if names == nil {
		for g := range d.Graphs {
			for i := range d.Graphs[g].Tensors {
				if t := &d.Graphs[g].Tensors[i]; t.Encoding != nil {
					f.Tensors[t.Name] = encodings.Asked{Bits: t.Encoding.Bits, Encodings: Held(t)}
				}
			}
		}
	}
	switch {
	case len(f.Tensors) > 0:
		return f, nil
	case names != nil:
		return nil, fmt.Errorf("%s has no encoding for any tensor of the model: is it a float model, or another one's?", path)
	}
	return nil, fmt.Errorf("%s has no encodings: it is a float model", path)
}
