package dlc

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
)

func open(t testing.TB, elem ...string) *File {
	t.Helper()
	return opened(t, fixture.Path(t, elem...))
}

func openBeside(t testing.TB, elem ...string) *File {
	t.Helper()
	return opened(t, fixture.Beside(t, elem...))
}

func opened(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestWhatAnIndependentReaderFound(t *testing.T) {
	for _, name := range []string{"pose_landmark_lite_quantized", "joiner-epoch-4-avg-1.fix", "QNNExecutionProvider_QNNExecutionProvider_11142297670459488311_0_0"} {
		data, err := os.ReadFile(fixture.Beside(t, "dlc", "golden", name+".dlc.json"))
		if err != nil {
			t.Fatal(err)
		}
		var want struct {
			Version []int
			Params  string `json:"params_ident"`
			Members [][]any
			Graphs  []struct {
				Name     string
				NNodes   int `json:"n_nodes"`
				NTensors int `json:"n_tensors"`
				NStatic  int `json:"n_static"`
				NEncoded int `json:"n_encoded"`
				Inputs   []string
				Outputs  []string
				Nodes    []struct {
					Name, Type      string
					Inputs, Outputs []string
					Attrs           map[string]any
					AttrTensors     map[string]string `json:"attr_tensors"`
				}
				Tensors []map[string]any
			}
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		f := openBeside(t, "dlc", name+".dlc")
		if f.Major != want.Version[0] || f.Minor != want.Version[1] || len(f.Members) != len(want.Members) || len(f.Graphs) != len(want.Graphs) || len(f.Notes) > 0 {
			t.Fatalf("%s: version %d.%d, %d members, %d graphs, notes %v", name, f.Major, f.Minor, len(f.Members), len(f.Graphs), f.Notes)
		}
		g, w := &f.Graphs[0], want.Graphs[0]
		encoded := 0
		for _, x := range g.Tensors {
			if x.Encoding != nil {
				encoded++
			}
		}
		names := func(list []*Tensor) (names []string) {
			for _, x := range list {
				names = append(names, x.Name)
			}
			return names
		}
		if g.Name != w.Name || len(g.Nodes) != w.NNodes || len(g.Tensors) != w.NTensors || len(g.At(Static)) != w.NStatic || encoded != w.NEncoded ||
			!slices.Equal(names(g.At(Input)), w.Inputs) || !slices.Equal(names(g.At(Output)), w.Outputs) {
			t.Fatalf("%s: %s, %d nodes, %d tensors, %d static, %d encoded, %v -> %v", name, g.Name, len(g.Nodes), len(g.Tensors), len(g.At(Static)), encoded, names(g.At(Input)), names(g.At(Output)))
		}
		for i, n := range g.Nodes {
			if n.Name != w.Nodes[i].Name || n.Type != w.Nodes[i].Type || !slices.Equal(n.Inputs, w.Nodes[i].Inputs) || !slices.Equal(n.Outputs, w.Nodes[i].Outputs) || len(n.Attributes) != len(w.Nodes[i].Attrs) {
				t.Errorf("%s: node %d: %+v, want %+v", name, i, n, w.Nodes[i])
			}
			for _, a := range n.Attributes {
				if a.Tensor == nil {
					continue
				}
				values, err := f.Data(a.Tensor)
				if got := hex.EncodeToString(asGolden(values, want.Params)); err != nil || got != w.Nodes[i].AttrTensors[a.Tensor.Name] {
					t.Errorf("%s: %s: %v %s, want %s", name, a.Tensor.Name, err, got, w.Nodes[i].AttrTensors[a.Tensor.Name])
				}
			}
		}
		for i := range g.Tensors {
			compareGolden(t, f, &g.Tensors[i], w.Tensors[i], want.Params)
		}
	}
}

// asGolden gives values as the golden files have them. Their reader took the length of a buffer in an NR64 record, which has 64
// bits, for one of 32, so that they begin with its second half and lack their last four bytes.
func asGolden(values []byte, params string) []byte {
	if params != "NR64" {
		return values
	}
	return append(make([]byte, 4), values...)[:len(values)]
}

// Values of files by SNPE 2 stand where they should: what has to be a permutation is one, and what has two equal halves has.
func TestValuesInLongBuffersBeginBehindTheirLength(t *testing.T) {
	f := openBeside(t, "dlc", "pose_landmark_lite_quantized.dlc")
	seen := map[string]int{}
	for _, n := range f.Graphs[0].Nodes {
		for _, name := range []string{"perm", "stride", "dilation"} {
			values, ok := f.Ints(n, name)
			if !ok {
				continue
			}
			seen[name]++
			sorted := slices.Sorted(slices.Values(values))
			if name == "perm" && !slices.Equal(sorted, []int{0, 1, 2, 3}) || name != "perm" && (len(values) != 2 || values[0] != values[1] || values[0] < 1) {
				t.Errorf("%s: %s is %v", n.Name, name, values)
			}
		}
	}
	if seen["perm"] != 6 || seen["stride"] != 84 || seen["dilation"] != 82 {
		t.Errorf("%v", seen)
	}
}

// compareGolden compares a tensor with what stands in the golden file, whatever of it stands there.
func compareGolden(t *testing.T, f *File, x *Tensor, want map[string]any, params string) {
	t.Helper()
	shape := []any{}
	for _, d := range x.Shape {
		shape = append(shape, float64(d))
	}
	if want["name"] != x.Name || want["id"] != float64(x.ID) || want["loc"] != float64(x.Location) || want["axis_fmt"] != float64(x.AxisFormat) ||
		want["dtype"] != x.DType.String() || want["src_dtype"] != x.SourceDType.String() || !equalJSON(want["shape"], shape) {
		t.Errorf("%v: %s %v", want, x.Name, x.Shape)
	}
	if e, ok := want["enc"].(map[string]any); ok {
		if x.Encoding == nil {
			t.Fatalf("%s has no encoding", x.Name)
		}
		for key, got := range map[string]float64{"scale": float64(x.Encoding.Scale[0]), "offset": float64(x.Encoding.Offset[0]), "min": float64(x.Encoding.Min[0]), "max": float64(x.Encoding.Max[0]), "bw": float64(x.Encoding.Bits)} {
			v, ok := e[key].(float64)
			if !ok {
				t.Fatalf("%s: the golden encoding has no %s", x.Name, key)
			}
			if math.Abs(v-got) > 1e-6*math.Max(math.Abs(v), 1e-6) {
				t.Errorf("%s: %s is %g, want %g", x.Name, key, got, v)
			}
		}
	}
	if prefix, ok := want["data_sha256_16"].(string); ok != (x.Location == Static) {
		t.Errorf("%s: location %d, weights in the golden file: %v", x.Name, x.Location, ok)
	} else if ok {
		data, err := f.Data(x)
		sum := sha256.Sum256(asGolden(data, params))
		if err != nil || !strings.HasPrefix(hex.EncodeToString(sum[:]), prefix) {
			t.Errorf("%s: weights %x, want %s: %v", x.Name, sum[:8], prefix, err)
		}
	}
}

func equalJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y) || string(x) == "null"
}

// expected are scale and zero point of every Q and DQ node of a model, by the tensor's name in a DLC that was written from it.
func expected(t *testing.T, path string) map[string]struct {
	scales []float32
	zeros  []int64
} {
	t.Helper()
	m, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	x := onnx.NewIndex(m)
	list := map[string]struct {
		scales []float32
		zeros  []int64
	}{}
	for _, n := range x.Nodes {
		of := ""
		switch n.GetOpType() {
		case "QuantizeLinear":
			of = n.GetOutput()[0]
		case "DequantizeLinear":
			of = n.GetInput()[0]
		}
		if of == "" {
			continue
		}
		s, err := m.Tensor(x.Initializer[n.GetInput()[1]])
		if err != nil {
			t.Fatal(err)
		}
		e := list[of]
		e.scales, _ = s.AsFloat32()
		if len(n.GetInput()) > 2 {
			z, err := m.Tensor(x.Initializer[n.GetInput()[2]])
			if err != nil {
				t.Fatal(err)
			}
			e.zeros, _ = z.Ints()
		}
		list[of] = e
	}
	return list
}

func TestEncodingsAreThoseOfTheModelBeside(t *testing.T) {
	for _, name := range []string{"zoo_w8a8_per_tensor", "zoo_w8a8_per_channel", "zoo_w8a16_per_channel", "zoo_w16a16_per_tensor", "zoo_w4a8_per_channel", "yolox_nano_w8a8_per_channel", "yolox_nano_w8a16_per_channel"} {
		f := open(t, "qnn", name+".dlc")
		if len(f.Notes) > 0 {
			t.Errorf("%s: %v", name, f.Notes)
		}
		want := expected(t, fixture.Path(t, "qnn", name+".onnx"))
		found := CheckEncodings(t, f, func(tensor string) ([]float32, []int64, bool) {
			e, ok := want[tensor]
			for _, ending := range []string{"_Output", "_QuantizeLinear_Output"} {
				if !ok {
					e, ok = want[tensor+ending]
				}
			}
			if !ok && strings.HasSuffix(tensor, "_transpose") {
				e, ok = want[strings.TrimSuffix(tensor, "_transpose")]
			}
			return e.scales, e.zeros, ok
		})
		// A Reshape at the end takes its input's and its output's tensor into one.
		if found < len(want)-2 {
			t.Errorf("%s: only %d of %d quantized tensors are in the DLC", name, found, len(want))
		}
		t.Logf("%s: %d of %d", name, found, len(want))
	}
}

// CheckEncodings compares the encodings of a DLC's tensors with scales and zero points, and gives how many were compared.
func CheckEncodings(t *testing.T, f *File, of func(tensor string) ([]float32, []int64, bool)) int {
	t.Helper()
	found := 0
	for _, x := range f.Graphs[0].Tensors {
		scales, zeros, ok := of(x.Name)
		if !ok || x.Encoding == nil {
			continue
		}
		found++
		if len(x.Encoding.Scale) != len(scales) {
			t.Errorf("%s: %d encodings, want %d", x.Name, len(x.Encoding.Scale), len(scales))
			continue
		}
		for c, s := range scales {
			zero := int64(0)
			if c < len(zeros) {
				zero = zeros[c]
			}
			if math.Abs(float64(x.Encoding.Scale[c]-s)) > 1e-6*float64(s) || int64(x.Encoding.Offset[c]) != -zero {
				t.Errorf("%s[%d]: scale %g offset %d, want %g and %d", x.Name, c, x.Encoding.Scale[c], x.Encoding.Offset[c], s, -zero)
			}
		}
	}
	return found
}

func TestEveryFixtureIsReadOrRefusedByName(t *testing.T) {
	for name, want := range map[string]struct{ nodes, encoded int }{
		"test_abs.dlc": {2, 0}, "test_abs_q.dlc": {2, 2}, "test_concat_2d_axis_0.dlc": {0, 0}, "test_split_equal_parts_2d.dlc": {0, 0},
		"dmonitoring_model_q-5253e359.dlc": {0, 20}, "dmonitoring_model_q-03f82c57.dlc": {0, 0}, "deeplabv3_hta_v1_0.dlc": {0, 0},
	} {
		f := openBeside(t, "dlc", name)
		encoded := 0
		for _, x := range f.Graphs[0].Tensors {
			if x.Encoding != nil {
				encoded++
			}
		}
		t.Logf("%s: %d.%d %s, %d nodes, %d tensors, %d encoded, caches %v, notes %v", name, f.Major, f.Minor, f.Metadata.ConverterVersion, len(f.Graphs[0].Nodes), len(f.Graphs[0].Tensors), encoded, f.Caches(), f.Notes)
		if f.Major != 3 || len(f.Graphs[0].Nodes) < max(want.nodes, 2) || encoded < want.encoded || want.encoded == 0 && encoded > 0 {
			t.Errorf("%s: version %d, %d nodes, %d encoded", name, f.Major, len(f.Graphs[0].Nodes), encoded)
		}
	}
	if _, err := Open(fixture.Beside(t, "dlc", "monitoring_model-0b9f8060.dlc")); !errors.Is(err, ErrVersion2) {
		t.Errorf("version 2: %v", err)
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	truncations(t, 2000)
}

// truncations reads every file of the fixtures cut at every 64th byte, a large one at so many places. make slow cuts large ones at all.
func truncations(t *testing.T, places int) {
	t.Helper()
	folders, paths := []string{fixture.Path(t, "qnn")}, []string(nil)
	if folder, ok := fixture.Also(t, "dlc"); ok {
		folders = append(folders, folder)
	}
	for _, folder := range folders {
		found, err := filepath.Glob(filepath.Join(folder, "*.dlc"))
		if err != nil || len(found) == 0 {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		step := max(64, len(data)/places|1)
		for n := 0; n < len(data); n += step {
			measured := n%(step*512) == 0 // looking at memory stops the world
			if measured {
				runtime.ReadMemStats(&before)
			}
			if _, err := Read(bytes.NewReader(data[:n]), int64(n)); err == nil {
				t.Errorf("%s cut at %d is read", path, n)
			}
			if measured {
				runtime.ReadMemStats(&after)
				if made := after.TotalAlloc - before.TotalAlloc; made > uint64(n)+1<<20 {
					t.Errorf("%s cut at %d: %d bytes were allocated", path, n, made)
				}
			}
		}
	}
}

// readAll reads what can be read.
func readAll(data []byte) {
	f, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return
	}
	for g := range f.Graphs {
		for i := range f.Graphs[g].Tensors {
			_, _ = f.Data(&f.Graphs[g].Tensors[i])
		}
		for _, n := range f.Graphs[g].Nodes {
			for _, a := range n.Attributes {
				if a.Tensor != nil {
					_, _ = f.Data(a.Tensor)
				}
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	paths := []string{fixture.Path(f, "qnn", "zoo_w8a8_per_tensor.dlc")}
	for _, name := range []string{"test_abs_q.dlc", "QNNExecutionProvider_QNNExecutionProvider_11142297670459488311_0_0.dlc", "test_concat_2d_axis_0.dlc"} {
		if path, ok := fixture.Also(f, "dlc", name); ok {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		started := time.Now()
		readAll(data)
		runtime.ReadMemStats(&after)
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("%v for %d bytes", took, len(data))
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > 2000*uint64(len(data))+64<<20 {
			t.Errorf("%d bytes were allocated for %d", made, len(data))
		}
	})
}

// TestALargeDLCIsOpenedFastAndSmall repeats the weights of a fixture until the file has over 100 MB.
func TestALargeDLCIsOpenedFastAndSmall(t *testing.T) {
	small := open(t, "qnn", "yolox_nano_w8a8_per_channel.dlc")
	path := filepath.Join(t.TempDir(), "large.dlc")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(out)
	for name, member := range small.members {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, member.Size())
		if _, err := member.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		for written := 0; ; {
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			if written += len(data); name != "model.params" || written > 100<<20 {
				break
			}
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	started := time.Now()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	took := time.Since(started)
	weight := f.Graphs[0].At(Static)[5]
	data, err := f.Data(weight)
	runtime.ReadMemStats(&after)
	if err != nil || int64(len(data)) != weight.Bytes() {
		t.Errorf("%s: %d bytes, %v", weight.Name, len(data), err)
	}
	t.Logf("opened in %v, %d KiB allocated, one weight of %d bytes included", took, (after.TotalAlloc-before.TotalAlloc)>>10, len(data))
	if took > 2*time.Second || after.TotalAlloc-before.TotalAlloc > 20<<20 { // 1 to 7 ms on a quiet machine
		t.Errorf("it took %v and %d bytes", took, after.TotalAlloc-before.TotalAlloc)
	}
}
