package htpcost

import (
	"encoding/json"
	"os"
	"testing"

	"quantcheck/internal/fixture"
)

// The estimates and times of half precision, of networks that bench/estimates builds: estimate, time of the matrix unit, time on QCS8550, ms.
var half = map[string][3]float64{
	"resnet18": {1.686, 1.138, 1.336}, "resnet50": {3.288, 2.555, 2.245}, "mobilenet_v2": {1.064, 0.617, 0.907}, "squeezenet1_1": {0.721, 0.258, 0.652},
	"wideresnet50": {7.533, 5.638, 4.832}, "xlsr": {0.789, 0.331, 0.788}, "quicksrnetsmall": {0.769, 0.218, 0.753}, "sesr_m5": {2.787, 2.313, 1.834},
	"dncnn": {12.848, 12.644, 6.797}, "real_esrgan_general_x4v3": {8.814, 6.690, 5.745},
}

func estimateOf(soc string, ms, matrix float64) *Estimate {
	e := &Estimate{SoC: SoC{Name: soc}, Layers: []Layer{{Work: Work{HMX: int64(1e6 * matrix / ms)}}}}
	e.Cycles, e.Microseconds = 1e6, int64(1000*ms)
	return e
}

func TestForecastsOfHalfPrecisionAreNearThePublishedTimes(t *testing.T) {
	for name, v := range half {
		f := ForecastOf(estimateOf("rvc4", v[0], v[1]), FP16)
		if off := float64(f.Microseconds)/1000/v[2] - 1; off < -0.12 || off > 0.12 || float64(f.Lower) > 1000*v[2] || float64(f.Upper) < 1000*v[2] {
			t.Errorf("%s: %+v, published %g ms", name, f, v[2])
		}
	}
}

// Nine of ten published times lie within the bounds.
func TestTheBoundsOfForecastsHoldPublishedTimes(t *testing.T) {
	data, err := os.ReadFile(fixture.Beside(t, "qnn", "published_times_2026.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Model    string    `json:"model"`
		As       Precision `json:"precision"`
		Form     float64   `json:"published_form_ms"`
		Repaired float64   `json:"repaired_ms"`
		QCS8550  float64   `json:"published_ms"`
		IQ9075   float64   `json:"published_iq9075_ms"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	within, all := map[string]int{}, map[string]int{}
	for _, x := range list {
		ms := x.Form
		if x.Repaired > 0 {
			ms = x.Repaired
		}
		for soc, truth := range map[string]float64{"rvc4": x.QCS8550, "qcs9100": x.IQ9075} {
			if soc == "rvc4" && x.As == FP16 { // the record has no time of the matrix unit
				continue
			}
			f, key := ForecastOf(estimateOf(soc, ms, 0), x.As), soc+" "+string(x.As)
			all[key]++
			if float64(f.Lower) <= 1000*truth && 1000*truth <= float64(f.Upper) {
				within[key]++
			} else {
				t.Logf("%s %s: %g ms, %+v", key, x.Model, truth, f)
			}
		}
	}
	for key, n := range all {
		if n < 8 || float64(within[key]) < 0.87*float64(n) {
			t.Errorf("%s: %d of %d within the bounds", key, within[key], n)
		}
	}
}

func TestThereIsNoForecastWithoutPublishedTimes(t *testing.T) {
	for name, f := range map[string]*Forecast{
		"a chip without": ForecastOf(estimateOf("sa8255", 1, 0.5), W8A8), "a precision without": ForecastOf(estimateOf("rvc4", 1, 0.5), "w4a8"), "a tiny network": ForecastOf(estimateOf("rvc4", 0.01, 0.005), W8A8), "a huge one": ForecastOf(estimateOf("rvc4", 100, 0.5), W8A8), "nothing estimated": ForecastOf(&Estimate{SoC: SoC{Name: "rvc4"}}, W8A8),
	} {
		if f != nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
