package qnnworker

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/onnx"
	"quantcheck/internal/runner/htp"
)

func TestEstimatesAreTheFixtures(t *testing.T) {
	estimatesAreTheFixtures(t, func(name string) bool { return strings.HasPrefix(name, "qnn/zoo") })
	path := fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc")
	if _, err := Estimate(t.Context(), engine(t), htpcost.SoC{Model: DefaultSoC}, path, ""); !errors.Is(err, htpcost.ErrNoEstimate) || strings.Count(err.Error(), path) != 1 {
		t.Errorf("%v", err)
	}
}

// estimatesAreTheFixtures holds the estimates of the fixtures that are asked for against those on record. make slow asks for detectors.
func estimatesAreTheFixtures(t *testing.T, asked func(name string) bool) {
	t.Helper()
	e := engine(t)
	type numbers struct {
		Cycles, Lower, Upper, US, Missing int64
		InputFill                         int64 `json:"input_fill"`
		OutputSpill                       int64 `json:"output_spill"`
	}
	var want struct{ DLC map[string]numbers }
	if err := json.Unmarshal(readBeside(t, "qnn", "estimates.json"), &want); err != nil {
		t.Fatal(err)
	}
	if len(want.DLC) == 0 {
		t.Fatal("no numbers")
	}
	held := 0
	for name, w := range want.DLC {
		if !asked(name) {
			continue
		}
		held++
		x, err := Estimate(t.Context(), e, htpcost.SoCs[0], fixture.Beside(t, strings.Split(name, "/")...), t.TempDir())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := (numbers{x.Cycles, x.Lower, x.Upper, x.Microseconds, x.Missing, x.InputFillBytes, x.OutputSpillBytes}); got != w {
			t.Errorf("%s: %+v, want %+v", name, got, w)
		}
		total := 0.0
		for _, l := range x.Layers {
			total += l.Cycles
			if l.Kind == htpcost.Operator && (l.Name == "" || l.Op == "" || l.Added) {
				t.Errorf("%s: %+v is no node of the file", name, l)
			}
		}
		if math.Abs(total-float64(x.Cycles)) > 1e-6*total || x.Timeline.Cycles != x.Cycles || len(x.Notes) > 0 {
			t.Errorf("%s: layers add up to %g, the timeline ends at %d of %d; notes %q", name, total, x.Timeline.Cycles, x.Cycles, x.Notes)
		}
		if name == "qnn/zoo_w8a8_per_channel.dlc" {
			timeline, err := htpcost.ReadTrace(readBeside(t, "qnn", "zoo_w8a8_per_channel.trace.json"))
			if err != nil {
				t.Fatal(err)
			}
			x.Timeline.Settings, timeline.Settings = nil, nil // the fixture writes numbers otherwise
			if !reflect.DeepEqual(x.Timeline, timeline) {
				t.Errorf("the timeline is another one")
			}
		}
	}
	if held == 0 {
		t.Error("no estimate was held against a fixture")
	}
}

// The estimate of a model as a DLC is that of the DLC that is written from it; a float model's is near it.
func TestAModelsEstimateIsThatOfItsDLC(t *testing.T) {
	sameEstimate(t, "zoo", "zoo_w8a8_per_tensor", "zoo_w8a8_per_channel", "zoo_w8a16_per_channel", "zoo_w16a16_per_tensor")
}

func sameEstimate(t *testing.T, models ...string) {
	t.Helper()
	e := engine(t)
	library := fixture.Library(t)
	h := htp.Engine{Kit: e.Kit, Library: library}
	for _, name := range models {
		m, err := onnx.Load(fixture.Path(t, "qnn", name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		data, err := h.WriteDLC(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Estimate(t.Context(), e, htpcost.SoCs[0], written(t, data), "")
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Estimate(t.Context(), m, htp.EstimateOptions{SoC: htpcost.SoCs[0], DLC: true})
		if err != nil {
			t.Fatal(err)
		}
		if name == "zoo" {
			if off := math.Abs(float64(got.Cycles)/float64(want.Cycles) - 1); off > 0.01 {
				t.Errorf("%s: %d cycles, its DLC %d", name, got.Cycles, want.Cycles)
			}
			continue
		}
		if !reflect.DeepEqual(got.Figures, want.Figures) {
			t.Errorf("%s: %+v, its DLC's are %+v", name, got.Figures, want.Figures)
		}
	}
}
