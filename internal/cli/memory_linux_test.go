package cli

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// memoryGroup makes a control group and gives its folder and the file of its limit; ok is false where that is not allowed.
func memoryGroup(t *testing.T) (dir, limit string, ok bool) {
	t.Helper()
	var all error
	for _, g := range []struct{ root, limit string }{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		dir, err := os.MkdirTemp(g.root, "quantcheck-test-*")
		if err != nil {
			all = errors.Join(all, err)
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) }) // it is empty when the processes have ended
		limit := filepath.Join(dir, g.limit)
		if err := os.WriteFile(limit, []byte(strconv.Itoa(1<<30)), 0o600); err != nil {
			all = errors.Join(all, err)
			continue
		}
		return dir, limit, true
	}
	soakLine(t, "no control group can be made here, so only --memory was tried: %v", all)
	return "", "", false
}

// TestLittleMemory gives commands little memory, by --memory and by a control group. A command ends with the right numbers, or
// says which sample is left out, or ends with a clear error, or the system kills it; in no case is anything lost or left, and Go's own words on memory are not seen.
func TestLittleMemory(t *testing.T) {
	draws, seed := soaked(t, "memory", 2)
	a, drawn := newAccidents(t), map[*ended]bool{}
	rng := rand.New(rand.NewPCG(seed, 6))
	out, tmp := t.TempDir(), t.TempDir()
	group, limit, grouped := memoryGroup(t)
	stored, well, partly, refused, killed := 0, 0, 0, 0, 0
	for n := range draws {
		c := a.commands[rng.IntN(len(a.commands))]
		drawn[c] = true
		bound, memory := (16+rng.IntN(240))<<20, 16+rng.IntN(100)
		cmd, stdout, stderr := a.process(t, c, out, tmp)
		cmd.Args = append(slices.Clone(cmd.Args), "--memory", strconv.Itoa(memory)+"MiB")
		if c.name == "estimate" { // it has no such flag
			cmd.Args = cmd.Args[:len(cmd.Args)-2]
		}
		if grouped {
			if err := os.WriteFile(limit, []byte(strconv.Itoa(bound)), 0o600); err != nil {
				t.Fatal(err)
			}
			inGroup := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(group, "cgroup.procs"), cmd.Path}, cmd.Args[1:]...)...)
			inGroup.Dir, inGroup.Env, inGroup.Stdout, inGroup.Stderr, inGroup.WaitDelay = cmd.Dir, cmd.Env, stdout, stderr, cmd.WaitDelay
			cmd = inGroup
		}
		err := cmd.Run()
		fail := reporter(t, "%d of seed %d, %s with --memory %dMiB in %d MiB (%v)", n, seed, c.name, memory, bound>>20, grouped)
		switch status := cmd.ProcessState.Sys().(syscall.WaitStatus); {
		case err == nil && strings.Contains(stdout.String(), "for want of memory"): // a sample is left out, which the result says
			partly++
			again, stdout, stderr := a.process(t, c, out, tmp)
			if err := again.Run(); err != nil {
				fail("once more, with memory: %v %s", err, stderr)
			}
			a.same(c, stdout, fail)
		case err == nil:
			well++
			a.same(c, stdout, fail)
		case status.Exited() && status.ExitStatus() == exitFailed:
			refused++
			if why := unclear(stderr.String()); why != "" || strings.Contains(stderr.String(), "fatal error") {
				fail("%s: %s", why, stderr)
			}
		case status.Signal() == syscall.SIGKILL && grouped:
			killed++
		default:
			fail("%v %s", err, stderr)
		}
		stored = a.nothingLost(t, c, out, tmp, stored, err == nil, fail)
		if t.Failed() {
			return
		}
	}
	if err := os.RemoveAll(filepath.Join(out, "results", "unfinished")); err != nil { // with another --memory it is another request
		t.Error(err)
	}
	a.again(t, drawn, out, tmp)
	soakLine(t, "%d runs with little memory (seed %d): %d ended with the right numbers, %d with a sample left out that the result names, %d with a clear error, %d killed by the system; 0 lost, 0 mixed, 0 left behind",
		draws, seed, well, partly, refused, killed)
}
