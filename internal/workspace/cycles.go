package workspace

import (
	"fmt"
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
	paths, err := filepath.Glob(filepath.Join(string(f), "models_dlc", "*", "layer_stats.csv"))
	if err != nil {
		return nil, []string{err.Error()}
	}
	slices.Sort(paths)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err == nil {
			var rows []snpe.LayerStat
			if rows, err = snpe.ReadLayerStats(data); err == nil {
				c := &result.Cycles{Model: filepath.Base(filepath.Dir(path)), Layers: LayerCycles(rows)}
				slices.SortStableFunc(c.Layers, func(a, b result.LayerCycle) int { return a.ID - b.ID })
				list = append(list, c)
				continue
			}
		}
		problems = append(problems, fmt.Sprintf("%s: %v", path, err))
	}
	return list, problems
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
