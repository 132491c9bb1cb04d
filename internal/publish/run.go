package publish

import (
	"context"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

// Check stores a comparison.
func Check(ctx context.Context, folder workspace.Folder, stage *workspace.Stage, run *result.Run) ([]string, error) {
	db, err := workspace.OpenStore(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	content, err := beside(ctx, folder, db)
	if err != nil {
		return nil, err
	}
	for _, v := range run.Variants {
		if v.Estimated != nil {
			snapshot := *v.Estimated // its number is set meanwhile
			content.Estimates = append(content.Estimates, &snapshot)
		}
	}
	scored(run, content.Evaluations)
	page := pageOf(run, content) // drawn while the database is written
	files, err := addRun(ctx, db, folder, stage, run)
	if err != nil {
		return nil, err
	}
	html, err := page()
	if err == nil {
		err = workspace.WriteFile(folder.Report(), html)
	}
	files, notes, err := withPage(folder, files, err)
	run.Warnings = append(run.Warnings, notes...)
	return files, err
}

// addRun puts a run into the database, once the disk has the files that belong to it.
func addRun(ctx context.Context, db *workspace.Store, folder workspace.Folder, stage *workspace.Stage, run *result.Run) ([]string, error) {
	files := []string{folder.Database()}
	var tables atomicfile.Batch
	defer tables.Discard()
	for i := range run.Variants {
		v := &run.Variants[i]
		path := folder.Similarities(run.Name, v.Spec.Name)
		if err := tables.WriteBytes(path, report.Similarities(run, v)); err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	if err := tables.Commit(); err != nil {
		return nil, err
	}
	saved, err := stage.Commit()
	if err != nil {
		return nil, err
	}
	if err := db.Runs.Add(ctx, run); err != nil {
		return nil, err
	}
	return append(files, saved...), nil
}
