package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx/onnxpb"
)

func TestLintModelDLCAndWorkspace(t *testing.T) {
	t.Parallel()
	model := fixture.Path(t, "models", "faces.onnx")
	status, stdout, stderr := run(t, "lint", model, "--no-htp")
	if status != 0 || !strings.Contains(stdout, "QC1001") || !strings.Contains(stdout, "quantcheck optimize --pass div-to-mul") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	if status, _, _ := run(t, "lint", model, "--no-htp", "--fail-on", "warning"); status != exitNo {
		t.Errorf("--fail-on warning: status %d", status)
	}
	var s struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct{ RuleID, Level string }
		}
	}
	status, stdout, _ = run(t, "lint", model, "--no-htp", "--sarif")
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || status != 0 || s.Version != "2.1.0" || len(s.Runs) != 1 || len(s.Runs[0].Results) < 10 || s.Runs[0].Results[0].Level != "warning" {
		t.Errorf("%d %v %+v", status, err, s)
	}
	out := filepath.Join(t.TempDir(), "better.onnx")
	status, stdout, stderr = run(t, "lint", model, "--no-htp", "--fix", "-o", out)
	after := "findings before, 0 after"
	if strings.Contains(stdout, "QC4004") { // of this machine's processor, which no rewrite changes
		after = "findings before, 1 after"
	}
	if status != 0 || !strings.Contains(stdout, after) {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	if _, err := os.Stat(out); err != nil {
		t.Error(err)
	}
	status, stdout, stderr = run(t, "lint", model, "--no-htp", "--fix", "-o", out, "--json")
	if !json.Valid([]byte(stdout)) || status != 0 || !strings.Contains(stderr, after) {
		t.Errorf("--fix with --json: %d %s", status, stderr)
	}
	if pose, ok := fixture.Also(t, "dlc", "pose_landmark_lite_quantized.dlc"); ok {
		status, stdout, _ = run(t, "lint", pose, "--json")
		if status != 0 || !strings.Contains(stdout, `"QC2001"`) {
			t.Errorf("%d %s", status, stdout)
		}
	}
	dir := t.TempDir()
	if status, _, stderr := run(t, "check", smallModel(t, nil), "--images", pictures(t, 2), "--out", dir, "--variant", "w16a16"); status != 0 {
		t.Fatalf("%s", stderr)
	}
	status, stdout, _ = run(t, "lint", dir, "--no-htp")
	if status != 0 || !strings.Contains(stdout, "QC2003") {
		t.Errorf("%d %s", status, stdout)
	}
	// The HTP is asked where it is installed.
	fixture.Emulator(t)
	status, stdout, _ = run(t, "lint", scaledModel(t))
	if status != 0 || !strings.Contains(stdout, "QC4002") || !strings.Contains(stdout, "ImageScaler") {
		t.Errorf("%d %s", status, stdout)
	}
}

func TestLintRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	junk := filepath.Join(empty, "junk.dlc")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"lint"}, "expected a model"},
		{[]string{"lint", "--explain", "QC10001"}, "did you mean QC1001?"},
		{[]string{"lint", filepath.Join(empty, "none.onnx")}, "none.onnx"},
		{[]string{"lint", junk}, "not a DLC"},
		{[]string{"lint", empty}, ""},
		{[]string{"lint", smallModel(t, nil), "--fix"}, "-o OUT.onnx"},
	} {
		status, _, stderr := run(t, c.args...)
		if status != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: %d %s", c.args, status, stderr)
		}
	}
	if status, stdout, _ := run(t, "lint", "--explain", "qc1001"); status != 0 || !strings.Contains(stdout, "finding 3") {
		t.Errorf("%d %s", status, stdout)
	}
	if status, stdout, _ := run(t, "lint", "--list"); status != 0 || strings.Count(stdout, "\n") < 18 {
		t.Errorf("%d %s", status, stdout)
	}
}

// scaledModel is the small model behind an ImageScaler, which the HTP refuses, in an opset that no CPU kernel of a quantized Conv has.
func scaledModel(t *testing.T) string {
	t.Helper()
	return smallModel(t, func(p *onnxpb.ModelProto) {
		p.OpsetImport[0].Version = proto.Int64(7)
		scaler := &onnxpb.NodeProto{
			OpType: proto.String("ImageScaler"), Name: proto.String("the scaler"), Input: []string{"x"}, Output: []string{"scaled"},
			Attribute: []*onnxpb.AttributeProto{
				{Name: proto.String("scale"), Type: onnxpb.AttributeProto_FLOAT.Enum(), F: proto.Float32(1)},
				{Name: proto.String("bias"), Type: onnxpb.AttributeProto_FLOATS.Enum(), Floats: []float32{0.5, 0, 0}},
			},
		}
		p.Graph.Node[0].Input[0] = "scaled"
		p.Graph.Node = append([]*onnxpb.NodeProto{scaler}, p.Graph.Node...)
	})
}
