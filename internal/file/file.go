// Package file writes files that are either whole or not there.
package file

import (
	"fmt"
	"os"
	"path/filepath"
)

// Write lets write fill a file under a temporary name in path's folder, syncs it, and renames it to path. If anything
// fails, path is as it was. Folders are made.
func Write(path string, write func(*os.File) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".quantcheck-*")
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the write's own error is the one to tell
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
