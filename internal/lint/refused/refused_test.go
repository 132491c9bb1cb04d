package refused

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/lint/checks"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// chain is a model of n operators in a row, and of some in two branches. Every tenth is an Erf.
func chain(n int) *onnx.Model {
	g := &onnxpb.GraphProto{Name: proto.String("g"), Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 4, 5})}}
	at, kept := "x", "x"
	for i := range n {
		op, in := "Relu", []string{at}
		switch {
		case i%10 == 9:
			op = "Erf"
		case i%7 == 6:
			op, in = "Add", []string{at, kept}
		case i%7 == 0:
			kept = at
		}
		out := fmt.Sprintf("t%d", i)
		g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String("n" + out), Input: in, Output: []string{out}})
		at = out
	}
	g.Output = []*onnxpb.ValueInfoProto{onnx.ValueInfo(at, tensor.Float32, []int64{1, 4, 5})}
	return &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(13)}}}}
}

func typesOf(t *testing.T, m *onnx.Model) map[string]onnxruntime.Type {
	t.Helper()
	types, err := ort.Types(fixture.Runtime(t), m)
	if err != nil {
		t.Fatal(err)
	}
	return types
}

// erfs refuses Erf, in quantized graphs only, and names a quantizer and a node of nobody beside it.
func erfs(_ context.Context, m *onnx.Model) (list []htp.Refusal, err error) {
	if !model.Quantized(m) {
		return nil, nil
	}
	for _, n := range m.Graph().GetNode() {
		if n.GetOpType() == "Erf" {
			list = append(list, htp.Refusal{Node: n.GetName(), Op: "Erf", Reason: "no"}, htp.Refusal{Node: n.GetInput()[0] + "_QuantizeLinear", Op: "QuantizeLinear", Reason: "no"}, htp.Refusal{Node: "Transpose_token_0", Op: "Transpose"})
		}
	}
	return list, nil
}

func TestEveryOperatorIsAskedAboutOnceInEveryForm(t *testing.T) {
	for _, n := range []int{1, 5, 23, 24, 60, 200} {
		m := chain(n)
		types := typesOf(t, m)
		seen, graphs := map[string]int{}, 0
		ask := func(ctx context.Context, p *onnx.Model) ([]htp.Refusal, error) {
			graphs++
			if err := onnx.Check(p); err != nil {
				t.Errorf("%d: %v", n, err)
			}
			if _, err := ort.Types(fixture.Runtime(t), p); err != nil { // ONNX Runtime takes it
				t.Errorf("%d: %v", n, err)
			}
			for _, node := range p.Graph().GetNode() {
				if strings.HasPrefix(node.GetName(), "nt") {
					seen[node.GetName()]++
				}
			}
			return erfs(ctx, p)
		}
		list, notes, err := refusals(t.Context(), ask, m, types, []string{"w8a8", "w8a16", asFloat}, Options{Budget: time.Minute})
		if err != nil || len(notes) > 0 {
			t.Fatalf("%d: %v %v", n, err, notes)
		}
		if len(seen) != n || slices.ContainsFunc(m.Graph().GetNode(), func(node *onnxpb.NodeProto) bool { return seen[node.GetName()] != 3 }) {
			t.Errorf("%d: %v", n, seen)
		}
		if most := 3 * (n/leastPart + 1); graphs > most || n > 2*mostPart && graphs < 3*n/(mostPart+leastPart) {
			t.Errorf("%d operators in %d graphs", n, graphs)
		}
		if len(list) != n/10 {
			t.Errorf("%d: %v", n, list)
		}
		for _, r := range list {
			if r.Op != "Erf" || !slices.Equal(r.Forms, []string{"w8a8", "w8a16"}) {
				t.Errorf("%d: %+v", n, r)
			}
		}
	}
}

func TestAModelIsNotCutWhereTensorsHaveFiveAxes(t *testing.T) {
	m := chain(120)
	types := typesOf(t, m)
	for name, x := range types {
		if name != "t60" {
			x.Shape = []int64{1, 1, 1, 4, 5}
			types[name] = x
		}
	}
	parts := divide(m, types)
	if len(parts) > 2 || parts[len(parts)-1].nodes+parts[0].nodes < 119 {
		t.Errorf("%d parts, the first of %d", len(parts), parts[0].nodes)
	}
}

func TestWhenTheTimeIsSpentTheRestIsSaid(t *testing.T) {
	m := chain(200)
	asked := 0
	slow := func(ctx context.Context, p *onnx.Model) ([]htp.Refusal, error) {
		if asked++; asked > 2 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return erfs(ctx, p)
	}
	list, notes, err := refusals(t.Context(), slow, m, typesOf(t, m), []string{"w8a8", asFloat}, Options{Budget: 2 * time.Second})
	if err != nil || len(notes) != 2 || !strings.Contains(notes[0], "as w8a8 was asked of ") || !strings.Contains(notes[0], "of 200; the time is spent: --budget") || !strings.Contains(notes[1], "as float was asked of 0 of 200") {
		t.Fatalf("%v %q", err, notes)
	}
	if len(list) == 0 {
		t.Error("what was found before is lost")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, _, err := refusals(ended, slow, m, typesOf(t, m), []string{"w8a8"}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestASlowPartWaitsForTheOthers has one part that takes longer than its share: all others are asked, and it is asked last with what is left.
func TestASlowPartWaitsForTheOthers(t *testing.T) {
	t.Parallel()
	m := chain(200)
	first := 0
	for _, never := range []bool{false, true} {
		var asked []int
		ask := func(ctx context.Context, p *onnx.Model) ([]htp.Refusal, error) {
			at := slices.IndexFunc(p.Graph().GetNode(), func(n *onnxpb.NodeProto) bool { return n.GetName() == "nt0" })
			if at >= 0 {
				if first++; never || len(asked) == 0 {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			}
			asked = append(asked, at)
			return nil, nil
		}
		parts := len(divide(m, typesOf(t, m)))
		_, notes, err := refusals(t.Context(), ask, m, typesOf(t, m), []string{asFloat}, Options{Budget: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if want := parts; never && (len(asked) != want-1 || len(notes) != 1) || !never && (len(asked) != want || asked[want-1] < 0 || len(notes) > 0) {
			t.Errorf("never %v: %v of %d parts, %q", never, asked, want, notes)
		}
	}
	if first != 4 {
		t.Errorf("the slow part was asked %d times", first)
	}
}

func TestAnswersAreRememberedByGraphAndChip(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	asked := 0
	ask := func(_ context.Context, m *onnx.Model) ([]htp.Refusal, error) {
		asked++
		if len(m.Graph().GetNode()) == 3 {
			return nil, errors.New("it died")
		}
		return []htp.Refusal{{Node: "n", Op: "Erf", Reason: "no"}}, nil
	}
	e := htp.Engine{SoC: 66}
	for k, row := range []struct {
		e    htp.Engine
		n    int
		want int
	}{{e, 4, 1}, {e, 4, 1}, {e, 5, 2}, {htp.Engine{SoC: 77}, 4, 3}, {e, 3, 4}, {e, 3, 5}, {e, 5, 5}} {
		list, err := remembered(row.e, ask)(t.Context(), chain(row.n))
		if asked != row.want || (err != nil) != (row.n == 3) || err == nil && (len(list) != 1 || list[0].Op != "Erf") {
			t.Errorf("%d: asked %d times, want %d: %v %v", k, asked, row.want, list, err)
		}
	}
}

func TestARefusalNamesFormsAndPass(t *testing.T) {
	s := &checks.Subject{Refused: []checks.Refusal{{Node: "a", Op: "Erf", Reason: "no", Forms: []string{"w8a8", "w8a16"}}, {Node: "b", Op: "Celu", Reason: "no", Forms: []string{"float"}}}}
	found := checks.Look(s)
	if len(found) != 2 || found[0].Pass != rewrite.Helps("Erf") || !strings.Contains(found[0].Evidence, "as w8a8 and w8a16: no; quantcheck optimize --pass fuse-gelu") || found[1].Pass != "" || found[1].Evidence != "Celu, as float: no" {
		t.Errorf("%+v", found)
	}
}

func TestFormsAreOnesOfTheFloatModel(t *testing.T) {
	for form, ok := range map[string]bool{"w8a8": true, "w8a16": true, "fp16": true, "w8a": false, "mine=x.onnx": false, "": false} {
		if err := Forms([]string{form}); (err == nil) != ok {
			t.Errorf("%q: %v", form, err)
		}
	}
}
