package cli

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"quantcheck/internal/checkpoint"
	"quantcheck/internal/compare"
	"quantcheck/internal/fixture"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

// stopper interrupts a run when so many steps of a phase are done.
type stopper struct {
	phase, now string
	at         int
	cancel     func()
}

func (s *stopper) Phase(title string, _ int) { s.now = title }

func (s *stopper) Step(done int) {
	if s.now == s.phase && s.at > 0 && done >= s.at {
		s.cancel()
	}
}

// stop is a moment of an interrupt.
type stop struct {
	phase string
	at    int
}

// parsed is a command line as the program reads it.
func parsed(t *testing.T, args ...string) *program {
	t.Helper()
	var p program
	parser, err := kong.New(&p, lists())
	if err == nil {
		_, err = parser.Parse(append(args, "--threads", strconv.Itoa(fixture.Threads)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

// digest is all that a run found out, to the last bit, without its times.
func digest(t *testing.T, run *result.Run) string {
	t.Helper()
	c := *run
	c.Started, c.Seconds = time.Time{}, 0
	var b bytes.Buffer
	if err := report.JSON(&b, &c); err != nil {
		t.Fatal(err)
	}
	for i := range c.Variants {
		v := &c.Variants[i]
		b.Write(report.Similarities(&c, v))
		for _, l := range v.Layers { // by sample: these are in the database alone
			parts := [][]*result.Part{{{Samples: l.Samples}}}
			if l.Local != nil {
				parts = append(parts, []*result.Part{&l.Local.Full, l.Local.Weights, l.Local.Acts})
			}
			for _, twin := range []*result.EmulationError{l.EmulationError, l.IsolatedEmulationError} {
				if twin != nil {
					parts = append(parts, []*result.Part{&twin.Part})
				}
			}
			for _, p := range slices.Concat(parts...) {
				if p != nil {
					if err := json.NewEncoder(&b).Encode(p.Samples); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	return b.String()
}

// interrupted runs a check that is stopped at one moment after another, and then to its end.
func interrupted(t *testing.T, args []string, stops []stop) (run *result.Run, said []string, keep *checkpoint.Keeping) {
	t.Helper()
	p := parsed(t, append([]string{"check"}, args...)...)
	spec, err := p.Check.spec()
	if err != nil {
		t.Fatal(err)
	}
	r := fixture.Runtime(t)
	once := func(s stop) (*result.Run, error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		every := time.Hour
		if s.phase == "calibrating" {
			every = 1
		}
		keep = &checkpoint.Keeping{Folder: filepath.Join(spec.Out, "states"), Every: every, Say: func(text string) { said = append(said, text) }}
		stage := workspace.NewStage(workspace.Folder(spec.Out), spec)
		run, err := compare.Run(ctx, p.Check.HTP.engines(r), spec, &stopper{phase: s.phase, at: s.at, cancel: cancel}, stage, keep)
		if err != nil {
			stage.Discard()
			return nil, err
		}
		_, err = stage.Commit()
		return run, err
	}
	for _, s := range stops {
		_, err := once(s)
		var kept *checkpoint.UnfinishedError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &kept) {
			t.Fatalf("interrupted at %+v: %v", s, err)
		}
		if _, err := os.Stat(kept.Path); err != nil || kept.Path != filepath.Join(keep.Folder, filepath.Base(kept.Path)) {
			t.Errorf("kept in %s: %v", kept.Path, err)
		}
	}
	if run, err = once(stop{}); err != nil {
		t.Fatal(err)
	}
	return run, said, keep
}

func TestAnInterruptedCheckGoesOnToTheSameBits(t *testing.T) {
	t.Parallel()
	small := smallModel(t, nil)
	many := pictures(t, 9)
	if err := os.WriteFile(filepath.Join(many, "p4.png"), []byte("no picture"), 0o600); err != nil { // it is passed over
		t.Fatal(err)
	}
	zoo := func(t *testing.T) []string {
		t.Helper()
		fixture.Emulator(t)
		return []string{fixture.Path(t, "qnn", "zoo.onnx"), "--images", fixture.Path(t, "coco", "val"), "--limit", "5", "--mean", "127", "--scale", "64"}
	}
	for name, c := range map[string]struct {
		args   func(t *testing.T) []string
		steps  int // samples
		sets   int // phases: 2 if the calibration can be interrupted
		rounds int
	}{
		"simulated": {func(*testing.T) []string {
			return []string{small, "--images", many, "--variant", "w8a8", "--variant", "w4a8,mse,per-tensor", "--variant", "fp16", "--local-samples", "3"}
		}, 9, 2, 4},
		"saved tensors": {func(*testing.T) []string { return []string{small, "--images", many, "--save-tensors", "--save-model"} }, 9, 2, 3},
		"a stem": {func(t *testing.T) []string {
			t.Helper()
			return []string{stemModel(t, 64), "--images", pictures(t, 5), "--scale", "255", "--variant", "w8a8,percentile:99.9", "--variant", "w8a8,mse-out", "--local-samples", "2"}
		}, 5, 2, 1},
		"emulated": {func(t *testing.T) []string {
			t.Helper()
			return append(zoo(t), "--variant", "w8a8", "--variant", "w8a8@htp", "--no-estimate", "--local-samples", "2")
		}, 5, 2, 1},
		"DLC": {func(t *testing.T) []string {
			t.Helper()
			return append(zoo(t), "--variant", "d="+fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc")+"@htp", "--no-estimate")
		}, 5, 1, 1},
		"dumps": {func(t *testing.T) []string {
			t.Helper()
			d := zooDumps(t, 5, false)
			if err := os.RemoveAll(filepath.Join(d.dir, "Result_2")); err != nil { // a sample that is lost
				t.Fatal(err)
			}
			return []string{fixture.Path(t, "qnn", "zoo.onnx"), "--images", d.samples, "--variant", "d=dumps:" + d.dir + "@" + d.dlc, "--no-estimate"}
		}, 5, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append(c.args(t), "--out", filepath.Join(t.TempDir(), "out"))
			out := args[len(args)-1]
			whole, said, _ := interrupted(t, args, nil)
			want, files := digest(t, whole), saved(t, out)
			if len(said) > 0 || len(whole.Samples) < c.steps-1 {
				t.Fatalf("%d samples, %v", len(whole.Samples), said)
			}
			rng := rand.New(rand.NewPCG(uint64(len(name)), 3))
			for range c.rounds {
				if err := os.RemoveAll(out); err != nil {
					t.Fatal(err)
				}
				first := 1 + rng.IntN(c.steps-2)
				stops := []stop{{"comparing", first}, {"comparing", first + 1 + rng.IntN(c.steps-first-1)}}
				if c.sets == 2 { // what a calibration has done is kept when it is done
					stops = append([]stop{{"compiling", 1}}, stops...)
				}
				run, said, keep := interrupted(t, args, stops)
				if got := digest(t, run); got != want {
					t.Errorf("interrupted at %+v: other results:\n%s", stops, parting(want, got))
				}
				if got := saved(t, out); got != files {
					t.Errorf("interrupted at %+v: other files:\n%s", stops, parting(files, got))
				}
				next, of := 0, 0
				if len(said) > 0 {
					_, _ = fmt.Sscanf(said[0], "continuing at sample %d of %d (interrupted at ", &next, &of)
				}
				if len(said) != 2 || next <= first || of != c.steps { // a sample that is nearly done may be finished
					t.Errorf("interrupted at %+v: %q", stops, said)
				}
				if err := keep.Remove(); err != nil {
					t.Error(err)
				}
				if left, _ := filepath.Glob(filepath.Join(keep.Folder, "*")); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			}
		})
	}
}

// saved is the content of all files but states.
func saved(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for _, f := range files(t, dir) {
		if strings.HasPrefix(f, "states") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %x\n", f, data)
	}
	return b.String()
}

// A calibration goes on too, from what was kept while it ran.
func TestAnInterruptedCalibrationGoesOn(t *testing.T) {
	t.Parallel()
	args := []string{stemModel(t, 64), "--images", pictures(t, 40), "--scale", "255", "--variant", "w8a8,percentile:99", "--local-samples", "0"}
	args = append(args, "--out", filepath.Join(t.TempDir(), "out"))
	whole, _, _ := interrupted(t, args, nil)
	run, said, _ := interrupted(t, args, []stop{{"calibrating", 30}})
	if got, want := digest(t, run), digest(t, whole); got != want {
		t.Errorf("other results:\n%s", parting(want, got))
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "continuing at calibration sample ") {
		t.Errorf("%q", said)
	}
}

// Another request, other files or a damaged state begin anew.
func TestAStateOfAnotherRequestIsNotUsed(t *testing.T) {
	t.Parallel()
	model, images := smallModel(t, nil), pictures(t, 6)
	out := filepath.Join(t.TempDir(), "out")
	args := []string{model, "--images", images, "--out", out, "--local-samples", "2"}
	stops := []stop{{"comparing", 3}}
	// begin leaves a state, change does something, and the next run is to say so.
	next := func(t *testing.T, args []string) (said []string) {
		t.Helper()
		_, said, _ = interrupted(t, args, nil)
		return said
	}
	begin := func(t *testing.T) (state string) {
		t.Helper()
		p := parsed(t, append([]string{"check"}, args...)...)
		spec, err := p.Check.spec()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		keep := &checkpoint.Keeping{Folder: filepath.Join(out, "states"), Fresh: true}
		_, err = compare.Run(ctx, p.Check.HTP.engines(fixture.Runtime(t)), spec, &stopper{phase: stops[0].phase, at: stops[0].at, cancel: cancel}, nil, keep)
		var kept *checkpoint.UnfinishedError
		if !errors.As(err, &kept) {
			t.Fatal(err)
		}
		return kept.Path
	}
	begin(t)
	if said := next(t, args); len(said) != 1 || !strings.HasPrefix(said[0], "continuing at sample 4 of 6") {
		t.Fatalf("the same request: %q", said)
	}
	begin(t)
	if said := next(t, append(slices.Clone(args), "--diverge-under", "3", "--fail-under", "cos=0.1")); len(said) != 1 {
		t.Errorf("thresholds change no number: %q", said)
	}
	for name, other := range map[string][]string{
		"variant": {"--variant", "w8a16"}, "name": {"--name", "b"}, "limit": {"--limit", "5"}, "input": {"--mean", "3"}, "local": {"--local-samples", "1"},
	} {
		begin(t)
		if said := next(t, append(slices.Clone(args), other...)); len(said) > 0 {
			t.Errorf("another %s: %q", name, said)
		}
	}
	begin(t)
	swap := filepath.Join(images, "p5.png")
	good, err := os.ReadFile(swap)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(swap)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 1
	if err := errors.Join(os.WriteFile(swap, bad, 0o600), os.Chtimes(swap, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	if said := next(t, args); len(said) > 0 {
		t.Errorf("another picture of the same size and time: %q", said)
	}
	if err := os.WriteFile(swap, good, 0o600); err != nil {
		t.Fatal(err)
	}
	state := begin(t)
	data, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-9] ^= 4
	if err := os.WriteFile(state, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if said := next(t, args); len(said) != 1 || !strings.Contains(said[0], "begins anew") || !strings.Contains(said[0], "checksum") {
		t.Errorf("a damaged state: %q", said)
	}
}

// TestAKilledRunGoesOn kills the program as kill -9 does, again and again, until it ends.
func TestAKilledRunGoesOn(t *testing.T) {
	model, images := smallModel(t, nil), pictures(t, 400)
	for name, c := range map[string]struct {
		args  []string
		kills int
	}{
		"check": {[]string{"check", model, "--images", images, "--variant", "w8a8", "--variant", "w8a8,mse"}, 3},
		"eval":  {[]string{"eval", model, "--task", "agreement", "--data", images, "--variant", "w8a8"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			args := append(slices.Clone(c.args), "--out", out, "--json", "--threads", strconv.Itoa(fixture.Threads), "--keep-every", "1ms")
			rng := rand.New(rand.NewPCG(uint64(c.kills), 5))
			stdout, stderr, status := killable(t, args, out, false, rng)
			if status != 0 {
				t.Fatalf("undisturbed: %d %s", status, stderr)
			}
			want, tables := withoutTimes(stdout), dumpOf(t, out)
			csv := saved(t, filepath.Join(out, "results", "similarities"))
			if err := os.Rename(out, filepath.Join(dir, "undisturbed")); err != nil {
				t.Fatal(err)
			}
			kills, continued := 0, 0
			for {
				stdout, stderr, status := killable(t, args, out, kills < c.kills, rng)
				if strings.Contains(stderr, "continuing at ") {
					continued++
				}
				if status == 0 {
					if got := withoutTimes(stdout); got != want {
						t.Errorf("other results after %d kills:\n%s", kills, parting(want, got))
					}
					break
				}
				kills++
			}
			if kills == 0 || continued != kills { // it may end before the last kill
				t.Errorf("killed %d times, continued %d times", kills, continued)
			}
			if got := dumpOf(t, out); got != tables {
				t.Errorf("another database:\n%s", parting(tables, got))
			}
			if got := saved(t, filepath.Join(out, "results", "similarities")); got != csv {
				t.Errorf("other CSV files:\n%s", parting(csv, got))
			}
			if _, err := os.Stat(filepath.Join(out, "results", "unfinished")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the state is left: %v", err)
			}
		})
	}
}

// killable runs the program in a process of its own. If kill is true, it is killed as soon as it has written its state, and a little
// later.
func killable(t *testing.T, args []string, out string, kill bool, rng *rand.Rand) (stdout, stderr string, status int) {
	t.Helper()
	child := inProcess(t, args...)
	var outs, errs bytes.Buffer
	child.Stdout, child.Stderr = &outs, &errs
	began := time.Now()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for tick := time.NewTicker(time.Millisecond); ; {
		select {
		case err := <-ended:
			if child.ProcessState == nil {
				t.Fatal(err)
			}
			return outs.String(), errs.String(), child.ProcessState.ExitCode()
		case <-tick.C:
		}
		states, _ := filepath.Glob(filepath.Join(out, "results", "unfinished", "*.state"))
		for _, s := range states {
			if info, err := os.Stat(s); kill && err == nil && info.ModTime().After(began) {
				time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond) // the moment is what the test is about
				_ = child.Process.Kill()                                   // it may have ended
				kill = false
			}
		}
	}
}

var times = regexp.MustCompile(`"(started|seconds|inference_seconds)": ?[^,}\n]+`)

func withoutTimes(text string) string { return times.ReplaceAllString(text, "") }

// dumpOf is every row of a workspace's database, without times.
func dumpOf(t *testing.T, out string) string {
	t.Helper()
	db, err := sql.Open("sqlite", workspace.Folder(out).Database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var b strings.Builder
	query := func(q string) (rows [][]any, columns []string) {
		r, err := db.QueryContext(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if columns, err = r.Columns(); err != nil {
			t.Fatal(err)
		}
		for r.Next() {
			row := make([]any, len(columns))
			into := make([]any, len(columns))
			for i := range row {
				into[i] = &row[i]
			}
			if err := r.Scan(into...); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		return rows, columns
	}
	tables, _ := query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
	for _, table := range tables {
		rows, columns := query(fmt.Sprintf("SELECT * FROM %q", table[0]))
		for _, row := range rows {
			for i, v := range row {
				if columns[i] != "started" && columns[i] != "seconds" && columns[i] != "made" {
					fmt.Fprintf(&b, "%v %s %s\n", table[0], columns[i], withoutTimes(fmt.Sprint(v)))
				}
			}
		}
	}
	return b.String()
}
