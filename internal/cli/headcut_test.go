package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/archive"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// TestAHeadOfUnlikePartsIsCut goes from a model with one output to one with an encoding for each part, and to its NN archive.
func TestAHeadOfUnlikePartsIsCut(t *testing.T) {
	t.Parallel()
	model := smallModel(t, func(p *onnxpb.ModelProto) {
		g := p.Graph
		g.Node[2].Output[0] = "boxes"
		g.Node = append(g.Node,
			&onnxpb.NodeProto{OpType: proto.String("Sigmoid"), Name: proto.String("s"), Input: []string{"/c/Conv_output_0"}, Output: []string{"scores"}},
			&onnxpb.NodeProto{OpType: proto.String("Concat"), Name: proto.String("k"), Input: []string{"boxes", "scores"}, Output: []string{"y"}, Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("axis", 1)}})
	})
	dir, samples := t.TempDir(), pictures(t, 2)
	config := filepath.Join(dir, "a.tar.gz")
	described, err := archive.Open(zeroArchive(t, 10))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(described.Path, config); err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.onnx")
	status, stdout, stderr := run(t, "optimize", model, "-o", cut, "--also", "split-output", "--images", samples, "--model-config", config, "--json")
	var doc struct {
		Cut []struct {
			Output string
			Axis   int
			Parts  []string
		}
		Archive string
	}
	if err := json.Unmarshal([]byte(stdout), &doc); status != exitDone || err != nil {
		t.Fatalf("status %d, %v: %s", status, err, stderr)
	}
	if len(doc.Cut) != 1 || doc.Cut[0].Axis != 1 || !slices.Equal(doc.Cut[0].Parts, []string{"y_boxes", "y_scores"}) || doc.Archive != filepath.Join(dir, "cut.tar.gz") {
		t.Fatalf("%+v", doc)
	}
	written, err := archive.Open(doc.Archive)
	if err != nil || written.Config.Model.Metadata.Path != "cut.onnx" {
		t.Errorf("%v: %+v", err, written)
	}
	encodings := filepath.Join(dir, "e.json")
	status, _, stderr = run(t, "quantize", cut, "--calib", samples, "-o", filepath.Join(dir, "q.onnx"), "--encodings", encodings)
	if status != exitDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	data, err := os.ReadFile(encodings)
	if err != nil || !strings.Contains(string(data), `"y_boxes"`) || !strings.Contains(string(data), `"y_scores"`) {
		t.Errorf("%v: %s", err, data)
	}
}
