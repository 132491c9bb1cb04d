package coco

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// evaluateInPython prints the numbers of every set in a folder, and all precisions and recalls.
const evaluateInPython = `
import contextlib, json, os, sys
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
folder, kind = sys.argv[1:3]
for i in range(int(sys.argv[3])):
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        gt = COCO(f"{folder}/{i}-gt.json")
        e = COCOeval(gt, gt.loadRes(f"{folder}/{i}-dt.json"), kind)
        e.evaluate(); e.accumulate(); e.summarize()
    flat = lambda name: e.eval[name].reshape(-1).tolist()
    print(json.dumps({"stats": e.stats.tolist(), "precision": flat("precision"), "scores": flat("scores"), "recall": flat("recall")}))
`

// TestPycocotoolsAgrees runs where QUANTCHECK_PYTHON names a Python that has pycocotools.
func TestPycocotoolsAgrees(t *testing.T) {
	python := os.Getenv("QUANTCHECK_PYTHON")
	if python == "" {
		return
	}
	const sets = 60
	for _, kind := range []Type{Boxes, Masks} {
		name := []string{"bbox", "segm"}[kind]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			var results []*Result
			for i := 0; len(results) < sets; i++ {
				rng := rand.New(rand.NewPCG(uint64(i), uint64(kind)))
				gt, dt := randomSet(rng, kind == Masks)
				if len(dt) == 0 || len(gt.Annotations) == 0 || kind == Masks && !likePycocotools(dt) {
					continue
				}
				r, err := Evaluate(gt, dt, DefaultParams(kind))
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(folder, fmt.Sprintf("%d-gt.json", len(results))), func(w *bytes.Buffer) error { return WriteDataset(w, gt) })
				write(t, filepath.Join(folder, fmt.Sprintf("%d-dt.json", len(results))), func(w *bytes.Buffer) error { return WriteResults(w, dt) })
				results = append(results, r)
			}
			cmd := exec.CommandContext(t.Context(), python, "-c", evaluateInPython, folder, name, strconv.Itoa(sets))
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
				var want struct {
					Stats                     [12]float64
					Precision, Scores, Recall []float64
				}
				if err := json.Unmarshal([]byte(line), &want); err != nil {
					t.Fatal(err)
				}
				r := results[i]
				if r.Stats != want.Stats {
					t.Errorf("set %d: %v, pycocotools has %v", i, r.Stats, want.Stats)
				}
				var precision, scores, recall []float64
				T, R, K, A, M := r.Shape()
				for n := range T * R * K * A * M {
					at, rec, k, a, m := n/(R*K*A*M), n/(K*A*M)%R, n/(A*M)%K, n/M%A, n%M
					precision, scores = append(precision, r.Precision(at, rec, k, a, m)), append(scores, r.Score(at, rec, k, a, m))
					if rec == 0 {
						recall = append(recall, r.Recall(at, k, a, m))
					}
				}
				if !slices.Equal(precision, want.Precision) || !slices.Equal(scores, want.Scores) || !slices.Equal(recall, want.Recall) {
					t.Errorf("set %d: arrays differ", i)
				}
			}
		})
	}
}

// likePycocotools says whether loadRes takes the detections: masks as compressed runs only.
func likePycocotools(dt []Annotation) bool {
	for i := range dt {
		s := dt[i].Segmentation
		if dt[0].Missing.Has(FieldBox) && (s == nil || s.Compressed == "") {
			if s == nil || s.Counts == nil {
				return false
			}
			m := Mask{s.Size[0], s.Size[1], s.Counts}
			dt[i].Segmentation = &Segmentation{Size: s.Size, Compressed: m.String()}
		}
	}
	return true
}

func write(t *testing.T, path string, fill func(w *bytes.Buffer) error) {
	t.Helper()
	var w bytes.Buffer
	if err := fill(&w); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, w.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
