package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

// estimated runs the command with --json.
func estimated(t *testing.T, args ...string) *result.Estimated {
	t.Helper()
	status, stdout, stderr := run(t, append([]string{"estimate", "--json"}, args...)...)
	if status != 0 {
		t.Fatalf("%v: %d %s", args, status, stderr)
	}
	e := &result.Estimated{}
	if err := json.Unmarshal([]byte(stdout), e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEstimatesAreTheFixturesNumbers(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	estimatesAreTheFixtures(t, "qnn/zoo_w8a8_per_channel.onnx", "dlc/pose_landmark_lite_quantized.dlc")
}

// estimatesAreTheFixtures holds estimates of fixtures against the compiler's figures that are beside them.
func estimatesAreTheFixtures(t *testing.T, names ...string) {
	t.Helper()
	type numbers struct {
		Cycles, Lower, Upper, US, Missing int64
		InputFill                         int64 `json:"input_fill"`
		OutputSpill                       int64 `json:"output_spill"`
	}
	var want struct{ ONNX, DLC map[string]numbers }
	data, err := os.ReadFile(fixture.Beside(t, "qnn", "estimates.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		w := want.ONNX[name]
		if strings.HasSuffix(name, ".dlc") {
			w = want.DLC[name]
		}
		args := []string{fixture.Beside(t, strings.Split(name, "/")...)}
		if strings.HasSuffix(name, ".onnx") {
			args = append(args, "--io", "float")
		}
		e := estimated(t, args...)
		if got := (numbers{e.Cycles, e.Lower, e.Upper, e.Microseconds, e.Missing, e.InputFillBytes, e.OutputSpillBytes}); got != w || w.Cycles == 0 {
			t.Errorf("%s: %+v, want %+v", name, got, w)
		}
		total := 0.0
		for _, l := range e.Layers {
			total += l.Cycles
		}
		if math.Abs(total-float64(w.Cycles)) > 1e-3*float64(w.Cycles) || len(e.MACs) == 0 {
			t.Errorf("%s: layers add up to %g of %d; %d with multiply-adds", name, total, w.Cycles, len(e.MACs))
		}
	}
}

func TestTheEstimatesJSONIsFlat(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	status, stdout, stderr := run(t, "estimate", "--json", fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc"))
	var doc map[string]any
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || status != 0 {
		t.Fatalf("%d %s %v", status, stderr, err)
	}
	for _, key := range []string{"soc", "base", "cycles", "lower", "upper", "us", "input_fill_bytes", "output_spill_bytes", "missing", "layers"} {
		if _, ok := doc[key]; !ok {
			t.Errorf("there is no %s", key)
		}
	}
	layer, ok := doc["layers"].([]any)[0].(map[string]any)
	for _, key := range []string{"name", "op", "cycles", "share", "hmx", "hvx", "dma", "scalar", "dram_bytes"} {
		if _, there := layer[key]; !there || !ok {
			t.Errorf("a layer has no %s", key)
		}
	}
}

// The operators that cost most, and what helps, are said first; of a float model only what was estimated itself.
func TestTheFocusStemIsNamed(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	model := stemModel(t, 256)
	status, stdout, stderr := run(t, "estimate", model)
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	lines := strings.Split(stdout, "\n")
	for i, says := range []string{"inferences a second", " are one Concat operator; `quantcheck optimize --pass focus-to-conv` makes it "} {
		if !strings.Contains(lines[i], says) {
			t.Errorf("line %d does not say %q: %s", i+1, says, lines[i])
		}
	}
	for _, says := range []string{"KiB in (inputs and weights)", "QCS8550", "seeded random input; they hardly change the time", "MACs/cycle", "(output)", "(idle)"} {
		if !strings.Contains(stdout, says) {
			t.Errorf("%q is not said:\n%s", says, stdout)
		}
	}
	noFalseWords(t, stdout)
	if e := estimated(t, model); e.Advice == nil || e.Advice.Pass != "focus-to-conv" || e.Advice.Cycles == 0 || e.Advice.Cycles > 6*e.Cycles/10 || e.Lower > e.Cycles || e.Cycles > e.Upper {
		t.Errorf("%+v of %+v", e.Advice, e.Figures)
	}
}

// noFalseWords holds a text against what an estimate is never called.
func noFalseWords(t *testing.T, text string) {
	t.Helper()
	for _, word := range []string{"measure", "fps"} {
		if strings.Contains(strings.ToLower(text), word) {
			t.Errorf("an estimate is called %q:\n%s", word, text)
		}
	}
}

// Integers with their channels last cost less than float inputs and outputs; half precision takes float ones.
func TestTheDeployedFormIsEstimated(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	ready, zoo := fixture.Path(t, "qnn", "zoo_w8a8_per_channel.onnx"), fixture.Path(t, "qnn", "zoo.onnx")
	for _, c := range []struct {
		args    []string
		io      result.IO
		in, out string
	}{
		{[]string{ready}, result.NativeIO, "[{image uint8 [1 32 32 3]}]", "[{scores uint8 [1 10]} {grid uint8 [1 256 4]}]"},
		{[]string{ready, "--io", "float"}, result.FloatIO, "[{image float32 [1 3 32 32]}]", "[{scores float32 [1 10]} {grid float32 [1 256 4]}]"},
		{[]string{zoo, "--variant", "w8a16"}, result.NativeIO, "[{image uint16 [1 32 32 3]}]", "[{scores uint16 [1 10]} {grid uint16 [1 256 4]}]"},
		{[]string{zoo, "--variant", "fp16"}, result.NativeIO, "[{image float32 [1 32 32 3]}]", "[{scores float32 [1 10]} {grid float32 [1 256 4]}]"},
	} {
		e := estimated(t, append(c.args, "--no-advice")...)
		if in, out := fmt.Sprint(e.Ports.Inputs), fmt.Sprint(e.Ports.Outputs); e.IO != c.io || in != c.in || out != c.out {
			t.Errorf("%v: %s, %s in, %s out", c.args, e.IO, in, out)
		}
	}
	if native, float := estimated(t, ready), estimated(t, ready, "--io", "float"); native.Cycles >= float.Cycles || native.Cycles != 17256 {
		t.Errorf("%d cycles of integers, %d of float", native.Cycles, float.Cycles)
	}
	if status, _, _ := run(t, "estimate", ready, "--io", "int"); status != 2 {
		t.Errorf("%d", status)
	}
}

func TestVariantsStandSideBySide(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	zoo := fixture.Path(t, "qnn", "zoo.onnx")
	status, stdout, stderr := run(t, "estimate", zoo, "--io", "float", "--variant", "w8a8", "--variant", "fp16", "--variant", "ready="+fixture.Path(t, "qnn", "zoo_w8a16_per_channel.onnx"), "--by", "op")
	if status != 0 || !strings.Contains(stdout, "ratio") || !strings.Contains(stdout, "fp16 against w8a8: 25 µs") || !strings.Contains(stdout, "36,477") {
		t.Fatalf("%d %s %s", status, stdout, stderr)
	}
	noFalseWords(t, stdout)
	status, stdout, _ = run(t, "estimate", zoo, "--io", "float", "--variant", "w8a8", "--variant", "fp16", "--json", "--no-advice")
	var list []result.Estimated
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || status != 0 || len(list) != 2 || list[1].Cycles != 37933 || list[0].Variant != "w8a8" {
		t.Errorf("%d %v", status, err)
	}
}

func TestAnEstimateIsHeldAgainstAnother(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	dir := t.TempDir()
	mine, other := fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc"), fixture.Path(t, "qnn", "zoo_w8a16_per_channel.dlc")
	file := filepath.Join(dir, "before.json")
	a, b := estimated(t, mine), estimated(t, other)
	both := fmt.Sprintf("%d µs and %d µs, %.2f times", a.Microseconds, b.Microseconds, float64(a.Cycles)/float64(b.Cycles))
	_, stdout, _ := run(t, "estimate", other, "--json")
	if err := os.WriteFile(file, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := run(t, "estimate", other, "--out", dir, "--name", "zoo"); status != 0 {
		t.Fatal(stderr)
	}
	for _, against := range []string{other, file, dir, dir + "#1"} {
		status, stdout, stderr := run(t, "estimate", mine, "--against", against)
		if status != 0 || !strings.Contains(stdout, both) {
			t.Errorf("%s: %d %s %s", against, status, stdout, stderr)
		}
		noFalseWords(t, stdout)
	}
	// Two of before need neither the model nor the wheel.
	if status, _, stderr := run(t, "estimate", mine, "--out", dir, "--name", "zoo"); status != 0 {
		t.Fatal(stderr)
	}
	for _, subject := range []string{dir, dir + "#2"} {
		status, stdout, stderr := run(t, "estimate", subject, "--against", dir+"#1", "--trace", filepath.Join(dir, "t.json"))
		if status != 0 || !strings.Contains(stdout, both) {
			t.Errorf("%s: %d %s %s", subject, status, stdout, stderr)
		}
	}
	if status, stdout, stderr := run(t, "estimate", file, "--against", dir+"#2"); status != 0 || !strings.Contains(stdout, fmt.Sprintf("%d µs and %d µs", b.Microseconds, a.Microseconds)) {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	var doc struct {
		Cycles      int64
		Against     result.Estimated
		Differences []htpcost.Difference
	}
	_, stdout, _ = run(t, "estimate", mine, "--against", file, "--json")
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || doc.Cycles != zooCycles(t) || doc.Against.Cycles != b.Cycles {
		t.Fatalf("%v %d", err, doc.Cycles)
	}
	change := 0.0
	for _, d := range doc.Differences {
		change += d.Change()
	}
	if math.Abs(change-float64(a.Cycles-b.Cycles)) > 1 {
		t.Errorf("the differences add up to %g", change)
	}
}

func TestTheTimelineIsWrittenAndStored(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "t.json")
	if status, _, stderr := run(t, "estimate", fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc"), "--trace", file, "--out", dir); status != 0 {
		t.Fatal(stderr)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := htpcost.ReadTrace(data); err != nil || x.Cycles != zooCycles(t) || !strings.Contains(string(data), "/conv1/Conv") {
		t.Errorf("%v", err)
	}
	db, err := workspace.OpenExisting(t.Context(), workspace.Folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	list, _, err := db.Estimates.All(t.Context())
	if err != nil || len(list) != 1 || list[0].Cycles != zooCycles(t) || list[0].Timeline == nil || len(list[0].Timeline.Events) != 124 || len(list[0].Layers) < 20 || list[0].Variant != "zoo_w8a8_per_channel.dlc" {
		t.Errorf("%v %+v", err, list)
	}
}

func TestAnEstimateOverTheThreshold(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	model := fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc")
	if status, _, stderr := run(t, "estimate", model, "--fail-over", "12us"); status != exitNo || !strings.Contains(stderr, "over 12µs") {
		t.Errorf("%d %s", status, stderr)
	}
	if status, _, stderr := run(t, "estimate", model, "--fail-over", "5ms"); status != exitDone {
		t.Errorf("%d %s", status, stderr)
	}
}

func TestEstimateRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	small := smallModel(t, nil)
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.onnx")
	text := filepath.Join(dir, "text.json")
	for path, data := range map[string]string{broken: "no model", text: `{"layers": 1}`, filepath.Join(dir, "broken.dlc"): "PK\x03\x04 no", filepath.Join(dir, "empty.json"): "[]"} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type row struct {
		args []string
		says string
	}
	rows := []row{
		{[]string{small, "--soc", "qcs8550"}, "rvc4, qcs9100, sa8255, sa8540, sa8797"},
		{[]string{small, "--variant", "w8b8"}, "variant"},
		{[]string{small, "--by", "nothing"}, "layer"},
		{[]string{small, "--images", filepath.Join(dir, "none")}, "none"},
		{[]string{small, "--limit", "-1"}, "--limit"},
		{[]string{small, "--fail-over", "-5ms"}, "--fail-over"},
		{[]string{small, "--trace", "t.json", "--variant", "w8a8", "--variant", "fp16"}, "--trace"},
		{[]string{broken}, "broken.onnx"},
		{[]string{filepath.Join(dir, "broken.dlc")}, "broken.dlc"},
		{[]string{filepath.Join(dir, "gone.onnx")}, "gone.onnx"},
		{[]string{text}, "no estimate"},
		{[]string{filepath.Join(dir, "x.txt")}, "neither"},
		{[]string{dir}, "no workspace"},
		{[]string{dir, "--out", dir}, "earlier estimate"},
		{[]string{small, "--against", text}, "no estimate"},
		{[]string{small, "--against", filepath.Join(dir, "empty.json")}, "no estimate"},
		{[]string{small, "--against", dir}, "no workspace"},
		{[]string{fixture.Path(t, "qnn", "zoo_w8a8_per_channel.onnx"), "--variant", "w8a8"}, "quantized already"},
		{[]string{fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc"), "--variant", "w8a8"}, "is a DLC"},
	}
	if old, ok := fixture.Also(t, "dlc", "test_abs_q.dlc"); ok {
		rows = append(rows, row{[]string{old}, "SNPE 1.x"})
	}
	for _, c := range rows {
		status, stdout, stderr := run(t, append([]string{"estimate"}, c.args...)...)
		if status != exitUsage || !strings.Contains(stderr, c.says) || stdout != "" {
			t.Errorf("%v: %d %s", c.args, status, stderr)
		}
	}
}

func TestEstimateWithoutTheWheel(t *testing.T) {
	t.Setenv("QUANTCHECK_QNN_DIR", t.TempDir())
	if status, _, stderr := run(t, "estimate", smallModel(t, nil)); status != exitUnavailable || !strings.Contains(stderr, "emulator") {
		t.Errorf("%d %s", status, stderr)
	}
}

// What the HTP refuses is named, and the rest is estimated.
func TestWhatTheHTPRefusesIsNamed(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	model := scaledModel(t)
	e := estimated(t, model, "--no-advice")
	if len(e.Refused) != 1 || !strings.HasPrefix(e.Refused[0], "the scaler (ImageScaler): ") || e.Covered != 0.75 || e.Cycles == 0 {
		t.Fatalf("%q, %g of the graph, %d cycles", e.Refused, e.Covered, e.Cycles)
	}
	status, stdout, stderr := run(t, "estimate", model, "--no-advice")
	if status != 0 || !strings.Contains(stdout, "the scaler (ImageScaler)") || !strings.Contains(stdout, "75.0 % of the graph") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	noFalseWords(t, stdout)
}

func TestCheckPutsTimeBesideError(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	model, images, out := smallModel(t, nil), pictures(t, 2), t.TempDir()
	status, stdout, stderr := run(t, "check", model, "--images", images, "--out", out, "--name", "m", "--variant", "w8a8@htp", "--variant", "w8a8")
	if status != 0 || strings.Count(stdout, "time on the DSP, estimated: ") != 1 || !strings.Contains(stdout, "rvc4") {
		t.Fatalf("%d %s %s", status, stdout, stderr)
	}
	db, err := workspace.OpenExisting(t.Context(), workspace.Folder(out))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := db.Runs.Read(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	v := r.Variants[0]
	if v.Time == nil || v.Time.Cycles == 0 || v.Layers[0].Cycles == nil || r.Variants[1].Time != nil || r.Variants[1].Layers[0].Cycles != nil {
		t.Fatalf("%+v %+v", v.Time, v.Layers[0])
	}
	total := 0.0
	for _, l := range v.Layers {
		if l.Cycles != nil {
			total += *l.Cycles
		}
	}
	if math.Abs(total/float64(v.Time.Cycles)-v.Time.Joined) > 1e-6 || v.Time.Joined <= 0 {
		t.Errorf("the layers have %g of %d cycles, %g is said", total, v.Time.Cycles, v.Time.Joined)
	}
	list, _, err := db.Estimates.All(t.Context())
	if err != nil || len(list) != 1 || list[0].Cycles != v.Time.Cycles || list[0].Variant != "w8a8@htp" {
		t.Errorf("%v %v", list, err)
	}
	csv, err := os.ReadFile(workspace.Folder(out).Similarities("m", "w8a8@htp"))
	if err != nil || !strings.Contains(string(csv), "Estimated_cycles,Estimated_share\n") {
		t.Errorf("%v %.300s", err, csv)
	}
	_, stdout, _ = run(t, "check", model, "--images", images, "--out", out, "--variant", "w8a8@htp", "--no-estimate")
	if strings.Contains(stdout, "estimated") {
		t.Error("it was estimated all the same")
	}
	_, stdout, _ = run(t, "check", model, "--images", images, "--out", out, "--variant", "w8a8", "--variant", "fp16", "--estimate", "--local-samples", "0")
	if strings.Count(stdout, "time on the DSP, estimated: ") != 2 {
		t.Errorf("not every variant was estimated: %s", stdout)
	}
}
