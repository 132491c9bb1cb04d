package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quantcheck/bench/zoo/networks"
	"quantcheck/internal/tensor"
)

func TestTheReasonIsWhatTheProgramSaysOfItself(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"quantcheck: a.onnx: no": "a.onnx: no",
		"progress\nquantcheck: one\nquantcheck: two\n  of two lines\n":                                "two of two lines",
		"quantcheck: x fails\nquantcheck: the state is kept, and the same command goes on from there": "x fails",
		"panic: of nobody": "panic: of nobody",
	} {
		if got := reason(said); got != want {
			t.Errorf("%q: %q", said, got)
		}
	}
	if got := short(`/a/b/work/net/q.onnx and "/x/models/net.onnx": no`, "/a/b/work/net"); got != `q.onnx and "net.onnx": no` {
		t.Errorf("%q", got)
	}
}

func TestOutcomesOfOneKindAreEqual(t *testing.T) {
	t.Parallel()
	a := kindOf(&outcome{Status: refused, Reason: `node "Add_1": 12.5 GB are too many`})
	b := kindOf(&outcome{Status: refused, Reason: `node "Add_2": 3 GB are too many`})
	c := kindOf(&outcome{Status: refused, Reason: `node "Add_2" is unknown`})
	if a != b || a == c || a != "refused: node “…”: # GB are too many" {
		t.Errorf("%q, %q, %q", a, b, c)
	}
	if got := kindOf(&outcome{Status: fine, Note: "7.1 dB"}); got != "ok" {
		t.Errorf("%q", got)
	}
	if got := kindOf(&outcome{Status: fine, Problem: "outputs move by 3.2e-01"}); got != "ok, but outputs move by #" {
		t.Errorf("%q", got)
	}
}

// program writes a shell script that stands for the program.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHowACommandEndsIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ script, status, reason string }{
		{"echo '{}'", fine, ""},
		{"echo 'quantcheck: no' >&2; exit 2", refused, "no"},
		{"kill -SEGV $$", crashed, "signal: segmentation fault"},
		{"echo 'goroutine 1 [running]:' >&2; exit 2", crashed, "goroutine 1 [running]:"},
		{"sleep 60 & sleep 60", late, "time limit of 2s"},
		{"while :; do :; done", late, "time limit of"}, // by its processor time, where it gets some
	} {
		begin := time.Now()
		o, err := execute(t.Context(), program(t, c.script), nil, t.TempDir(), 200*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if o.Status != c.status || !strings.HasPrefix(o.Reason, c.reason) {
			t.Errorf("%s: %s, %q", c.script, o.Status, o.Reason)
		}
		if time.Since(begin) > 30*time.Second {
			t.Errorf("%s: its processes were not ended", c.script)
		}
	}
}

func TestWhatAllProcessesTakeIsCounted(t *testing.T) {
	t.Parallel()
	// A second process takes the processor until both are ended.
	o, err := execute(t.Context(), program(t, "sh -c 'while :; do :; done' & sleep 60"), nil, t.TempDir(), 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if o.Status != late || o.Processor < 0.05 || o.PeakMiB < 1 {
		t.Errorf("%+v", o)
	}
}

// kept is a bench with outcomes in a folder.
func kept(t *testing.T, outcomes map[string]*outcome) (*bench, networks.Network) {
	t.Helper()
	n := networks.Network{Name: "net", What: "a net", Bytes: 1500000}
	b := &bench{zoo: &networks.Zoo{Dir: t.TempDir(), Table: &networks.Table{Networks: []networks.Network{n}}}, build: "1", out: &bytes.Buffer{}, log: &bytes.Buffer{}}
	for _, c := range commands {
		if o := outcomes[c.name]; o != nil {
			o.Build = "1"
			if err := b.keep(n, c, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b, n
}

func TestAnotherOutcomeThanExpectedFails(t *testing.T) {
	t.Parallel()
	b, n := kept(t, map[string]*outcome{"info": {Status: fine}, "check": {Status: refused, Reason: "no If"}})
	list, file := []networks.Network{n}, filepath.Join(t.TempDir(), "expected.yaml")
	b.accept = true
	if err := b.hold(file, list, commands); err != nil {
		t.Fatal(err)
	}
	b.accept = false
	if err := b.hold(file, list, commands); err != nil {
		t.Errorf("what was accepted is not expected: %v", err)
	}
	if err := b.keep(n, commands[2], &outcome{Status: fine}); err != nil {
		t.Fatal(err)
	}
	if err := b.hold(file, list, commands); err != nil {
		t.Errorf("what is better than expected fails: %v", err)
	}
	for _, other := range []*outcome{{Status: fine, Problem: "it moves"}, {Status: refused, Reason: "it's another"}, {Status: late}} {
		if err := b.keep(n, commands[2], other); err != nil {
			t.Fatal(err)
		}
		if err := b.hold(file, list, commands); err == nil {
			t.Errorf("%+v is taken for what was expected", other)
		}
	}
	if err := b.keep(n, commands[0], &outcome{Status: refused, Reason: "new", Build: "1"}); err != nil {
		t.Fatal(err)
	}
	if err := b.hold(file, list, commands[:1]); err == nil {
		t.Error("a command that is refused now is not seen")
	}
	if !b.known(n, commands[0]) {
		t.Error("an outcome of this build is not known")
	}
	if b.build = "2"; len(commands) > 0 {
		if b.known(n, commands[0]) {
			t.Error("an outcome of another build is taken")
		}
	}
}

func TestThePageShowsWhatIsKept(t *testing.T) {
	t.Parallel()
	b, n := kept(t, map[string]*outcome{
		"info": {Status: fine, Processor: 0.21, PeakMiB: 47}, "lint": {Status: late, Reason: "time limit of 1m0s"}, "check": {Status: refused, Reason: "no If | no Loop", Processor: 12.3},
		"optimize": {Status: fine, Note: "outputs move by 1.0e-01", Problem: "outputs move by 1.0e-01 of their greatest magnitude", PeakMiB: 3000},
		"estimate": {Status: fine, Cycles: 1000}, "faster": {Status: fine, Cycles: 1500},
	})
	path := filepath.Join(t.TempDir(), "zoo.md")
	if err := b.writePage(path, []networks.Network{n}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| net | a net | 1.5 | 0.2 s, 47 | **time** 1m0s | **r1** 12 s | not run |", "× 1.500", "1. net check: no If \\| no Loop",
		"* net, optimize: outputs move by 1.0e-01 of their greatest magnitude", "* net, optimize: 3000 MiB",
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the page lacks %q:\n%s", want, data)
		}
	}
}

func TestTheWorstSampleOfAnOutputCounts(t *testing.T) {
	t.Parallel()
	one := func(v ...float32) map[string]tensor.Tensor {
		return map[string]tensor.Tensor{"y": tensor.Floats(v, int64(len(v)))}
	}
	got, err := worst([]pair{{one(3, 4), one(3, 4.5)}, {one(3, 4), one(3, 4)}, {one(6, 8), one(6, 7)}})
	if want := 10 * math.Log10(100); err != nil || math.Abs(got["y"]-want) > 1e-9 {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if _, err := worst([]pair{{one(1, 2), one(1)}}); err == nil {
		t.Error("outputs of unlike shapes are compared")
	}
	if _, err := worst([]pair{{one(1, 2), map[string]tensor.Tensor{"z": {}}}}); err == nil {
		t.Error("a missing output is not seen")
	}
}
