package cli

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/encodings"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
	"quantcheck/internal/workspace"
)

// explored runs explore on the CPU and reads its JSON.
func explored(t *testing.T, want int, args ...string) result.Explored {
	t.Helper()
	status, stdout, stderr := run(t, append([]string{"explore", "--json", "--engine", "cpu"}, args...)...)
	var x result.Explored
	if err := json.Unmarshal([]byte(stdout), &x); status != want || err != nil {
		t.Fatalf("status %d, want %d: %v %s %s", status, want, err, stdout, stderr)
	}
	return x
}

func TestAModelIsHealedOnTheCPU(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{stemModel(t, 64), "--images", pictures(t, 6), "--scale", "255", "--out", dir, "--target", "99%", "--budget", "20m", "--variant", "w8a8", "--apply"}
	x := healed(t, dir, "stem", 0.99, args)
	if x.Pictures != (result.PictureCounts{Calibrating: 4, Searched: 4, HeldOut: 2}) {
		t.Errorf("%+v", x.Pictures)
	}
	if len(x.Layers) != 7 {
		t.Errorf("%d quantizers", len(x.Layers))
	}
}

// healed explores a model that w8a8 harms and wider activations heal, and looks at the result and what is written; twice, and the second exploration
// finds in the workspace what the first one scored.
func healed(t *testing.T, dir, name string, target float64, args []string) result.Explored {
	t.Helper()
	x := explored(t, 0, args...)
	best, start := x.Points[x.Best], x.Points[x.Start]
	if !x.Reached || x.Verdict != result.BitsHeal || len(x.Story) != 6 || best.Scored.Share.V < target {
		t.Errorf("%v %v %v %v", x.Reached, x.Verdict, x.Story, best.Scored)
	}
	if story := strings.Join(x.Story, "\n"); !strings.Contains(story, "--enable split-gates writes such a model") {
		t.Errorf("the story does not say which other form of the model keeps the target: %s", story)
	}
	if start.Scored.Share.V > target-0.01 || len(start.Changed) > 0 {
		t.Errorf("the start is %+v", start)
	}
	var origins []string
	for _, o := range x.Origins {
		origins = append(origins, o.Kind+" "+o.Name)
	}
	for _, want := range []string{"part weights only", "part activations only", "granularity per-tensor", "calibrator enhanced", "calibrator mse", "bias bias8", "width 16-bit activations", "rewrite optimize", "rewrite split-gates", "rewrite split-gates, mse-out"} {
		if !slices.Contains(origins, want) {
			t.Errorf("%s is missing in %v", want, origins)
		}
	}
	for _, p := range x.Points {
		if !p.Scored.HeldShare.OK || !p.Price.OK {
			t.Errorf("%s: %+v %v", p.Title, p.Scored, p.Price)
		}
	}
	if !x.Layers[1].SQNR.OK || !x.Layers[1].Local.OK || !x.Layers[1].Accumulated.OK {
		t.Errorf("%d layers, %+v", len(x.Layers), x.Layers[1])
	}
	if n := weighed(x); n < 3 { // the Convs of either model
		t.Errorf("%d quantizers have the weights' word beside them", n)
	}
	// The encodings hold the widths that were chosen.
	wide := map[string]bool{}
	for _, c := range best.Changed {
		for _, name := range append([]string{c.Tensor}, c.Also...) {
			wide[name] = c.Choice.Bits == 16 // not where the calibrator alone is another
		}
	}
	for _, version := range encodings.Versions {
		data, err := os.ReadFile(filepath.Join(dir, "models_onnx", name+"-explored", name+"-explored-encodings-"+version+".json"))
		if err != nil {
			t.Fatal(err)
		}
		asked, err := encodings.Read(data)
		if err != nil {
			t.Fatal(version, err)
		}
		for name, a := range asked {
			if strings.HasPrefix(name, "head") || strings.HasPrefix(name, "backbone") || strings.HasSuffix(name, ".weight") || best.Recipe.ActBits == 16 {
				continue // weights, or everything wide
			}
			if bits := a.Bits; (bits == 16) != wide[name] && bits != 32 {
				t.Errorf("%s: %s has %d bits", version, name, bits)
			}
		}
	}
	if len(x.Commands) != 3 || !strings.Contains(x.Commands[0], "--quantization_overrides") || !strings.Contains(x.Commands[1], "--override_params") {
		t.Errorf("%v", x.Commands)
	}

	// A second run finds what the first found in the database, and comes to the same. What was given up under one floor is scored
	// again under a lower one.
	const anew = 3
	again := explored(t, 0, args...)
	if again.Resumed == 0 || !x.Budget && again.Tries-again.Resumed > anew {
		t.Errorf("%d of %d candidates were known", again.Resumed, again.Tries)
	}
	if x.Budget || again.Budget {
		t.Log("the machine is too slow to compare two whole searches")
	} else if a, b := again.Points[again.Best], best; !slices.EqualFunc(a.Changed, b.Changed, func(p, q result.ChangedLayer) bool { return p.Tensor == q.Tensor }) || a.Scored.All != b.Scored.All {
		t.Errorf("%v, then %v", b.Changed, a.Changed)
	}
	db, err := workspace.OpenExisting(t.Context(), workspace.Folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if list, _, err := db.Explorations.All(t.Context()); err != nil || len(list) != 2 || list[1].ID != again.ID {
		t.Errorf("%v %v", list, err)
	}
	return x
}

// weighed counts the quantizers of which is known what the constants in front of them lose alone.
func weighed(x result.Explored) (n int) {
	for _, l := range x.Layers {
		if l.Weights.OK {
			n++
		}
	}
	return n
}

func TestAModelIsRewrittenFirst(t *testing.T) {
	t.Parallel()
	dir, model := t.TempDir(), stemModel(t, 64)
	x := explored(t, 0, model, "--images", pictures(t, 6), "--scale", "255", "--out", dir, "--target", "99%", "--budget", "20m", "--optimize")
	rewritten := filepath.Join(dir, "models_onnx", "stem-optimized", "stem-optimized.onnx")
	if x.Model.Path != rewritten || x.Name != "stem" || !slices.Contains(x.Files, rewritten) || x.Verdict != result.AlreadyGood {
		t.Errorf("%s %s %v %v %v", x.Model.Path, x.Name, x.Files, x.Verdict, x.Story)
	}
	said := strings.Join(x.Warnings, "; ")
	if !strings.Contains(said, "focus-to-conv (1), split-gates (1)") || !strings.Contains(said, rewritten) {
		t.Errorf("%s", said)
	}
	count := func(path string) map[string]int {
		m, err := onnx.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		ops := map[string]int{}
		for _, n := range m.Graph().GetNode() {
			ops[n.GetOpType()]++
		}
		return ops
	}
	if old, now := count(model), count(rewritten); now["Slice"] >= old["Slice"] || now["Conv"] != old["Conv"]+1 {
		t.Errorf("the operators were %v, and are %v", old, now)
	}
	// A picture that cannot be read is lost, as without rewriting; it says nothing of ranges, and the first two prove nothing.
	broken := pictures(t, 6)
	if err := os.WriteFile(filepath.Join(broken, "0.png"), []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	x = explored(t, 0, smallModel(t, nil), "--images", broken, "--out", t.TempDir(), "--target", "90%", "--optimize")
	if x.Pictures.Lost != 1 || x.Verdict != result.AlreadyGood {
		t.Errorf("%+v %v %v", x.Pictures, x.Verdict, x.Warnings)
	}
	// Where there is nothing to rewrite the model is explored as it is.
	x = explored(t, 0, smallModel(t, nil), "--images", pictures(t, 6), "--out", t.TempDir(), "--target", "90%", "--optimize")
	if x.Verdict != result.AlreadyGood || !slices.ContainsFunc(x.Warnings, func(s string) bool { return strings.Contains(s, "nothing to rewrite") }) || strings.Contains(x.Model.Path, "optimized") {
		t.Errorf("%v %v %s", x.Verdict, x.Warnings, x.Model.Path)
	}
}

func TestAModelThatIsGoodIsToldSoWithoutASearch(t *testing.T) {
	t.Parallel()
	x := explored(t, 0, smallModel(t, nil), "--images", pictures(t, 6), "--out", t.TempDir(), "--target", "90%")
	if x.Verdict != result.AlreadyGood || x.Tries != 1 || len(x.Points) != 1 || x.Best != 0 || !x.Reached {
		t.Errorf("%v, %d tries, %d points", x.Verdict, x.Tries, len(x.Points))
	}
	if x.Task != result.Agreement || x.Column.Key != "cosine" || !slices.ContainsFunc(x.Warnings, func(s string) bool { return strings.Contains(s, "no labels") }) {
		t.Errorf("%v %v %v", x.Task, x.Column, x.Warnings)
	}
}

func TestWhatCannotBeExploredIsSaid(t *testing.T) {
	t.Parallel()
	small := smallModel(t, nil)
	six := pictures(t, 6)
	tests := []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"no pictures", []string{small}, exitUsage, "--images PATH"},
		{"labels are missing", []string{small, "--images", six, "--task", "detection"}, exitUsage, "needs labels"},
		{"a target over all", []string{small, "--images", six, "--target", "120%"}, exitUsage, "--target 120%"},
		{"a target that is none", []string{small, "--images", six, "--target", "much"}, exitUsage, "--target much"},
		{"no time at all", []string{small, "--images", six, "--budget", "0s"}, exitUsage, "a budget"},
		{"no recipe", []string{small, "--images", six, "--variant", "fp16"}, exitUsage, "one recipe"},
		{"one picture", []string{small, "--images", pictures(t, 1), "--target", "100%"}, exitNo, "one picture only"},
		{"pictures that are alike", []string{small, "--images", alike(t), "--target", "100%"}, exitNo, "the same outputs"},
		{"no such folder", []string{small, "--images", filepath.Join(t.TempDir(), "none")}, exitUsage, "none"},
		{"nothing to quantize", []string{integerModel(t), "--images", six}, exitUsage, "nothing to explore"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := run(t, append([]string{"explore", "--engine", "cpu", "--out", t.TempDir()}, tt.args...)...)
			if status != tt.status || !strings.Contains(stdout+stderr, tt.says) {
				t.Errorf("status %d, want %d; %s%s", status, tt.status, stdout, stderr)
			}
		})
	}
}

// alike is a folder with the same picture three times.
func alike(t *testing.T) string {
	t.Helper()
	one := pictures(t, 1)
	list, err := os.ReadDir(one)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(one, list[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x.png", "y.png"} {
		if err := os.WriteFile(filepath.Join(one, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return one
}

// integerModel computes with integers only.
func integerModel(t *testing.T) string {
	t.Helper()
	return smallModel(t, func(m *onnxpb.ModelProto) {
		m.Graph.Node = []*onnxpb.NodeProto{{OpType: new("Shape"), Input: []string{m.Graph.Input[0].GetName()}, Output: []string{m.Graph.Output[0].GetName()}}}
		m.Graph.Initializer = nil
	})
}

func TestATargetOutOfReachGivesTheBestPointAndItsLimit(t *testing.T) {
	t.Parallel()
	x := explored(t, exitNo, smallModel(t, nil), "--images", pictures(t, 6), "--out", t.TempDir(), "--variant", "w4a8", "--target", "100%", "--budget", "20m")
	if x.Verdict != result.OutOfReach || x.Best < 0 || len(x.Limits) == 0 || !strings.Contains(strings.Join(x.Limits, " "), "weights alone") || !strings.Contains(strings.Join(x.Limits, " "), "most harmful: in front of") {
		t.Errorf("%v %v %v", x.Verdict, x.Best, x.Limits)
	}
	for _, p := range x.Points {
		if p.Scored.Share.V > x.Points[x.Best].Scored.Share.V+1e-12 {
			t.Errorf("%s with %v is better than %v", p.Title, p.Scored.Share, x.Points[x.Best].Scored.Share)
		}
	}
	if math.IsNaN(x.Points[x.Best].Scored.Share.V) {
		t.Error("no share")
	}
}

func TestAnInterruptedExplorationKeepsWhatItFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"explore", "--engine", "cpu", fixture.Path(t, "qnn", "zoo.onnx"), "--images", fixture.Path(t, "coco", "val"), "--limit", "6", "--out", dir, "--variant", "w4a8", "--target", "100%", "--budget", "60s", "--threads", "2"}
	fixture.Runtime(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- Run(ctx, args, strings.NewReader(""), &stdout, &stderr) }()
	db := workspace.Folder(dir).Database()
	for found := false; !found; { // until something is in the database
		select {
		case status := <-ended:
			t.Fatalf("%d %s", status, stderr.String())
		case <-time.After(20 * time.Millisecond):
		}
		info, err := os.Stat(db + "-wal")
		if err != nil {
			info, err = os.Stat(db)
		}
		found = err == nil && info.Size() > 100<<10
	}
	cancel()
	began := time.Now()
	if status := <-ended; status != exitInterrupted || time.Since(began) > 5*time.Second || !strings.Contains(stderr.String(), "what was found is kept in "+db) {
		t.Errorf("%d after %v: %s", status, time.Since(began), stderr.String())
	}
}

func TestABudgetIsKeptWithTheBestSoFar(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	x := explored(t, exitNo, fixture.Path(t, "qnn", "zoo.onnx"), "--images", fixture.Path(t, "coco", "val"), "--limit", "6", "--out", dir, "--variant", "w4a8", "--target", "100%", "--budget", "100ms")
	if !x.Budget || x.Best < 0 || !strings.Contains(strings.Join(x.Limits, " "), "budget") {
		t.Errorf("%v %d %v", x.Budget, x.Best, x.Limits)
	}
	if x.Tries > 5 { // each takes longer than what is left
		t.Errorf("%d candidates were scored in a tenth of a second", x.Tries)
	}
}

func TestABenchmarkOfTheModelScalesThePrices(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "models_dlc", "zoo-w8a8", "layer_stats.csv")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("layer_id,time_mean,layer_name\n1,1000,a\n2,500,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	x := explored(t, 0, fixture.Path(t, "qnn", "zoo.onnx"), "--images", fixture.Path(t, "coco", "val"), "--limit", "3", "--out", dir, "--target", "50%")
	if x.PriceUnit != result.MeasuredUnit || x.Points[x.Start].Price.V != 1500 {
		t.Errorf("%s, the recipe costs %v", x.PriceUnit, x.Points[x.Start].Price)
	}
}

// A model with a picture and a vector as inputs, whose samples are lines of a list.
func TestAModelWithTwoInputsIsScoredAndExplored(t *testing.T) {
	t.Parallel()
	model := smallModel(t, func(m *onnxpb.ModelProto) {
		g := m.Graph
		g.Input = append(g.Input, onnx.ValueInfo("gain", tensor.Float32, []int64{1, 4, 1, 1}))
		g.Node[2].Input = []string{"/r/Relu_output_0", "gain"}
	})
	dir := pictures(t, 6)
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for i, one := range list {
		gain := filepath.Join(dir, fmt.Sprintf("gain%d.raw", i))
		raw := make([]byte, 16)
		for k := range 4 {
			binary.LittleEndian.PutUint32(raw[4*k:], math.Float32bits(float32(i+1)*float32(k+1)/8))
		}
		if err := os.WriteFile(gain, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "x:=%s gain:=%s\n", filepath.Join(dir, one.Name()), gain)
	}
	inputs := filepath.Join(t.TempDir(), "inputs.txt")
	if err := os.WriteFile(inputs, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	e := evaluate(t, model, "--task", "agreement", "--data", inputs, "--variant", "w8a8", "--limit", "5", "--out", t.TempDir(), "--json")
	if s := e.Models[1].Scores[0]; len(e.Pictures) != 5 || !s.OK || s.V < 20 || math.IsInf(s.V, 0) {
		t.Errorf("%d pictures, %+v", len(e.Pictures), e.Models[1])
	}
	x := explored(t, exitNo, model, "--images", inputs, "--out", t.TempDir(), "--variant", "w4a8", "--target", "99.99%", "--budget", "30s")
	if x.Pictures.Searched != 4 || x.Pictures.HeldOut != 2 || x.Best < 0 || len(x.Layers) == 0 || !slices.ContainsFunc(x.Layers, func(l result.Sensitivity) bool { return l.Tensor == "gain" && l.SQNR.OK }) {
		t.Errorf("%+v, best %d, %d layers, %s", x.Pictures, x.Best, len(x.Layers), x.Verdict)
	}
	byClass := filepath.Join(dir, "labels.csv")
	if err := os.WriteFile(byClass, []byte("file,label\n"+list[0].Name()+",0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, args := range map[string][]string{
		"2 inputs: give a text file": {"explore", "--engine", "cpu", model, "--images", dir},
		"--task agreement takes any": {"eval", model, "--task", "classification", "--data", byClass},
	} {
		if status, stdout, stderr := run(t, append(args, "--out", t.TempDir())...); status != exitUsage || !strings.Contains(stderr, what) {
			t.Errorf("%v: %d %s%s", args, status, stdout, stderr)
		}
	}
}

// The chip that is emulated prices the candidates, too, where the compiler has a cost model of it.
func TestTheChipOfAnExploration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		soc, arch int
		priced    string
		notes     int
	}{
		"--soc=rvc4": {66, 73, "rvc4", 0}, "--soc-model=66": {66, 73, "rvc4", 0}, "--soc=77": {77, 73, "qcs9100", 0}, "--soc=sa8797": {72, 81, "sa8797", 0},
		"--soc=sm8650": {57, 75, "rvc4", 1}, "--soc-model=57": {57, 75, "rvc4", 1}, "--soc=123": {123, 0, "rvc4", 1},
	} {
		p := parsed(t, "explore", "m.onnx", "--images", t.TempDir(), text)
		spec, _, err := p.Explore.spec()
		if err != nil || spec.SoC != want.soc || spec.HTPArch != want.arch || spec.Chip != want.priced || len(p.Explore.Input.notes) != want.notes {
			t.Errorf("%s: %d, %d, %q, notes %q: %v", text, spec.SoC, spec.HTPArch, spec.Chip, p.Explore.Input.notes, err)
		}
	}
	if status, _, stderr := run(t, "explore", smallModel(t, nil), "--images", pictures(t, 1), "--out", t.TempDir(), "--soc", "bogus"); status != exitUsage || !strings.Contains(stderr, `"bogus"`) {
		t.Errorf("status %d: %s", status, stderr)
	}
}
