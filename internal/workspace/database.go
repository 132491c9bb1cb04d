package workspace

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"time"

	_ "modernc.org/sqlite" // database/sql finds the driver by its name

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/scratch"
)

// Store is the database of a workspace, by what is kept in it. It may be used by many goroutines and by many programs at once.
type Store struct {
	Runs         *Runs
	Evaluations  *Evaluations
	Estimates    *Estimates
	Explorations *Explorations
	Models       *Models
	Trials       *Trials

	*database
}

// database is the open file; what is kept in it is read and written through it.
type database struct {
	db   *sql.DB
	path string
}

// ErrNewer means that a database was written by a later version of the program.
var ErrNewer = errors.New("the database was written by a newer version of quantcheck")

// OpenStore opens a workspace's database and makes it if it is not there. What ended runs left in the workspace is removed.
func OpenStore(ctx context.Context, f Folder) (*Store, error) {
	path := f.Database()
	if err := atomicfile.Touch(path); err != nil {
		return nil, err
	}
	for _, dir := range f.Folders() {
		scratch.SweepOnce(dir)
	}
	return open(ctx, path)
}

// OpenExisting opens a workspace's database; it fails if there is none.
func OpenExisting(ctx context.Context, f Folder) (*Store, error) {
	if _, err := os.Stat(f.Database()); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no workspace: it has no %s", f, f.Database())
	}
	return open(ctx, f.Database())
}

// patience is how long a connection waits for another process that has the database: longer than any transaction takes. The wait ends
// with the context.
const patience = 10 * time.Minute

// address is a database's path as SQLite takes it, whatever characters it has.
func address(path string) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
}

func open(ctx context.Context, path string) (*Store, error) {
	dsn := address(path) + "?_pragma=busy_timeout(" + strconv.FormatInt(patience.Milliseconds(), 10) + ")&_pragma=foreign_keys(1)&_txlock=immediate&_pragma=synchronous(" + atomicfile.SQLite + ")"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	b := &database{db: db, path: path}
	if err := b.migrate(ctx); err != nil {
		_ = db.Close() // the migration's error is the one to tell
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Store{&Runs{b}, &Evaluations{b}, &Estimates{b}, &Explorations{b}, &Models{b}, &Trials{b}, b}, nil
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// migrate brings the tables up to date. Only who has to change something takes the database's lock, so that a workspace that cannot be written can be
// read; another process may have done it by then.
func (b *database) migrate(ctx context.Context) error {
	var version int
	if done, err := upToDate(b.db.QueryRowContext(ctx, "PRAGMA user_version"), &version); done || errors.Is(err, ErrNewer) {
		return err
	}
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("the database cannot be opened (move it away to start a new one): %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // it only fails after a commit
	if done, err := upToDate(tx.QueryRowContext(ctx, "PRAGMA user_version"), &version); done || err != nil {
		return err
	}
	steps := []string{tables()}
	if version > 0 {
		steps = migrations[version-1:]
	}
	for _, step := range steps {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)); err != nil {
		return err
	}
	return tx.Commit()
}

// upToDate reads the version of the tables and says whether it is this program's.
func upToDate(row *sql.Row, version *int) (bool, error) {
	if err := row.Scan(version); err != nil {
		return false, err
	}
	if *version > schemaVersion {
		return false, fmt.Errorf("%w (its tables have version %d, this one knows %d)", ErrNewer, *version, schemaVersion)
	}
	return *version == schemaVersion, nil
}

// each goes through a query's rows.
func (b *database) each(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	rows, err := b.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
