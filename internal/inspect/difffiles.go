package inspect

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"quantcheck/internal/encodings"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/usage"
)

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
	asked := map[string]encodings.Asked{}
	ending := strings.ToLower(filepath.Ext(path))
	switch {
	case ending == ".json" || ending == ".encodings":
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if asked, err = encodings.Read(data); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	case modelfile.Is(path):
		m, err := modelfile.Load(path)
		if err != nil {
			return nil, err
		}
		found, err := qdq.Read(m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for from, to := range found.Taps {
			if e, ok := found.Encodings[from]; ok && from != to { // a pair is known by what is before it
				asked[from] = encodings.Asked{Bits: e.Bits, Encodings: []quant.Encoding{e}}
			}
		}
		for _, p := range found.Params {
			asked[p.Tensor] = encodings.Asked{Bits: p.Encodings[0].Bits, Encodings: p.Encodings}
		}
		if len(asked) == 0 {
			return nil, fmt.Errorf("%s has no quantizers: give the QDQ model", path)
		}
	case IsDLC(path):
		f, err := OpenDLC(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for g := range f.Graphs {
			for i := range f.Graphs[g].Tensors {
				if t := &f.Graphs[g].Tensors[i]; t.Encoding != nil {
					asked[t.Name] = encodings.Asked{Bits: t.Encoding.Bits, Encodings: Held(t)}
				}
			}
		}
		if len(asked) == 0 {
			return nil, fmt.Errorf("%s has no encodings: it is a float model", path)
		}
	default:
		return nil, fmt.Errorf("%s is neither a .json of encodings nor a QDQ .onnx nor a .dlc nor a listing of snpe-dlc-info", path)
	}
	return asked, nil
}
