package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/inspect"
)

func kinds(t *testing.T, dlc, against string) map[string]inspect.Difference {
	t.Helper()
	status, stdout, stderr := run(t, "diff", dlc, against, "--json")
	var list []inspect.Difference
	if err := json.Unmarshal([]byte(stdout), &list); status != 0 || err != nil {
		t.Fatalf("%d %v %s", status, err, stderr)
	}
	found := map[string]inspect.Difference{}
	for _, d := range list {
		found[d.Tensor] = d
	}
	return found
}

func count(found map[string]inspect.Difference) map[inspect.Kind]int {
	n := map[inspect.Kind]int{}
	for _, d := range found {
		n[d.Kind]++
	}
	return n
}

func TestDiffOfAModelAndItsDLC(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"yolox_nano_w8a8_per_channel": 590, "yolox_nano_w8a16_per_channel": 590, "zoo_w8a8_per_tensor": 30, "zoo_w8a16_per_channel": 30, "zoo_w4a8_per_channel": 30} {
		n := count(kinds(t, fixture.Path(t, "qnn", name+".dlc"), fixture.Path(t, "qnn", name+".onnx")))
		if n[inspect.Equal] < want || n[inspect.Regridded]+n[inspect.Widened]+n[inspect.Narrowed]+n[inspect.Width]+n[inspect.Granularity]+n[inspect.ToFloat] > 0 {
			t.Errorf("%s: %v", name, n)
		}
	}
	n := count(kinds(t, fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc"), fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc")))
	if n[inspect.Granularity] != 10 || n[inspect.Missing] != 0 {
		t.Errorf("two conversions: %v", n)
	}
}

func TestDiffSaysWhatBecameOfAnOverride(t *testing.T) {
	t.Parallel()
	dlc := fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc")
	held := kinds(t, dlc, dlc)["/add/Add_output_0_QuantizeLinear"].Held
	if held == nil {
		t.Fatal("the tensor of the test is gone")
	}
	width := held.Max - held.Min
	path := filepath.Join(t.TempDir(), "asked.json")
	for want, asked := range map[inspect.Kind][]any{
		inspect.Equal:     {8, held.Min, held.Max},
		inspect.Widened:   {8, held.Min / 2, held.Max / 2},
		inspect.Narrowed:  {8, held.Min - width, held.Max + width},
		inspect.Regridded: {8, held.Min + width/255/4, held.Max + width/255/4},
		inspect.Width:     {16, held.Min, held.Max},
	} {
		data, err := json.Marshal(map[string]any{"activation_encodings": map[string]any{
			"/add/Add_output_0": []any{map[string]any{"bitwidth": asked[0], "min": asked[1], "max": asked[2], "is_symmetric": "False", "dtype": "int"}},
			"/nowhere":          []any{map[string]any{"bitwidth": 8, "min": 0, "max": 1}},
		}, "param_encodings": map[string]any{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		found := kinds(t, dlc, path)
		if got := found["/add/Add_output_0"]; got.Kind != want || got.In != "/add/Add_output_0_QuantizeLinear" {
			t.Errorf("%+v, want %s", got, want)
		}
		if found["/nowhere"].Kind != inspect.Missing || count(found)[inspect.Extra] < 20 {
			t.Errorf("%v", count(found))
		}
	}
	// What quantize writes survives in the DLC that it writes, whatever the version.
	fixture.Emulator(t)
	dir := t.TempDir()
	for _, version := range []string{"0.6.1", "1.0.0", "2.0.0"} {
		enc, out := filepath.Join(dir, "e.json"), filepath.Join(dir, "q.dlc")
		status, _, stderr := run(t, "quantize", fixture.Path(t, "qnn", "zoo.onnx"), "--images", fixture.Path(t, "coco", "val"), "--limit", "1", "--threads", "2", "-o", filepath.Join(dir, "q.onnx"),
			"--encodings", enc, "--encodings-version", version, "--dlc", out)
		if status != 0 {
			t.Fatal(stderr)
		}
		if n := count(kinds(t, out, enc)); n[inspect.Equal] < 30 || n[inspect.Widened]+n[inspect.Narrowed]+n[inspect.Width]+n[inspect.Granularity]+n[inspect.ToFloat] > 0 {
			t.Errorf("%s: %v", version, n)
		}
	}
}

func TestDiffRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	dlc := fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc")
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := run(t, "diff", dlc, bad); status != exitUsage || !strings.Contains(stderr, bad) {
		t.Errorf("%d %s", status, stderr)
	}
	for _, against := range []string{fixture.Path(t, "qnn", "zoo.onnx"), fixture.Path(t, "qnn", "zoo.dlc"), "picture.png"} {
		if status, _, _ := run(t, "diff", dlc, against); status != exitUsage {
			t.Errorf("%s: %d", against, status)
		}
	}
}
