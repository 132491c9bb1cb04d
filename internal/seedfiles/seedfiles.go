// Package seedfiles writes the files about a DLC in the layout of the tool that quantcheck replaces, for scripts that read those.
package seedfiles

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

// seedFiles are the names of what WriteSeedFiles writes.
var seedFiles = []string{"info.json", "all_model_info.json", "graph_config.json", "dlc-info-graph.txt"}

// SeedFiles are the paths of what WriteSeedFiles writes.
func SeedFiles(dir string) []string {
	var list []string
	for _, name := range seedFiles {
		list = append(list, filepath.Join(dir, name))
	}
	return list
}

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
	for i, write := range []func(path string) error{ // as seedFiles names them
		func(path string) error { return workspace.WriteJSON(path, info) },
		func(path string) error { return workspace.WriteJSON(path, info) },
		func(path string) error { return workspace.WriteJSON(path, shapes) },
		func(path string) error { return workspace.WriteFile(path, listing) },
	} {
		path := filepath.Join(dir, seedFiles[i])
		if err := write(path); err != nil {
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
