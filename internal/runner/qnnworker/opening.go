package qnnworker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"quantcheck/internal/qnn"
	"quantcheck/internal/qnn/compose"
	"quantcheck/internal/usage"
)

// Opening sorts the errors of opening a DLC: what the file or the request is to blame for is one of usage.
func Opening(ctx context.Context, err error) error {
	var version *compose.VersionError
	var unknown *UnknownTensorError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &version), errors.Is(err, ErrOtherResults):
		return fmt.Errorf("%w: %w", qnn.ErrUnavailable, err)
	case errors.Is(err, ErrNotDLC), errors.Is(err, ErrOldVersion), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.As(err, &unknown):
		return usage.Mark(err)
	}
	return err
}
