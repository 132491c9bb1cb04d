package workspace

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/atomicfile"
)

// Imported counts what another workspace brought.
type Imported struct {
	Runs, Evaluations, Estimates, Explorations int
	Known                                      int // results that were there already
	Trials                                     int
	Files                                      []string
}

// part is a table of results with the tables of its rows; same are the columns by which two results are one.
type part struct {
	table  string
	same   []string
	parent string // the column of rows that names the result
	rows   []string
	count  func(*Imported) *int
}

var parts = []part{
	{"runs", []string{"command", "name", "started", "spec"}, "run", []string{"samples", "layers", "variants", "encodings", "layer_results", "metrics", "sample_metrics"}, func(i *Imported) *int { return &i.Runs }},
	{"evaluations", []string{"name", "started", "model", "data"}, "evaluation", []string{"scores"}, func(i *Imported) *int { return &i.Evaluations }},
	{"estimates", []string{"name", "variant", "started", "path"}, "estimate", []string{"estimate_layers"}, func(i *Imported) *int { return &i.Estimates }},
	{"explorations", []string{"name", "started", "model"}, "", nil, func(i *Imported) *int { return &i.Explorations }},
}

// Import copies the results of another workspace into the store, row by row and in one transaction, and its files into the store's workspace f. Results that are
// there already are left out; files of the same name are replaced, but for those that are made of all results (page and tables), which
// the caller makes anew. The caller has claimed the names of the other workspace's results (Names) and the results.
func (s *Store) Import(ctx context.Context, f, from Folder) (*Imported, error) {
	other, err := OpenExisting(ctx, from) // which brings its tables up to date
	if err != nil {
		return nil, err
	}
	if err := other.Close(); err != nil {
		return nil, err
	}
	done := &Imported{}
	if done.Files, err = copyFiles(f, from); err != nil {
		return nil, fmt.Errorf("import %s: %w", from, err)
	}
	if err := s.importRows(ctx, f, from, done); err != nil {
		return nil, fmt.Errorf("import %s into %s: %w", from, s.path, err)
	}
	return done, nil
}

func (s *Store) importRows(ctx context.Context, f, from Folder, done *Imported) error {
	conn, err := s.db.Conn(ctx) // what is attached belongs to one connection
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "ATTACH DATABASE ? AS kept", address(from.Database())); err != nil {
		return err
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), "DETACH DATABASE kept") //nolint:errcheck // the connection is closed or used no more
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it only fails after a commit
	if err := addMetricColumns(ctx, tx); err != nil {
		return err
	}
	for _, p := range parts {
		if err := p.copy(ctx, tx, done); err != nil {
			return err
		}
	}
	n, err := tx.ExecContext(ctx, "INSERT INTO main.trials SELECT * FROM kept.trials WHERE key NOT IN (SELECT key FROM main.trials)")
	if err != nil {
		return err
	}
	trials, err := n.RowsAffected()
	if err != nil {
		return err
	}
	done.Trials = int(trials)
	if err := relocate(ctx, tx, from, f); err != nil {
		return err
	}
	return tx.Commit()
}

// copy copies the results that are not there yet, with new numbers.
func (p *part) copy(ctx context.Context, tx *sql.Tx, done *Imported) error {
	var offset, all int
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM main."+p.table).Scan(&offset); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM kept."+p.table).Scan(&all); err != nil {
		return err
	}
	var equal []string
	for _, c := range p.same {
		equal = append(equal, fmt.Sprintf("m.%[1]s = k.%[1]s", c))
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("CREATE TEMP TABLE fresh AS SELECT k.id FROM kept.%[1]s k WHERE NOT EXISTS (SELECT 1 FROM main.%[1]s m WHERE %[2]s)",
		p.table, strings.Join(equal, " AND "))); err != nil {
		return err
	}
	insert := func(table, number string) error {
		names, err := columns(ctx, tx, table)
		if err != nil {
			return err
		}
		values := slices.Clone(names)
		values[slices.Index(names, number)] = fmt.Sprintf("%s + %d", number, offset)
		_, err = tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO main.%[1]s (%[2]s) SELECT %[3]s FROM kept.%[1]s WHERE %[4]s IN (SELECT id FROM temp.fresh) ORDER BY %[4]s",
			table, strings.Join(names, ", "), strings.Join(values, ", "), number))
		return err
	}
	if err := insert(p.table, "id"); err != nil {
		return err
	}
	for _, table := range p.rows {
		if err := insert(table, p.parent); err != nil {
			return err
		}
	}
	var fresh int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM temp.fresh").Scan(&fresh); err != nil {
		return err
	}
	*p.count(done) = fresh
	done.Known += all - fresh
	_, err := tx.ExecContext(ctx, "DROP TABLE temp.fresh")
	return err
}

// columns are the names of the columns that a table has in the database that is imported; the store's has them all.
func columns(ctx context.Context, tx *sql.Tx, table string) (names []string, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT name FROM pragma_table_info(?, 'kept')", table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// relocate lets evaluations and explorations name their files where they lie now.
func relocate(ctx context.Context, tx *sql.Tx, from, to Folder) error {
	old, err := filepath.Abs(string(from))
	if err != nil {
		return err
	}
	now, err := filepath.Abs(string(to))
	if err != nil {
		return err
	}
	for _, table := range []string{"evaluations", "explorations"} {
		if _, err := tx.ExecContext(ctx, "UPDATE main."+table+" SET result = replace(result, ?, ?) WHERE instr(result, ?)", inJSON(old), inJSON(now), inJSON(old)); err != nil {
			return err
		}
	}
	return nil
}

// Names are the names under which a workspace's results have files.
func (s *Store) Names(ctx context.Context) (names []string, err error) {
	for _, query := range []string{
		"SELECT name FROM runs", "SELECT r.name || '-' || v.name FROM runs r JOIN variants v ON v.run = r.id", "SELECT name FROM evaluations", "SELECT name FROM explorations",
	} {
		if err := s.each(ctx, query, nil, func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			names = append(names, name)
			return err
		}); err != nil {
			return nil, fmt.Errorf("names in %s: %w", s.path, err)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// copyFiles copies what lies in a workspace beside the database and what is made of it.
func copyFiles(to, from Folder) (copied []string, err error) {
	left := []string{from.Report(), from.Results("results.csv"), from.Results("per_layer_comparison.csv"), elsewhere(from), string(from.locks())}
	var files atomicfile.Batch
	defer files.Discard()
	err = filepath.WalkDir(string(from), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains(left, path) && d.IsDir():
			return fs.SkipDir
		case slices.Contains(left, path), strings.HasPrefix(path, from.Database()), strings.HasPrefix(d.Name(), ".quantcheck-"), !d.Type().IsRegular():
			return nil
		}
		below, err := filepath.Rel(string(from), path)
		if err != nil {
			return err
		}
		target := filepath.Join(string(to), below)
		copied = append(copied, target)
		return copyTo(&files, target, path)
	})
	if err != nil {
		return nil, err
	}
	return copied, files.Commit()
}

// ErrSame means that a workspace was to be imported into itself.
var ErrSame = errors.New("it is the same workspace")

// Same says whether two folders are one.
func (f Folder) Same(other Folder) bool {
	a, err := os.Stat(string(f))
	if err != nil {
		return false
	}
	b, err := os.Stat(string(other))
	return err == nil && os.SameFile(a, b)
}
