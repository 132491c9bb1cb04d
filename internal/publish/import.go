package publish

import (
	"context"

	"quantcheck/internal/workspace"
)

// BringIn copies rows and files, and makes the tables of the evaluations anew.
func BringIn(ctx context.Context, folder, from workspace.Folder) (*workspace.Imported, error) {
	db, err := workspace.OpenStore(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	done, err := db.Import(ctx, folder, from)
	if err != nil {
		return nil, err
	}
	list, _, err := db.Evaluations.All(ctx)
	if err == nil && len(list) > 0 {
		SetFPS(folder, list)
		_, _, err = Statistics(folder, list)
	}
	if err != nil {
		return nil, &DrawnError{err, folder}
	}
	return done, nil
}
