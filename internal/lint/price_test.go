package lint

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/dataset"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/lint/checks"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// figures is a compiler that says what it was told: a price for each type of operator, and which it refuses.
type figures struct {
	cycles  map[string]int64
	refused string // an operator's type
	failure error  // of every question
	asked   []string
}

func (f *figures) of(how string, m *onnx.Model) (*result.Estimated, error) {
	f.asked = append(f.asked, how)
	if f.failure != nil {
		return nil, f.failure
	}
	x := &result.Estimated{Covered: 1, Estimate: &htpcost.Estimate{}}
	for _, n := range m.Graph().GetNode() {
		x.Cycles += f.cycles[n.GetOpType()]
		if n.GetOpType() == f.refused {
			x.Refused, x.Covered = append(x.Refused, n.GetName()), 0.5
		}
	}
	return x, nil
}

func (f *figures) Estimate(_ context.Context, m *onnx.Model) (*result.Estimated, error) {
	return f.of("as it is", m)
}

func (f *figures) Form(_ context.Context, m *onnx.Model, v variant.Spec, _ *dataset.Set, _ dataset.Description) (*result.Estimated, error) {
	return f.of(v.Name, m)
}

func (f *figures) Container(_ context.Context, path string) (*result.Estimated, error) {
	f.asked = append(f.asked, path)
	return &result.Estimated{Estimate: &htpcost.Estimate{}}, f.failure
}

// dividing is a subject whose model divides by a constant and has an Identity, each of which a pass mends.
func dividing(more ...*onnxpb.NodeProto) *checks.Subject {
	node := func(op, name string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: &name, Input: in, Output: []string{name}}
	}
	g := &onnxpb.GraphProto{
		Name: proto.String("g"), Node: append([]*onnxpb.NodeProto{node("Relu", "r", "x"), node("Div", "d", "r", "four"), node("Identity", "i", "d"), node("Sigmoid", "y", "i")}, more...),
		Initializer: []*onnxpb.TensorProto{onnx.TensorProto("four", tensor.Floats([]float32{4}))},
		Input:       []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
	}
	m := &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(13)}}}}
	s := &checks.Subject{Model: m}
	s.Env.Shapes = func(string) ([]int64, bool) { return []int64{1, 3}, true }
	s.Env.Float = func(string) bool { return true }
	return s
}

func TestFindingsArePricedByWhatTheirPassesMake(t *testing.T) {
	t.Parallel()
	cycles := map[string]int64{"Relu": 10, "Div": 500, "Mul": 100, "Identity": 40, "Sigmoid": 10}
	for name, row := range map[string]struct {
		compiler *figures
		want     map[string]checks.Price
		notes    []string
		asked    string // how the model was estimated
		err      error
	}{
		"all are": {&figures{cycles: cycles}, map[string]checks.Price{"div-to-mul": {Before: 560, After: 160}, "remove-identity": {Before: 560, After: 520}}, nil, "w8a8", nil},
		"one whose pass changes what is refused is not": {
			&figures{cycles: cycles, refused: "Div"}, map[string]checks.Price{"remove-identity": {Before: 560, After: 520}},
			[]string{"of 50.0 %", "what div-to-mul brings cannot be said"}, "w8a8", nil,
		},
		"nothing is, and the checks go on": {&figures{failure: errors.New("no")}, nil, []string{"there is no estimate: no"}, "w8a8", nil},
		"the compiler is not there":        {&figures{failure: qnn.ErrUnavailable}, nil, nil, "w8a8", qnn.ErrUnavailable},
	} {
		s := dividing()
		notes, err := priceFindings(t.Context(), row.compiler, s)
		if !errors.Is(err, row.err) || len(notes) != len(row.notes) || row.compiler.asked[0] != row.asked {
			t.Errorf("%s: %v, notes %q, asked %v", name, err, notes, row.compiler.asked)
			continue
		}
		for i, want := range row.notes {
			if !strings.Contains(notes[i], want) {
				t.Errorf("%s: %q, want %q", name, notes[i], want)
			}
		}
		if len(s.Prices) != len(row.want) {
			t.Errorf("%s: %v", name, s.Prices)
		}
		for pass, want := range row.want {
			if s.Prices[pass] != want {
				t.Errorf("%s: %s %v, want %v", name, pass, s.Prices[pass], want)
			}
		}
		if row.err == nil && row.compiler.failure == nil && s.Estimate == nil {
			t.Errorf("%s: the estimate is lost", name)
		}
	}
}

func TestAQuantizedModelIsPricedAsItIs(t *testing.T) {
	t.Parallel()
	op, name := "QuantizeLinear", "q"
	s := dividing(&onnxpb.NodeProto{OpType: &op, Name: &name, Input: []string{"x", "four"}, Output: []string{"q"}})
	f := &figures{}
	if _, err := priceFindings(t.Context(), f, s); err != nil || f.asked[0] != "as it is" {
		t.Errorf("%v %v", f.asked, err)
	}
}

func TestADLCThatHasNoEstimateIsANote(t *testing.T) {
	t.Parallel()
	for failure, want := range map[error]int{nil: 0, errors.New("too old"): 1} {
		s := &checks.Subject{}
		notes, err := priceContainer(t.Context(), &figures{failure: failure}, "m.dlc", s)
		if err != nil || len(notes) != want || (s.Estimate == nil) != (want == 1) {
			t.Errorf("%v: %q %v", failure, notes, err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := priceContainer(ended, &figures{failure: errors.New("x")}, "m.dlc", &checks.Subject{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
