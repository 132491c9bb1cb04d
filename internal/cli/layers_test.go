package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/inspect"
)

func TestInfoWritesTheSeedsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "models_dlc", "pose")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "throughput.txt"), []byte("x\nTotal throughput: 1e+03 infs/sec  \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc")
	f, err := dlc.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	nodes, encoded := f.Graphs[0].Nodes, 0
	for _, x := range f.Graphs[0].Tensors {
		if x.Encoding != nil {
			encoded++
		}
	}
	grid := f.Graphs[0].Tensor("grid").Encoding
	status, stdout, stderr := run(t, "info", path, "--write", dir, "--name", "pose")
	if status != 0 || !strings.Contains(stdout, "dlc-info-graph.txt") {
		t.Fatal(status, stdout, stderr)
	}
	data, err := os.ReadFile(filepath.Join(folder, "info.json"))
	if err != nil {
		t.Fatal(err)
	}
	// Keys in the seed's order, and its types: floats have a point.
	text := string(data)
	last := 0
	for _, key := range []string{"model_h", "model_w", "output_names", "dequantize_info", "raw_outputs_dir", "model_name", "per_layer_analysis", "graph_layout", "onnx_model_layer_config", "FPS"} {
		at := strings.Index(text, `"`+key+`"`)
		if at < last {
			t.Errorf("%s is missing or out of order", key)
		}
		last = at
	}
	for _, want := range []string{`"model_h": 32`, `"model_w": 32`, `"FPS": 1000.0`, fmt.Sprintf(`"offset": %d.0`, grid.Offset[0]), `"bit_width": 8`, fmt.Sprintf(`"scale": %v`, float64(grid.Scale[0])), `"type": "uFxp_8"`, `"model_name": "pose"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	var shapes map[string][]int
	if data, err = os.ReadFile(filepath.Join(folder, "graph_config.json")); err != nil || json.Unmarshal(data, &shapes) != nil {
		t.Fatal(err)
	}
	if len(shapes) != len(nodes) || !slices.Equal(shapes["add_Add_QuantizeLinear"], []int{1, 16, 16, 8}) {
		t.Errorf("%d shapes, %v", len(shapes), shapes)
	}
	// The listing is taken in the DLC's place.
	status, listed, stderr := run(t, "info", filepath.Join(folder, "dlc-info-graph.txt"))
	if status != 0 || !strings.Contains(listed, fmt.Sprintf("%d tensors have one, 0 have none", encoded)) || !strings.Contains(listed, "0.13 M") {
		t.Error(status, listed, stderr)
	}
	status, same, _ := run(t, "diff", filepath.Join(folder, "dlc-info-graph.txt"), path)
	if status != 0 || !strings.Contains(same, fmt.Sprintf("%d  equal", encoded)) {
		t.Error(status, same)
	}
}

func TestLayersOfAWorkspace(t *testing.T) {
	t.Parallel()
	dir, samples := t.TempDir(), zooDumps(t, 2, false)
	zoo := fixture.Path(t, "qnn", "zoo.onnx")
	if status, _, stderr := run(t, "layers", dir); status != exitUsage || !strings.Contains(stderr, "no workspace") {
		t.Error(status, stderr)
	}
	for _, name := range []string{"zoo_w8a8_per_channel.dlc", "zoo_w8a16_per_channel.dlc", "zoo_w8a8_per_channel.onnx"} {
		if status, _, stderr := run(t, "info", fixture.Path(t, "qnn", name), "--write", dir, "--name", name); status != 0 {
			t.Fatal(stderr)
		}
	}
	for range 2 { // of the runs of one name the last counts
		if status, _, stderr := run(t, "check", zoo, "--images", samples.samples, "--variant", "w8a8", "--variant", "w4a8,per-tensor", "--out", dir, "--name", "zoo", "--diverge-under", "30"); status != 0 {
			t.Fatal(stderr)
		}
	}
	status, stdout, stderr := run(t, "layers", dir, "--json")
	var a inspect.Across
	if err := json.Unmarshal([]byte(stdout), &a); status != 0 || err != nil {
		t.Fatal(status, err, stderr)
	}
	if len(a.Sources) != 5 || a.Under != 30 {
		t.Errorf("%v", a.Sources)
	}
	for i, l := range a.Layers {
		if i > 0 && (l.Problems > a.Layers[i-1].Problems || l.Problems == a.Layers[i-1].Problems && l.Spread.V > a.Layers[i-1].Spread.V) {
			t.Errorf("layer %d is out of order", i)
		}
		if l.Name != "/conv2/Conv_output_0" {
			continue
		}
		if len(l.Places) != 5 || l.Measured != 2 || l.Op != "Conv" || !l.Spread.OK {
			t.Errorf("%+v", l)
		}
		bits := map[int]int{}
		for _, p := range l.Places {
			bits[p.Encoding.Bits]++
		}
		if bits[8] != 4 || bits[16] != 1 {
			t.Errorf("widths %v", bits)
		}
	}
	for _, c := range a.Correlations {
		if c.Count == 0 || !c.Rho.OK || c.Rho.V < -1 || c.Rho.V > 1 {
			t.Errorf("%+v", c)
		}
	}
	if a.Layers[0].Problems < 1 || !a.OperatorShare.OK || len(a.Operators) < 5 {
		t.Errorf("%+v %+v", a.Layers[0], a.Operators)
	}
	status, stdout, _ = run(t, "layers", dir, "--layer", "conv2_Conv")
	if status != 0 || strings.Count(stdout, "not measured") != 3 || !strings.Contains(stdout, "zoo_w8a16_per_channel.dlc") {
		t.Error(status, stdout)
	}
	status, stdout, _ = run(t, "layers", dir, "--limit", "3")
	if status != 0 || !strings.Contains(stdout, "more: --limit") {
		t.Error(status, stdout)
	}
	if status, _, stderr := run(t, "layers", dir, "--layer", "nothing"); status != exitUsage || !strings.Contains(stderr, "no variant has") {
		t.Error(status, stderr)
	}
}
