package cli

import (
	"fmt"

	"quantcheck/internal/publish"
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
		done, err = publish.BringIn(con.ctx, folder, from)
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
