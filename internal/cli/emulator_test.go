package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/fixture"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/qnnworker"
)

// The emulator's workers are this program once more.
func TestMain(m *testing.M) {
	switch {
	case htp.IsWorker():
		os.Exit(htp.Work())
	case cpu.IsWorker():
		os.Exit(cpu.Work())
	case qnnworker.IsWorker():
		os.Exit(qnnworker.Work())
	}
	fixture.Expose()
	status := m.Run()
	removeBuilt()
	os.Exit(status)
}

func checked(t *testing.T, stdout string) *result.Run {
	t.Helper()
	var r struct {
		Layers   []result.Layer
		Warnings []string
		Variants []struct {
			Spec     struct{ Name string }
			Emulator *result.Emulator
			Twin     int
			Parts    int
			Layers   []struct {
				Status result.Status
				OnCPU  bool `json:"on_cpu"`
				Local  *struct{ Share float64 }
				Twin   *struct{ Apart float64 }
				Alone  *struct{ Apart float64 } `json:"local_twin"`
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	run := &result.Run{Layers: r.Layers, Warnings: r.Warnings}
	for _, v := range r.Variants {
		one := result.Variant{Emulator: v.Emulator, Counterpart: v.Twin, FirstMismatchLayer: v.Parts}
		one.Spec.Name = v.Spec.Name
		for _, l := range v.Layers {
			x := result.LayerResult{Status: l.Status, OnCPU: l.OnCPU}
			if l.Local != nil {
				x.Local = &result.Local{Share: l.Local.Share}
			}
			if l.Twin != nil {
				x.EmulationError = &result.EmulationError{}
			}
			if l.Alone != nil {
				x.IsolatedEmulationError = &result.EmulationError{}
			}
			one.Layers = append(one.Layers, x)
		}
		run.Variants = append(run.Variants, one)
	}
	return run
}

func TestFloatSimulatedAndEmulatedSideBySide(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	model := fixture.Path(t, "qnn", "zoo.onnx")
	dir := t.TempDir()
	status, stdout, stderr := run(t, "check", model, "--images", fixture.Path(t, "coco", "val"), "--limit", "2", "--mean", "127", "--scale", "64", "--out", dir,
		"--variant", "w8a8", "--variant", "w8a8@htp", "--variant", "fp16@htp", "--json")
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	if strings.Contains(stdout+stderr, "LIBNATIVE") {
		t.Error("the libraries' chatter is seen")
	}
	r := checked(t, stdout)
	simulated, emulated, half := &r.Variants[0], &r.Variants[1], &r.Variants[2]
	if simulated.Emulator != nil || simulated.Counterpart != -1 || emulated.Spec.Name != "w8a8@htp" || emulated.Counterpart != 0 || half.Counterpart != -1 {
		t.Errorf("twins: %d %d %d", simulated.Counterpart, emulated.Counterpart, half.Counterpart)
	}
	if e := emulated.Emulator; e == nil || e.SoC != 66 || e.Arch != 73 || e.Taps != "outputs bit-identical with and without taps" {
		t.Errorf("%+v", e)
	}
	twins, alone, local := 0, 0, 0
	for _, l := range emulated.Layers {
		if l.EmulationError != nil {
			twins++
		}
		if l.IsolatedEmulationError != nil {
			alone++
		}
		if l.Local != nil {
			local++
		}
	}
	if twins < 20 || alone < 20 || local < 20 {
		t.Errorf("%d layers of 22 against the simulation, %d alone, %d local errors", twins, alone, local)
	}
	for _, l := range half.Layers {
		if l.Status != result.Compared && l.Status != result.NotComparable {
			t.Errorf("half precision: %s", l.Status)
		}
	}
	// The report of the stored run says the same.
	status, _, stderr = run(t, "report", dir)
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	csv, err := os.ReadFile(filepath.Join(dir, "results", "similarities", "zoo-w8a8@htp.csv"))
	if err != nil || !strings.Contains(string(csv), "Local_twin_MeanSteps") {
		t.Errorf("%v", err)
	}
}

func TestWithoutTheEmulatorItIsSaidWhatToDo(t *testing.T) {
	model := smallModel(t, nil)
	images := pictures(t, 2)
	for what, prepare := range map[string]func() string{
		"nothing is there":     func() string { return filepath.Join(t.TempDir(), "none") },
		"a library is missing": func() string { return kitOf(t, "2.7.0", "libQnnHtp.so", "libQnnIr.so", "libQnnSystem.so") },
		"a wrong version": func() string {
			return kitOf(t, "2.6.1", "libonnxruntime_providers_qnn.so", "libQnnHtp.so", "libQnnIr.so", "libQnnSystem.so")
		},
	} {
		t.Setenv("QUANTCHECK_QNN_DIR", prepare())
		dir := t.TempDir()
		status, _, stderr := run(t, "check", model, "--images", images, "--out", dir, "--variant", "w8a8@htp")
		if status != exitUnavailable || !strings.Contains(stderr, "quantcheck doctor --install htp") {
			t.Errorf("%s: %d %s", what, status, stderr)
		}
		if got := files(t, dir); len(got) > 0 {
			t.Errorf("%s: wrote %v", what, got)
		}
		if status, _, stderr := run(t, "check", model, "--images", images, "--out", dir, "--variant", "w8a8"); status != 0 {
			t.Errorf("%s: without @htp: %d %s", what, status, stderr)
		}
	}
}

// kitOf makes a folder that looks like the unpacked wheel of some version.
func kitOf(t *testing.T, version string, libraries ...string) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "onnxruntime_qnn")
	for _, d := range []string{dir, filepath.Join(root, "onnxruntime_qnn-"+version+".dist-info")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range libraries {
		if err := os.WriteFile(filepath.Join(dir, l), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCtrlCStopsAnEmulatedCheckWithinASecond(t *testing.T) {
	fixture.Emulator(t)
	fixture.Runtime(t)
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	var stopped time.Time
	time.AfterFunc(4*time.Second, func() { stopped = time.Now(); cancel() })
	var out, errs bytes.Buffer
	status := Run(ctx, []string{"check", fixture.Path(t, "models", "yolox_nano.onnx"), "--images", fixture.Path(t, "coco", "val"), "--threads", "2", "--out", dir, "--variant", "w8a8@htp"}, strings.NewReader(""), &out, &errs)
	if took := time.Since(stopped); status != exitInterrupted || took > 2*time.Second { // a second, and as much for a machine that is shared
		t.Errorf("status %d after %v: %s", status, took, errs.String())
	}
	if got := slices.DeleteFunc(files(t, dir), func(f string) bool { return strings.HasSuffix(f, ".state") }); len(got) > 0 {
		t.Errorf("left %v", got)
	}
}

func TestQuantizeWritesModelEncodingsAndDLC(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	dir := t.TempDir()
	out, enc, dlc := filepath.Join(dir, "q.onnx"), filepath.Join(dir, "enc.json"), filepath.Join(dir, "q.dlc")
	model, images := fixture.Path(t, "qnn", "zoo.onnx"), fixture.Path(t, "coco", "val")
	quantize := []string{"quantize", model, "--images", images, "--limit", "2", "--threads", "2", "--mean", "127", "--scale", "64", "-o", out, "--encodings", enc}
	status, stdout, stderr := run(t, append(quantize, "--dlc", dlc)...)
	if status != 0 || !strings.Contains(stdout, "q.dlc") {
		t.Fatalf("%d %s", status, stderr)
	}
	if data, err := os.ReadFile(dlc); err != nil || !bytes.HasPrefix(data, []byte("PK")) || !bytes.Contains(data, []byte("relu1")) {
		t.Errorf("no DLC with the model's names: %v", err)
	}
	var f struct {
		Version     string
		Activations map[string][]map[string]any `json:"activation_encodings"`
		Params      map[string][]map[string]any `json:"param_encodings"`
	}
	data, err := os.ReadFile(enc)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &f); err != nil || f.Version != "0.6.1" || len(f.Activations) < 20 || f.Activations["image"][0]["bitwidth"] != 8.0 {
		t.Errorf("%v %s %d", err, f.Version, len(f.Activations))
	}
	if f.Params["dw.weight"] == nil || f.Params["dw.weight"][0]["is_symmetric"] != "True" || f.Params["dw.weight"][0]["offset"] != -128.0 {
		t.Errorf("%v", f.Params["dw.weight"])
	}
	// What was written is the recipe: as a ready model it gives the recipe's numbers, on the CPU and on the emulator.
	status, stdout, stderr = run(t, "check", model, "--images", images, "--limit", "2", "--mean", "127", "--scale", "64", "--out", dir, "--local-samples", "0",
		"--variant", "w8a8@htp", "--variant", "q="+out+"@htp", "--json")
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	var r struct {
		Variants []struct {
			Layers []struct {
				Status  string
				Summary map[string]struct{ Mean any }
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	same := 0
	for k, a := range r.Variants[0].Layers {
		b := r.Variants[1].Layers[k]
		if a.Status == "compared" && b.Status == "compared" {
			if a.Summary["MSE"].Mean != b.Summary["MSE"].Mean {
				t.Errorf("layer %d: %v and %v", k, a.Summary["MSE"].Mean, b.Summary["MSE"].Mean)
			}
			same++
		}
	}
	if same < 20 {
		t.Errorf("%d layers", same)
	}
	for version, word := range map[string]string{"1.0.0": `"enc_type": "PER_CHANNEL"`, "2.0.0": `"output_dtype": "int8"`} {
		if status, _, stderr := run(t, append(quantize, "--encodings-version", version)...); status != 0 {
			t.Fatalf("%d %s", status, stderr)
		}
		if data, err := os.ReadFile(enc); err != nil || !strings.Contains(string(data), word) {
			t.Errorf("%s: no %s", version, word)
		}
	}
	for _, bad := range [][]string{{"--variant", "fp16"}, {"--encodings-version", "3"}, {"--dlc", "x.txt"}} {
		if status, _, _ := run(t, append(quantize, bad...)...); status != exitUsage {
			t.Errorf("%v: status %d", bad, status)
		}
	}
}

func TestDoctorListsWhatIsThere(t *testing.T) {
	t.Setenv("QUANTCHECK_QNN_DIR", filepath.Join(t.TempDir(), "none"))
	status, stdout, _ := run(t, "doctor")
	if status != 0 || !strings.Contains(stdout, "there    ONNX Runtime") || !strings.Contains(stdout, "missing  HTP emulator") || !strings.Contains(stdout, "quantcheck doctor --install htp") {
		t.Errorf("%d %s", status, stdout)
	}
	status, stdout, _ = run(t, "doctor", "--json")
	var list []struct{ Name, Found, Bring string }
	if err := json.Unmarshal([]byte(stdout), &list); status != 0 || err != nil || len(list) < 7 {
		t.Errorf("%d %v", status, err)
	}
	for _, p := range list {
		if p.Bring == "" {
			t.Errorf("nothing says what brings %s", p.Name)
		}
	}
}
