package publish

import (
	"context"
	"fmt"
	"os"
	"strings"

	"quantcheck/internal/result"
	"quantcheck/internal/web"
	"quantcheck/internal/workspace"
)

// Page draws everything that a workspace holds into a file, and gives what it has drawn.
func Page(ctx context.Context, folder workspace.Folder, db *workspace.Store, path string) (web.Content, error) {
	ids, err := db.Runs.Numbers(ctx)
	if err != nil {
		return web.Content{}, err
	}
	var runs []*result.Run
	var problems []string
	for _, id := range ids {
		run, err := db.Runs.Read(ctx, id)
		switch {
		case ctx.Err() != nil:
			return web.Content{}, ctx.Err()
		case err != nil:
			problems = append(problems, err.Error())
		default:
			problems = append(append(problems, run.Missing()...), Damage(run)...)
			if _, err := os.Stat(run.Model.Path); err != nil {
				problems = append(problems, fmt.Sprintf("run %d (%s): its model %s is not there any more; was it renamed or moved?", id, run.Name, run.Model.Path))
			}
			runs = append(runs, run)
		}
	}
	content, err := beside(ctx, folder, db)
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

// Damage lists what the database lacks of a run that was read: its warnings of that, with the run's name.
func Damage(run *result.Run) (list []string) {
	for _, w := range run.Warnings {
		if strings.HasPrefix(w, workspace.DamagePrefix) {
			list = append(list, fmt.Sprintf("run %d (%s): %s", run.ID, run.Name, w))
		}
	}
	return list
}

// beside gathers what a workspace's page shows beside its runs.
func beside(ctx context.Context, folder workspace.Folder, db *workspace.Store) (web.Content, error) {
	c := web.Content{Folder: string(folder)}
	var err error
	var damaged [3][]string
	if c.Evaluations, damaged[0], err = db.Evaluations.All(ctx); err != nil {
		return c, err
	}
	SetFPS(folder, c.Evaluations)
	c.Cycles, c.Problems = workspace.ReadCycles(folder)
	if c.Estimates, damaged[1], err = db.Estimates.All(ctx); err != nil && ctx.Err() == nil {
		c.Estimates, c.Problems = nil, append(c.Problems, err.Error())
	}
	if c.Explorations, damaged[2], err = db.Explorations.All(ctx); err != nil && ctx.Err() == nil {
		c.Explorations, c.Problems = nil, append(c.Problems, err.Error())
	}
	for _, list := range damaged {
		c.Problems = append(c.Problems, list...)
	}
	benchmarks, problems := workspace.ReadBenchmarks(folder)
	c.Benchmarks, c.Problems = benchmarks, append(c.Problems, problems...)
	return c, ctx.Err()
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
