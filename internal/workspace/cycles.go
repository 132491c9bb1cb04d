package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/snpe"
)

// Processed is the folder of what a model's outputs were made into: processed_outputs/<name>.
func (f Folder) Processed(name string) string {
	return filepath.Join(string(f), "processed_outputs", name)
}

// Results is the path of a file in results/.
func (f Folder) Results(name string) string { return filepath.Join(string(f), "results", name) }

// Cycles reads every models_dlc/<model>/layer_stats.csv; problems names those that cannot be read.
func (f Folder) Cycles() (list []*result.Cycles, problems []string) {
	names, err := f.models()
	if err != nil {
		return nil, []string{err.Error()}
	}
	for _, name := range names {
		path := filepath.Join(f.ModelDLC(name), "layer_stats.csv")
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			var rows []snpe.LayerStat
			if rows, err = snpe.ReadLayerStats(data); err == nil {
				c := &result.Cycles{Model: name, Layers: LayerCycles(rows)}
				slices.SortStableFunc(c.Layers, func(a, b result.LayerCycle) int { return a.ID - b.ID })
				list = append(list, c)
				continue
			}
		}
		problems = append(problems, fmt.Sprintf("%s: %v", path, err))
	}
	return list, problems
}

// models are the names of the folders in models_dlc, sorted.
func (f Folder) models() ([]string, error) {
	entries, err := os.ReadDir(f.ModelDLC(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if info, err := os.Stat(f.ModelDLC(e.Name())); err == nil && info.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// LayerCycles are the rows of a profile as results.
func LayerCycles(rows []snpe.LayerStat) []result.LayerCycle {
	var list []result.LayerCycle
	for _, r := range rows {
		l := result.LayerCycle{ID: r.ID, Name: r.Name, Mean: r.Mean, Share: r.Share, Unit: r.Unit}
		if !math.IsNaN(r.Std) {
			l.Std = metric.Defined(r.Std)
		}
		list = append(list, l)
	}
	return list
}
