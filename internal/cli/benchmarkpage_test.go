package cli

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"regexp"
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
