package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
)

func TestOptimizeShowsWhatPassesBring(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	if before, after := gained(t, stemModel(t, 256), filepath.Join(t.TempDir(), "o.onnx")); after > 6*before/10 || after == 0 {
		t.Errorf("%d cycles, now %d", before, after)
	}
}

// gained runs optimize on a model with the price of each pass: the passes' gains add up to the difference, the outputs are as before, and the file that was
// written costs what is said. It gives the cycles before and after.
func gained(t *testing.T, model, out string) (before, after int64) {
	t.Helper()
	var doc struct {
		Passes []struct {
			Name       string
			Difference float64
			Before     int64 `json:"cycles_before"`
			Cycles     int64
		}
		Before result.Estimated `json:"estimate_before"`
		After  result.Estimated `json:"estimate_after"`
	}
	status, stdout, stderr := run(t, "optimize", model, "-o", out, "--estimate", "--json")
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || status != 0 {
		t.Fatalf("%d %s %v", status, stderr, err)
	}
	gain := 0
	for _, p := range doc.Passes {
		if p.Difference > 1e-4 {
			t.Errorf("%s moves the outputs by %g", p.Name, p.Difference)
		}
		if p.Cycles > 0 {
			gain += int(p.Before - p.Cycles)
		}
	}
	if doc.After.Cycles == 0 || int64(gain) != doc.Before.Cycles-doc.After.Cycles {
		t.Errorf("the passes gain %d of %d", gain, doc.Before.Cycles-doc.After.Cycles)
	}
	if e := estimated(t, out, "--no-advice"); e.Cycles != doc.After.Cycles {
		t.Errorf("the file that was written takes %d cycles, not %d", e.Cycles, doc.After.Cycles)
	}
	return doc.Before.Cycles, doc.After.Cycles
}

// sliced is a network of two Slices of channels and a Concat, which the DSP does at next to no cost, behind a Conv.
func sliced(t *testing.T) string {
	t.Helper()
	return smallModel(t, func(p *onnxpb.ModelProto) {
		g := p.Graph
		slice := func(name, from, to string) *onnxpb.NodeProto {
			return &onnxpb.NodeProto{OpType: proto.String("Slice"), Name: proto.String(name), Input: []string{"y0", from, to, "axis"}, Output: []string{name}}
		}
		g.Node[2].Output[0] = "y0"
		g.Node = append(g.Node, slice("s1", "two", "four"), slice("s2", "zero", "two"),
			&onnxpb.NodeProto{OpType: proto.String("Concat"), Name: proto.String("cat"), Input: []string{"s1", "s2"}, Output: []string{"y"}, Attribute: []*onnxpb.AttributeProto{{Name: proto.String("axis"), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(1)}}})
		for name, v := range map[string]int64{"zero": 0, "two": 2, "four": 4, "axis": 1} {
			g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(7), Dims: []int64{1}, Int64Data: []int64{v}})
		}
	})
}

func TestOnlyWhatPaysIsKept(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	if status, stdout, stderr := run(t, "optimize", stemModel(t, 256), "-o", filepath.Join(t.TempDir(), "stem.onnx"), "--only-if-faster"); status != 0 || !strings.Contains(stdout, "times faster") || !strings.Contains(stdout, "focus-to-conv it would be ") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	model, out := sliced(t), filepath.Join(t.TempDir(), "o.onnx")
	for _, pass := range []string{"slice-to-conv", "split-concat-to-conv", "uniform-stride", "div-to-mul"} {
		status, stdout, stderr := run(t, "optimize", model, "-o", out, "--pass", pass, "--only-if-faster", "--json")
		var doc struct {
			Passes []struct {
				Name, Undone string
				Before       *int64 `json:"cycles_before"`
				Cycles       *int64
			}
			Before result.Estimated `json:"estimate_before"`
			After  result.Estimated `json:"estimate_after"`
		}
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil || status != 0 {
			t.Fatalf("%s: %d %s %v", pass, status, stderr, err)
		}
		t.Logf("%s: %d, %d; %+v", pass, doc.Before.Cycles, doc.After.Cycles, doc.Passes)
		if doc.After.Cycles > doc.Before.Cycles {
			t.Errorf("%s: %d cycles became %d", pass, doc.Before.Cycles, doc.After.Cycles)
		}
		for _, p := range doc.Passes {
			if p.Cycles != nil && float64(*p.Cycles) > 1.001*float64(*p.Before) && !strings.Contains(p.Undone, "does not pay") {
				t.Errorf("%+v", p)
			}
		}
	}
	if status, _, stderr := run(t, "optimize", model, "-o", out, "--estimate-variant", "fp16"); status != exitUsage || !strings.Contains(stderr, "--estimate") {
		t.Errorf("%d %s", status, stderr)
	}
	if status, _, stderr := run(t, "optimize", model, "-o", out, "--estimate", "--soc", "x"); status != exitUsage || !strings.Contains(stderr, "sa8797") {
		t.Errorf("%d %s", status, stderr)
	}
}
