package cli

import (
	"fmt"
	"strings"

	"quantcheck/internal/publish"
	"quantcheck/internal/report"
	"quantcheck/internal/web"
	"quantcheck/internal/workspace"
)

type reportCmd struct {
	Workspace string `arg:"" default:"." help:"The folder that checks have written to (the working folder)."`
	Import    string `placeholder:"DIR" help:"Bring in the results that a run has kept in DIR because the workspace could not be written."`
	Output    string `short:"o" placeholder:"FILE" help:"Where the page goes (results/report.html in the workspace)."`
}

// Help documents the command.
func (reportCmd) Help() string {
	return "Writes one self-contained page with all runs of a workspace. Runs that cannot be read are said on it, the others shown."
}

func (c *reportCmd) places() places {
	return places{reads: []place{{"WORKSPACE", c.Workspace}, {"--import", c.Import}}, files: []place{{"-o", c.Output}}}
}

func (c *reportCmd) Run(con *console) error {
	folder := workspace.Folder(c.Workspace)
	if c.Import != "" {
		if err := importResults(con, folder, workspace.Folder(c.Import)); err != nil {
			return err
		}
	}
	db, _, err := openRuns(con, folder)
	if err != nil {
		return err
	}
	defer db.Close()
	path := c.Output
	var content web.Content
	draw := func() (err error) {
		content, err = publish.Page(con.ctx, folder, db, path)
		return err
	}
	if path == "" {
		path = folder.Report()
		err = con.results(folder, draw)
	} else if err = tryFiles(path); err == nil {
		err = draw()
	}
	if err != nil {
		return err
	}
	for _, p := range content.Problems {
		con.say("%s", p)
	}
	counts := []string{several(len(content.Runs), "run"), several(len(content.Evaluations), "evaluation"), several(len(content.Estimates), "estimate")}
	if n := len(content.Explorations); n > 0 {
		counts = append(counts, several(n, "exploration"))
	}
	if n := len(content.Benchmarks); n > 0 {
		counts = append(counts, several(n, "benchmark"))
	}
	_, err = fmt.Fprintf(con.stdout, "%s: %s\n", report.Printable(path), strings.Join(counts, ", "))
	return err
}

func several(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// openRuns opens a workspace that is there already and lists its runs, oldest first. The caller closes the store.
func openRuns(con *console, folder workspace.Folder) (*workspace.Store, []int64, error) {
	db, err := workspace.OpenExisting(con.ctx, folder)
	if err != nil {
		return nil, nil, usageError{err}
	}
	ids, err := db.Runs.Numbers(con.ctx)
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, ids, nil
}
