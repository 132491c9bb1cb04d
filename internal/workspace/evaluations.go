package workspace

import (
	"context"
	"fmt"

	"quantcheck/internal/result"
)

// Evaluations are those of a workspace.
type Evaluations struct{ *database }

// Add stores an evaluation and gives it its number.
func (s *Evaluations) Add(ctx context.Context, e *result.Evaluation) error {
	if err := s.add(ctx, e); err != nil {
		return fmt.Errorf("store the evaluation in %s: %w", s.path, err)
	}
	return nil
}

func (s *Evaluations) add(ctx context.Context, e *result.Evaluation) error {
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

// All reads all evaluations, oldest first. Those that are damaged are left out; problems names them.
func (s *Evaluations) All(ctx context.Context) (list []*result.Evaluation, problems []string, err error) {
	defer guard(&err)
	err = s.each(ctx, "SELECT id, result FROM evaluations ORDER BY id", nil, func(scan func(...any) error) error {
		e := &result.Evaluation{}
		var err error
		e.ID, err = whole(scan, e)
		if err == nil {
			err = e.Sound()
		}
		if err != nil {
			problems = append(problems, s.damaged("evaluation", e.ID, err))
			return ctx.Err()
		}
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, problems, fmt.Errorf("evaluations of %s: %w", s.path, err)
	}
	return list, problems, nil
}
