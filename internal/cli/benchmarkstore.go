package cli

import (
	"errors"
	"path/filepath"

	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
	"quantcheck/internal/web"
	"quantcheck/internal/workspace"
)

// keep stores a comparison when it is made.
func (c *benchmarkCmd) keep(con *console, folder workspace.Folder, stage *workspace.Stage, run *result.Run) ([]string, error) {
	db, err := workspace.OpenStore(con.ctx, folder)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	files, err := addRun(con, db, folder, stage, run)
	if err != nil {
		return nil, err
	}
	for i := range run.Variants {
		v := &run.Variants[i]
		if v.Spec.Kind != variant.Device {
			continue
		}
		text := report.Similarities(run, v)
		for _, path := range []string{folder.Results(filepath.Join("similarities", run.Name+".csv")), filepath.Join(folder.ModelDLC(run.Name), "similarity.csv")} {
			if err := workspace.WriteFile(path, text); err != nil {
				return nil, err
			}
			files = append(files, path)
		}
	}
	return files, nil
}

// write writes what is made of all steps, and the page. The steps themselves are in the workspace already.
func (c *benchmarkCmd) write(con *console, keep *storing, folder workspace.Folder, b *result.Benchmark, run *result.Run) ([]string, error) {
	files := []string{folder.Benchmark(b.Name)}
	if folder != keep.folder {
		if err := workspace.WriteJSON(folder.Benchmark(b.Name), b); err != nil {
			return nil, err
		}
	}
	if b.Cycles != nil {
		path := folder.Results(filepath.Join("speeds", b.Name+".csv"))
		if err := workspace.WriteFile(path, report.Speeds(b)); err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	db, err := workspace.OpenStore(con.ctx, folder)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if run != nil {
		err = writeRunPage(con, folder, db, run)
	} else {
		_, err = writePage(con, folder, db, folder.Report())
	}
	switch {
	case errors.Is(err, web.ErrNotBuilt):
		con.say("%v", err)
		return files, nil
	case err != nil:
		return files, &drawnError{err, folder}
	}
	return append([]string{folder.Report()}, files...), nil
}

// writeRunPage draws one run, with what the workspace shows beside it.
func writeRunPage(con *console, folder workspace.Folder, db *workspace.Store, run *result.Run) error {
	content, err := besideRuns(con, folder, db)
	if err != nil {
		return err
	}
	html, err := pageOf(run, content)()
	if err != nil {
		return err
	}
	return workspace.WriteFile(folder.Report(), html)
}
