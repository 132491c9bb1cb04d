package cli

import (
	"fmt"

	"quantcheck/internal/align"
	"quantcheck/internal/inspect"
	"quantcheck/internal/publish"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

type layersCmd struct {
	Workspace string `arg:"" default:"." help:"The folder that checks, and info --write, have written to (the working folder)."`
	Layer     string `placeholder:"NAME" help:"Show one layer in all variants."`
	Limit     int    `default:"20" placeholder:"N" help:"How many layers are listed (20)."`
	JSON      bool   `name:"json" help:"Print all layers as JSON."`
}

// Help documents the command.
func (layersCmd) Help() string {
	return "Puts the same layer of all variants and model files of a workspace side by side: ranges, scales, widths, the error where it was measured. Layers that are problematic in most variants come first, then those whose ranges differ most. It also says what the error goes with: range, kurtosis, depth, type of operator. quantcheck info MODEL.dlc --write WORKSPACE adds a DLC."
}

func (c *layersCmd) Run(con *console) error {
	db, ids, err := openRuns(con, workspace.Folder(c.Workspace))
	if err != nil {
		return err
	}
	defer db.Close()
	var runs []*result.Run
	var problems []string
	for _, id := range ids {
		run, err := db.Runs.Read(con.ctx, id)
		switch {
		case con.ctx.Err() != nil:
			return con.ctx.Err()
		case err != nil:
			problems = append(problems, err.Error())
			continue
		}
		problems = append(problems, publish.Damage(run)...)
		runs = append(runs, run)
	}
	models, damaged, err := db.Models.All(con.ctx)
	if err != nil {
		return err
	}
	for _, p := range append(problems, damaged...) {
		fmt.Fprintf(con.stderr, "quantcheck: %s\n", report.Printable(p))
	}
	if len(runs)+len(models) == 0 {
		return usagef("the workspace %s holds neither runs nor models yet: quantcheck check, quantcheck info MODEL.dlc --write %s", c.Workspace, c.Workspace)
	}
	if c.Limit < 1 {
		return usagef("--limit %d", c.Limit)
	}
	var threads []int
	for _, r := range runs {
		threads = append(threads, r.Spec.Threads)
	}
	if text := result.OtherThreads(threads); text != "" {
		con.say("%s", text)
	}
	a := inspect.Compare(runs, models)
	if c.Layer != "" {
		for i := range a.Layers {
			if l := &a.Layers[i]; l.Name == c.Layer || align.Clean(l.Name) == align.Clean(c.Layer) {
				if c.JSON {
					return report.JSON(con.stdout.Data(), l)
				}
				report.AcrossLayer(con.stdout, a, l)
				return nil
			}
		}
		return usagef("no variant has a layer %q; quantcheck layers %s lists them", c.Layer, c.Workspace)
	}
	if c.JSON {
		return report.JSON(con.stdout.Data(), a)
	}
	report.Across(con.stdout, a, c.Limit)
	return nil
}
