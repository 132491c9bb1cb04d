package htp

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

func TestTheTimeOfUnrollingGrowsWithStepsAndWeights(t *testing.T) {
	t.Parallel()
	type layer struct {
		op, direction          string
		length, hidden, inputs int64
	}
	for name, c := range map[string]struct {
		layers      []layer
		steps       int64
		least, most time.Duration
	}{
		"none":                   {nil, 0, 0, 0},
		"a large one, both ways": {[]layer{{"LSTM", "bidirectional", 32, 512, 512}}, 64, 15 * time.Second, 25 * time.Second},
		"a small one":            {[]layer{{"LSTM", "forward", 40, 128, 128}}, 40, 4 * time.Second, 6 * time.Second},
		"one step":               {[]layer{{"GRU", "forward", 1, 128, 128}}, 1, 0, time.Second},
		"two":                    {[]layer{{"GRU", "reverse", 3, 8, 8}, {"RNN", "bidirectional", 5, 8, 8}}, 13, time.Second, 2 * time.Second},
		"an unknown length":      {[]layer{{"LSTM", "forward", -1, 8, 8}}, 1, 0, time.Second},
	} {
		shapes := map[string][]int64{}
		g := &onnxpb.GraphProto{}
		for k, l := range c.layers {
			x, directions := string(rune('a'+k)), int64(1)
			if l.direction == "bidirectional" {
				directions = 2
			}
			shapes[x], shapes[x+"w"], shapes[x+"r"] = []int64{l.length, 1, l.inputs}, []int64{directions, 4 * l.hidden, l.inputs}, []int64{directions, 4 * l.hidden, l.hidden}
			g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String(l.op), Input: []string{x, x + "w", x + "r"}, Output: []string{x + "y"}, Attribute: []*onnxpb.AttributeProto{
				{Name: proto.String("direction"), Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte(l.direction)},
			}})
		}
		m := &onnx.Model{Proto: &onnxpb.ModelProto{Graph: g}}
		shape := func(name string) ([]int64, bool) { s, ok := shapes[name]; return s, ok }
		steps, each := Unrolled(m, shape)
		if steps != c.steps || each < c.least || each > c.most {
			t.Errorf("%s: %d steps, %v", name, steps, each)
		}
		if said := Announced(m, shape, 2); (said != "") != (each >= worthSaying) || said != "" && !strings.Contains(said, "each of 2 graphs") {
			t.Errorf("%s: %q", name, said)
		}
	}
}
