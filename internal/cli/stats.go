package cli

import (
	"errors"
	"fmt"

	"quantcheck/internal/publish"
	"quantcheck/internal/report"
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
	list, damaged, err := db.Evaluations.All(con.ctx)
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
		if list, _, err = db.Evaluations.All(con.ctx); err != nil { // with those that were stored while this waited
			return err
		}
		publish.SetFPS(folder, list)
		if files, problems, err = publish.Statistics(folder, list); err != nil {
			return err
		}
		content, err = publish.Page(con.ctx, folder, db, folder.Report())
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

func variantNames(texts []string) ([]string, error) {
	specs, err := variant.ParseAll(texts)
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	return names, err
}
