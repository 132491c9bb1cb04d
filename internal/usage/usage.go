// Package usage marks errors in what was asked for, as against failures on the way: the program ends with status 2 for those.
package usage

import "errors"

// Err marks errors in what was asked for, as against failures on the way.
var Err = errors.New("usage")

// Mark marks an error as one of usage, without changing its text.
func Mark(err error) error {
	if err == nil {
		return nil
	}
	return &markedError{err}
}

type markedError struct{ error }

func (e *markedError) Is(target error) bool { return target == Err }

func (e *markedError) Unwrap() error { return e.error }
