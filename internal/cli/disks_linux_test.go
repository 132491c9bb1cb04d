package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a file system of its own that can be filled and made read-only.
type smallDisk struct{ root, filler string }

func (d smallDisk) free() (bytes int64) {
	var s syscall.Statfs_t
	if syscall.Statfs(d.root, &s) != nil {
		return 0
	}
	return int64(s.Bavail) * s.Bsize
}

// fill leaves so many bytes free.
func (d smallDisk) fill(left int64) error {
	f, err := os.OpenFile(d.filler, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	for page := make([]byte, 4096); err == nil && d.free() > left; {
		_, err = f.Write(page)
	}
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// freeze makes it read-only as soon as nobody writes to it, unless ended is closed before.
func (d smallDisk) freeze(ended <-chan struct{}) {
	for syscall.Mount("", d.root, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "") != nil {
		select {
		case <-ended:
			return
		case <-time.After(100 * time.Microsecond):
		}
	}
}

// heal makes it a disk with room that can be written.
func (d smallDisk) heal(t *testing.T) {
	t.Helper()
	if err := syscall.Mount("", d.root, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.filler); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// TestDisksThatFillUp lets the disk be full before a command, become full or become read-only at a random moment. The command ends well, or with
// a clear error; whatever stands under a final name is whole; results that were computed are in the workspace or kept for it.
func TestDisksThatFillUp(t *testing.T) {
	draws, seed := soaked(t, "disks", 3)
	root, ok := mounted(t, 0, "size=16m")
	if !ok {
		soakLine(t, "full and read-only disks: not tried, because no file system can be mounted here")
		return
	}
	a, drawn := newAccidents(t), map[*ended]bool{}
	disk := smallDisk{root, filepath.Join(root, "filler")}
	rng := rand.New(rand.NewPCG(seed, 4))
	out, elsewhere, beside := filepath.Join(root, "w"), t.TempDir(), filepath.Join(root, "tmp")
	for _, dir := range []string{out, beside} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	stored, well, refused, brought := 0, 0, 0, 0
	for n := range draws {
		c := a.commands[rng.IntN(len(a.commands))]
		drawn[c] = true
		kind := []string{"full before", "full meanwhile", "read-only meanwhile"}[rng.IntN(3)]
		tmp := elsewhere
		if rng.IntN(4) == 0 {
			tmp = beside
		}
		left, after := rng.Int64N(2*a.size), time.Duration(rng.Int64N(int64(c.took)))
		fail := reporter(t, "disk %d of seed %d, %s after %v with %d bytes, %s, TMPDIR on it: %v", n, seed, kind, after, left, c.name, tmp == beside)
		if kind == "full before" {
			if err := disk.fill(left); err != nil {
				t.Fatal(err)
			}
		}
		cmd, stdout, stderr := a.process(t, c, out, tmp)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended, spoiled := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(spoiled)
			select {
			case <-ended:
				return
			case <-time.After(after):
			}
			switch kind {
			case "full meanwhile":
				if err := disk.fill(0); err != nil {
					t.Error(err)
				}
			case "read-only meanwhile":
				disk.freeze(ended)
			}
		}()
		err := cmd.Wait()
		close(ended)
		<-spoiled
		switch {
		case err == nil:
			well++
			a.same(c, stdout, fail)
		case cmd.ProcessState.ExitCode() == exitFailed:
			refused++
			if why := unclear(stderr.String()); why != "" {
				fail("%s: %s", why, stderr)
			}
		default:
			fail("%v %s", err, stderr)
		}
		if left := survivors(tmp); len(left) > 0 {
			fail("still running: %v", left)
		}
		if left := leftBehind(t, out, true); len(left) > 0 && kind != "read-only meanwhile" {
			fail("left behind: %v", left)
		}
		disk.heal(t)
		kept, globErr := filepath.Glob(filepath.Join(tmp, "quantcheck-kept-*"))
		if globErr != nil || len(kept) > 1 {
			fail("kept: %v %v", kept, globErr)
		}
		for _, dir := range kept {
			if err := a.bringIn(t, out, tmp, dir); err != nil {
				fail("%v", err)
			}
			brought++
		}
		now := a.sound(t, out, fail)
		computed := c.results && (err == nil || c.numbers && strings.HasSuffix(strings.TrimSpace(stdout.String()), "}"))
		if now < stored || now == stored && computed && tmp == elsewhere {
			fail("%d results are stored, %d were before: %s", now, stored, stderr)
		}
		stored = now
		if t.Failed() {
			return
		}
	}
	a.again(t, drawn, out, elsewhere)
	soakLine(t, "%d full and read-only disks (seed %d): %d runs ended well, %d with a clear error, %d results kept and brought in; 0 lost, 0 mixed, 0 left behind", draws, seed, well, refused, brought)
}

// bringIn takes kept results into their workspace, and removes them.
func (a *accidents) bringIn(t *testing.T, out, tmp, dir string) error {
	t.Helper()
	cmd, _, stderr := a.process(t, &ended{name: "report", args: []string{"report", out, "--import", dir}}, out, tmp)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, stderr)
	}
	return os.RemoveAll(dir)
}
