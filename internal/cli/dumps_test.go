package cli

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qnn"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// dumped is what a board would have written: the QDQ model's tensors under the DLC's names, channels last.
type dumped struct {
	dir     string
	samples string
	dlc     string
	names   map[string]string // ONNX tensor → DLC tensor
}

// zooDumps runs the zoo's QDQ model on random samples and writes what snpe-net-run --debug writes of its DLC: float32, or
// the DLC's own integers.
func zooDumps(t *testing.T, count int, native bool) dumped {
	t.Helper()
	const model = "zoo_w8a8_per_channel"
	d := dumped{dir: t.TempDir(), samples: t.TempDir(), dlc: fixture.Path(t, "qnn", model+".dlc"), names: map[string]string{}}
	m, err := onnx.Load(fixture.Path(t, "qnn", model+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := dlc.Open(d.dlc)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x := onnx.NewIndex(m)
	var taps []string
	for _, n := range x.Nodes { // what a quantizer gives is what the DLC calls by the quantizer's name
		if n.GetOpType() != "DequantizeLinear" {
			continue
		}
		q := n.GetInput()[0]
		for _, name := range []string{q, strings.TrimSuffix(q, "_Output"), strings.TrimSuffix(q, "_QuantizeLinear_Output")} {
			if f.Graphs[0].Tensor(name) != nil && x.Initializer[q] == nil {
				d.names[n.GetOutput()[0]] = name
				taps = append(taps, n.GetOutput()[0])
			}
		}
	}
	r, err := ort.New(fixture.Runtime(t), m, ort.Options{Taps: taps})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	random := rand.New(rand.NewPCG(3, 3))
	for i := range count {
		image := tensor.Floats(make([]float32, 3*32*32), 1, 3, 32, 32)
		for k := range image.F32 {
			image.F32[k] = float32(random.NormFloat64())
		}
		writeRaw(t, filepath.Join(d.samples, fmt.Sprintf("%02d.raw", i)), image.F32)
		run := r.Start(runner.Sample{Inputs: map[string]tensor.Tensor{"image": image}})
		for range r.Segments() {
			batch, err := run.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, tap := range batch.Taps {
				name := d.names[tap.Name]
				values := channelsLast(tap.Tensor, f.Graphs[0].Tensor(name).Shape)
				path := filepath.Join(d.dir, fmt.Sprintf("Result_%d", i), name+".raw")
				if native {
					e := f.Graphs[0].Tensor(name).Encoding
					raw := make([]byte, len(values))
					for k, v := range values {
						raw[k] = byte(math.Round(float64(v)/float64(e.Scale[0])) - float64(e.Offset[0]))
					}
					writeBytes(t, path, raw)
				} else {
					writeRaw(t, path, values)
				}
			}
			batch.Release()
		}
	}
	return d
}

func writeBytes(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeRaw(t *testing.T, path string, values []float32) {
	t.Helper()
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	writeBytes(t, path, data)
}

// channelsLast puts NCHW values into the order of the DLC's shape, if that is another one.
func channelsLast(x tensor.Tensor, shape []int) []float32 {
	if len(x.Shape) != 4 || len(shape) != 4 || int(x.Shape[1]) == shape[1] && int(x.Shape[2]) == shape[2] && shape[1] != shape[2] {
		return append([]float32{}, x.F32...)
	}
	c, h, w := int(x.Shape[1]), int(x.Shape[2]), int(x.Shape[3])
	if shape[3] != c {
		return append([]float32{}, x.F32...)
	}
	out := make([]float32, len(x.F32))
	for i := range c {
		for p := range h * w {
			out[p*c+i] = x.F32[i*h*w+p]
		}
	}
	return out
}

type recordedCheck struct {
	Layers   []struct{ Name string }
	Variants []struct {
		Counts map[string]int
		Layers []struct {
			Status, Reason, Tap, Rule string
			Encoding                  *struct{ Scale float64 }
			Summary                   map[string]struct{ Mean float64 }
			Cycles                    *float64
		}
		Time *struct {
			Cycles int64
			Joined float64
		}
		Container *struct {
			Rules map[string]int
			Added []struct{ Tensor, Of string }
		}
	}
	Warnings []string
}

func checkRecorded(t *testing.T, args ...string) recordedCheck {
	t.Helper()
	status, stdout, stderr := run(t, append(append([]string{"check"}, args...), "--out", t.TempDir(), "--json")...)
	var c recordedCheck
	if err := json.Unmarshal([]byte(stdout), &c); status != 0 || err != nil {
		t.Fatalf("%d %v %s", status, err, stderr)
	}
	return c
}

// TestDumpsAreComparedAsTheModelTheyCameFrom holds a folder of raw outputs against the QDQ model that they were made with:
// every layer that both have gets the same numbers.
func TestDumpsAreComparedAsTheModelTheyCameFrom(t *testing.T) {
	t.Parallel()
	for _, native := range []bool{false, true} {
		d := zooDumps(t, 2, native)
		c := checkRecorded(t, fixture.Path(t, "qnn", "zoo.onnx"), "--images", d.samples,
			"--variant", "qdq="+fixture.Path(t, "qnn", "zoo_w8a8_per_channel.onnx"), "--variant", "board=dumps:"+d.dir+"@"+d.dlc)
		same := 0
		for k, layer := range c.Layers {
			a, b := c.Variants[0].Layers[k], c.Variants[1].Layers[k]
			if a.Status != "compared" {
				continue
			}
			same++
			for metric, x := range a.Summary {
				y, ok := b.Summary[metric]
				if !ok || math.Abs(x.Mean-y.Mean) > 1e-5*math.Max(1e-3, math.Abs(x.Mean)) {
					t.Errorf("native %v, %s: %s is %g as a model, %g as a dump: %+v", native, layer.Name, metric, x.Mean, y.Mean, b)
				}
			}
			if b.Encoding == nil || math.Abs(a.Encoding.Scale-b.Encoding.Scale) > 1e-6*a.Encoding.Scale {
				t.Errorf("%s: encodings %v and %v", layer.Name, a.Encoding, b.Encoding)
			}
		}
		if _, err := qnn.Find(""); err == nil { // then its time is estimated too
			if v := c.Variants[1].Time; v == nil || v.Cycles != zooCycles(t) || v.Joined < 0.5 || c.Variants[0].Time != nil {
				t.Errorf("time: %+v, %q", v, c.Warnings)
			}
		}
		if same < 19 || c.Variants[1].Container == nil || len(c.Variants[1].Container.Added) == 0 {
			t.Errorf("%d layers, %+v", same, c.Variants[1].Container)
		}
	}
}

func TestDamagedDumpsAreNamed(t *testing.T) {
	t.Parallel()
	d := zooDumps(t, 2, false)
	result := func(i int, tensor string) string {
		return filepath.Join(d.dir, fmt.Sprintf("Result_%d", i), d.names[tensor]+".raw")
	}
	var cut, gone, once string
	for onnxName := range d.names {
		switch {
		case strings.Contains(onnxName, "/conv2/Conv"):
			cut = onnxName
		case strings.Contains(onnxName, "/act/Sigmoid"):
			gone = onnxName
		case strings.Contains(onnxName, "/sub/Sub"):
			once = onnxName
		}
	}
	for i := range 2 {
		if err := os.Truncate(result(i, cut), 100); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(result(i, gone)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(result(1, once)); err != nil {
		t.Fatal(err)
	}
	c := checkRecorded(t, fixture.Path(t, "qnn", "zoo.onnx"), "--images", d.samples, "--variant", "board=dumps:"+d.dir+"@"+d.dlc)
	for k, layer := range c.Layers {
		l := c.Variants[0].Layers[k]
		switch layer.Name {
		case "/conv2/Conv_output_0":
			if l.Status != "not comparable" || !strings.Contains(l.Reason, "has 100 bytes") {
				t.Errorf("cut: %+v", l)
			}
		case "/act/Sigmoid_output_0":
			if l.Status != "not comparable" || !strings.Contains(l.Reason, "no file") {
				t.Errorf("gone: %+v", l)
			}
		case "/sub/Sub_output_0":
			if l.Status != "compared" || !strings.Contains(l.Reason, "1 of 2 samples") {
				t.Errorf("once: %+v", l)
			}
		}
	}
}

func TestDumpsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	d := zooDumps(t, 1, false)
	empty := t.TempDir()
	zoo := fixture.Path(t, "qnn", "zoo.onnx")
	for spec, says := range map[string]string{
		"a=dumps:" + d.dir:                "dumps:FOLDER@MODEL.dlc",
		"a=dumps:" + empty + "@" + d.dlc:  "holds no results",
		"a=dumps:/nowhere@" + d.dlc:       "no such file",
		"a=dumps:" + d.dir + "@/none.dlc": "no such file",
		"a=dumps:" + d.dir + "@" + zoo:    "not a DLC",
		"a=dumps:" + d.dir + "@x.dlc@htp": "no engine",
		"a=dumps:" + d.dir + "@" + fixture.Path(t, "qnn", "yolox_nano_w8a8_per_channel.dlc"): "another model",
	} {
		status, _, stderr := run(t, "check", zoo, "--images", d.samples, "--variant", spec, "--out", t.TempDir())
		if status != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%s: %d %s", spec, status, stderr)
		}
	}
	status, stdout, stderr := run(t, "check", zoo, "--images", d.samples, "--variant", "board=dumps:"+d.dir+"@"+d.dlc, "--out", empty)
	if status != 0 || !strings.Contains(stdout, "layers found") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
}

// zooCycles is how long the small network takes by the timeline that the compiler left when the fixtures were made.
func zooCycles(t *testing.T) int64 {
	t.Helper()
	data, err := os.ReadFile(fixture.Path(t, "qnn", "zoo_w8a8_per_channel.trace.json"))
	if err != nil {
		t.Fatal(err)
	}
	x, err := htpcost.ReadTrace(data)
	if err != nil {
		t.Fatal(err)
	}
	return x.Cycles
}
