package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What --heal writes fits together: the healed float model with the encodings computes what the QDQ model computes, in every layer.
func TestQuantizeHealsAndItsFilesAgree(t *testing.T) {
	t.Parallel()
	model, images, dir := stemModel(t, 24), pictures(t, 4), t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	args := []string{"quantize", model, "--images", images, "--scale", "255", "--variant", "w4a8", "--heal", "-o", path("q.onnx"), "--healed-float", path("f.onnx"), "--encodings", path("e.json")}
	status, stdout, stderr := run(t, args...)
	if status != 0 || !strings.Contains(stdout, "healed: the weights of") || !strings.Contains(stdout, "f.onnx") {
		t.Fatalf("%d %s%s", status, stdout, stderr)
	}
	first, err := os.ReadFile(path("q.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr = run(t, "check", path("f.onnx"), "--images", images, "--scale", "255", "--out", path("out"), "--local-samples", "0", "--json", "--variant", "q="+path("q.onnx"), "--variant", "e="+path("e.json"))
	var r struct {
		Variants []struct {
			Layers []struct {
				Status  string
				Summary json.RawMessage
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &r); status != 0 || err != nil {
		t.Fatalf("%d %v %s", status, err, stderr)
	}
	compared := 0
	for k, a := range r.Variants[0].Layers {
		if b := r.Variants[1].Layers[k]; a.Status == "compared" && b.Status == "compared" {
			compared++
			if string(a.Summary) != string(b.Summary) {
				t.Errorf("layer %d: %s, with the encodings %s", k, a.Summary, b.Summary)
			}
		}
	}
	if compared == 0 {
		t.Error("nothing was compared")
	}
	// The recipe with heal is the same, in quantize and in check, which says what healing brought.
	if status, _, stderr := run(t, "quantize", model, "--images", images, "--scale", "255", "--variant", "w4a8,heal", "-o", path("again.onnx")); status != 0 {
		t.Fatal(stderr)
	}
	if again, err := os.ReadFile(path("again.onnx")); err != nil || string(again) != string(first) {
		t.Errorf("--heal and the recipe w4a8,heal give files that differ: %v", err)
	}
	status, stdout, stderr = run(t, "check", model, "--images", images, "--scale", "255", "--out", path("out"), "--local-samples", "0", "--variant", "w4a8,heal", "--variant", "q="+path("q.onnx"))
	if status != 0 || !strings.Contains(stdout, "healed: the weights of") {
		t.Fatalf("%d %s%s", status, stdout, stderr)
	}
}

func TestHealingNeedsARecipe(t *testing.T) {
	t.Parallel()
	model, images, dir := stemModel(t, 8), pictures(t, 1), t.TempDir()
	for name, more := range map[string][]string{
		"encodings":                      {"--variant", "mine=e.json", "--heal"},
		"half precision":                 {"--variant", "fp16", "--heal"},
		"a healed float without heal":    {"--healed-float", filepath.Join(dir, "f.onnx")},
		"a healed float that is no ONNX": {"--heal", "--healed-float", filepath.Join(dir, "f.txt")},
	} {
		args := append([]string{"quantize", model, "--images", images, "-o", filepath.Join(dir, "q.onnx")}, more...)
		if status, _, stderr := run(t, args...); status != exitUsage {
			t.Errorf("%s: %d %s", name, status, stderr)
		}
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
