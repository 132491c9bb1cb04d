package cli

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKilledRuns kills one command after another at random moments, all in one workspace. Whatever stands under a final name is whole,
// the database is sound, what an ended run had stored stays, a run that goes on comes to the numbers of an undisturbed one, no process lives on,
// and one more run of each command leaves nothing behind of those that were killed.
func TestKilledRuns(t *testing.T) {
	kills, seed := soaked(t, "kills", 3)
	a, drawn := newAccidents(t), map[*ended]bool{}
	rng := rand.New(rand.NewPCG(seed, 1))
	out, tmp := t.TempDir(), t.TempDir()
	over, killed, continued, stored := 0, 0, 0, 0
	for n := range kills {
		c := a.commands[rng.IntN(len(a.commands))]
		drawn[c] = true
		after := time.Duration(rng.Int64N(int64(c.took) * 11 / 10))
		cmd, stdout, stderr := a.process(t, c, out, tmp)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		fail := reporter(t, "kill %d of seed %d, %s after %v", n, seed, c.name, after)
		continued += strings.Count(stderr.String(), "continuing at ")
		switch status := cmd.ProcessState.Sys().(syscall.WaitStatus); {
		case err == nil:
			over++
			a.same(c, stdout, fail)
		case status.Signal() == syscall.SIGKILL:
			killed++
		default:
			fail("%v %s", err, stderr)
		}
		stored = a.nothingLost(t, c, out, tmp, stored, err == nil, fail)
		if t.Failed() {
			return
		}
	}
	continued += a.again(t, drawn, out, tmp)
	if kills >= 50 && continued == 0 {
		t.Error("no run went on where another was killed")
	}
	soakLine(t, "%d kills (seed %d): %d runs killed, %d had ended before, %d continued; 0 results or files lost, 0 mixed, 0 processes or files left behind", kills, seed, killed, over, continued)
}
