// Package workspace is the folder in which results lie: the seed tool's layout of files, and a database of all runs.
package workspace

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/floatjson"
	"quantcheck/internal/variant"
)

// Folder is a workspace's root.
type Folder string

// Folders lists the folders of a workspace that files are written to, those that are there: where runs that are killed leave drafts.
func (f Folder) Folders() []string {
	list := []string{string(f)}
	for _, below := range []string{"results", "results/*", "models_onnx/*", "models_dlc/*", "data_raw/*", "raw_outputs", "processed_outputs/*"} {
		found, err := filepath.Glob(filepath.Join(Globbed(string(f)), filepath.FromSlash(below)))
		if err != nil {
			continue // the pattern is ours
		}
		for _, dir := range found {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				list = append(list, dir)
			}
		}
	}
	return list
}

// Globbed is a pattern that matches the path alone.
func Globbed(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// Database is the path of the results database.
func (f Folder) Database() string { return filepath.Join(string(f), "results", "quantcheck.db") }

// Unfinished is the folder of the states of runs that were interrupted.
func (f Folder) Unfinished() string { return filepath.Join(string(f), "results", "unfinished") }

// Report is the path of the page.
func (f Folder) Report() string { return filepath.Join(string(f), "results", "report.html") }

// Similarities is the path of the similarity file of a model's variant.
func (f Folder) Similarities(name, variantName string) string {
	return filepath.Join(string(f), "results", "similarities", fmt.Sprintf("%s-%s.csv", name, variantName))
}

// ModelONNX is the folder of an ONNX model, or of its variant if there is one: models_onnx/<name>[-<variant>].
func (f Folder) ModelONNX(name, variantName string) string {
	if variantName != "" {
		name += "-" + variantName
	}
	return filepath.Join(string(f), "models_onnx", name)
}

// ModelDLC is the folder of a DLC's files: models_dlc/<name>.
func (f Folder) ModelDLC(name string) string { return filepath.Join(string(f), "models_dlc", name) }

// Benchmark is the path of what a benchmark of a model found.
func (f Folder) Benchmark(name string) string {
	return filepath.Join(f.ModelDLC(name), "benchmark.json")
}

// RawInputs is the folder of a model's inputs as raw files: data_raw/<name>.
func (f Folder) RawInputs(name string) string { return filepath.Join(string(f), "data_raw", name) }

// RawOutputs is the folder of a model's outputs on a device: raw_outputs/raw_outputs_<name>.
func (f Folder) RawOutputs(name string) string {
	return filepath.Join(string(f), "raw_outputs", "raw_outputs_"+name)
}

// Processed is the folder of what a model's outputs were made into: processed_outputs/<name>.
func (f Folder) Processed(name string) string {
	return filepath.Join(string(f), "processed_outputs", name)
}

// Results is the path of a file in results/.
func (f Folder) Results(name string) string { return filepath.Join(string(f), "results", name) }

// ModelName is the name that a model's files get: what was asked for, else the file's name without its ending.
func ModelName(asked, path string) string {
	if asked == "" {
		base := filepath.Base(path)
		asked = base[:len(base)-len(filepath.Ext(base))]
	}
	if clean := variant.Clean(asked); clean != "." && clean != ".." {
		return clean
	}
	return "model"
}

// WriteFile writes a file as package file does: whole or not at all, and so that a power cut does not take it away again.
func WriteFile(path string, data []byte) error { return atomicfile.WriteBytes(path, data) }

// WriteFrom is WriteFile for content that is read.
func WriteFrom(path string, r io.Reader) error {
	return atomicfile.Write(path, func(f *os.File) error {
		_, err := io.Copy(f, r)
		return err
	})
}

// WriteJSON writes a value as indented JSON, its maps sorted; numbers that are none are null.
func WriteJSON(path string, value any) error {
	text, err := floatjson.Text(value, "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, text)
}
