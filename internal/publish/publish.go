// Package publish puts what a use case found out into a workspace: files first, then the database in one transaction, then the page and the tables
// that are made of it. Each function gives the paths of what it wrote, the page first.
package publish

import (
	"errors"
	"fmt"

	"quantcheck/internal/paths"
	"quantcheck/internal/web"
	"quantcheck/internal/workspace"
)

// DrawnError is a failure after the results were stored, of something that is made of them.
type DrawnError struct {
	cause  error
	folder workspace.Folder
}

func (e *DrawnError) Error() string {
	return fmt.Sprintf("the results are stored in %s, but the page or a table could not be written: %v\nWhen it can be, this command writes it:\n    quantcheck report %s",
		e.folder.Database(), e.cause, paths.ForShell(string(e.folder)))
}

// Unwrap gives the cause.
func (e *DrawnError) Unwrap() error { return e.cause }

// withPage puts the page before the files that were written, given how drawing it went. A program without a page says so in a note.
func withPage(folder workspace.Folder, files []string, err error) (all, notes []string, failed error) {
	switch {
	case errors.Is(err, web.ErrNotBuilt):
		return files, []string{err.Error()}, nil
	case err != nil:
		return files, nil, &DrawnError{err, folder}
	}
	return append([]string{folder.Report()}, files...), nil, nil
}
