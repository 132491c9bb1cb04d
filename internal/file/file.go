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
	d, err := Begin(path, write)
	if err != nil {
		return err
	}
	return d.Commit()
}

// Draft is a file that is written under a temporary name. It holds nothing open; it must be committed or discarded.
type Draft struct{ temporary, path string }

// Begin is the first half of Write: it lets write fill a file under a temporary name. Waiting for the disk is left to Commit,
// which another goroutine may call.
func Begin(path string, write func(*os.File) error) (*Draft, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".quantcheck-*")
	if err != nil {
		return nil, err
	}
	if err = write(f); err == nil {
		err = f.Chmod(0o644)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	d := &Draft{f.Name(), path}
	if err != nil {
		d.Discard() // the write's own error is the one to tell
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return d, nil
}

// Commit syncs the file and renames it to its path. If that fails, the path is as it was.
func (d *Draft) Commit() error {
	err := d.sync()
	if err == nil {
		err = os.Rename(d.temporary, d.path)
	}
	if err != nil {
		d.Discard()
		return fmt.Errorf("write %s: %w", d.path, err)
	}
	return nil
}

func (d *Draft) sync() error {
	f, err := os.OpenFile(d.temporary, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Discard removes the file.
func (d *Draft) Discard() { _ = os.Remove(d.temporary) }
