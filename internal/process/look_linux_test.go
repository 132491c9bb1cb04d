package process

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestStateAndStartAreReadBehindAnyName(t *testing.T) {
	t.Parallel()
	tail := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20\n"
	for _, row := range []struct {
		stat  string
		state byte
		start uint64
		bad   bool
	}{
		{"7 (sh)" + tail, 'S', 4711, false},
		{"7 (a b) Z 9 ) (x)" + tail, 'S', 4711, false},
		{"7 (sh) S 1 2", 0, 0, true},
		{"", 0, 0, true},
		{"7 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 20", 'S', 0, true},
	} {
		state, start, err := fields([]byte(row.stat))
		if (err != nil) != row.bad || state != row.state || start != row.start {
			t.Errorf("%q: %c %d %v", row.stat, state, start, err)
		}
	}
}

func TestAProcessThatNobodyWaitedForIsGone(t *testing.T) {
	t.Parallel()
	ended := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	defer ended.Wait() //nolint:errcheck // only its state before that is of interest
	id := Self()
	id.PID, id.Start = ended.Process.Pid, 0
	for end := time.Now().Add(20 * time.Second); id.State() != Gone; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("a process that ended is still %s", id.State())
		}
	}
}
