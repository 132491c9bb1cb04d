package publish

import (
	"context"

	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

// Estimates puts estimates into a workspace, all of them or none.
func Estimates(ctx context.Context, folder workspace.Folder, list []*result.Estimated) (files, notes []string, err error) {
	db, err := workspace.OpenStore(ctx, folder)
	if err != nil {
		return nil, nil, err
	}
	defer db.Close()
	if err := db.Estimates.Add(ctx, list...); err != nil {
		return nil, nil, err
	}
	_, err = Page(ctx, folder, db, folder.Report())
	return withPage(folder, []string{folder.Database()}, err)
}
