package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/encodings"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// joinedModel is the small model with a MaxPool, a Concat, a Sigmoid and a MatMul behind it.
func joinedModel(t *testing.T) string {
	return smallModel(t, func(p *onnxpb.ModelProto) {
		node := func(op, out string, attributes []*onnxpb.AttributeProto, in ...string) *onnxpb.NodeProto {
			return &onnxpb.NodeProto{OpType: &op, Name: proto.String("n_" + out), Input: in, Output: []string{out}, Attribute: attributes}
		}
		two := []*onnxpb.AttributeProto{{Name: proto.String("kernel_shape"), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: []int64{1, 1}}}
		g := p.Graph
		g.Node = append(g.Node[:2], node("MaxPool", "p", two, "/r/Relu_output_0"), node("Sigmoid", "g", nil, "p"),
			node("Concat", "j", []*onnxpb.AttributeProto{onnx.IntAttr("axis", 1)}, "/r/Relu_output_0", "g"), node("MatMul", "y", nil, "j", "m"))
		values := make([]float32, 6*5)
		for i := range values {
			values[i] = float32(i%7-3) / 4
		}
		g.Initializer = append(g.Initializer, onnx.TensorProto("m", tensor.Floats(values, 6, 5)))
	})
}

func TestEncodingsThatQuantizeWritesAreItsVariant(t *testing.T) {
	t.Parallel()
	model, images, dir := joinedModel(t), pictures(t, 2), t.TempDir()
	for _, recipe := range []string{"w8a8", "w4a16", "w8a8,per-tensor"} {
		args := []string{"check", model, "--images", images, "--calib", images, "--isolated-samples", "0", "--json", "--out", filepath.Join(dir, recipe), "--variant", recipe}
		for i, version := range encodings.Versions {
			enc := filepath.Join(dir, fmt.Sprintf("%s-%d.json", recipe, i))
			q := filepath.Join(dir, "q.onnx")
			if status, _, stderr := run(t, "quantize", model, "--calib", images, "--variant", recipe, "-o", q, "--encodings", enc, "--encodings-version", version); status != 0 {
				t.Fatal(stderr)
			}
			args = append(args, "--variant", fmt.Sprintf("v%d=%s", i, enc))
			if status, stdout, stderr := run(t, "diff", model, enc); status != 0 || !strings.Contains(stdout, " 9  entries") || strings.Count(stdout, "\n") != 3 || !strings.Contains(stdout, "Concat requantizes g") {
				t.Errorf("%s %s: %d %s%s", recipe, version, status, stdout, stderr)
			}
		}
		args = append(args, "--variant", "q=encodings:"+filepath.Join(dir, "q.onnx"))
		status, stdout, stderr := run(t, args...)
		var r struct {
			Layers   []struct{ Name string }
			Variants []struct {
				Spec   struct{ Name string }
				Layers []struct {
					Status  string
					Summary json.RawMessage
				}
			}
		}
		if err := json.Unmarshal([]byte(stdout), &r); status != 0 || err != nil {
			t.Fatalf("%d %v %s", status, err, stderr)
		}
		if last := r.Variants[0].Layers[len(r.Layers)-1]; sqnr(t, last.Summary) == 0 {
			t.Errorf("%s: the output is not compared", recipe)
		}
		for _, v := range r.Variants[1:] {
			for k, l := range v.Layers {
				want := r.Variants[0].Layers[k]
				// Steps are those of a scale, which a QDQ model holds in single precision.
				if ofQDQ := v.Spec.Name == "q"; l.Status != want.Status || sqnr(t, l.Summary) != sqnr(t, want.Summary) || !ofQDQ && string(l.Summary) != string(want.Summary) {
					t.Errorf("%s, %s, %s: %s %s, want %s %s", recipe, v.Spec.Name, r.Layers[k].Name, l.Status, l.Summary, want.Status, want.Summary)
				}
			}
		}
	}
}

// sqnr is the mean SQNR of a layer's summary, 0 where there is none.
func sqnr(t *testing.T, summary json.RawMessage) float64 {
	t.Helper()
	var of map[string]struct{ Mean float64 }
	if err := json.Unmarshal(summary, &of); err != nil {
		t.Fatal(err)
	}
	return of["SQNR"].Mean
}

func TestQuantizeWritesGivenEncodings(t *testing.T) {
	t.Parallel()
	model, images, dir := joinedModel(t), pictures(t, 1), t.TempDir()
	enc, out, again := filepath.Join(dir, "x.encodings"), filepath.Join(dir, "q.onnx"), filepath.Join(dir, "again.json")
	const scale = 0.0625
	text := `{"version":"1.0.0","activation_encodings":[{"name":"/r/Relu_output_0","dtype":"INT","bw":16,"is_sym":false,"scale":[0.0625],"offset":[-5]}],
		"param_encodings":[{"name":"w","enc_type":"PER_CHANNEL","dtype":"INT","bw":8,"is_sym":true,"scale":[0.5,0.25,0.125,0.0625],"offset":[-128,-128,-128,-128]}]}`
	if err := os.WriteFile(enc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := run(t, "quantize", model, "--calib", images, "--variant", "mine="+enc, "-o", out, "--encodings", again)
	if status != 0 || !strings.Contains(stdout, "tensors that a device quantizes have no entry") {
		t.Fatalf("%d %s%s", status, stdout, stderr)
	}
	data, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	written, err := encodings.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	if r := written["/r/Relu_output_0"]; r.Bits != 16 || r.Encodings[0].Scale != scale || r.Encodings[0].Offset != -5 {
		t.Errorf("%+v", r)
	}
	if w := written["w"]; len(w.Encodings) != 4 || w.Encodings[3].Scale != scale {
		t.Errorf("%+v", w)
	}
	if x := written["x"]; x.Bits != 8 || len(x.Encodings) != 1 {
		t.Errorf("what had no entry is not calibrated: %+v", x)
	}
}

func TestEncodingsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	model, images, dir := joinedModel(t), pictures(t, 1), t.TempDir()
	for name, row := range map[string]struct{ text, says string }{
		"channels": {`{"param_encodings":[{"name":"w","enc_type":"PER_CHANNEL","dtype":"INT","bw":8,"is_sym":true,"scale":[1,1],"offset":[-128,-128]}]}`, "2 encodings for 4 channels"},
		"scale":    {`{"activation_encodings":{"y":[{"bitwidth":8,"scale":0,"offset":0}]}}`, "y: a scale of 0"},
		"broken":   {`{"activation_encodings":`, "it ends in the middle of the JSON"},
		"absent":   {``, "it is empty"},
	} {
		enc := filepath.Join(dir, name+".json")
		if err := os.WriteFile(enc, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"check", model, "--images", images, "--out", dir, "--variant", "v=" + enc}, {"quantize", model, "--calib", images, "-o", filepath.Join(dir, "o.onnx"), "--variant", "v=" + enc}} {
			if status, _, stderr := run(t, args...); status != exitUsage || !strings.Contains(stderr, row.says) {
				t.Errorf("%s %s: %d %s", args[0], name, status, stderr)
			}
		}
		if status, stdout, stderr := run(t, "diff", model, enc); status == exitDone || !strings.Contains(stdout+stderr, strings.TrimPrefix(row.says, "y: ")) {
			t.Errorf("diff %s: %d %s%s", name, status, stdout, stderr)
		}
	}
}
