package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/fixture"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

// BenchmarkOverhead measures what the command takes besides the tools' own time, for all steps of yolox_nano's DLC and 16 pictures, over
// sshd, against a board whose inferences are kept from a run before: it hands out 590 tensors of each picture as fast as files are
// read, so that all that the comparison takes is overhead, where a real board computes meanwhile. The figure of the project is 2 s.
func BenchmarkOverhead(b *testing.B) {
	fixture.Runtime(b)
	cache := filepath.Join(b.TempDir(), "cache")
	d := newBenchCached(b, cache, "qnn", "yolox_nano_w8a8_per_channel.dlc")
	d.model[3] = fixture.Path(b, "models", "yolox_nano.onnx")
	once := func(name string) (wall, tools float64, steps string) {
		var stdout, stderr bytes.Buffer
		began := time.Now()
		args := d.args("--name", name, "--limit", "16", "--no-emulate", "--no-save-tensors", "--duration", "1", "--repeats", "3", "--input-color", "bgr", "--resize", "letterbox", "--pad-position", "bottom-right")
		if status := Run(b.Context(), args, strings.NewReader(""), &stdout, &stderr); status != 0 {
			b.Fatalf("%d %s", status, stderr.String())
		}
		wall = time.Since(began).Seconds()
		found, err := workspace.ReadBenchmark(workspace.Folder(d.out), name)
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range result.Steps {
			tools += found.Steps[s].ToolSeconds
		}
		return wall, tools, strings.Join(stepTimes(found), ", ")
	}
	once("warm")
	var wall, tools float64
	for i := 0; b.Loop(); i++ {
		w, t, steps := once(string(rune('a' + i)))
		b.Logf("%.2f s, of which tools %.2f s: %s", w, t, steps)
		wall, tools = wall+w, tools+t
	}
	n := float64(b.N)
	b.ReportMetric(tools/n, "tools-s")
	b.ReportMetric((wall-tools)/n, "overhead-s")
}

func stepTimes(found *result.Benchmark) (list []string) {
	for _, s := range result.Steps {
		d := found.Steps[s]
		list = append(list, string(s)+" "+time.Duration(d.Seconds*float64(time.Second)).Round(10*time.Millisecond).String()+" ("+time.Duration(d.ToolSeconds*float64(time.Second)).Round(10*time.Millisecond).String()+")")
	}
	return list
}
