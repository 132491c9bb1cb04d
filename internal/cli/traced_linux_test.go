package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"quantcheck/internal/device/sshtest"
	"quantcheck/internal/fixture"
)

// tracedRow is one command of the program as the test of all commands runs it.
type tracedRow struct {
	emulated bool          // it needs the emulator
	lingers  time.Duration // its processes are held up so long when they end
	args     func(t *testing.T, w tracedPlace) []string
	// device lets it connect to the test's own server, whose port it gives, and to nothing else.
	device func(t *testing.T, w tracedPlace) (args []string, port int)
}

// tracedPlace is where a command runs: in an empty folder, with folders of its own for the user's files and temporary ones.
type tracedPlace struct{ work, home, tmp, store string }

// tracedRows has a row for every command.
var tracedRows = map[string]tracedRow{
	// Telemetry makes its files at once, and reached for the network after four to nine seconds on a busy machine.
	"check": {lingers: 12 * time.Second, args: func(t *testing.T, _ tracedPlace) []string {
		return []string{"check", smallModel(t, nil), "--images", pictures(t, 3), "--variant", "w8a8", "--variant", "fp16", "--save-tensors", "--save-model", "--encodings", "e.json"}
	}},
	"check@htp": {emulated: true, args: func(t *testing.T, _ tracedPlace) []string {
		return []string{"check", smallModel(t, nil), "--images", pictures(t, 2), "--variant", "w8a8@htp"}
	}},
	"report":  {args: func(_ *testing.T, w tracedPlace) []string { return []string{"report", w.store, "-o", "page.html"} }},
	"layers":  {args: func(_ *testing.T, w tracedPlace) []string { return []string{"layers", w.store} }},
	"stats":   {args: func(_ *testing.T, w tracedPlace) []string { return []string{"stats", w.store} }},
	"doctor":  {args: func(*testing.T, tracedPlace) []string { return []string{"doctor"} }},
	"version": {args: func(*testing.T, tracedPlace) []string { return []string{"version"} }},
	"strip": {args: func(t *testing.T, _ tracedPlace) []string {
		quantized := filepath.Join(t.TempDir(), "q.onnx")
		if status, _, stderr := run(t, "quantize", smallModel(t, nil), "--calib", pictures(t, 2), "-o", quantized); status != 0 {
			t.Fatal(stderr)
		}
		return []string{"strip", quantized, "-o", "f.onnx", "--encodings", "e.json"}
	}},
	"optimize": {args: func(t *testing.T, _ tracedPlace) []string {
		return []string{"optimize", smallModel(t, nil), "-o", "o.onnx"}
	}},
	"lint": {args: func(t *testing.T, _ tracedPlace) []string { return []string{"lint", smallModel(t, nil), "--no-htp"} }},
	"info": {args: func(t *testing.T, _ tracedPlace) []string { return []string{"info", zooDLC(t)} }},
	"diff": {args: func(t *testing.T, _ tracedPlace) []string {
		return []string{"diff", zooDLC(t), fixture.Path(t, "qnn", "zoo_w8a8_per_channel.onnx")}
	}},
	"raw": {args: func(t *testing.T, _ tracedPlace) []string {
		return []string{"raw", "--images", pictures(t, 2), "-o", "raw", "--size", "8x8"}
	}},
	"eval": {args: func(t *testing.T, _ tracedPlace) []string {
		return []string{"eval", smallModel(t, nil), "--task", "agreement", "--data", pictures(t, 3), "--variant", "w8a8"}
	}},
	"explore": {args: func(t *testing.T, _ tracedPlace) []string {
		return []string{"explore", smallModel(t, nil), "--images", pictures(t, 6), "--target", "90%"}
	}},
	"quantize": {args: func(t *testing.T, _ tracedPlace) []string {
		return []string{"quantize", smallModel(t, nil), "--images", pictures(t, 2), "-o", "q.onnx", "--encodings", "q.json"}
	}},
	"estimate": {emulated: true, args: func(t *testing.T, _ tracedPlace) []string { return []string{"estimate", zooDLC(t)} }},
	"net-run": {emulated: true, args: func(t *testing.T, _ tracedPlace) []string {
		inputs := list(t, written(t, "native.raw", pattern(zooElements)))
		return []string{"net-run", "--container", zooDLC(t), "--input_list", inputs, "--output_dir", "out", "--use_native_input_files"}
	}},
	"benchmark": {emulated: true, device: func(t *testing.T, w tracedPlace) ([]string, int) {
		b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
		b.out = w.work
		return append(b.args("--name", "zoo"), zooInput...), b.server.Target.Port
	}},
	"device show":   {device: onDevice("show")},
	"device watch":  {device: onDevice("watch", "--interval", "50ms", "--for", "300ms")},
	"device unlock": {device: onDevice("unlock")},
	"device clean":  {device: onDevice("clean")},
}

func onDevice(args ...string) func(*testing.T, tracedPlace) ([]string, int) {
	return func(t *testing.T, w tracedPlace) ([]string, int) {
		s := sshtest.Start(t, sshtest.Options{})
		return append(append([]string{"device"}, args...), s.Target.String(), "--device-dir", filepath.Join(w.work, "device"), "--known-hosts", s.KnownHosts, "--identity", s.Identity), s.Target.Port
	}
}

func zooDLC(t *testing.T) string {
	t.Helper()
	return fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc")
}

func TestEveryCommandHasARowUnderTheTracer(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&program{}, kong.Name("quantcheck"), lists())
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(false) {
		name := leaf.Name
		for at := leaf.Parent; at != nil && at.Parent != nil; at = at.Parent {
			name = at.Name + " " + name
		}
		if _, ok := tracedRows[name]; !ok {
			t.Errorf("the command %s has no row in tracedRows", name)
		}
	}
}

// Nothing leaves the machine, and nothing is left on it but what was asked for. Devices are talked to over the loopback.
func TestEveryCommandUnderATracer(t *testing.T) {
	t.Parallel()
	r := newTracer(t)
	store := t.TempDir()
	for _, args := range [][]string{
		{"check", smallModel(t, nil), "--images", pictures(t, 3), "--variant", "w8a8", "--out", store, "--name", "small"},
		{"eval", smallModel(t, nil), "--task", "agreement", "--data", pictures(t, 3), "--variant", "w8a8", "--out", store, "--name", "small"},
	} {
		if status, _, stderr := run(t, args...); status != 0 {
			t.Fatalf("%d %s", status, stderr)
		}
	}
	for name, row := range tracedRows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := tracedPlace{t.TempDir(), t.TempDir(), t.TempDir(), store}
			// None of the variables that ONNX Runtime takes for those of a test or of CI, in which it does not report.
			env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.home, "TMPDIR=" + w.tmp, "QUANTCHECK_ORT_LIB=" + fixture.Library(t), "ORT_DISABLE_TELEMETRY=0"}
			if row.emulated {
				env = append(env, "QUANTCHECK_QNN_DIR="+fixture.Emulator(t).Dir)
			}
			var args []string
			port := ""
			if row.device != nil {
				var p int
				args, p = row.device(t, w)
				port = strconv.Itoa(p)
			} else {
				args = row.args(t, w)
			}
			began := time.Now()
			calls, out, err := r.trace(t, w.work, env, row.lingers, args...)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if took := time.Since(began); took < row.lingers {
				t.Errorf("it took %v, in which telemetry would not have shown", took)
			}
			if bad := connections(calls, port); len(bad) > 0 {
				t.Errorf("the network:\n%s", strings.Join(bad, "\n"))
			}
			if bad := writtenOutside(calls, w.work, w.work, w.tmp, store); len(bad) > 0 {
				t.Errorf("files outside:\n%s", strings.Join(bad, "\n"))
			}
			for what, dir := range map[string]string{"the user's folder": w.home, "TMPDIR": w.tmp} {
				if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
					t.Errorf("left in %s: %v %v", what, left, err)
				}
			}
			if left := files(t, w.work); slices.ContainsFunc(left, func(f string) bool { return strings.Contains(f, ".so") || strings.Contains(f, ".ses") }) {
				t.Errorf("left: %v", left)
			}
		})
	}
}
