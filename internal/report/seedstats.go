package report

import (
	"bytes"
	"cmp"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"quantcheck/internal/coco"
	"quantcheck/internal/floatjson"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/sheet"
)

// SeedResults writes what the seed's results/<model>.json holds: annotations, images, categories, and info, which is the
// DLC's info.json where there is one. Of tasks without boxes the first three are empty; info names the folder of masks.
func SeedResults(e *result.Evaluation, m *result.EvalModel, info map[string]any, masks string) ([]byte, error) {
	if info == nil {
		info = map[string]any{}
	}
	info["model_name"], info["gt_labels"] = m.File, e.Spec.Data
	info["FPS"] = -1
	if m.FPS.OK {
		info["FPS"] = m.FPS.V
	}
	if masks != "" {
		info["predictions_dir"] = filepath.ToSlash(masks)
	}
	text, err := floatjson.Marshal(info)
	if err != nil {
		return nil, err
	}
	d := coco.Dataset{Info: text}
	if e.Truth != nil {
		d.Images, d.Categories, d.Annotations = e.Truth.Images, e.Truth.Categories, m.Annotations
	}
	var b bytes.Buffer
	err = coco.WriteDataset(&b, &d)
	return b.Bytes(), err
}

// seedColumns are the columns of the seed's results/results.csv, by task; the first of the metrics is what it sorts by.
var seedColumns = map[result.Task][]string{
	result.Detection:    {"model_name", "mAP-FPS score", "mAP@[IoU=0.50:0.95]", "AR@[IoU=0.50:0.95]", "Avg_confidence", "FPS"},
	result.Segmentation: {"model_name", "fscore", "precision", "recall", "accuracy", "FPS"},
	result.Depth:        {"model_name", "RMSE", "FPS", "RMSE-FPS score"},
}

// SeedStatistics writes the seed's results.csv of all models of a task: its columns, its rounding to four decimals, its
// order. An FPS that was not measured is −1; the scores that need it are then those of the seed if no model's was measured
// (it cancels out), else empty. ok is false for tasks that the seed does not have.
func SeedStatistics(task result.Task, list []*result.Evaluation) (data []byte, ok bool) {
	columns, ok := seedColumns[task]
	if !ok {
		return nil, false
	}
	type row struct {
		cells []string
		by    float64
	}
	models := latest(task, list)
	fastest := -1.0
	for _, m := range models {
		if m.model.FPS.OK {
			fastest = max(fastest, m.model.FPS.V)
		}
	}
	var rows []row
	for _, m := range models {
		fps, withFPS := metric.Defined(-1), metric.Value{}
		if m.model.FPS.OK {
			fps = m.model.FPS
		}
		if first := m.score(0); first.OK && (m.model.FPS.OK || fastest < 0) {
			withFPS = metric.Defined(first.V * fps.V / fastest)
		}
		var cells []metric.Value
		switch task {
		case result.Detection:
			cells = []metric.Value{withFPS, m.byKey("mAP"), m.byKey("AR100"), m.byKey("confidence"), fps}
		case result.Segmentation:
			cells = []metric.Value{m.byKey("fscore"), m.byKey("precision"), m.byKey("recall"), m.byKey("accuracy"), fps}
		default:
			cells = []metric.Value{m.byKey("RMSE"), fps, withFPS}
		}
		r := row{[]string{m.model.File}, cells[0].V}
		if !cells[0].OK {
			r.by = math.Inf(-1)
		}
		for _, c := range cells {
			r.cells = append(r.cells, rounded4(c))
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(b.by, a.by) })
	var b bytes.Buffer
	w := sheet.NewWriter(&b)
	_ = w.Write(columns) // a buffer takes everything
	for _, r := range rows {
		_ = w.Write(r.cells)
	}
	_ = w.Flush()
	return b.Bytes(), true
}

func rounded4(v metric.Value) string {
	if !v.OK {
		return ""
	}
	text := strconv.FormatFloat(math.Round(v.V*1e4)/1e4, 'f', -1, 64)
	if math.Trunc(v.V) == v.V && v.V >= 0 { // as pandas writes a column of floats
		text = strconv.FormatFloat(v.V, 'f', 1, 64)
	}
	return text
}

// scored is a model with the evaluation that scored it.
type scored struct {
	e     *result.Evaluation
	model *result.EvalModel
}

func (s scored) score(k int) metric.Value { return s.model.Scores[k] }

func (s scored) byKey(key string) metric.Value {
	for k, c := range s.e.Columns {
		if c.Key == key {
			return s.model.Scores[k]
		}
	}
	return metric.Value{}
}

// latest lists every model once, as its last evaluation of the task has it, in the order of their names.
func latest(task result.Task, list []*result.Evaluation) []scored {
	at := map[string]int{}
	var models []scored
	for _, e := range list {
		if e.Task != task {
			continue
		}
		for i := range e.Models {
			s := scored{e, &e.Models[i]}
			if k, known := at[s.model.File]; known {
				models[k] = s
				continue
			}
			at[s.model.File] = len(models)
			models = append(models, s)
		}
	}
	slices.SortFunc(models, func(a, b scored) int { return cmp.Compare(a.model.File, b.model.File) })
	return models
}

// PerLayerComparison writes the seed's per_layer_comparison.csv: the layers of the model that has most, with each model's
// cycles, 0 where a model does not have the layer.
func PerLayerComparison(list []*result.Cycles) []byte {
	var b bytes.Buffer
	w := sheet.NewWriter(&b)
	header := []string{"layer_name"}
	var most *result.Cycles
	for _, c := range list {
		header = append(header, c.Model)
		if most == nil || len(c.Layers) > len(most.Layers) {
			most = c
		}
	}
	_ = w.Write(header) // a buffer takes everything
	if most != nil {
		for _, l := range most.Layers {
			row := []string{l.Name}
			for _, c := range list {
				cycles := 0.0
				for _, other := range c.Layers {
					if other.Name == l.Name {
						cycles = other.Mean
						break
					}
				}
				row = append(row, strconv.FormatInt(int64(cycles), 10))
			}
			_ = w.Write(row)
		}
	}
	_ = w.Flush()
	return b.Bytes()
}
