//go:build linux || darwin

package workspace

import "golang.org/x/sys/unix"

// freeBytes is what the user may still write to the disk that a folder lies on.
func freeBytes(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil || s.Blocks == 0 { // some file systems do not count
		return 0, false
	}
	return int64(min(s.Bavail, 1<<40)) * int64(s.Bsize), true //nolint:unconvert // of another type elsewhere
}
