package publish

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"quantcheck/internal/metric"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/snpe"
	"quantcheck/internal/workspace"
)

// Evaluation writes an evaluation's files into a workspace and gives their paths, the page first. What is known of its models on a device
// is read from own, the workspace that was asked for; folder may be another one.
func Evaluation(ctx context.Context, own, folder workspace.Folder, e *result.Evaluation) ([]string, error) {
	db, err := workspace.OpenStore(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var files []string
	for i := range e.Models {
		m := &e.Models[i]
		masks := ""
		if e.Task == result.Segmentation || e.Task == result.Depth {
			masks = filepath.Join("processed_outputs", m.File)
		}
		data, err := report.SeedResults(e, m, seedInfo(own, m.File), masks)
		if err != nil {
			return nil, err
		}
		path := folder.Results(m.File + ".json")
		if err := workspace.WriteFile(path, data); err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	if err := db.Evaluations.Add(ctx, e); err != nil {
		return nil, err
	}
	list, _, err := db.Evaluations.All(ctx) // the page names those that are damaged
	if err != nil {
		return files, &DrawnError{err, folder}
	}
	tables, problems, err := Statistics(folder, list)
	if err != nil {
		return files, &DrawnError{err, folder}
	}
	e.Warnings = append(e.Warnings, problems...)
	files = append(append([]string{folder.Database()}, tables...), files...)
	content, err := Page(ctx, folder, db, folder.Report())
	files, notes, err := withPage(folder, files, err)
	e.Warnings = append(append(e.Warnings, notes...), content.Problems...)
	return files, err
}

// seedInfo is the info.json of a DLC of that name in the workspace, nil if there is none that can be read.
func seedInfo(folder workspace.Folder, name string) map[string]any {
	data, err := os.ReadFile(filepath.Join(folder.ModelDLC(name), "info.json"))
	if err != nil {
		return nil
	}
	var info map[string]any
	if json.Unmarshal(data, &info) != nil {
		return nil
	}
	return info
}

// SetFPS sets the frames per second that were measured on a device since an evaluation, from the workspace.
func SetFPS(folder workspace.Folder, list []*result.Evaluation) {
	for _, e := range list {
		for i := range e.Models {
			if fps := MeasuredFPS(folder, e.Models[i].File); fps.OK {
				e.Models[i].FPS = fps
			}
		}
	}
}

// Statistics writes the seed's tables of a workspace: of the task that was evaluated last.
func Statistics(folder workspace.Folder, list []*result.Evaluation) (files, problems []string, err error) {
	if data, ok := report.SeedStatistics(list[len(list)-1].Task, list); ok {
		path := folder.Results("results.csv")
		if err := workspace.WriteFile(path, data); err != nil {
			return files, nil, err
		}
		files = append(files, path)
	}
	cycles, problems := workspace.ReadCycles(folder)
	if len(cycles) > 0 {
		path := folder.Results("per_layer_comparison.csv")
		if err := workspace.WriteFile(path, report.PerLayerComparison(cycles)); err != nil {
			return files, problems, err
		}
		files = append(files, path)
	}
	return files, problems, nil
}

// MeasuredFPS reads the frames per second of a model from its throughput.txt in the workspace; no value if there is none.
func MeasuredFPS(folder workspace.Folder, name string) metric.Value {
	text, err := os.ReadFile(filepath.Join(folder.ModelDLC(name), "throughput.txt"))
	if err != nil {
		return metric.Value{}
	}
	if v, ok := snpe.Throughput(text); ok {
		return metric.Defined(v)
	}
	return metric.Value{}
}
