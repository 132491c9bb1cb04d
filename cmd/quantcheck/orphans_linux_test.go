package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/fixture"
)

// workersOf lists the workers that a process has started, by their kind.
func workersOf(pid int) map[string][]int {
	found := map[string][]int{}
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range folders {
		if parent, state := parentOf(dir); parent != pid || state == "Z" {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		for _, v := range bytes.Split(environ, []byte{0}) {
			if kind, ok := strings.CutPrefix(string(v), "QUANTCHECK_WORKER="); ok {
				if n, err := strconv.Atoi(filepath.Base(dir)); err == nil {
					found[kind] = append(found[kind], n)
				}
			}
		}
	}
	return found
}

// parentOf reads a process's parent and state; a process that is gone has none.
func parentOf(dir string) (parent int, state string) {
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0, ""
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	_, _ = fmt.Sscan(rest, &state, &parent)
	return parent, state
}

func TestWorkersEndWithAKilledProgram(t *testing.T) {
	t.Parallel()
	for kind, variant := range map[string]string{"cpu": "w8a8", "htp": "w8a8@htp"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			if kind == "htp" {
				fixture.Emulator(t)
			}
			s := newScene(t)
			check := func(limit int) *exec.Cmd {
				c := exec.CommandContext(t.Context(), os.Args[0], "check", s.model, "--images", s.images, "--calib", filepath.Join(s.images, "0.png"), "--variant", variant,
					"--limit", strconv.Itoa(limit), "--out", s.out, "--threads", "1", "--ort-lib", s.library)
				c.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+s.tmp, "GORACE=atexit_sleep_ms=0") // the race detector waits a second at the end, else
				c.Stderr = os.Stderr
				return c
			}
			c := check(400)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			var workers map[string][]int
			for end := time.Now().Add(30 * time.Second); len(workers[kind]) == 0; time.Sleep(time.Millisecond) {
				if workers = workersOf(c.Process.Pid); time.Now().After(end) {
					t.Fatalf("there is no worker of the kind: %v", workers)
				}
			}
			time.Sleep(200 * time.Millisecond) // let it work
			workers = workersOf(c.Process.Pid)
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait() // it was killed
			killed := time.Now()
			for _, pid := range slices.Concat(workers["cpu"], workers["htp"]) {
				for {
					_, state := parentOf(filepath.Join("/proc", strconv.Itoa(pid)))
					if state == "" || state == "Z" {
						break
					}
					if time.Since(killed) > time.Second {
						t.Errorf("a worker (%v) lives a second after the program: %d, state %s", workers, pid, state)
						break
					}
					time.Sleep(5 * time.Millisecond)
				}
			}
			if len(temporary(t, s.tmp)) == 0 {
				t.Error("the killed program left no folder: nothing is tested")
			}
			if err := check(1).Run(); err != nil {
				t.Fatal(err)
			}
			if left := temporary(t, s.tmp); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
