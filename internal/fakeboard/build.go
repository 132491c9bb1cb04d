package fakeboard

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"quantcheck/internal/fixture"
)

// program puts the board's program at a path. It is built in a folder that all tests of this checkout share, one at a time,
// where the compiler finds it up to date the next time; what a board runs is a link of its own.
func program(t testing.TB, path string) {
	t.Helper()
	sum := sha256.Sum256([]byte(fixture.Root()))
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("quantcheck-standin-%d-%x", os.Getuid(), sum[:6]))
	if err := build(t, dir, path); err != nil {
		t.Fatalf("the stand-in board: %v", err)
	}
}

func build(t testing.TB, dir, path string) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	built := filepath.Join(dir, "board")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", built, "quantcheck/internal/fakeboard/tools")
	cmd.Dir = fixture.Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // with the race detector, too: it is another process
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if os.Link(built, path) == nil {
		return nil
	}
	return copied(built, path)
}

// copied copies a program.
func copied(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700) //nolint:gosec // it is a program
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
