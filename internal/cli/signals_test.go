package cli

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSignals sends one signal after another at random moments. The program ends within a second, says so, and leaves nothing behind but
// what the next run goes on with.
func TestSignals(t *testing.T) {
	signals, seed := soaked(t, "signals", 3)
	a, drawn := newAccidents(t), map[*ended]bool{}
	rng := rand.New(rand.NewPCG(seed, 2))
	out, tmp := t.TempDir(), t.TempDir()
	over, stopped, early, continued, stored := 0, 0, 0, 0, 0
	var slowest time.Duration
	for n := range signals {
		c := a.commands[rng.IntN(len(a.commands))]
		drawn[c] = true
		signal := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}[n%3]
		after := time.Duration(rng.Int64N(int64(c.took)))
		cmd, stdout, stderr := a.process(t, c, out, tmp)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(max(after, 100*time.Millisecond)) // the moment is what the test is about; before it, Go has no handler yet
		sent := time.Now()
		_ = cmd.Process.Signal(signal) // it may have ended
		err := cmd.Wait()
		wait := time.Since(sent)
		fail := reporter(t, "signal %d of seed %d, %v to %s after %v", n, seed, signal, c.name, after)
		continued += strings.Count(stderr.String(), "continuing at ")
		switch status := cmd.ProcessState.Sys().(syscall.WaitStatus); {
		case err == nil:
			over++
			a.same(c, stdout, fail)
		case status.Exited() && status.ExitStatus() == exitInterrupted:
			stopped++
			slowest = max(slowest, wait)
			if wait > 2*time.Second { // one second is promised; the test shares its machine with others
				fail("it took %v", wait)
			}
			if !strings.Contains(stderr.String(), "interrupted") {
				fail("it does not say so: %q", stderr)
			}
		case stderr.Len() == 0 && status.Signal() == signal:
			early++ // while the process was still being loaded: there is no handler yet, and nothing was begun
		default:
			fail("%v %s", err, stderr)
		}
		stored = a.nothingLost(t, c, out, tmp, stored, err == nil, fail)
		for _, dir := range []string{out, tmp} {
			if left := leftBehind(t, dir, true); len(left) > 0 {
				fail("left in %s: %v", dir, left)
			}
		}
		if t.Failed() {
			return
		}
	}
	if early > max(1, signals/4) {
		t.Errorf("%d of %d signals came while the process was being loaded: nothing was shown", early, signals)
	}
	continued += a.again(t, drawn, out, tmp)
	soakLine(t, "%d signals (seed %d): %d runs interrupted, the slowest within %v, %d had ended before, %d had not begun, %d continued; 0 lost, 0 mixed, 0 left behind",
		signals, seed, stopped, slowest.Round(time.Millisecond), over, early, continued)
}
