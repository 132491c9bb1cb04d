package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/device/sshtest"
	"quantcheck/internal/fakeboard"
	"quantcheck/internal/fakeboard/control"
	"quantcheck/internal/fixture"
	"quantcheck/internal/result"
)

// bench is a device that is none: this machine behind sshd, with the stand-in board's tools.
type bench struct {
	board  *fakeboard.Board
	server *sshtest.Server
	dir    string // of the device
	out    string // the workspace
	model  []string
}

func newBench(t *testing.T, dlc ...string) *bench {
	t.Helper()
	return newBenchCached(t, "", dlc...)
}

// newBenchCached keeps the board's inferences in a folder that several may share.
func newBenchCached(t testing.TB, cache string, dlc ...string) *bench {
	t.Helper()
	return newBenchWith(t, fakeboard.Options{Cache: cache}, dlc...)
}

func newBenchWith(t testing.TB, o fakeboard.Options, dlc ...string) *bench {
	t.Helper()
	b := &bench{board: fakeboard.Install(t, o), dir: filepath.Join(t.TempDir(), "tests"), out: t.TempDir()}
	b.server = sshtest.Start(t, sshtest.Options{Env: map[string]string{"PATH": b.board.Path()}})
	b.model = []string{"--dlc", fixture.Path(t, dlc...), "--onnx", fixture.Path(t, "qnn", "zoo.onnx"), "--images", fixture.Path(t, "coco", "val")}
	return b
}

// run runs the command on the device.
func (b *bench) run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	return run(t, b.args(args...)...)
}

func (b *bench) args(more ...string) []string {
	all := append([]string{"benchmark", "--device", b.server.Target.String(), "--device-dir", b.dir, "--known-hosts", b.server.KnownHosts, "--identity", b.server.Identity, "--out", b.out}, b.model...)
	return append(all, more...)
}

// found is what the last run found.
func (b *bench) found(t *testing.T, name string) *result.Benchmark {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.out, "models_dlc", name, "benchmark.json"))
	found := &result.Benchmark{}
	if err == nil {
		err = json.Unmarshal(data, found)
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// left lists what is on the device.
func (b *bench) left(t *testing.T) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, strings.TrimPrefix(path, b.dir))
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return list
}

func (b *bench) leavesNothing(t *testing.T) {
	t.Helper()
	if left := b.left(t); len(left) > 0 {
		t.Errorf("left on the device: %v", left)
	}
}

func (b *bench) runsNothing(t *testing.T) {
	t.Helper()
	if running := b.board.Running(); len(running) > 0 {
		t.Errorf("still running: %v", running)
	}
}

var zooInput = []string{"--limit", "3", "--mean", "127", "--scale", "64", "--repeats", "3", "--duration", "2"}

func TestABenchmarkOverSSH(t *testing.T) {
	t.Parallel()
	b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
	status, _, stderr := b.run(t, append(zooInput, "--variant", "w8a8", "--name", "zoo")...)
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	found := b.found(t, "zoo")
	if l := found.Layers; l == nil || l.Parts != "" || l.Against != "emulated@htp" || len(l.Rows) < 20 {
		t.Errorf("%+v", l)
	}
	b.leavesNothing(t)
}

// TestABenchmarkWithoutTheEmulator has a board that runs the QDQ model that belongs to the DLC on the CPU: what a check of that model finds.
func TestABenchmarkWithoutTheEmulator(t *testing.T) {
	t.Parallel()
	fixture.Runtime(t)
	library := fixture.Library(t)
	float, quantized := fixture.Path(t, "qnn", "zoo.onnx"), fixture.Path(t, "qnn", "zoo_w8a8_per_channel.onnx")
	b := newBenchWith(t, fakeboard.Options{Simulated: true, Simulation: &control.Simulation{Float: float, QDQ: quantized, Library: library}}, "qnn", "zoo_w8a8_per_channel.dlc")
	if status, _, stderr := b.run(t, append(zooInput, "--no-emulate", "--name", "zoo")...); status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	found := b.found(t, "zoo")
	if found.Throughput == nil || found.Cycles == nil || len(found.Cycles.Layers) < 20 {
		t.Errorf("%+v %+v", found.Throughput, found.Cycles)
	}
	out := t.TempDir()
	if status, _, stderr := run(t, "check", float, "--images", fixture.Path(t, "coco", "val"), "--limit", "3", "--mean", "127", "--scale", "64", "--variant", "q="+quantized, "--out", out); status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	rows := func(path string) map[string]string { // the metrics of each layer that is compared
		list := map[string]string{}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		status, name := slices.Index(all[0], "Status"), slices.Index(all[0], "Tensor")
		for _, row := range all[1:] {
			if row[status] == string(result.Compared) {
				list[row[name]] = strings.Join(row[1:status], " ")
			}
		}
		return list
	}
	got, want, same := rows(filepath.Join(b.out, "results", "similarities", "zoo.csv")), rows(filepath.Join(out, "results", "similarities", "zoo-q.csv")), 0
	for name, values := range got {
		if other, ok := want[name]; ok {
			if values != other {
				t.Errorf("%s: %s on the device, %s in the check", name, values, other)
			}
			same++
		}
	}
	if same < 20 {
		t.Errorf("%d layers of %d compared", same, len(got))
	}
	b.leavesNothing(t)
}

func TestABenchmarkGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
	args := append([]string{"--name", "zoo", "--no-emulate"}, zooInput...)
	calls := func() (list []string) {
		for _, c := range b.board.Calls() {
			if c.Tool != "sysMonApp" { // which the watcher asks
				list = append(list, c.Tool)
			}
		}
		return list
	}
	b.board.Inject(fakeboard.Fault{Kind: fakeboard.Error, Tool: "snpe-diagview", Text: "no profile today"})
	status, _, stderr := b.run(t, args...)
	if status != 1 || !strings.Contains(stderr, "step cycles: SNPE error") || !strings.Contains(stderr, "no profile today") || !strings.Contains(stderr, "finished steps are kept (layers, throughput)") {
		t.Fatalf("%d %s", status, stderr)
	}
	if p := readPage(t, b.out); len(p.Benchmarks) != 1 || len(p.Benchmarks[0].InRun) == 0 { // what is finished can be looked at
		t.Errorf("the page after a step that failed: %+v", p)
	}
	for _, row := range []struct {
		name  string
		args  []string
		tools []string
	}{
		{"the step that failed, and those behind it", nil, []string{"snpe-net-run", "snpe-diagview", "snpe-dlc-info"}},
		{"nothing is left to do", nil, nil},
		{"another duration", []string{"--duration", "3"}, []string{"snpe-throughput-net-run", "snpe-throughput-net-run", "snpe-throughput-net-run", "snpe-dlc-info"}},
		{"one step again", []string{"--duration", "3", "--steps", "cycles", "--again"}, []string{"snpe-net-run", "snpe-diagview"}},
		{"fewer pictures", []string{"--duration", "3", "--limit", "2"}, []string{"snpe-net-run", "snpe-net-run", "snpe-diagview"}},
	} {
		b.board.Inject()
		before := len(calls())
		status, stdout, stderr := b.run(t, append(args, row.args...)...)
		if got := calls()[before:]; status != 0 || !slices.Equal(got, row.tools) {
			t.Errorf("%s: %d %v %s", row.name, status, got, stderr)
		}
		if !strings.Contains(stdout, "throughput") || !strings.Contains(stdout, "slowest layers") {
			t.Errorf("%s: %s", row.name, stdout)
		}
	}
	b.leavesNothing(t)
	for _, path := range []string{
		"models_dlc/zoo/zoo.dlc", "models_dlc/zoo/info.json", "models_dlc/zoo/all_model_info.json", "models_dlc/zoo/graph_config.json", "models_dlc/zoo/dlc-info-graph.txt",
		"models_dlc/zoo/throughput.txt", "models_dlc/zoo/layer_stats.csv", "models_dlc/zoo/similarity.csv", "models_dlc/zoo/config.json", "models_dlc/zoo/output/grid.raw",
		"models_onnx/zoo/zoo.onnx", "models_onnx/zoo/zoo-all-layers.onnx", "models_onnx/zoo/config.json", "models_onnx/zoo/output/grid.raw",
		"data_raw/zoo/inputs_raw.txt", "results/similarities/zoo.csv", "results/speeds/zoo.csv", "results/report.html", "raw_outputs/raw_outputs_zoo/Result_1/grid.raw",
	} {
		if info, err := os.Stat(filepath.Join(b.out, path)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	var info struct{ FPS float64 }
	if data, err := os.ReadFile(filepath.Join(b.out, "models_dlc/zoo/info.json")); err != nil || json.Unmarshal(data, &info) != nil || info.FPS < 1000 {
		t.Errorf("%v %v", info, err)
	}
}

// A fault of each kind; make slow has them all.
func TestFaultsOfADevice(t *testing.T) {
	t.Parallel()
	deviceFaults(t, []deviceFault{
		{"killed once, with all at once", fakeboard.Fault{Kind: fakeboard.Killed, Tool: netTool, Call: 1, After: 1}, 0, "it was run again with 1 inputs at a time"},
		{"an error of SNPE", fakeboard.Fault{Kind: fakeboard.Error, Tool: netTool, Text: "the graph is too large"}, 1, "the graph is too large"},
		{"a tool that is not there", fakeboard.Fault{Kind: fakeboard.Missing, Tool: netTool}, 1, "snpe-net-run"},
		{"a silent diagview", fakeboard.Fault{Kind: fakeboard.Silent, Tool: "snpe-diagview"}, 1, "left no CSV"},
		{"half a file, once", fakeboard.Fault{Kind: fakeboard.Truncated, Tool: netTool, Call: 1, Result: 1, Layer: netLayer}, 0, "it was run again"},
		{"another runtime", fakeboard.Fault{Kind: fakeboard.OnCPU}, 1, "label is cpu_float32 where dsp was asked for"},
		{"an empty log", fakeboard.Fault{Kind: fakeboard.EmptyLog}, 1, "is no log, or a damaged one"},
	})
}

// deviceFault is what is wrong with a board, and what a benchmark says of it.
type deviceFault struct {
	name   string
	fault  fakeboard.Fault
	status int
	says   string // on stderr, or, when it ends well, in the results
}

// The tool that writes layers, and one of the layers.
const (
	netTool  = "snpe-net-run"
	netLayer = "/conv2/Conv_output_0_QuantizeLinear"
)

func deviceFaults(t *testing.T, rows []deviceFault) {
	t.Helper()
	cache := t.TempDir()
	// stepsOf are the steps that use a tool; a fault of no tool shows in any of them.
	stepsOf := map[string]string{netTool: "layers", "snpe-throughput-net-run": "throughput", "snpe-diagview": "cycles"}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := newBenchCached(t, cache, "qnn", "zoo_w8a8_per_channel.dlc")
			b.board.Inject(row.fault)
			args := append([]string{"--name", "zoo", "--no-emulate", "--timeout", "3s"}, zooInput...)
			if steps := stepsOf[row.fault.Tool]; steps != "" {
				args = append(args, "--steps", steps)
			}
			status, stdout, stderr := b.run(t, args...)
			said := stderr
			if status == 0 {
				said = stdout + b.similarities(t)
			}
			if status != row.status || !strings.Contains(said, row.says) {
				t.Errorf("%d %s\n%s", status, stdout, stderr)
			}
			b.leavesNothing(t)
			b.runsNothing(t)
		})
	}
}

// similarities is the device's similarity file, with the reasons of layers that have no numbers, or not on all pictures.
func (b *bench) similarities(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.out, "results/similarities/zoo.csv"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestABenchmarkThatIsInterruptedLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
	b.board.Inject(fakeboard.Fault{Kind: fakeboard.Hung, Tool: "snpe-net-run", After: 1})
	ctx, cancel := context.WithCancel(t.Context())
	var stdout, stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, append(b.args("--name", "zoo", "--no-emulate"), zooInput...), strings.NewReader(""), &stdout, &stderr)
	}()
	for b.board.Next("snpe-net-run") == 1 {
		select {
		case status := <-ended:
			t.Fatalf("%d %s", status, stderr.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	began := time.Now()
	if status := <-ended; status != 130 || time.Since(began) > 4*time.Second || !strings.Contains(stderr.String(), "interrupted; nothing was written") {
		t.Errorf("%d after %v: %s", status, time.Since(began), stderr.String())
	}
	b.leavesNothing(t)
	b.runsNothing(t)
}

// TestNoSecretIsKept has a password at hand that is never needed, and one in the address of nobody.
func TestNoSecretIsKept(t *testing.T) {
	t.Parallel()
	b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
	const secret = "Correct-Horse-77-Battery"
	env := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(env, []byte("HOSTNAME="+b.server.Target.Host+"\nDEVICE_USER="+b.server.Target.User+"\nPASSWORD="+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := b.run(t, append([]string{"--name", "zoo", "--env-file", env, "--variant", "w8a8"}, zooInput...)...)
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	key, err := os.ReadFile(b.server.Identity)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{secret, strings.Split(string(key), "\n")[1]}
	look := func(where, text string) {
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("%s holds a secret", where)
			}
		}
	}
	look("what is printed", stdout+stderr)
	for _, c := range b.board.Calls() {
		look("a command on the device", strings.Join(c.Argv, " "))
	}
	for _, dir := range []string{b.out, b.dir} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			look(path, string(data))
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	look("the page", string(pageData(t, b.out)))
}

func TestABenchmarkSurvivesALostConnection(t *testing.T) {
	t.Parallel()
	b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
	b.board.Inject(fakeboard.Fault{Kind: fakeboard.Hung, Tool: "snpe-net-run", After: 1, Call: 1})
	var stdout, stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- Run(t.Context(), append(b.args("--name", "zoo", "--timeout", "20s"), zooInput...), strings.NewReader(""), &stdout, &stderr)
	}()
	for b.board.Next("snpe-net-run") == 1 {
		time.Sleep(20 * time.Millisecond)
	}
	b.server.Stop()
	if err := b.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status := <-ended; status != 0 {
		t.Fatalf("%d %s", status, stderr.String())
	}
	if l := b.found(t, "zoo").Layers; l.Parts != "" || l.Against == "" || l.Images != 3 {
		t.Errorf("%+v", l)
	}
	b.leavesNothing(t)
}
