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

// ReadCycles reads every models_dlc/<model>/layer_stats.csv; problems names those that cannot be read.
func ReadCycles(f Folder) (list []*result.Cycles, problems []string) {
	names, err := modelNames(f)
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

// modelNames are the names of the folders in models_dlc, sorted.
func modelNames(f Folder) ([]string, error) {
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
