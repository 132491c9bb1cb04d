package ssh

import (
	"fmt"
	"os"
	"syscall"

	"quantcheck/internal/terminal"
)

// FileError is a file that is not used since others than its owner can get at it.
type FileError struct {
	Path string
	// Why says what is wrong, and Do what mends it.
	Why, Do string
}

func (e *FileError) Error() string {
	return fmt.Sprintf("%s: %s; %s", terminal.Text(e.Path), e.Why, terminal.Text(e.Do))
}

// modeOf gives a regular file's permission bits and owner. ok is false for one that is not there, or that is no file: a pipe, /dev/null.
func modeOf(path string) (mode os.FileMode, owner int, ok bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return 0, 0, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return info.Mode().Perm(), int(s.Uid), true
}

// TooOpen gives an error, which is *FileError, for a file with a secret that others may read. As OpenSSH has it, a file of this user's
// is for nobody else; one that somebody else keeps, root for instance, may be lent to a group. Nobody lends to everybody.
func TooOpen(path string) error {
	mode, owner, ok := modeOf(path)
	others := os.FileMode(0o077)
	if owner != os.Getuid() {
		others = 0o007
	}
	if !ok || mode&others == 0 {
		return nil
	}
	return &FileError{path, fmt.Sprintf("permissions %04o are too open, others can read it", mode), "run: chmod 600 " + path}
}

// Foreign gives an error, which is *FileError, for a file of settings that somebody else can write, as OpenSSH has it for
// ~/.ssh/config: it has to be this user's or root's, and writable by its owner only.
func Foreign(path string) error {
	mode, owner, ok := modeOf(path)
	switch {
	case !ok:
		return nil
	case owner != os.Getuid() && owner != 0:
		return &FileError{path, fmt.Sprintf("it belongs to another user (%d), who can change it", owner), "make a copy that is yours"}
	case mode&0o022 != 0:
		return &FileError{path, fmt.Sprintf("permissions %04o are too open, others can change it", mode), "run: chmod go-w " + path}
	}
	return nil
}
