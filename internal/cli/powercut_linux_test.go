package cli

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/atomicfile/powercut"
	"quantcheck/internal/fixture"
)

// onALoopDevice runs the commands in an ext4 file system whose image is copied the moment that a command has returned, as a power
// cut leaves it. Where nothing can be mounted, the model of a disk has to do.
func onALoopDevice(t *testing.T) {
	dir := t.TempDir()
	image, out := filepath.Join(dir, "image"), filepath.Join(dir, "mounted")
	if err := mountImage(t, image, out, true); err != nil {
		t.Logf("no file system can be mounted here, so the model of a disk is all that was looked at: %v", err)
		return
	}
	files, lost := 0, 0
	for _, row := range powerCutCommands(t) {
		status, _, stderr := run(t, row.args(out)...)
		after := filepath.Join(dir, "copy")
		data, err := os.ReadFile(image) // what the disk has at this moment
		if err != nil {
			t.Fatal(err)
		}
		if status != 0 {
			t.Fatalf("%s: status %d, %s", row.name, status, stderr)
		}
		if err := os.WriteFile(after, data, 0o600); err != nil {
			t.Fatal(err)
		}
		want, err := powercut.Files(out)
		if err != nil {
			t.Fatal(err)
		}
		seen := filepath.Join(dir, "seen")
		if err := mountImage(t, after, seen, false); err != nil {
			t.Fatal(err)
		}
		got, err := powercut.Files(seen)
		if err != nil {
			t.Fatal(err)
		}
		files += len(want)
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if text, there := got[name]; !there || text != want[name] && !strings.HasPrefix(filepath.Base(name), "quantcheck.db") {
				lost++
				t.Errorf("%s: %s is lost: there %v, %d of %d bytes", row.name, name, there, len(text), len(want[name]))
			}
		}
		if now := runsIn(seen); now != runsIn(out) {
			t.Errorf("%s: the database has %d runs, before the power cut %d", row.name, now, runsIn(out))
		}
		if err := fixture.Unmount(seen); err != nil {
			t.Fatal(err)
		}
	}
	soakLine(t, "a power cut on ext4 after each of %d commands: %d of %d files lost", len(powerCutCommands(t)), lost, files)
}

// mountImage mounts an ext4 image, which is made first if asked for, until the test ends.
func mountImage(t *testing.T, image, at string, fresh bool) error {
	t.Helper()
	command := func(args ...string) error {
		text, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Logf("%v: %s", args, text)
		}
		return err
	}
	if os.Getuid() != 0 {
		return os.ErrPermission
	}
	if fresh {
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			return err
		}
		if err := os.Truncate(image, 32<<20); err != nil {
			return err
		}
		if err := command("mkfs.ext4", "-q", "-F", image); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := command("mount", "-o", "loop", image, at); err != nil {
		return err
	}
	t.Cleanup(func() { _ = exec.CommandContext(context.Background(), "umount", at).Run() }) // it may be unmounted already
	return nil
}
