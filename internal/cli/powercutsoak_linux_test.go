package cli

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"quantcheck/internal/fixture"
)

// TestPowerCutsAtAnyMoment cuts the power at random moments: the program is stopped, and the image of the ext4 file system that it works in is copied.
// In the copy, whatever stands under a final name is whole, the database is sound, what ended runs had stored is there, and the same command comes to
// its results.
func TestPowerCutsAtAnyMoment(t *testing.T) {
	cuts, seed := soaked(t, "powercuts", 2)
	dir, tmp := t.TempDir(), t.TempDir()
	image, out, seen := filepath.Join(dir, "image"), filepath.Join(dir, "mounted"), filepath.Join(dir, "seen")
	if err := mountImage(t, image, out, true); err != nil {
		soakLine(t, "power cuts on ext4: not tried, because no file system can be mounted here: %v", err)
		return
	}
	a, drawn := newAccidents(t), map[*ended]bool{}
	rng := rand.New(rand.NewPCG(seed, 5))
	cut, over, stored := 0, 0, 0
	for n := range cuts {
		c := a.commands[rng.IntN(len(a.commands))]
		drawn[c] = true
		after := time.Duration(rng.Int64N(int64(c.took) * 11 / 10))
		fail := reporter(t, "power cut %d of seed %d, %s after %v", n, seed, c.name, after)
		cmd, _, stderr := a.process(t, c, out, tmp)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		gone := make(chan error, 1)
		go func() { gone <- cmd.Wait() }()
		var err error
		ended := false
		select {
		case err = <-gone:
			ended = true
		case <-time.After(after):
			_ = cmd.Process.Signal(syscall.SIGSTOP) // it may have ended
		}
		copied := stillImage(t, image)
		if !ended {
			_ = cmd.Process.Kill()
			err = <-gone
		}
		switch {
		case err == nil:
			over++
		case cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
			cut++
		default:
			fail("%v %s", err, stderr)
		}
		if left := survivors(tmp); len(left) > 0 {
			fail("still running: %v", left)
		}
		if err := os.WriteFile(filepath.Join(dir, "copy"), copied, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := mountImage(t, filepath.Join(dir, "copy"), seen, false); err != nil {
			t.Fatal(err)
		}
		there := a.sound(t, seen, fail)
		live := a.sound(t, out, fail)
		if there < stored || ended && there != live {
			fail("%d results after it, %d were before, and without it %d", there, stored, live)
		}
		if ended {
			for _, name := range files(t, out) {
				if _, err := os.Stat(filepath.Join(seen, name)); err != nil && a.sums[name] != [32]byte{} {
					fail("%v", err)
				}
			}
		}
		again, stdout, stderr := a.process(t, c, seen, tmp)
		if err := again.Run(); err != nil {
			fail("the same command after it: %v %s", err, stderr)
		}
		a.same(c, stdout, fail)
		if now := a.sound(t, seen, fail); c.results && now <= there {
			fail("%d results after the same command, %d before", now, there)
		}
		stored = live
		if err := fixture.Unmount(seen); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	a.again(t, drawn, out, tmp)
	soakLine(t, "%d power cuts on ext4 (seed %d): %d in the midst of a run, %d when it had ended; 0 results or files lost, 0 mixed, 0 left behind", cuts, seed, cut, over)
}

// stillImage reads an image when nothing is written to it.
func stillImage(t *testing.T, path string) []byte {
	t.Helper()
	for before := []byte(nil); ; {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(before, data) {
			return data
		}
		before = data
	}
}
