package workspace

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"quantcheck/internal/floatjson"
	"quantcheck/internal/result"
)

// Explorations are those of a workspace.
type Explorations struct{ *database }

// Add stores an exploration and gives it its number.
func (s *Explorations) Add(ctx context.Context, e *result.Explored) error {
	data, err := floatjson.Marshal(e)
	if err != nil {
		return fmt.Errorf("store the exploration: %w", err)
	}
	done, err := s.db.ExecContext(ctx, "INSERT INTO explorations (name, started, seconds, model, verdict, result) VALUES (?, ?, ?, ?, ?, ?)",
		storable([]any{e.Name, e.Started.UTC().Format("2006-01-02T15:04:05.000Z"), e.Seconds, e.Model.Path, string(e.Verdict), string(data)})...)
	if err != nil {
		return fmt.Errorf("store the exploration in %s: %w", s.path, err)
	}
	e.ID, err = done.LastInsertId()
	return err
}

// All reads all explorations, oldest first. Those that are damaged are left out; problems names them.
func (s *Explorations) All(ctx context.Context) (list []*result.Explored, problems []string, err error) {
	defer guard(&err)
	err = s.each(ctx, "SELECT id, result FROM explorations ORDER BY id", nil, func(scan func(...any) error) error {
		e := &result.Explored{}
		var err error
		e.ID, err = whole(scan, e)
		if err == nil {
			err = e.Sound()
		}
		if err != nil {
			problems = append(problems, s.damaged("exploration", e.ID, err))
			return ctx.Err()
		}
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, problems, fmt.Errorf("explorations of %s: %w", s.path, err)
	}
	return list, problems, nil
}

// Trials are what explorations found out, each under a key, so that none does it twice.
type Trials struct{ *database }

// Get gives what an exploration found out under a key; ok is false if it did not.
func (s *Trials) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	var text string
	err = s.db.QueryRowContext(ctx, "SELECT value FROM trials WHERE key = ?", key).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("trials of %s: %w", s.path, err)
	}
	return []byte(text), true, nil
}

// Put keeps what an exploration found out; it is in the file when this returns. What was there is replaced.
func (s *Trials) Put(ctx context.Context, key, kind string, value []byte) error {
	_, err := s.db.ExecContext(ctx, "INSERT INTO trials (key, kind, made, value) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET kind = excluded.kind, made = excluded.made, value = excluded.value",
		key, kind, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), string(value))
	if err != nil {
		return fmt.Errorf("keep a trial in %s: %w", s.path, err)
	}
	return nil
}
