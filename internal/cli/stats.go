package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
	"quantcheck/internal/web"
	"quantcheck/internal/workspace"
)

type statsCmd struct {
	Workspace string `arg:"" default:"." help:"The folder that evaluations have written to (the working folder)."`
	JSON      bool   `name:"json" help:"Print all evaluations as JSON."`
}

// Help documents the command.
func (statsCmd) Help() string {
	return "Puts all evaluations of a workspace side by side: results/results.csv in the seed tool's columns, results/per_layer_comparison.csv from the models_dlc/<model>/layer_stats.csv that are there, and the page with the seed's plots. FPS are those of models_dlc/<model>/throughput.txt."
}

func (c *statsCmd) Run(con *console) error {
	folder := workspace.Folder(c.Workspace)
	db, err := workspace.OpenExisting(con.ctx, folder)
	if err != nil {
		return usageError{err}
	}
	defer db.Close()
	list, damaged, err := db.Evaluations(con.ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		for _, p := range damaged {
			fmt.Fprintf(con.stderr, "quantcheck: %s\n", report.Printable(p))
		}
		return usagef("the workspace %s has no evaluation yet; make one with quantcheck eval", c.Workspace)
	}
	var files, problems []string
	var content web.Content
	err = con.results(folder, func() (err error) {
		if list, _, err = db.Evaluations(con.ctx); err != nil { // with those that were stored while this waited
			return err
		}
		setFPS(folder, list)
		if files, problems, err = writeStatistics(folder, list); err != nil {
			return err
		}
		content, err = writePage(con, folder, db, folder.Report())
		return err
	})
	if err != nil && !errors.Is(err, web.ErrNotBuilt) {
		return err
	}
	if err == nil {
		files = append([]string{folder.Report()}, files...)
	}
	for _, p := range append(problems, content.Problems...) {
		con.say("%s", p)
	}
	if c.JSON {
		return report.JSON(con.stdout.Data(), list)
	}
	report.Statistics(con.stdout, list)
	listFiles(con.stdout, "results", files)
	return nil
}

// setFPS sets what was measured since.
func setFPS(folder workspace.Folder, list []*result.Evaluation) {
	for _, e := range list {
		for i := range e.Models {
			if fps := measuredFPS(folder, e.Models[i].File); fps.OK {
				e.Models[i].FPS = fps
			}
		}
	}
}

// writeStatistics writes the seed's tables of a workspace: of the task that was evaluated last.
func writeStatistics(folder workspace.Folder, list []*result.Evaluation) (files, problems []string, err error) {
	if data, ok := report.SeedStatistics(list[len(list)-1].Task, list); ok {
		path := folder.Results("results.csv")
		if err := workspace.WriteFile(path, data); err != nil {
			return files, nil, err
		}
		files = append(files, path)
	}
	cycles, problems := folder.Cycles()
	if len(cycles) > 0 {
		path := folder.Results("per_layer_comparison.csv")
		if err := workspace.WriteFile(path, report.PerLayerComparison(cycles)); err != nil {
			return files, problems, err
		}
		files = append(files, path)
	}
	return files, problems, nil
}

// storeEvaluation writes an evaluation's files into a workspace and gives their paths, the page first. What is known of its models on a device stands
// in their own workspace.
func storeEvaluation(con *console, own, folder workspace.Folder, e *result.Evaluation) ([]string, error) {
	db, err := workspace.OpenStore(con.ctx, folder)
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
	if err := db.AddEvaluation(con.ctx, e); err != nil {
		return nil, err
	}
	list, _, err := db.Evaluations(con.ctx) // the page names those that are damaged
	if err != nil {
		return files, &drawnError{err, folder}
	}
	tables, problems, err := writeStatistics(folder, list)
	if err != nil {
		return files, &drawnError{err, folder}
	}
	e.Warnings = append(e.Warnings, problems...)
	files = append(append([]string{folder.Database()}, tables...), files...)
	content, err := writePage(con, folder, db, folder.Report())
	switch {
	case errors.Is(err, web.ErrNotBuilt):
		e.Warnings = append(e.Warnings, err.Error())
	case err != nil:
		return files, &drawnError{err, folder}
	default:
		files = append([]string{folder.Report()}, files...)
	}
	e.Warnings = append(e.Warnings, content.Problems...)
	return files, nil
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

func variantNames(texts []string) ([]string, error) {
	specs, err := variant.ParseAll(texts)
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	return names, err
}
