package encodings

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/tensor"
)

// ground is x ─ Conv(w [4,3,1,1], b) ─ c ─ Relu ─ r ─ MaxPool ─ p;  Concat(r, p) ─ j ─ MatMul(m [6,2]) ─ y.
func ground() *Ground {
	node := func(op, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: proto.String("the " + out), Input: in, Output: []string{out}}
	}
	g := &onnxpb.GraphProto{
		Node: []*onnxpb.NodeProto{
			node("Conv", "c", "x", "w", "b"), node("Relu", "r", "c"), node("MaxPool", "p", "r"), node("Concat", "j", "r", "p"), node("Shape", "s", "j"), node("MatMul", "y", "j", "m"),
		},
		Input:  []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 6, 6})},
		Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y"), onnx.Untyped("s")},
	}
	for name, shape := range map[string][]int64{"w": {4, 3, 1, 1}, "b": {4}, "m": {6, 2}} {
		n, _ := tensor.Count(shape)
		g.Initializer = append(g.Initializer, onnx.TensorProto(name, tensor.Floats(make([]float32, n), shape...)))
	}
	m := &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(13)}}}}
	return &Ground{Model: m, Placement: qdq.Find(m, func(name string) bool { return name != "s" }), Whole: onnx.NewIndex(m), Folded: map[string]string{"before": "c"}}
}

// sections writes entries of version 0.6.1.
func sections(acts, params map[string]string) string {
	write := func(m map[string]string) string {
		var list []string
		for name, e := range m {
			list = append(list, `"`+name+`":[`+e+`]`)
		}
		return "{" + strings.Join(list, ",") + "}"
	}
	return `{"activation_encodings":` + write(acts) + `,"param_encodings":` + write(params) + `}`
}

func with(m map[string]string, name, entry string) map[string]string {
	c := map[string]string{}
	for k, v := range m {
		c[k] = v
	}
	if c[name] = entry; entry == "" {
		delete(c, name)
	}
	return c
}

func TestHowAFileAndAModelFit(t *testing.T) {
	t.Parallel()
	const e, f = `{"bitwidth":8,"scale":0.5,"offset":-3}`, `{"bitwidth":8,"scale":0.25,"offset":-3}`
	const s = `{"bitwidth":8,"is_symmetric":"True","scale":0.5,"offset":-128}`
	four := strings.Join([]string{s, s, s, s}, ",")
	acts := map[string]string{"x": e, "r": e, "y": e}
	params := map[string]string{"w": four, "m": s}
	for name, row := range map[string]struct {
		text   string
		kind   MisfitKind // "": all fits
		tensor string
	}{
		"all fits":                               {sections(acts, params), "", ""},
		"one for all channels":                   {sections(acts, with(params, "w", s)), "", ""},
		"what shares has the same":               {sections(with(with(acts, "p", e), "j", e), params), "", ""},
		"a float":                                {sections(with(acts, "r", `{"bitwidth":16,"dtype":"float"}`), params), "", ""},
		"a bias, too":                            {sections(acts, with(params, "b", four)), "", ""},
		"another name":                           {sections(with(acts, "/layer/Relu", e), params), Unknown, "/layer/Relu"},
		"too few channels":                       {sections(acts, with(params, "w", s+","+s+","+s)), Channels, "w"},
		"a bias with too many":                   {sections(acts, with(params, "b", four+","+s)), Channels, "b"},
		"a list for an activation":               {sections(with(acts, "r", e+","+e), params), Channels, "r"},
		"a weight among the activations":         {sections(with(acts, "w", four), with(params, "w", "")), WrongSection, "w"},
		"an activation among the weights":        {sections(with(acts, "r", ""), with(params, "r", e)), WrongSection, "r"},
		"none for a weight":                      {sections(acts, with(params, "w", "")), Lacking, "w"},
		"none for an input":                      {sections(with(acts, "x", ""), params), Lacking, "x"},
		"none for what is quantized behind Relu": {sections(with(acts, "r", ""), params), Lacking, "r"},
		"of what is folded":                      {sections(with(acts, "before", e), params), NotQuantized, "before"},
		"of integers":                            {sections(with(acts, "s", e), params), NotQuantized, "s"},
		"a MaxPool that rescales":                {sections(with(acts, "p", f), params), Unshared, "p"},
		"a Concat of unlike ones":                {sections(with(acts, "j", f), params), Unshared, "j"},
		"a MatMul per channel":                   {sections(acts, with(params, "m", s+","+s)), Unshared, "m"},
		"no encoding":                            {sections(with(acts, "r", `{"bitwidth":8,"scale":0,"offset":0}`), params), Broken, "r"},
		"a contradiction":                        {sections(with(acts, "r", `{"bitwidth":8,"scale":1,"offset":0,"min":0,"max":1}`), params), Contradictory, "r"},
		"the wrong axis":                         {`{"encodings":[{"name":"w","output_dtype":"int8","y_scale":[1,1,1],"axis":1}]}`, WrongAxis, "w"},
		"no such axis":                           {`{"encodings":[{"name":"w","output_dtype":"int8","y_scale":[1,1,1,1],"axis":7}]}`, WrongAxis, "w"},
		"an axis from behind":                    {`{"encodings":[{"name":"w","output_dtype":"int8","y_scale":[1,1,1,1],"axis":-4}]}`, Lacking, "m"},
		"blocks that do not divide":              {`{"encodings":[{"name":"m","output_dtype":"int4","y_scale":[[1,1]],"axis":0,"block_size":4}]}`, Channels, "m"},
		"blocks":                                 {`{"encodings":[{"name":"m","output_dtype":"int4","y_scale":[[1,1],[1,1]],"axis":0,"block_size":3}]}`, Lacking, "w"},
	} {
		file, err := Parse([]byte(row.text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		list := Fit(file, ground())
		if row.kind == "" {
			if len(list) > 0 {
				t.Errorf("%s: %+v", name, list)
			}
			continue
		}
		if !slices.ContainsFunc(list, func(m Misfit) bool { return m.Kind == row.kind && m.Tensor == row.tensor && m.Text != "" }) {
			t.Errorf("%s: %+v, want %s: %s", name, list, row.tensor, row.kind)
		}
		if !row.kind.Refused() && slices.ContainsFunc(list, func(m Misfit) bool { return m.Kind.Refused() }) {
			t.Errorf("%s is refused: %+v", name, list)
		}
	}
}

func TestTheNearestNameIsNamed(t *testing.T) {
	t.Parallel()
	f := &File{Tensors: map[string]Asked{"w.": {}}}
	list := Fit(f, ground())
	if i := slices.IndexFunc(list, func(m Misfit) bool { return m.Kind == Unknown }); i < 0 || !strings.Contains(list[i].Text, "did you mean w?") {
		t.Errorf("%+v", list)
	}
}
