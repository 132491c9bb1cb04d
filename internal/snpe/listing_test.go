package snpe

import (
	"bytes"
	"encoding/csv"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
)

func read(t testing.TB, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(fixture.Beside(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func encoded(g *dlc.Graph) (list []*dlc.Tensor) {
	for i := range g.Tensors {
		if g.Tensors[i].Encoding != nil {
			list = append(list, &g.Tensors[i])
		}
	}
	return list
}

func TestRealListings(t *testing.T) {
	total, ungridded := 0, 0
	for _, c := range []struct {
		name                                string
		layers, encodings, inputs, outputs  int
		version, quantizer, graph, attrName string
	}{
		{"dlc-info_yolov5s_quantized.txt", 239, 376, 1, 1, "2.22.6.240515184619_92920", "no_weight_quantization=false", "yolov5s", "[[2, 2], [2, 2]]"},
		{"dlc-info_yolov8s_quantized.txt", 238, 379, 1, 1, "2.22.6.240515184619_92920", "no_weight_quantization=false", "yolov8s", "[[1, 1], [1, 1]]"},
	} {
		f, err := ReadListing(read(t, "snpe", c.name))
		if err != nil {
			t.Fatal(err)
		}
		g := &f.Graphs[0]
		list := encoded(g)
		if len(g.Nodes) != c.layers || len(list) != c.encodings || len(g.At(dlc.Input)) != c.inputs || len(g.At(dlc.Output)) != c.outputs || len(f.Notes) > 0 {
			t.Errorf("%s: %d layers, %d encodings, %d inputs, %d outputs, notes %v", c.name, len(g.Nodes), len(list), len(g.At(dlc.Input)), len(g.At(dlc.Output)), f.Notes)
		}
		if f.Metadata.ConverterVersion != c.version || !strings.Contains(f.Metadata.QuantizerCommand, c.quantizer) || g.Name != c.graph {
			t.Errorf("%s: %+v %s", c.name, f.Metadata.ConverterVersion, g.Name)
		}
		conv := g.Nodes[0]
		if i := slices.IndexFunc(conv.Attributes, func(a dlc.Attribute) bool { return a.Name == "pad_amount" }); i < 0 || conv.Attributes[i].Text != c.attrName || len(conv.Inputs) != 3 {
			t.Errorf("%s: %+v", c.name, conv)
		}
		for _, x := range list {
			e := x.Encoding
			total++
			// What SNPE's rules hold for every encoding, and what they hold for all but unions of ranges.
			scale := float64(e.Max[0]-e.Min[0]) / 255
			if math.Abs(scale-float64(e.Scale[0])) > 2e-6*scale+1e-12 || int32(math.Round(float64(e.Min[0])/float64(e.Scale[0]))) != e.Offset[0] {
				t.Errorf("%s: %s: %+v", c.name, x.Name, e)
			}
			if math.Abs(float64(e.Min[0])-float64(e.Scale[0])*float64(e.Offset[0])) > 1e-4*scale*math.Max(1, math.Abs(float64(e.Offset[0]))) {
				ungridded++
			}
		}
	}
	// 764 encodings are listed, some of a constant at each of its uses.
	if total != 755 || ungridded != 26 {
		t.Errorf("%d encodings, %d of them off their grid; 755 and 26 are known", total, ungridded)
	}
}

func TestListingsOfOtherKinds(t *testing.T) {
	f, err := ReadListing(read(t, "snpe", "tinygrad_dlc_info_2.txt"))
	if err != nil {
		t.Fatal(err)
	}
	g := &f.Graphs[0]
	if in, out := g.At(dlc.Input), g.At(dlc.Output); len(g.Nodes) != 101 || len(in) != 1 || !slices.Equal(in[0].Shape, []int{1, 224, 224, 3}) || len(out) != 1 || out[0].Name != "output" || f.Metadata.ConverterVersion != "1.61.0.3358" {
		t.Errorf("SNPE 1.61: %d nodes, %v %v, %s", len(g.Nodes), in, out, f.Metadata.ConverterVersion)
	}
	f, err = ReadListing(read(t, "snpe", "dlc-info_yolov5s_float_tail.md"))
	if err != nil {
		t.Fatal(err)
	}
	g = &f.Graphs[0]
	if len(encoded(g)) != 0 || len(g.At(dlc.Output)) != 1 || g.Tensor("output0").DType != 0x232 {
		t.Errorf("a float model: %d encodings, %v", len(encoded(g)), g.At(dlc.Output))
	}
}

// asCSV makes of a text what the tool's -s gives: the same rows without rules, free text in one cell.
func asCSV(t *testing.T, text []byte) []byte {
	t.Helper()
	records, err := split(text)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	for _, cells := range records {
		if len(cells) == 1 && (cells[0] == "" || strings.Trim(cells[0], "-=") == "") {
			continue
		}
		if err := w.Write(cells); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	return b.Bytes()
}

func TestCSVSaysTheSameAsText(t *testing.T) {
	f, err := dlc.Open(fixture.Path(t, "qnn", "yolox_nano_w8a8_per_channel.dlc"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var text bytes.Buffer
	if err := WriteListing(&text, f, figures("m.dlc")); err != nil {
		t.Fatal(err)
	}
	data := text.Bytes()
	a, err := ReadListing(data)
	if err != nil {
		t.Fatal(err)
	}
	table := asCSV(t, data)
	if !IsListing(table[:64]) || !IsListing(data[:64]) || IsListing([]byte("PK\x03\x04")) {
		t.Error("a listing is not known as one")
	}
	b, err := ReadListing(table)
	if err != nil {
		t.Fatal(err)
	}
	same(t, &a.Graphs[0], &b.Graphs[0], 0)
}

// same compares two graphs; numbers may be apart by so much.
func same(t *testing.T, a, b *dlc.Graph, apart float64) {
	t.Helper()
	if len(a.Nodes) != len(b.Nodes) {
		t.Fatalf("%d and %d nodes", len(a.Nodes), len(b.Nodes))
	}
	for i, n := range a.Nodes {
		m := b.Nodes[i]
		if n.Name != m.Name || n.Type != m.Type || !slices.Equal(n.Inputs, m.Inputs) || !slices.Equal(n.Outputs, m.Outputs) {
			t.Errorf("node %d: %+v, %+v", i, n, m)
		}
	}
	for i := range a.Tensors {
		x := &a.Tensors[i]
		y := b.Tensor(x.Name)
		if y == nil || x.DType != y.DType || x.Location != y.Location || !slices.Equal(x.Shape, y.Shape) || (x.Encoding == nil) != (y.Encoding == nil) {
			t.Errorf("tensor %+v, %+v", x, y)
			continue
		}
		if x.Encoding == nil {
			continue
		}
		e, f := x.Encoding, y.Encoding
		if e.Bits != f.Bits || e.Axis != f.Axis || !slices.Equal(e.Offset, f.Offset) || len(e.Scale) != len(f.Scale) {
			t.Errorf("tensor %s: %+v, %+v", x.Name, e, f)
			continue
		}
		for c := range e.Scale {
			if math.Abs(float64(e.Scale[c]-f.Scale[c])) > apart+1e-5*float64(e.Scale[c]) || math.Abs(float64(e.Min[c]-f.Min[c])) > apart {
				t.Errorf("tensor %s[%d]: %+v, %+v", x.Name, c, e, f)
			}
		}
	}
}

func figures(path string) Figures {
	return Figures{Path: path, Parameters: func(int) int64 { return 3488 }, MACs: func(int) int64 { return 353894400 }, Memory: 1 << 20}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	var paths []string
	for _, name := range []string{"zoo_w8a8_per_channel.dlc", "zoo_w4a8_per_channel.dlc", "zoo_w8a16_per_channel.dlc", "yolox_nano_w8a8_per_channel.dlc"} {
		paths = append(paths, fixture.Path(t, "qnn", name))
	}
	for _, name := range []string{"pose_landmark_lite_quantized.dlc", "joiner-epoch-4-avg-1.fix.dlc", "dmonitoring_model_q-5253e359.dlc"} {
		if path, ok := fixture.Also(t, "dlc", name); ok {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		f, err := dlc.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var b bytes.Buffer
		if err := WriteListing(&b, f, figures("a b.dlc")); err != nil {
			t.Fatal(err)
		}
		back, err := ReadListing(b.Bytes())
		if err != nil || len(back.Notes) > 0 {
			t.Fatal(err, back.Notes)
		}
		used := map[string]bool{}
		for _, n := range f.Graphs[0].Nodes {
			for _, name := range append(slices.Clone(n.Inputs), n.Outputs...) {
				used[name] = true
			}
		}
		f.Graphs[0].Tensors = slices.DeleteFunc(f.Graphs[0].Tensors, func(x dlc.Tensor) bool { return !used[x.Name] })
		same(t, &f.Graphs[0], &back.Graphs[0], 1e-6)
		if back.Metadata.ConverterCommand != f.Metadata.ConverterCommand || back.Metadata.ConverterVersion != f.Metadata.ConverterVersion {
			t.Errorf("%s: %+v", path, back.Metadata)
		}
		// The layout of the real text, line by line of its frame.
		for _, want := range []string{"DLC info of: a b.dlc\n", "| Id  | Name", "| Input Name ", "param count: 3k (", "MACs per inference: 353M (", "Note: The supported runtimes", "Total parameters: "} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q", path, want)
			}
		}
	}
}

// TestARealListingIsWrittenAsItWas reads a real listing and writes it again: every cell of the table of layers comes out as
// the tool wrote it, but for the runtimes.
func TestARealListingIsWrittenAsItWas(t *testing.T) {
	data := read(t, "snpe", "dlc-info_yolov5s_quantized.txt")
	f, err := ReadListing(data)
	if err != nil {
		t.Fatal(err)
	}
	g := &f.Graphs[0]
	elements := func(i int, kind string) (n int64) {
		if g.Nodes[i].Type != kind {
			return 0
		}
		for _, in := range g.Nodes[i].Inputs {
			if x := g.Tensor(in); x.Location == dlc.Static {
				n += x.Elements()
			}
		}
		return n
	}
	var b bytes.Buffer
	if err := WriteListing(&b, f, Figures{
		Path: "x", Parameters: func(i int) int64 { return elements(i, "Conv2d") },
		MACs: func(i int) int64 {
			if g.Nodes[i].Type != "Conv2d" {
				return 0
			}
			w, out := g.Tensor(g.Nodes[i].Inputs[1]), g.Tensor(g.Nodes[i].Outputs[0])
			return out.Elements() * w.Elements() / int64(w.Shape[3])
		},
	}); err != nil {
		t.Fatal(err)
	}
	rows := func(text []byte) (cells [][]string) {
		records, err := split(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if len(r) == 8 {
				cells = append(cells, slices.Delete(slices.Clone(r), 6, 7))
			}
		}
		return cells
	}
	want, got := rows(data), rows(b.Bytes())
	if len(want) != len(got) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	different := 0
	for i := range want {
		if !slices.Equal(want[i], got[i]) {
			if different++; different < 5 {
				t.Errorf("%q, want %q", got[i], want[i])
			}
		}
	}
	for _, line := range []string{"Total parameters: 7225885 (27 MB", "Total MACs per inference: 8216M (100%)\n", "Ops used by Graph: Concat, Conv2d, ElementWiseNeuron, Eltwise_Binary, Pool, Reshape, Resize, Split, Transpose\n"} {
		if !strings.Contains(b.String(), line) || !bytes.Contains(data, []byte(line)) {
			t.Errorf("no %q", line)
		}
	}
}

func TestThroughput(t *testing.T) {
	for text, want := range map[string]float64{
		throughputDSP: 1581.96, throughputGPU: 120.149,
		"Total throughput: 120 infs/sec": 120, "Total throughput: 1e+06 infs/sec     \n": 1e6,
	} {
		if got, ok := Throughput([]byte(text)); !ok || got != want {
			t.Errorf("%q: %v %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "Total throughput: x infs/sec", "Total throughput: 1e999 infs/sec"} {
		if got, ok := Throughput([]byte(text)); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestListingWithoutAllChannelsShowsNoNumbers(t *testing.T) {
	const listing = `DLC info of: m.dlc
| Id  | Name | Type   | Inputs                                                                        | Outputs                                                                | Out Dims | Runtimes | Parameters |
| 0   | c    | Conv2d | w (data type: sFxp_8; tensor dimension: [1,1,3,2]; tensor type: STATIC)       | y (data type: uFxp_8; tensor dimension: [1,4,4,2]; tensor type: NATIVE) | 1x4x4x2  | A D      | w encoding for channel_0: bitwidth 8, min -1.0, max 1.0, scale 0.0078125, offset 0.0 |
|     |      |        |                                                                               |                                                                        |          |          | axis-quant: axis: 3, num_elements: 2 (above encoding is only for the first (channel_0) of 2 channels) |
|     |      |        |                                                                               |                                                                        |          |          | y encoding : bitwidth 8, min 0.0, max nan, scale 0.5, offset 0.0 |
`
	f, err := ReadListing([]byte(listing))
	if err != nil || len(encoded(&f.Graphs[0])) != 0 || len(f.Notes) != 2 || !strings.Contains(strings.Join(f.Notes, "\n"), "only 1 of its 2 encodings") {
		t.Errorf("%v %v", err, f)
	}
}

func TestOtherTextsAreRefused(t *testing.T) {
	for _, text := range []string{"", "hello", "DLC info of: x", "Model Version: N/A\n| a | b |\n"} {
		if _, err := ReadListing([]byte(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

// shortListing is a listing of two layers, as SNPE 2.22 frames it.
const shortListing = `DLC info of: m.dlc
Model Version: N/A
Model Copyright: N/A
| Id  | Name | Type   | Inputs                                                       | Outputs                                                        | Out Dims | Runtimes | Parameters |
| 0   | a    | Conv2d | x (data type: uFxp_8; tensor dimension: [1,4,4,3]; tensor type: APP_WRITE) | y (data type: uFxp_8; tensor dimension: [1,4,4,2]; tensor type: NATIVE) | 1x4x4x2 | A D G C | x encoding : bitwidth 8, min 0.0, max 1.0, scale 0.0039, offset 0.0 |
| 1   | b    | Pool   | y (data type: uFxp_8; tensor dimension: [1,4,4,2]; tensor type: NATIVE) | z (data type: uFxp_8; tensor dimension: [1,2,2,2]; tensor type: APP_READ) | 1x2x2x2 | A D G C | pool_type: 0 |
Note: The supported runtimes column assumes a processor target of Snapdragon 855
`

func FuzzReadListing(f *testing.F) {
	f.Add([]byte(shortListing)) // the fuzzer is fast with short inputs only
	f.Add([]byte("Id,Name,Type,Inputs,Outputs,Out Dims,Runtimes,Parameters\n0,a,Conv2d,x,y,1x2,D,\"y encoding : bitwidth 8, min 0, max 1, scale 0.1, offset 0\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ReadListing(data)
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteListing(&b, file, figures("x")); err != nil {
			t.Fatal(err)
		}
	})
}
