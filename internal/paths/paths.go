// Package paths makes paths good from every folder.
package paths

import "path/filepath"

// Absolute makes a path good from every folder: results are looked at from others than they were made in.
func Absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}
