package cli

import (
	"fmt"
	"os"
	"strings"

	"quantcheck/internal/report"
	"quantcheck/internal/result"
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
		content, err = writePage(con, folder, db, path)
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

// writePage draws everything that a workspace holds into a file, and gives what it has drawn.
func writePage(con *console, folder workspace.Folder, db *workspace.Store, path string) (web.Content, error) {
	ids, err := db.Runs(con.ctx)
	if err != nil {
		return web.Content{}, err
	}
	var runs []*result.Run
	var problems []string
	for _, id := range ids {
		run, err := db.Run(con.ctx, id)
		switch {
		case con.ctx.Err() != nil:
			return web.Content{}, con.ctx.Err()
		case err != nil:
			problems = append(problems, err.Error())
		default:
			problems = append(append(problems, run.Missing()...), damageOf(run)...)
			if _, err := os.Stat(run.Model.Path); err != nil {
				problems = append(problems, fmt.Sprintf("run %d (%s): its model %s is not there any more; was it renamed or moved?", id, run.Name, run.Model.Path))
			}
			runs = append(runs, run)
		}
	}
	content, err := besideRuns(con, folder, db)
	if err != nil {
		return web.Content{}, err
	}
	content.Runs, content.Problems = runs, append(problems, content.Problems...)
	var threads []int
	for _, r := range runs {
		threads = append(threads, r.Spec.Threads)
	}
	for _, e := range content.Evaluations {
		threads = append(threads, e.Spec.Threads)
	}
	if text := result.OtherThreads(threads); text != "" {
		content.Problems = append(content.Problems, text)
	}
	page, err := web.Build(content)
	if err != nil {
		return content, err
	}
	return content, workspace.WriteFile(path, page)
}

// damageOf are the warnings of a run that was read about what its database lacks, with the run's name.
func damageOf(run *result.Run) (list []string) {
	for _, w := range run.Warnings {
		if strings.HasPrefix(w, workspace.DamagePrefix) {
			list = append(list, fmt.Sprintf("run %d (%s): %s", run.ID, run.Name, w))
		}
	}
	return list
}

// besideRuns gathers what a workspace's page shows beside its runs.
func besideRuns(con *console, folder workspace.Folder, db *workspace.Store) (web.Content, error) {
	c := web.Content{Folder: string(folder)}
	var err error
	var damaged [3][]string
	if c.Evaluations, damaged[0], err = db.Evaluations(con.ctx); err != nil {
		return c, err
	}
	setFPS(folder, c.Evaluations)
	c.Cycles, c.Problems = folder.Cycles()
	if c.Estimates, damaged[1], err = db.Estimates(con.ctx); err != nil && con.ctx.Err() == nil {
		c.Estimates, c.Problems = nil, append(c.Problems, err.Error())
	}
	if c.Explorations, damaged[2], err = db.Explorations(con.ctx); err != nil && con.ctx.Err() == nil {
		c.Explorations, c.Problems = nil, append(c.Problems, err.Error())
	}
	for _, list := range damaged {
		c.Problems = append(c.Problems, list...)
	}
	benchmarks, problems := folder.Benchmarks()
	c.Benchmarks, c.Problems = benchmarks, append(c.Problems, problems...)
	return c, con.ctx.Err()
}

// openRuns opens a workspace that is there already and lists its runs, oldest first. The caller closes the store.
func openRuns(con *console, folder workspace.Folder) (*workspace.Store, []int64, error) {
	db, err := workspace.OpenExisting(con.ctx, folder)
	if err != nil {
		return nil, nil, usageError{err}
	}
	ids, err := db.Runs(con.ctx)
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, ids, nil
}

// pageOf draws the page of one run, with what the workspace shows beside it, on a goroutine of its own; the function it gives
// waits for it. The run's number may be set meanwhile.
func pageOf(run *result.Run, content web.Content) func() ([]byte, error) {
	type drawn struct {
		html []byte
		err  error
	}
	done := make(chan drawn, 1)
	snapshot := *run
	content.Runs = []*result.Run{&snapshot}
	go func() {
		html, err := web.Build(content)
		done <- drawn{html, err}
	}()
	return func() ([]byte, error) {
		d := <-done
		return d.html, d.err
	}
}
