package report

import (
	"math"
	"strings"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

func TestNumbersHaveFourDigits(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.0000", 0.91234567: "0.9123", 39.4451: "39.45", 254.04: "254.0", 18250.4: "18250", 1.5e7: "1.50e+07", 3.2e-9: "3.20e-09", -5.935: "-5.935",
	} {
		if got := number(metric.Defined(v)); got != want {
			t.Errorf("%g is written %q, want %q", v, got, want)
		}
	}
	if number(metric.Value{}) != "–" || number(metric.Defined(math.Inf(1))) != "inf" {
		t.Error("undefined or infinite")
	}
}

func TestNamesDoNoHarmOnATerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain/Conv":       "plain/Conv",
		"a\x1b[31mred\r\n": `a\u001b[31mred\r\n`,
		"\u202eabc":        `\u202eabc`,
		"bad\xffutf8":      `bad\xffutf8`,
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	long := Short(strings.Repeat("x", 2000)+"end", 30)
	if len([]rune(long)) != 30 || !strings.HasSuffix(long, "end") {
		t.Error(long)
	}
}

// sample is a run of two variants on three layers, one of them fused, one not comparable.
func sample() *result.Run {
	at := func(sqnr, cos float64) result.LayerResult {
		v := &metric.Values{}
		v[metric.SQNR], v[metric.CosSim] = metric.Defined(sqnr), metric.Defined(cos)
		return result.LayerResult{Status: result.Compared, Summary: metric.Summarize([]*metric.Values{v}), Samples: []*metric.Values{v}}
	}
	run := &result.Run{
		Name: "m", Samples: []result.Sample{{Name: "s.png"}}, Spec: result.CheckSpec{DivergeUnder: 20, Sources: result.Sources{Model: "m.onnx"}},
		Layers: []result.Layer{{Name: "a,b", Clean: "a,b", Op: "Conv"}, {Name: "c", Clean: "c", Op: "Relu"}, {Name: "y", Clean: "y", Op: "Mul", Output: true}},
	}
	for _, name := range []string{"w8a8", "w8a16"} {
		v := result.Variant{Spec: variant.Spec{Name: name}, Diverges: -1, Counterpart: -1, FirstMismatchLayer: -1, Counts: map[result.Status]int{result.Compared: 2, result.Fused: 1}}
		v.Layers = []result.LayerResult{{Status: result.Fused, Reason: "fused into c"}, at(19, 0.99), at(33, 0.9998)}
		if name == "w8a8" {
			v.Diverges = 1
		}
		run.Variants = append(run.Variants, v)
	}
	return run
}

func TestTerminalTellsTheStory(t *testing.T) {
	var b strings.Builder
	Terminal(&b, sample())
	for _, want := range []string{
		"w8a8 is good: output y: SQNR 33.00 dB", "The first layer under 20 dB is c (Relu, number 2 of 3): 19.00 dB.",
		"w8a16 is good: output y: SQNR 33.00 dB", "No layer is under 20 dB.",
		"2 compared, 1 fused, 0 not quantized, 0 not comparable", "s.png",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, &b)
		}
	}
}

func TestSimilarityFile(t *testing.T) {
	run := sample()
	lines := strings.Split(string(Similarities(run, &run.Variants[0])), "\n")
	if !strings.HasPrefix(lines[0], "Layer,CosSim,MSE,SAR,PearsonR,DKL,") || len(lines) != 5 {
		t.Errorf("%d lines, %s", len(lines), lines[0])
	}
	if !strings.HasPrefix(lines[1], `"a,b",,,,,,`) || !strings.HasPrefix(lines[3], "y,0.9998,,,,,33,") {
		t.Errorf("%s\n%s", lines[1], lines[3])
	}
	columns := strings.Count(lines[0], ",")
	for _, l := range lines[2:4] {
		if strings.Count(l, ",") != columns {
			t.Errorf("%d columns where the header has %d", strings.Count(l, ","), columns)
		}
	}
}
