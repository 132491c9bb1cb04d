package publish

import (
	"context"
	"path/filepath"

	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
	"quantcheck/internal/workspace"
)

// Compared stores the comparison of a benchmark when it is made; the page follows with Benchmark.
func Compared(ctx context.Context, folder workspace.Folder, stage *workspace.Stage, run *result.Run) ([]string, error) {
	db, err := workspace.OpenStore(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	files, err := addRun(ctx, db, folder, stage, run)
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

// Benchmark writes what is made of all steps, and the page. The steps themselves are in their own workspace already.
func Benchmark(ctx context.Context, own, folder workspace.Folder, b *result.Benchmark, run *result.Run) (files, notes []string, err error) {
	files = []string{folder.Benchmark(b.Name)}
	if folder != own {
		if err := workspace.WriteJSON(folder.Benchmark(b.Name), b); err != nil {
			return nil, nil, err
		}
	}
	if b.Cycles != nil {
		path := folder.Results(filepath.Join("speeds", b.Name+".csv"))
		if err := workspace.WriteFile(path, report.Speeds(b)); err != nil {
			return nil, nil, err
		}
		files = append(files, path)
	}
	db, err := workspace.OpenStore(ctx, folder)
	if err != nil {
		return nil, nil, err
	}
	defer db.Close()
	if run != nil {
		err = writeRunPage(ctx, folder, db, run)
	} else {
		_, err = Page(ctx, folder, db, folder.Report())
	}
	return withPage(folder, files, err)
}

// writeRunPage draws one run, with what the workspace shows beside it.
func writeRunPage(ctx context.Context, folder workspace.Folder, db *workspace.Store, run *result.Run) error {
	content, err := beside(ctx, folder, db)
	if err != nil {
		return err
	}
	html, err := pageOf(run, content)()
	if err != nil {
		return err
	}
	return workspace.WriteFile(folder.Report(), html)
}
