package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"quantcheck/internal/scratch"
)

// Try finds out, before long work, whether a run can store its results: its files (paths in the workspace or elsewhere) can be written, and the
// database, if there is one, can be read and written by this version of the program. It makes nothing that stays.
func (f Folder) Try(ctx context.Context, files ...string) error {
	for _, path := range append([]string{f.Report(), f.Database()}, files...) {
		if err := TryFile(path); err != nil {
			return err
		}
	}
	if _, err := os.Stat(f.Database()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s, err := OpenExisting(ctx, f)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.try(ctx); err != nil {
		return fmt.Errorf("%s: %w", f.Database(), err)
	}
	return nil
}

// TryFile finds out whether a file can be written, by writing one beside it: permissions tell little of read-only disks, quotas
// and of what root may do. Folders that are not there yet are not made; the innermost one that is there is tried.
func TryFile(path string) error {
	place := path
	if info, err := os.Stat(path); err == nil {
		switch {
		case info.IsDir():
			return fmt.Errorf("%s cannot be written: it is a folder", path)
		case !info.Mode().IsRegular(): // a pipe, say: it is written to as it is
			return nil
		}
		if to, err := filepath.EvalSymlinks(path); err == nil { // the link stays, what it leads to is replaced
			place = to
		}
	}
	dir, err := nearest(filepath.Dir(place))
	if err == nil {
		err = probe(dir)
	}
	var where *fs.PathError
	if errors.As(err, &where) {
		err = where.Err // its path is the probe's
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written: %s: %w", path, dir, err)
	}
	return nil
}

// errNoFolder means that a file lies where a folder is needed.
var errNoFolder = errors.New("not a folder")

// nearest is the innermost folder of a path that is there.
func nearest(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return dir, errNoFolder
		case err == nil:
			return dir, nil
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			return dir, err
		}
		if link, err := os.Lstat(dir); err == nil && link.Mode()&fs.ModeSymlink != 0 {
			return dir, errors.New("a link to nowhere")
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return dir, err
		}
		dir = parent
	}
}

// probe writes a small file, which takes a block of the disk, and removes it.
func probe(dir string) error {
	f, err := scratch.File(dir, "probe", 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 4096))
	if e := f.Close(); err == nil {
		err = e // where a disk or a quota is full, some file systems say it only now
	}
	return err
}

// tryFor is how long a database is looked through: a large one takes longer than that, and then it is taken for whole.
const tryFor = 2 * time.Second

// try looks through the database and takes its lock, if nobody has it.
func (b *database) try(ctx context.Context) error {
	short, end := context.WithTimeout(ctx, tryFor)
	defer end()
	if problem, err := b.check(short); problem != "" || err != nil && short.Err() == nil {
		if err != nil {
			problem = err.Error()
		}
		return fmt.Errorf("it is damaged (%s); move it away to start a new one", problem)
	}
	short, end = context.WithTimeout(ctx, tryFor)
	defer end()
	tx, err := b.db.BeginTx(short, nil)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case short.Err() != nil: // somebody writes just now
		return nil
	case err != nil:
		return tell(err)
	}
	if err := tx.Rollback(); err != nil && short.Err() == nil {
		return err
	}
	return nil
}

// check says what is wrong with the database: missing tables, or what SQLite finds.
func (b *database) check(ctx context.Context) (problem string, err error) {
	var there []string
	err = b.each(ctx, "SELECT name FROM sqlite_master WHERE type = 'table'", nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		there = append(there, name)
		return err
	})
	if err != nil {
		return "", err
	}
	for _, name := range tableNames() {
		if !slices.Contains(there, name) {
			return "it has no table " + name, nil
		}
	}
	var found string
	if err := b.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return "", err
	}
	if found != "ok" {
		return strings.ReplaceAll(strings.TrimSpace(found), "\n", ", "), nil
	}
	return "", nil
}

// tableNames are the names in the schema.
func tableNames() (names []string) {
	for line := range strings.Lines(schema) {
		if rest, ok := strings.CutPrefix(line, "CREATE TABLE "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	return names
}

// tell puts SQLite's most frequent failures into words.
func tell(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN:
		return fmt.Errorf("it cannot be written: %w", err)
	case lib.SQLITE_FULL:
		return fmt.Errorf("the disk is full: %w", err)
	case lib.SQLITE_BUSY:
		return fmt.Errorf("another program has had it for %s: %w", patience, err)
	}
	return err
}
