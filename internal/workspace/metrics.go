package workspace

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/metric"
)

// sampleKeys are the columns of sample_metrics in front of the metrics'.
const sampleKeys = "run, variant, layer, scope, sample"

// tables gives the statements that make an empty database: sample_metrics has a column for each metric.
func tables() string {
	var columns []string
	for _, m := range metric.All {
		columns = append(columns, m.Key+" REAL")
	}
	return strings.Replace(schema, "METRIC_COLUMNS", strings.Join(columns, ", "), 1)
}

// metricColumns lists the metrics that sample_metrics has a column for, in column order. A database of a program that had fewer
// metrics lacks some, until this one stores a run in it.
func metricColumns(ctx context.Context, db interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}) ([]metric.Info, error) {
	rows, err := db.QueryContext(ctx, "SELECT name FROM pragma_table_info('sample_metrics')")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var there []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		there = append(there, name)
	}
	var list []metric.Info
	for _, m := range metric.All {
		if slices.Contains(there, m.Key) {
			list = append(list, m)
		}
	}
	return list, rows.Err()
}

// addMetricColumns gives sample_metrics the columns of the metrics that it lacks. An earlier program reads and writes such a
// database as before, so its version stays.
func addMetricColumns(ctx context.Context, tx *sql.Tx) error {
	there, err := metricColumns(ctx, tx)
	if err != nil {
		return err
	}
	for _, m := range metric.All {
		if slices.ContainsFunc(there, func(t metric.Info) bool { return t.ID == m.ID }) {
			continue
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("ALTER TABLE sample_metrics ADD COLUMN %s REAL", m.Key)); err != nil {
			return err
		}
	}
	return nil
}

// sampleColumns are the columns of sample_metrics for some metrics, as SELECT and INSERT name them.
func sampleColumns(of []metric.Info) string {
	names := []string{sampleKeys}
	for _, m := range of {
		names = append(names, m.Key)
	}
	return strings.Join(names, ", ")
}
