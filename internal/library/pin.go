package library

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"quantcheck/internal/atomicfile"
)

// Pin is a file that an installation holds.
type Pin struct {
	Name   string // below the installation's folder, with slashes
	SHA256 string // in hexadecimal
}

// record is the file, beside the pinned ones, that says what they were when they were last hashed.
const record = "verified.json"

// stamp tells whether a file is the one that was hashed. The time of its last change, of contents or permissions, is set by the
// system alone, so that writing into a file cannot be hidden by setting its other times. 0 where the system has no such time.
type stamp struct {
	SHA256   string `json:"sha256"`
	Bytes    int64  `json:"bytes"`
	Modified int64  `json:"modified_ns"`
	Changed  int64  `json:"changed_ns"`
	Inode    uint64 `json:"inode"`
}

// MismatchError means that an installed file is not what was installed.
type MismatchError struct{ Path, Got, Want string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s is not loaded: it is damaged or was changed; its SHA-256 is %s, not %s", e.Path, e.Got, e.Want)
}

// Pinned holds files below a folder against their SHA-256. Hashing takes as long as reading them, so that what was hashed is noted
// beside them, and a file with the noted size, times and inode is not hashed again. That finds damage and what was changed since, not what
// somebody with the user's own rights changed together with the note: such a one could change this program as well.
func Pinned(dir string, pins []Pin) error {
	var known map[string]stamp
	noted := filepath.Join(dir, record)
	if data, err := readGuarded(noted); err != nil || json.Unmarshal(data, &known) != nil {
		known = nil // it is not there, damaged, or somebody else's: all is hashed
	}
	now, hashed := map[string]stamp{}, false
	for _, p := range pins {
		path := filepath.Join(dir, filepath.FromSlash(p.Name))
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", path)
		}
		s := stampOf(info) // before it is hashed: a change meanwhile shows the next time
		s.SHA256 = p.SHA256
		if known[p.Name] != s {
			sum, err := atomicfile.SHA256(path)
			if err != nil {
				return err
			}
			if sum != p.SHA256 {
				return &MismatchError{path, sum, p.SHA256}
			}
			hashed = true
		}
		now[p.Name] = s
	}
	if !hashed {
		return nil
	}
	// In a folder that cannot be written the next start hashes once more, which is all that is lost.
	_ = atomicfile.Write(noted, func(f *os.File) error { return json.NewEncoder(f).Encode(now) })
	return nil
}

// readGuarded reads a file that nobody but the user and root may have written.
func readGuarded(path string) ([]byte, error) {
	path, err := Guarded(path)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
