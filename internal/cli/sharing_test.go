package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/report"
	"quantcheck/internal/tensor"
	"quantcheck/internal/workspace"
)

// markedModel is the small model with weights by which its results can be told from those of others.
func markedModel(t *testing.T, mark int) string {
	t.Helper()
	return smallModel(t, func(p *onnxpb.ModelProto) {
		v := make([]float32, 4*3*3*3)
		for i := range v {
			v[i] = float32((i*(7+mark))%11-5) / 10 * float32(1+mark)
		}
		p.Graph.Initializer[0] = onnx.TensorProto("w", tensor.Floats(v, 4, 3, 3, 3))
	})
}

// products are the hashes of what a check of one name writes for it, by path with the name left out.
func products(t *testing.T, out, name string) map[string][32]byte {
	t.Helper()
	sums := map[string][32]byte{}
	for _, f := range files(t, out) {
		if !strings.Contains(f, "similarities") && !strings.Contains(f, "models_onnx") || !strings.Contains(f, name) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(out, f))
		if err != nil {
			t.Fatal(err)
		}
		sums[strings.ReplaceAll(f, name, "NAME")] = sha256.Sum256(data)
	}
	return sums
}

// TestManyRunsShareAWorkspace lets processes write into one workspace at once, several under each name. None fails, none is lost, and the files of a name
// are all of its last run.
func TestManyRunsShareAWorkspace(t *testing.T) {
	runs, seed := soaked(t, "sharing", 8)
	fixture.Runtime(t)
	const marks = 4
	images := pictures(t, 2)
	flags := func(name string) []string {
		return []string{"--images", images, "--name", name, "--save-tensors", "--save-model", "--variant", "w8a8", "--variant", "w8a16"}
	}
	var models []string
	want := map[string]map[string][32]byte{} // model → what a run of it alone writes
	for mark := range marks {
		models = append(models, markedModel(t, mark))
		alone := t.TempDir()
		if status, _, stderr := run(t, append([]string{"check", models[mark], "--out", alone}, flags("alone")...)...); status != 0 {
			t.Fatal(stderr)
		}
		want[models[mark]] = products(t, alone, "alone")
	}
	if n := len(want[models[0]]); n < 14 {
		t.Fatalf("a run alone writes %d files", n)
	}

	out, rng := filepath.Join(t.TempDir(), "shared"), rand.New(rand.NewPCG(seed, 0))
	checks, evaluations := 0, 0
	var all sync.WaitGroup
	for i := range runs {
		model := models[rng.IntN(marks)]
		args := append([]string{"check", model, "--out", out, "--threads", "1"}, flags([]string{"one", "two", "three"}[rng.IntN(3)])...)
		switch i % 4 {
		case 3:
			args = []string{"eval", model, "--task", "agreement", "--data", images, "--out", out, "--threads", "1", "--name", []string{"one", "four"}[rng.IntN(2)]}
			evaluations++
		default:
			checks++
		}
		all.Go(func() {
			var said bytes.Buffer
			cmd := inProcess(t, args...)
			cmd.Stderr = &said
			if err := cmd.Run(); err != nil {
				t.Errorf("%v: %v\n%s", args, err, &said)
			}
		})
	}
	all.Wait()
	sharedAndWhole(t, out, checks, evaluations, want)
	soakLine(t, "%d processes at once in one workspace (seed %d): %d checks, %d evaluations; 0 lost, 0 mixed, 0 left behind", runs, seed, checks, evaluations)
}

// sharedAndWhole looks whether a workspace holds so many results, the page all evaluations, and the files of every name those of the
// last run.
func sharedAndWhole(t *testing.T, out string, checks, evaluations int, want map[string]map[string][32]byte) {
	t.Helper()
	folder := workspace.Folder(out)
	db, err := workspace.OpenExisting(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ids, err := db.Runs.Numbers(t.Context())
	if err != nil || len(ids) != checks {
		t.Errorf("%d of %d checks are in the database: %v", len(ids), checks, err)
	}
	last := map[string]string{} // name → model
	for _, id := range ids {
		r, err := db.Runs.Read(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Missing()) > 0 {
			t.Error(r.Missing())
		}
		last[r.Name] = r.Model.Path
	}
	for name, model := range last {
		got := products(t, out, name)
		if len(got) != len(want[model]) {
			t.Errorf("%s: %d files, want %d", name, len(got), len(want[model]))
		}
		for file, sum := range want[model] {
			if got[file] != sum {
				t.Errorf("%s: %s is not of the run in the database", name, file)
			}
		}
	}
	list, _, err := db.Evaluations.All(t.Context())
	if err != nil || len(list) != evaluations {
		t.Errorf("%d of %d evaluations are in the database: %v", len(list), evaluations, err)
	}
	for i, e := range list {
		later := false
		for _, other := range list[i+1:] {
			later = later || other.Name == e.Name
		}
		for k := range e.Models {
			m := &e.Models[k]
			data, err := report.SeedResults(e, m, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(folder.Results(m.File + ".json")); !later && (err != nil || !bytes.Equal(got, data)) {
				t.Errorf("%s is not of the evaluation in the database: %v", m.File, err)
			}
		}
	}
	var page struct{ Evaluations []json.RawMessage }
	if err := json.Unmarshal(pageData(t, out), &page); err != nil || len(page.Evaluations) != evaluations {
		t.Errorf("the page: %v, %d of %d evaluations", err, len(page.Evaluations), evaluations)
	}
	for _, f := range files(t, out) {
		if strings.Contains(f, "quantcheck-") || strings.Contains(f, "-journal") {
			t.Errorf("left behind: %s", f)
		}
	}
}

// holding starts a check that holds its name until it is killed: its samples come from a pipe that nobody writes to.
func holding(t *testing.T, out, name string) *exec.Cmd {
	t.Helper()
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := syscall.Mkfifo(list, 0o600); err != nil {
		t.Skipf("no pipes with names here: %v", err)
	}
	cmd := inProcess(t, "check", smallModel(t, nil), "--images", list, "--out", out, "--name", name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lock := filepath.Join(out, ".quantcheck-locks", "name-"+name+".lock")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if text, err := os.ReadFile(lock); err == nil && json.Valid(text) {
			return cmd
		}
		if time.Now().After(end) {
			t.Fatal("the check does not take its name")
		}
	}
}

// heard is a stream that tells when a word has come.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
	word string
	said chan struct{} // closed then
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := strings.Contains(h.text.String(), h.word)
	h.text.Write(p)
	if !before && strings.Contains(h.text.String(), h.word) {
		close(h.said)
	}
	return len(p), nil
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

func TestASecondRunUnderANameWaitsOrSaysWhoHasIt(t *testing.T) {
	out := t.TempDir()
	holder := holding(t, out, "one")
	model, images := smallModel(t, nil), pictures(t, 1)
	who := fmt.Sprintf("process %d on ", holder.Process.Pid)
	for name, args := range map[string][]string{
		"check":   {"check", model, "--images", images, "--name", "one"},
		"eval":    {"eval", model, "--task", "agreement", "--data", images, "--name", "one"},
		"explore": {"explore", model, "--images", images, "--name", "one"},
		"info":    {"info", model, "--write", out, "--name", "one"},
	} {
		args := append(args, "--no-wait")
		if name != "info" {
			args = append(args, "--out", out)
		}
		status, stdout, stderr := run(t, args...)
		if status != exitUnavailable || !strings.Contains(stderr, who) || !strings.Contains(stderr, "quantcheck check ") || name != "info" && stdout != "" {
			t.Errorf("%s: status %d, %q", name, status, stderr)
		}
	}
	if status, _, stderr := run(t, "check", model, "--images", images, "--name", "two", "--out", out, "--no-wait"); status != 0 {
		t.Errorf("another name: status %d, %s", status, stderr)
	}

	ctx, cancel := context.WithCancel(t.Context())
	var stdout bytes.Buffer
	stderr := &heard{word: "waiting", said: make(chan struct{})}
	ended := make(chan int, 1)
	args := []string{"check", model, "--images", images, "--name", "one", "--out", out, "--threads", strconv.Itoa(fixture.Threads)}
	go func() { ended <- Run(ctx, args, strings.NewReader(""), &stdout, stderr) }()
	select {
	case status := <-ended:
		t.Fatalf("it did not wait: %d", status)
	case <-stderr.said:
	case <-time.After(30 * time.Second):
		t.Fatalf("it does not say that it waits: %q", stderr)
	}
	cancel()
	began := time.Now()
	if status := <-ended; status != exitInterrupted || time.Since(began) > slowed*time.Second || strings.Count(stderr.String(), who) != 1 || !strings.Contains(stderr.String(), "waiting") {
		t.Errorf("a wait that was ended: status %d after %v: %q", status, time.Since(began), stderr.String())
	}

	waiting := inProcess(t, args...)
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // time to begin the wait; less makes the test weaker, not wrong
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := waiting.Wait(); err != nil {
		t.Errorf("the name of a killed run was not taken over: %v", err)
	}
	for _, f := range files(t, out) {
		if strings.Contains(f, ".quantcheck-") {
			t.Errorf("left behind: %s", f)
		}
	}
}
