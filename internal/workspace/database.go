package workspace

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // database/sql finds the driver by its name

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/floatjson"
	"quantcheck/internal/metric"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/scratch"
)

// Store is the database of a workspace's runs. It may be used by many goroutines and by many programs at once.
type Store struct {
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
	s := &Store{db: db, path: path}
	if err := s.migrate(ctx); err != nil {
		_ = db.Close() // the migration's error is the one to tell
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// migrate brings the tables up to date. Only who has to change something takes the database's lock, so that a workspace that cannot be written can be
// read; another process may have done it by then.
func (s *Store) migrate(ctx context.Context) error {
	var version int
	if done, err := upToDate(s.db.QueryRowContext(ctx, "PRAGMA user_version"), &version); done || errors.Is(err, ErrNewer) {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
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

// Add stores a run and the estimates of its variants, whole or not at all, and gives them their numbers.
func (s *Store) Add(ctx context.Context, run *result.Run) error {
	if err := s.add(ctx, run); err != nil {
		return fmt.Errorf("store the run in %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) add(ctx context.Context, run *result.Run) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it only fails after a commit
	if err := addMetricColumns(ctx, tx); err != nil {
		return err
	}
	w := &writer{ctx: ctx, tx: tx, tables: map[string]*rows{}}
	id := w.one("runs", "command, name, started, seconds, spec, tool, onnxruntime, machine, model, warnings",
		run.Command, run.Name, run.Started.UTC().Format("2006-01-02T15:04:05.000Z"), run.Seconds, w.json(run.Spec), run.Tool, run.ONNXRuntime,
		w.json(run.Machine), w.json(run.Model), w.json(run.Warnings))
	for role, list := range map[string][]result.Sample{"compared": run.Samples, "calibration": run.Calibration} {
		for i, sample := range list {
			w.insert("samples", "run, role, number, name, path, sha256", id, role, i, sample.Name, sample.Path, sample.SHA256)
		}
	}
	for i, l := range run.Layers {
		w.insert("layers", "run, number, name, clean, node, op, dtype, shape, output, inputs", id, i, l.Name, l.Clean, l.Node, l.Op, l.DType, w.json(l.Shape), l.Output,
			w.json(append([]int{}, l.Inputs...)))
	}
	for i := range run.Variants {
		w.variant(id, i, &run.Variants[i], run.Layers)
	}
	estimates := map[*result.Estimated]int64{}
	for _, v := range run.Variants {
		if v.Estimated != nil {
			if estimates[v.Estimated], err = w.estimate(v.Estimated); err != nil {
				return err
			}
		}
	}
	w.flush()
	if w.err != nil {
		return w.err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	run.ID = id
	for e, number := range estimates {
		e.ID = number
	}
	return nil
}

// writer inserts rows, many per statement, and remembers the first error.
type writer struct {
	ctx    context.Context
	tx     *sql.Tx
	tables map[string]*rows
	err    error
}

// rows are what waits to go into a table, and the statement that takes a full batch of them.
type rows struct {
	table, columns string
	width          int
	values         []any
	full           *sql.Stmt
}

// rowsPerStatement rows are inserted by one statement, which took three quarters of the time of single ones.
const rowsPerStatement = 64

func (r *rows) text() string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", r.width), ", ") + ")"
	count := len(r.values) / r.width
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", r.table, r.columns, strings.TrimSuffix(strings.Repeat(row+", ", count), ", "))
}

func (w *writer) json(v any) string {
	b, err := floatjson.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	return string(b)
}

// optional is JSON, or NULL.
func (w *writer) optional(v any, valid bool) sql.NullString {
	if !valid {
		return sql.NullString{}
	}
	return sql.NullString{String: w.json(v), Valid: true}
}

// one inserts a row and gives its number.
func (w *writer) one(table, columns string, values ...any) int64 {
	if w.err != nil {
		return 0
	}
	r := rows{table: table, columns: columns, width: len(values), values: storable(values)}
	done, err := w.tx.ExecContext(w.ctx, r.text(), r.values...)
	if err != nil {
		w.err = err
		return 0
	}
	id, err := done.LastInsertId()
	w.err = err
	return id
}

// storable makes NaN the text "NaN", which reads back as it: SQLite takes the number for NULL, which most columns refuse.
func storable(values []any) []any {
	for i, v := range values {
		switch f := v.(type) {
		case float64:
			if math.IsNaN(f) {
				values[i] = "NaN"
			}
		case *float64:
			if f != nil && math.IsNaN(*f) {
				values[i] = "NaN"
			}
		case sql.NullFloat64:
			if f.Valid && math.IsNaN(f.Float64) {
				values[i] = "NaN"
			}
		}
	}
	return values
}

// insert puts a row into a table, sooner or later.
func (w *writer) insert(table, columns string, values ...any) {
	r := w.tables[table]
	if r == nil {
		r = &rows{table: table, columns: columns, width: len(values)}
		w.tables[table] = r
	}
	r.values = append(r.values, storable(values)...)
	if len(r.values) < rowsPerStatement*r.width || w.err != nil {
		return
	}
	if r.full == nil {
		if r.full, w.err = w.tx.PrepareContext(w.ctx, r.text()); w.err != nil {
			return
		}
	}
	_, w.err = r.full.ExecContext(w.ctx, r.values...)
	r.values = r.values[:0]
}

// flush inserts what still waits.
func (w *writer) flush() {
	for _, r := range w.tables {
		if w.err == nil && len(r.values) > 0 {
			_, w.err = w.tx.ExecContext(w.ctx, r.text(), r.values...)
		}
	}
}

func (w *writer) variant(run int64, i int, v *result.Variant, layers []result.Layer) {
	diverges := sql.NullInt64{Int64: int64(v.Diverges), Valid: v.Diverges >= 0}
	w.insert("variants", "run, number, name, spec, diverges, failed, birth, inputs, emulator, twin, parts, container, time, verdict", run, i, v.Spec.Name, w.json(v.Spec), diverges,
		w.json(append([]string{}, v.Failed...)), string(v.Origin), w.json(append([]result.InputCheck{}, v.InputChecks...)),
		w.optional(v.Emulator, v.Emulator != nil), sql.NullInt64{Int64: int64(v.Counterpart), Valid: v.Counterpart >= 0}, sql.NullInt64{Int64: int64(v.FirstMismatchLayer), Valid: v.FirstMismatchLayer >= 0}, w.optional(v.Container, v.Container != nil), w.optional(v.Time, v.Time != nil),
		w.optional(v.Verdict, v.Verdict != nil))
	encoding := func(kind, tensor string, channel, axis int, e quant.Encoding) {
		w.insert("encodings", "run, variant, kind, tensor, channel, axis, bits, symmetric, min, max, scale, offset",
			run, i, kind, tensor, channel, axis, e.Bits, e.Symmetric, e.Min, e.Max, e.Scale, e.Offset)
	}
	for tensor, e := range v.Inputs {
		encoding("input", tensor, -1, -1, e)
	}
	for _, p := range v.Params {
		for c, e := range p.Encodings {
			if p.Axis < 0 {
				c = -1
			}
			encoding("param", p.Tensor, c, p.Axis, e)
		}
	}
	for k := range v.Layers {
		l := &v.Layers[k]
		share := sql.NullFloat64{}
		if l.Local != nil {
			share = sql.NullFloat64{Float64: l.Local.Share, Valid: true}
		}
		w.insert("layer_results", "run, variant, layer, status, reason, tap, share, local_reason, histogram, on_cpu, apart, local_apart, rule, cycles",
			run, i, k, string(l.Status), l.Reason, l.Tap, share, l.LocalReason, w.optional(l.Histogram, l.Histogram != nil), l.OnCPU, apart(l.EmulationError), apart(l.IsolatedEmulationError), l.Rule, l.Cycles)
		if l.Encoding != nil {
			encoding("activation", layers[k].Name, -1, -1, *l.Encoding)
		}
		if l.HasMetrics() {
			w.values(run, i, k, scopeAccumulated, l.Summary, l.Samples)
		}
		if l.Local != nil {
			w.part(run, i, k, scopeLocal, &l.Local.Full)
			w.part(run, i, k, scopeLocalWeights, l.Local.Weights)
			w.part(run, i, k, scopeLocalActs, l.Local.Acts)
		}
		for scope, t := range map[string]*result.EmulationError{scopeTwin: l.EmulationError, scopeLocalTwin: l.IsolatedEmulationError} {
			if t != nil {
				w.part(run, i, k, scope, &t.Part)
			}
		}
	}
	for _, whole := range v.Whole {
		w.values(run, i, whole.Layer, scopeWholeWeights, whole.WeightsOnly, nil)
		w.values(run, i, whole.Layer, scopeWholeActs, whole.ActsOnly, nil)
	}
}

func (w *writer) part(run int64, variant, layer int, scope string, p *result.Part) {
	if p != nil {
		w.values(run, variant, layer, scope, p.Summary, p.Samples)
	}
}

// values stores one scope's metrics of a layer, over the samples and of each sample.
func (w *writer) values(run int64, variant, layer int, scope string, summary result.Summary, samples []*metric.Values) {
	for _, info := range metric.All {
		if s := summary[info.ID]; s.Mean.OK {
			w.insert("metrics", "run, variant, layer, scope, metric, mean, min, max, worst", run, variant, layer, scope, info.Key, null(s.Mean), null(s.Min), null(s.Max), s.Worst)
		}
	}
	columns := sampleColumns(metric.All)
	for n, values := range samples {
		if values == nil {
			continue
		}
		row := []any{run, variant, layer, scope, n}
		for _, info := range metric.All {
			row = append(row, null(values[info.ID]))
		}
		w.insert("sample_metrics", columns, row...)
	}
}

func apart(t *result.EmulationError) sql.NullFloat64 {
	if t == nil {
		return sql.NullFloat64{}
	}
	return null(t.FractionOverOneStep)
}

func null(v metric.Value) sql.NullFloat64 {
	return sql.NullFloat64{Float64: v.V, Valid: v.OK && !math.IsNaN(v.V)}
}
