package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/fakeboard"
	"quantcheck/internal/fakeboard/control"
	"quantcheck/internal/workspace"
)

// trouble is what happens to one run of a soak.
type trouble struct {
	faults []fakeboard.Fault
	cut    time.Duration // after which the connection is lost; 0: it is not
	reboot bool          // the server ends with it, and is there again half a second later
	stop   time.Duration // after which somebody presses Ctrl-C; 0: nobody does
	args   []string
	// differs says that the run may end well with numbers missing, and what it says then.
	differs string
}

func (w trouble) String() string {
	return fmt.Sprintf("%+v cut %v (reboot %v) stop %v %v", w.faults, w.cut, w.reboot, w.stop, w.args)
}

// drawTrouble makes a random trouble.
func drawTrouble(rng *rand.Rand) trouble {
	const net, layer = "snpe-net-run", "/conv2/Conv_output_0_QuantizeLinear"
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	tools := []string{net, "snpe-throughput-net-run", "snpe-diagview", "snpe-dlc-info"}
	w := trouble{args: []string{"--steps", pick("layers", "layers,cycles", "throughput,layers", "layers,throughput,cycles,info")}}
	moment := func() time.Duration { return time.Duration(1+rng.IntN(1500)) * time.Millisecond }
	switch rng.IntN(5) {
	case 0:
		w.cut, w.reboot = moment(), rng.IntN(2) == 0
	case 1:
		w.stop = moment()
	case 2: // what happens to any tool
		for range 1 + rng.IntN(2) {
			kinds := []control.Kind{fakeboard.Missing, fakeboard.Killed, fakeboard.Signal, fakeboard.Error, fakeboard.Silent, fakeboard.Full, fakeboard.BadExit, fakeboard.Hung, fakeboard.Slow}
			w.faults = append(w.faults, fakeboard.Fault{
				Kind: kinds[rng.IntN(len(kinds))], Tool: tools[rng.IntN(len(tools))], Call: rng.IntN(3), After: rng.IntN(3), Pause: 20 * time.Millisecond, Text: "the graph is too large",
			})
		}
	case 3: // files that are not what they should be, once
		kinds := []control.Kind{fakeboard.Truncated, fakeboard.Resized}
		w.faults = []fakeboard.Fault{{Kind: kinds[rng.IntN(2)], Tool: net, Call: 1, Result: rng.IntN(3), Layer: pick(layer, "")}}
	default:
		w.faults = []fakeboard.Fault{{Kind: []control.Kind{fakeboard.NoSuccess, fakeboard.Unwritten, fakeboard.EmptyLog, fakeboard.OnCPU, fakeboard.Integer, fakeboard.Exponent, fakeboard.Lost}[rng.IntN(7)], Result: 1, Layer: layer}}
		if k := w.faults[0].Kind; k == fakeboard.Lost || k == fakeboard.Unwritten {
			w.differs = "there is no file of it"
		}
	}
	return w
}

// TestASoakOfFaults lets one thing after another go wrong, each in a workspace of its own. Every run ends with the right numbers or a
// clear error, and the same command once more, undisturbed, with the right numbers; nothing is left on the device or half-written.
func TestASoakOfFaults(t *testing.T) { //nolint:paralleltest // its limits of time are short
	runs, seed := soaked(t, "faults", 4)
	b := newBenchCached(t, t.TempDir(), "qnn", "zoo_w8a8_per_channel.dlc")
	plain := append([]string{"--name", "zoo", "--no-emulate", "--timeout", "60s"}, zooInput...)
	if status, _, stderr := b.run(t, plain...); status != 0 {
		t.Fatalf("undisturbed: %d %s", status, stderr)
	}
	want := b.similarities(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	right, refused, stopped := 0, 0, 0
	for n := range runs {
		w := drawTrouble(rng)
		b.out = filepath.Join(t.TempDir(), strconv.Itoa(n))
		status, stderr := b.disturbed(t, w, append(append(slices.Clone(plain), "--timeout", "2s"), w.args...))
		fail := func(format string, args ...any) {
			t.Errorf("run %d of seed %d: %v: %s\nstatus %d: %s", n+1, seed, w, fmt.Sprintf(format, args...), status, stderr)
		}
		switch {
		case status == 0:
			right++
			if got := b.similarities(t); got != want && (w.differs == "" || !strings.Contains(got, w.differs)) {
				fail("other numbers than undisturbed:\n%s", parting(want, got))
			}
		case status == 130 && w.stop > 0:
			stopped++
		default:
			refused++
			if why := unclear(stderr); why != "" {
				fail("%s", why)
			}
		}
		b.soundWorkspace(fail)
		if w.cut == 0 {
			if left := b.left(t); len(left) > 0 {
				fail("left on the device: %v", left)
			}
			if running := b.board.Running(); len(running) > 0 {
				fail("still running: %v", running)
			}
		}
		b.board.Inject()
		again, _, said := b.run(t, append(slices.Clone(plain), w.args...)...)
		if again != 0 {
			fail("once more, undisturbed: %d %s", again, said)
		} else if b.similarities(t) != want && w.differs == "" {
			fail("once more, undisturbed: other numbers")
		}
		b.soundWorkspace(fail)
		if left := b.left(t); len(left) > 0 {
			fail("left on the device after one more run: %v", left)
		}
		if t.Failed() {
			return
		}
	}
	soakLine(t, "%d device faults (seed %d): %d runs ended right, %d with a clear error, %d by Ctrl-C; 0 lost, 0 mixed, 0 left behind", runs, seed, right, refused, stopped)
}

// disturbed runs the command while something happens to it.
func (b *bench) disturbed(t *testing.T, w trouble, args []string) (status int, stderr string) {
	t.Helper()
	b.board.Inject(w.faults...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, said bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- Run(ctx, b.args(args...), strings.NewReader(""), &out, &said) }()
	var happens <-chan time.Time
	if d := max(w.cut, w.stop); d > 0 {
		happens = time.After(d)
	}
	late := time.After(2 * time.Minute)
	for {
		select {
		case status := <-ended:
			return status, said.String()
		case <-happens:
			switch {
			case w.stop > 0:
				cancel()
			case w.reboot:
				b.server.Stop()
				time.Sleep(500 * time.Millisecond)
				if err := b.server.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
			default:
				b.server.Drop()
			}
		case <-late:
			t.Fatalf("%v: it does not end", w)
		}
	}
}

// parting is the first line where two texts part, of both.
func parting(a, b string) string {
	p, q := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(p), len(q)) {
		if p[i] != q[i] {
			return p[i] + "\n" + q[i]
		}
	}
	return fmt.Sprintf("%d and %d lines", len(p), len(q))
}

// unclear says what is wrong with an error's text.
func unclear(stderr string) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	last := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "quantcheck: ") })
	switch {
	case last < 0:
		return "no line says what went wrong"
	case strings.Contains(stderr, "panic") || strings.Contains(stderr, "goroutine ") || strings.Contains(stderr, "%!"):
		return "an error of the program's own"
	case len(lines[last]) < len("quantcheck: ")+12:
		return "too short to say anything"
	}
	return ""
}

// soundWorkspace looks for files that are not whole.
func (b *bench) soundWorkspace(fail func(format string, args ...any)) {
	err := filepath.WalkDir(b.out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, b.out)
		switch ext := filepath.Ext(path); {
		case strings.Contains(d.Name(), ".quantcheck-") || ext == ".tmp":
			fail("%s is left of writing", name)
		case ext == ".json" || ext == ".csv":
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if ext == ".json" && !json.Valid(data) {
				fail("%s is no JSON", name)
			}
			if ext == ".csv" {
				r := csv.NewReader(bytes.NewReader(data))
				r.FieldsPerRecord = -1
				if _, err := r.ReadAll(); err != nil {
					fail("%s: %v", name, err)
				}
			}
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		fail("%v", err)
	}
	if _, err := os.Stat(filepath.Join(b.out, "results", "quantcheck.db")); err != nil {
		return
	}
	db, err := workspace.OpenExisting(context.Background(), workspace.Folder(b.out))
	if err != nil {
		fail("the database: %v", err)
		return
	}
	db.Close()
}
