//go:build !unix

package lock

import (
	"errors"
	"os"
)

// flock fails: these systems have none.
func flock(*os.File) (free bool, err error) { return false, errors.ErrUnsupported }

func readOnly(*os.File) bool { return false }
