package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"quantcheck/internal/checkpoint"
	"quantcheck/internal/paths"
	"quantcheck/internal/publish"
	"quantcheck/internal/workspace"
)

// storing stores what a run found out. What the workspace does not take is kept in a refuge, so that hours of computing are not lost: a
// workspace of its own in the system's folder for temporary files, which report --import brings in.
type storing struct {
	con    *console
	folder workspace.Folder
	refuge workspace.Folder // "": nothing had to be kept there
	cause  error            // the first failure of the workspace
}

// place gives the refuge, and makes it if there is none yet. cause is why it is needed.
func (k *storing) place(cause error) (workspace.Folder, error) {
	if k.refuge != "" {
		return k.refuge, nil
	}
	refuge, err := workspace.NewRefuge()
	if err != nil {
		return "", errors.Join(cause, fmt.Errorf("the results cannot be kept elsewhere either: %w", err))
	}
	k.refuge, k.cause = refuge, cause
	return refuge, nil
}

// unstoredError says that the results are not in their workspace, and where they are.
type unstoredError struct {
	cause  error
	folder workspace.Folder
	refuge workspace.Folder
}

func (e *unstoredError) Error() string {
	return fmt.Sprintf("the results could not be stored in %s: %v\nThey are kept in %s. When the workspace can be written again, this command brings them in:\n    quantcheck report %s --import %s",
		e.folder, e.cause, e.refuge, paths.ForShell(string(e.folder)), paths.ForShell(string(e.refuge)))
}

func (e *unstoredError) Unwrap() error { return e.cause }

// store puts the results into the workspace, or into the refuge if the workspace fails: put is called with the folder that they go to. Unless err is an
// interruption, the caller prints the results all the same, and ends with err then.
func (k *storing) store(put func(to workspace.Folder) error) error {
	err := k.cause
	if k.refuge == "" {
		err = k.con.results(k.folder, func() error { return put(k.folder) })
		var drawn *publish.DrawnError
		if err == nil || k.con.interrupted(err) || errors.As(err, &drawn) {
			return err
		}
	}
	empty := k.refuge == ""
	refuge, e := k.place(err)
	if e != nil {
		return e
	}
	e = put(refuge)
	var drawn *publish.DrawnError
	if e == nil || errors.As(e, &drawn) {
		return &unstoredError{err, k.folder, refuge}
	}
	if empty {
		_ = os.RemoveAll(string(refuge)) // what is half of it helps nobody
		k.refuge = ""
		return fmt.Errorf("the results could not be stored in %s: %w; nor could they be kept elsewhere: %w", k.folder, err, e)
	}
	return fmt.Errorf("the results could not be stored in %s: %w; nor could they be kept in %s: %w", k.folder, err, refuge, e)
}

// safe says whether the results lie somewhere after store.
func safe(err error) bool {
	var unstored *unstoredError
	var drawn *publish.DrawnError
	return err == nil || errors.As(err, &unstored) || errors.As(err, &drawn)
}

// exploreCache keeps what an exploration found out in the workspace, and in the refuge once the workspace fails.
type exploreCache struct {
	keep   *storing
	db     *workspace.Store
	refuge *workspace.Store
}

// Get implements explore.Cache.
func (l *exploreCache) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if l.refuge == nil {
		return l.db.Trials.Get(ctx, key)
	}
	if value, ok, err := l.refuge.Trials.Get(ctx, key); ok || err != nil {
		return value, ok, err
	}
	value, ok, err := l.db.Trials.Get(ctx, key)
	if err != nil && !l.keep.con.interrupted(err) { // what cannot be read is computed anew
		return nil, false, nil
	}
	return value, ok, err
}

// Put implements explore.Cache.
func (l *exploreCache) Put(ctx context.Context, key, kind string, value []byte) error {
	if l.refuge == nil {
		err := l.db.Trials.Put(ctx, key, kind, value)
		if err == nil || l.keep.con.interrupted(err) {
			return err
		}
		place, e := l.keep.place(err)
		if e != nil {
			return e
		}
		l.keep.con.say("%v; what is found from now on is kept in %s", err, place)
		if l.refuge, e = workspace.OpenStore(ctx, place); e != nil {
			return errors.Join(err, e)
		}
	}
	return l.refuge.Trials.Put(ctx, key, kind, value)
}

// Close closes the refuge's database; the workspace's is the caller's.
func (l *exploreCache) Close() {
	if l.refuge != nil {
		_ = l.refuge.Close() // what it remembers is in the file already
	}
}

// tryFiles finds out, before long work, whether files that were asked for can be written; "" is none.
func tryFiles(paths ...string) error {
	for _, path := range paths {
		if path == "" {
			continue
		}
		if err := workspace.TryFile(path); err != nil {
			return err
		}
	}
	return nil
}

// begin tries whether files can be written and results stored in a workspace, and claims its names.
func (con *console) begin(folder workspace.Folder, noWait bool, names []string, files ...string) (*workspace.Claim, error) {
	if err := checkOut(string(folder)); err != nil {
		return nil, err
	}
	if err := folder.Try(con.ctx, files...); err != nil {
		return nil, notComputed(err)
	}
	return con.claim(folder, noWait, names...)
}

// notComputed is the error of a workspace that was tried and failed.
func notComputed(err error) error {
	return fmt.Errorf("the results could not be stored, so that nothing was computed: %w", err)
}

// end stores what a command found out and prints it: also what could not be stored. kept, where there is one, is the state of the run, which
// is not needed any more.
func (s *storing) end(progress *progress, kept *checkpoint.Keeping, store func(to workspace.Folder) error, draw func() error) error {
	unstored := s.store(store)
	if s.con.interrupted(unstored) {
		return unstored
	}
	progress.clear()
	removed := error(nil)
	if safe(unstored) {
		removed = kept.Remove()
	}
	return errors.Join(unstored, removed, draw())
}
