package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/device/devicetest"
	"quantcheck/internal/snpedevice"
)

// A run lost the board after its last step, before it could clean up. The next one has nothing to measure, and cleans up all the same,
// as soon as the board can be reached.
func TestABenchmarkCleansUpWhatAnEarlierOneHadToLeave(t *testing.T) {
	t.Parallel()
	b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
	command := append([]string{"--name", "zoo", "--steps", "throughput"}, zooInput...)
	if status, _, stderr := b.run(t, command...); status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	held := filepath.Join(b.out, "models_dlc", "zoo", "held.json")
	if _, err := os.Stat(held); err == nil {
		t.Fatal("a run that cleaned up says that it holds the device")
	}
	owner, err := json.Marshal(devicetest.Ended(t))
	if err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(b.dir, "models", "zoo.dlc")
	for path, text := range map[string]string{
		filepath.Join(b.dir, snpedevice.LockName):        "1700000000 " + string(owner) + "\n",
		filepath.Join(b.dir, ".quantcheck-made-EARLIER"): fmt.Sprintf("%s\n%q\n", owner, filepath.Dir(model)),
		model: "part of a DLC",
		held:  fmt.Sprintf(`{"device": %q, "base": %q}`, b.server.Target.String(), b.dir),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	calls := len(b.board.Calls())
	b.server.Stop()
	if status, _, stderr := b.run(t, command...); status != 0 || !strings.Contains(stderr, "could not be removed now") || !strings.Contains(stderr, "quantcheck device clean") {
		t.Errorf("the board is away: %d %s", status, stderr)
	}
	if err := b.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(b.dir, snpedevice.LockName)
	theirs := "1700000000 " + `{"host": "elsewhere", "user": "somebody", "pid": 1}` + "\n"
	ours, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lock, []byte(theirs), 0o666); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := b.run(t, command...); status != 0 || !strings.Contains(stderr, "in use by somebody on elsewhere") {
		t.Errorf("somebody else works there: %d %s", status, stderr)
	}
	if err := os.WriteFile(lock, ours, 0o666); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := b.run(t, command...); status != 0 || stderr != "" {
		t.Errorf("the board is back: %d %s", status, stderr)
	}
	b.leavesNothing(t)
	if _, err := os.Stat(held); err == nil {
		t.Error("it still says that it holds the device")
	}
	if more := len(b.board.Calls()) - calls; more != 0 {
		t.Errorf("SNPE's tools ran %d times", more)
	}
}
