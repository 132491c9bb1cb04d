package flow

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/report"
	"quantcheck/internal/snpe"
	"quantcheck/internal/workspace"
)

// WriteSeedFiles writes what the seed tool made of snpe-dlc-info's output into models_dlc/<name>; its later version calls info.json
// all_model_info.json. The listing is that of the tool; nil: ours.
func WriteSeedFiles(dir, name string, v *inspect.View, f *dlc.File, listing []byte) (written []string, err error) {
	fps := -1.0
	if text, err := os.ReadFile(filepath.Join(dir, "throughput.txt")); err == nil {
		if n, ok := snpe.Throughput(text); ok {
			fps = n
		}
	}
	shapes, err := report.GraphConfig(&f.Graphs[0])
	if err == nil && listing == nil {
		listing, err = ownListing(v, f)
	}
	if err != nil {
		return nil, err
	}
	info := report.Seed(f, name, fps)
	for _, one := range []struct {
		name  string
		write func(path string) error
	}{
		{"info.json", func(path string) error { return workspace.WriteJSON(path, info) }},
		{"all_model_info.json", func(path string) error { return workspace.WriteJSON(path, info) }},
		{"graph_config.json", func(path string) error { return workspace.WriteJSON(path, shapes) }},
		{"dlc-info-graph.txt", func(path string) error { return workspace.WriteFile(path, listing) }},
	} {
		path := filepath.Join(dir, one.name)
		if err := one.write(path); err != nil {
			return written, err
		}
		written = append(written, path)
	}
	return written, nil
}

func ownListing(v *inspect.View, f *dlc.File) ([]byte, error) {
	var b bytes.Buffer
	err := snpe.WriteListing(&b, f, snpe.Figures{
		Path: v.Path, Memory: v.Memory, MACs: func(i int) int64 { return v.Layers[i].MACs },
		Parameters: func(i int) int64 {
			if strings.HasPrefix(v.Layers[i].Op, "Elt") || strings.HasPrefix(v.Layers[i].Op, "ElementWise") { // constants, not parameters
				return 0
			}
			return v.Layers[i].Parameters
		},
	})
	return b.Bytes(), err
}
