package cli

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"quantcheck/internal/workspace"
)

// devicePage is what a page holds of devices.
type devicePage struct {
	Problems   []string `json:"problems"`
	Benchmarks []struct {
		Name    string   `json:"name"`
		Verdict string   `json:"verdict"`
		Said    []string `json:"said"`
		Run     int      `json:"run"`
		InRun   []int    `json:"inRun"`
		Layers  struct {
			Times []*float64 `json:"times"`
		} `json:"layers"`
		Watched struct {
			CPU   []*float64 `json:"cpu"`
			Bands []struct {
				Step string `json:"step"`
			} `json:"bands"`
		} `json:"watched"`
	} `json:"benchmarks"`
}

var pagesData = regexp.MustCompile(`id="data">([A-Za-z0-9+/=]+)<`)

// readPage reads the data of a workspace's page.
func readPage(t *testing.T, out string) devicePage {
	t.Helper()
	var p devicePage
	if err := json.Unmarshal(pageData(t, out), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// pageData unpacks it.
func pageData(t *testing.T, out string) []byte {
	t.Helper()
	html, err := os.ReadFile(workspace.Folder(out).Report())
	if err != nil {
		t.Fatal(err)
	}
	m := pagesData.FindSubmatch(html)
	if m == nil {
		t.Fatal("the page holds no data")
	}
	packed, err := base64.StdEncoding.DecodeString(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestABenchmarkIsOnThePage(t *testing.T) {
	t.Parallel()
	b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
	status, _, stderr := b.run(t, append([]string{"--name", "zoo", "--interval", "50ms"}, zooInput...)...)
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	check := func(where string) {
		t.Helper()
		p := readPage(t, b.out)
		if len(p.Benchmarks) != 1 || p.Benchmarks[0].Name != "zoo" {
			t.Fatalf("%s: %+v", where, p.Benchmarks)
		}
		one := p.Benchmarks[0]
		if !strings.HasPrefix(one.Verdict, "Device and emulated@htp agree") || !strings.Contains(one.Said[0], "inferences a second on the DSP") {
			t.Errorf("%s: %q %q", where, one.Verdict, one.Said)
		}
		joined, estimated, loads := 0, 0, 0
		for _, k := range one.InRun {
			if k >= 0 {
				joined++
			}
		}
		for _, v := range one.Layers.Times {
			if v != nil {
				estimated++
			}
		}
		for _, v := range one.Watched.CPU {
			if v != nil {
				loads++
			}
		}
		if one.Run < 0 || joined < 20 || estimated < 15 || loads == 0 || len(one.Watched.Bands) != 3 {
			t.Errorf("%s: run %d, %d layers of it, %d estimates, %d loads, steps %+v", where, one.Run, joined, estimated, loads, one.Watched.Bands)
		}
	}
	check("at the end of benchmark")
	damaged := filepath.Join(b.out, "models_dlc", "other", "benchmark.json")
	if err := workspace.WriteFile(damaged, []byte("{")); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := run(t, "report", b.out)
	if status != 0 || !strings.HasSuffix(strings.TrimSpace(stdout), ", 1 benchmark") || !strings.Contains(stderr, damaged) {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	check("by report")
	if p := readPage(t, b.out); len(p.Problems) != 1 || !strings.Contains(p.Problems[0], damaged) {
		t.Errorf("problems: %q", p.Problems)
	}
}
