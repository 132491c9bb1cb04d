package cli

import (
	"fmt"

	"quantcheck/internal/workspace"
)

// importResults brings what a run has kept elsewhere into a workspace, with the tables that are made of all evaluations; the page is the
// caller's.
func importResults(con *console, folder, from workspace.Folder) error {
	if folder.Same(from) {
		return usagef("--import %s: %w", from, workspace.ErrSame)
	}
	kept, err := workspace.OpenExisting(con.ctx, from)
	if err != nil {
		return usageError{err}
	}
	names, err := kept.Names(con.ctx)
	if e := kept.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	claimed, err := con.begin(folder, false, names)
	if err != nil {
		return err
	}
	defer claimed.Release()
	var done *workspace.Imported
	if err := con.results(folder, func() (err error) {
		done, err = bringIn(con, folder, from)
		return err
	}); err != nil {
		return err
	}
	known := ""
	if done.Known > 0 {
		known = fmt.Sprintf(" (%s there already)", several(done.Known, "result"))
	}
	_, err = fmt.Fprintf(con.stdout, "brought into %s: %s, %s, %s, %s%s; %s is not needed any more\n", string(folder),
		several(done.Runs, "run"), several(done.Evaluations, "evaluation"), several(done.Estimates, "estimate"), several(done.Explorations, "exploration"), known, string(from))
	return err
}

// bringIn copies rows and files, and makes the tables of the evaluations anew.
func bringIn(con *console, folder, from workspace.Folder) (*workspace.Imported, error) {
	db, err := workspace.OpenStore(con.ctx, folder)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	done, err := db.Import(con.ctx, folder, from)
	if err != nil {
		return nil, err
	}
	list, _, err := db.Evaluations(con.ctx)
	if err == nil && len(list) > 0 {
		setFPS(folder, list)
		_, _, err = writeStatistics(folder, list)
	}
	if err != nil {
		return nil, &drawnError{err, folder}
	}
	return done, nil
}
