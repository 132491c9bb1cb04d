package cli

import (
	"errors"
	"fmt"
	"os"

	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/web"
	"quantcheck/internal/workspace"
)

type reportCmd struct {
	Workspace string `arg:"" default:"." help:"The folder that checks have written to (the working folder)."`
	Output    string `short:"o" placeholder:"FILE" help:"Where the page goes (results/report.html in the workspace)."`
}

// Help documents the command.
func (reportCmd) Help() string {
	return "Writes one self-contained page with all runs of a workspace. Runs that cannot be read are said on it, the others shown."
}

func (c *reportCmd) Run(con *console) error {
	folder := workspace.Folder(c.Workspace)
	db, err := workspace.OpenExisting(con.ctx, folder)
	if err != nil {
		return usageError{err}
	}
	defer db.Close()
	ids, err := db.Runs(con.ctx)
	if err != nil {
		return err
	}
	var runs []*result.Run
	var problems []string
	for _, id := range ids {
		run, err := db.Run(con.ctx, id)
		switch {
		case con.ctx.Err() != nil:
			return con.ctx.Err()
		case err != nil:
			problems = append(problems, err.Error())
		default:
			problems = append(problems, run.Missing()...)
			if _, err := os.Stat(run.Model.Path); err != nil {
				problems = append(problems, fmt.Sprintf("run %d (%s): its model %s is not there any more; was it renamed or moved?", id, run.Name, run.Model.Path))
			}
			runs = append(runs, run)
		}
	}
	for _, p := range problems {
		fmt.Fprintf(con.stderr, "quantcheck: %s\n", report.Printable(p))
	}
	path := c.Output
	if path == "" {
		path = folder.Report()
	}
	if err := writePage(path, runs, problems); err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.stdout, "%s: %d runs\n", report.Printable(path), len(runs))
	return err
}

func writePage(path string, runs []*result.Run, problems []string) error {
	page, err := web.Build(runs, problems)
	if err != nil {
		return err
	}
	return workspace.WriteFile(path, page)
}

// pageOf writes the page of one run; a program that was built without its page goes on without it.
func pageOf(folder workspace.Folder, run *result.Run) (string, error) {
	err := writePage(folder.Report(), []*result.Run{run}, nil)
	if errors.Is(err, web.ErrNotBuilt) {
		run.Warnings = append(run.Warnings, err.Error())
		return "", nil
	}
	return folder.Report(), err
}
