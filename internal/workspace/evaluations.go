package workspace

import (
	"context"
	"encoding/json"
	"fmt"

	"quantcheck/internal/result"
)

// AddEvaluation stores an evaluation and gives it its number.
func (s *Store) AddEvaluation(ctx context.Context, e *result.Evaluation) error {
	if err := s.addEvaluation(ctx, e); err != nil {
		return fmt.Errorf("store the evaluation in %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) addEvaluation(ctx context.Context, e *result.Evaluation) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it only fails after a commit
	w := &writer{ctx: ctx, tx: tx, tables: map[string]*rows{}}
	id := w.one("evaluations", "name, task, started, seconds, model, data, result",
		e.Name, string(e.Task), e.Started.UTC().Format("2006-01-02T15:04:05.000Z"), e.Seconds, e.Model.Path, e.Spec.Data, w.json(e))
	for i, m := range e.Models {
		for k, c := range e.Columns {
			if k < len(m.Scores) && m.Scores[k].OK {
				w.insert("scores", "evaluation, model, name, metric, class, value", id, i, m.Name, c.Key, "", null(m.Scores[k]))
			}
		}
		for k, v := range m.ByClass {
			if v.OK && k < len(e.Classes) {
				w.insert("scores", "evaluation, model, name, metric, class, value", id, i, m.Name, "", fmt.Sprintf("%d %s", k, e.Classes[k]), null(v))
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
	e.ID = id
	return nil
}

// Evaluations reads all evaluations, oldest first.
func (s *Store) Evaluations(ctx context.Context) ([]*result.Evaluation, error) {
	var list []*result.Evaluation
	err := s.each(ctx, "SELECT id, result FROM evaluations ORDER BY id", nil, func(scan func(...any) error) error {
		e := &result.Evaluation{}
		var id int64
		var text string
		if err := scan(&id, &text); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), e); err != nil {
			return fmt.Errorf("evaluation %d: %w", id, err)
		}
		e.ID = id
		for _, m := range e.Models {
			if len(m.Scores) != len(e.Columns) || len(m.Scores) == 0 {
				return fmt.Errorf("evaluation %d is damaged: %s has %d scores in %d columns", id, m.Name, len(m.Scores), len(e.Columns))
			}
		}
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("evaluations of %s: %w", s.path, err)
	}
	return list, nil
}
