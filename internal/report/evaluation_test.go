package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

func values(list ...float64) (v []metric.Value) {
	for _, x := range list {
		v = append(v, metric.Defined(x))
	}
	return v
}

// evaluation is one of a detector in two variants, the second of which was measured on a device.
func evaluation() *result.Evaluation {
	return &result.Evaluation{
		Name: "m", Task: result.Detection, Columns: []result.Column{{Key: "mAP", Higher: true}, {Key: "AR100"}, {Key: "confidence"}}, Classes: []string{"cat", "dog", "bird"},
		Data: "48 pictures", Reading: "yolox", Problems: []string{"a picture is absent"}, Warnings: []string{"few pictures"},
		Models: []result.EvalModel{
			{Name: "float", File: "m", Scores: values(0.4, 0.5, 0.6), ByClass: values(0.5, 0.4, 0.3), Bytes: 2 << 20},
			{
				Name: "w8a8", File: "m-w8a8", Scores: values(0.3, 0.45, 0.55), Drop: metric.Defined(0.1), ByClass: values(0.2, 0.3, 0.4), FPS: metric.Defined(250),
				Agree: result.Agree{Share: metric.Defined(0.75), Kept: 3, Lost: 2, New: 1, SQNR: metric.Defined(20), Cos: metric.Defined(0.99)},
			},
			{Name: "w8a16", File: "m-w8a16", Scores: values(0.39, 0.5, 0.6), Drop: metric.Defined(0.01), ByClass: values(0.5, 0.4, 0.3), FPS: metric.Defined(125)},
		},
	}
}

func TestTheVerdictOfAnEvaluation(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(e *result.Evaluation)
		want   string
	}{
		"variants":          {func(*result.Evaluation) {}, "mAP: float 0.4000; w8a8 has 0.3000, 75 % of float's (poor); w8a16 has 0.3900, 97.5 % of float's (fair)."},
		"float alone":       {func(e *result.Evaluation) { e.Models = e.Models[:1] }, "float: mAP 0.4000."},
		"no score":          {func(e *result.Evaluation) { e.Models = e.Models[:2]; e.Models[1].Scores[0] = metric.Value{} }, "mAP: float 0.4000; w8a8 has no mAP."},
		"no score of float": {func(e *result.Evaluation) { e.Models = e.Models[:2]; e.Models[1].Drop = metric.Value{} }, "mAP: float 0.4000; w8a8 has mAP 0.3000."},
		"less is better":    {func(e *result.Evaluation) { e.Models = e.Models[:2]; e.Columns[0].Higher = false }, "mAP: float 0.4000; w8a8 has 0.3000."},
		"agreement in decibels": {func(e *result.Evaluation) {
			e.Models = e.Models[:2]
			e.Task = result.Agreement
			e.Models[1].Scores[0].V = 31.5
		}, "w8a8 keeps 31.50 dB against float."},
	} {
		e := evaluation()
		row.change(e)
		if got := ScoreVerdict(e); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

func TestAnEvaluationIsDrawn(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	Evaluation(&b, evaluation())
	for _, want := range []string{
		"75.0 %", "2.00", "250.0", "3 are as in float, 0 moved, 0 have another class, 2 are lost, 1 are new", "The worst output keeps 20.00 dB", "w8a8 loses most in cat −0.300, dog −0.100.",
		"a picture is absent", "few pictures", "yolox",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	e := evaluation()
	e.Models[1].Drop, e.Models[2].Drop = metric.Defined(-0.1), metric.Value{}
	if got := ClassDrops(e, 5); got != "" {
		t.Errorf("nothing drops, and it says %q", got)
	}
	b.Reset()
	Statistics(&b, []*result.Evaluation{evaluation(), {Task: result.Depth, Columns: []result.Column{{Key: "RMSE"}}, Models: []result.EvalModel{{File: "depth", Scores: values(3)}}}})
	if !strings.Contains(b.String(), "m-w8a16") || !strings.Contains(b.String(), "RMSE") || strings.Index(b.String(), "RMSE") < strings.Index(b.String(), "mAP") {
		t.Error(b.String())
	}
}

func TestStatisticsAsTheSeedWritesThem(t *testing.T) {
	t.Parallel()
	rows := func(data []byte) [][]string {
		all, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	unmeasured := evaluation()
	for i := range unmeasured.Models {
		unmeasured.Models[i].FPS = metric.Value{}
	}
	segments := &result.Evaluation{
		Task: result.Segmentation, Columns: []result.Column{{Key: "fscore"}, {Key: "precision"}, {Key: "recall"}, {Key: "accuracy"}}, Models: []result.EvalModel{{File: "s", Scores: values(0.123456, 1, 0.5, 0.25)}},
	}
	depth := &result.Evaluation{Task: result.Depth, Columns: []result.Column{{Key: "RMSE"}}, Models: []result.EvalModel{{File: "d", Scores: values(2.5), FPS: metric.Defined(10)}}}
	for name, row := range map[string]struct {
		task result.Task
		list []*result.Evaluation
		want []string
	}{
		// The fastest keeps its mAP, the other has a share of it by its speed, and who was not measured comes last.
		"measured":     {result.Detection, []*result.Evaluation{evaluation()}, []string{"m-w8a8,0.3,0.3,0.45,0.55,250.0", "m-w8a16,0.195,0.39,0.5,0.6,125.0", "m,,0.4,0.5,0.6,-1"}},
		"not measured": {result.Detection, []*result.Evaluation{unmeasured}, []string{"m,0.4,0.4,0.5,0.6,-1", "m-w8a16,0.39,0.39,0.5,0.6,-1", "m-w8a8,0.3,0.3,0.45,0.55,-1"}},
		"segments":     {result.Segmentation, []*result.Evaluation{segments, evaluation()}, []string{"s,0.1235,1.0,0.5,0.25,-1"}},
		"depth":        {result.Depth, []*result.Evaluation{depth}, []string{"d,2.5,10.0,2.5"}},
		"none":         {result.Depth, nil, nil},
	} {
		data, ok := SeedStatistics(row.task, row.list)
		var got []string
		all := rows(data)
		for _, r := range all[1:] {
			got = append(got, strings.Join(r, ","))
		}
		if !ok || !slices.Equal(got, row.want) || !slices.Equal(all[0], seedColumns[row.task]) {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
	if _, ok := SeedStatistics(result.Agreement, nil); ok {
		t.Error("the seed has no agreement")
	}
	later := evaluation()
	later.Models = later.Models[1:2]
	later.Models[0].Scores = values(0.35, 0, 0)
	data, _ := SeedStatistics(result.Detection, []*result.Evaluation{evaluation(), later}) // the last evaluation of a model counts
	if all := rows(data); len(all) != 4 || all[1][0] != "m-w8a8" || all[1][2] != "0.35" {
		t.Errorf("%v", all)
	}
	cycles := []*result.Cycles{
		{Model: "a", Layers: []result.LayerCycle{{Name: "conv", Mean: 100}, {Name: "gate", Mean: 150.9}}},
		{Model: "b", Layers: []result.LayerCycle{{Name: "conv", Mean: 210.6}}},
	}
	if got := string(PerLayerComparison(cycles)); strings.TrimSpace(strings.ReplaceAll(got, "\r", "")) != "layer_name,a,b\nconv,100,210\ngate,150,0" {
		t.Errorf("%q", got)
	}
}

func TestResultsAsTheSeedWritesThem(t *testing.T) {
	t.Parallel()
	e := evaluation()
	e.Spec.Data = "set.json"
	for i, fps := range []float64{-1, 250} {
		data, err := SeedResults(e, &e.Models[i], map[string]any{"model_h": 5}, "masks")
		var got struct {
			Info struct {
				ModelName      string  `json:"model_name"`
				Labels         string  `json:"gt_labels"`
				PredictionsDir string  `json:"predictions_dir"`
				ModelH         int     `json:"model_h"`
				FPS            float64 `json:"FPS"`
			}
		}
		if err != nil || json.Unmarshal(data, &got) != nil {
			t.Fatalf("%v %s", err, data)
		}
		if x := got.Info; x.FPS != fps || x.ModelName != e.Models[i].File || x.Labels != "set.json" || x.PredictionsDir != "masks" || x.ModelH != 5 {
			t.Errorf("%+v", x)
		}
	}
}
