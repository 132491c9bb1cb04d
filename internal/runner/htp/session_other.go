//go:build !linux

package htp

import (
	"context"

	"quantcheck/internal/qnn"
)

// session is not there on this system.
type session struct {
	mapped []byte
	opened answer
}

func openSession(context.Context, load, []byte) (*session, error) {
	_, err := qnn.Find("")
	return nil, err
}

func (*session) run() error { return qnn.ErrUnavailable }
func (*session) close()     {}
