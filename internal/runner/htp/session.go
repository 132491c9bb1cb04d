package htp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"quantcheck/internal/onnx"
	"quantcheck/internal/runner/worker"
)

// session is one graph in one worker.
type session struct {
	*worker.Session
	model *os.File
	load  *load // what opens the graph again if the worker dies
	told  opened
}

// openSession starts a worker with a graph. The error is a *RefusedError if the HTP does not take it.
func openSession(ctx context.Context, l load, model []byte) (*session, error) {
	s := &session{load: &l}
	var err error
	if s.model, err = worker.MemoryFile("model"); err != nil {
		return nil, err
	}
	if _, err = s.model.Write(model); err == nil {
		s.Session, err = worker.Open(ctx, worker.Job{Kind: kind, Request: s.load, Model: s.model, Failed: refused})
	}
	if err != nil {
		s.model.Close()
		var r *RefusedError
		if m, unread := onnx.Parse(model); errors.As(err, &r) && unread == nil {
			r.Refused = causes(m, r.Refused)
		}
		return nil, err
	}
	if err := json.Unmarshal(s.Opened.Detail, &s.told); err != nil {
		s.close()
		return nil, fmt.Errorf("the worker's answer: %w", err)
	}
	return s, nil
}

// refused reads the refused operators from an answer.
func refused(a worker.Answer) error {
	var told opened
	if len(a.Detail) > 0 && json.Unmarshal(a.Detail, &told) == nil && len(told.Refused) > 0 {
		return &RefusedError{told.Refused}
	}
	return nil
}

func (s *session) close() {
	s.Close()
	s.model.Close()
}
