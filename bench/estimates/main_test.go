package main

import (
	"encoding/json"
	"os"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/runner/htp"
)

func TestMain(m *testing.M) {
	if htp.IsWorker() {
		os.Exit(htp.Work())
	}
	os.Exit(m.Run())
}

// The networks that are built here, quantized by us, take what the same networks take that others built and quantized.
func TestFindingsAreTheFixtures(t *testing.T) {
	fixture.Emulator(t)
	data, err := os.ReadFile(fixture.Beside(t, "qnn", "speed_findings.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Cases []struct {
			Case   string
			Cycles int64
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	for _, c := range doc.Cases {
		want[c.Case] = c.Cycles
	}
	engines, err := open(fixture.Library(t))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{ // ours → theirs
		"the network, w8a8 per channel": "base, w8a8 per channel", "w8a8 per tensor": "w8a8 per tensor", "16-bit activations": "16-bit activations", "fp16": "fp16",
		"Div by a constant at the input": "Div by a constant at the input", "Mul by a constant at the input": "Mul by a constant at the input",
		"Sub of a constant at the input": "Sub of a constant at the input", "Add of a constant at the input": "Add of a constant at the input",
		"Sub and Div at the input": "Sub and Div at the input", "Mul and Add behind every convolution": "Mul and Add after every convolution",
		"second convolution with stride (2,1)": "second convolution with stride (2,1)",
	}
	held := 0
	for _, v := range variations() {
		theirs, ok := cases[v.name]
		if !ok {
			continue
		}
		held++
		list, err := estimateOf(t.Context(), engines, t.TempDir(), v.model, true, v.variant)
		if err != nil {
			t.Fatal(err)
		}
		if list[0].Cycles != want[theirs] {
			t.Errorf("%s: %d cycles, want %d", v.name, list[0].Cycles, want[theirs])
		}
	}
	if held != len(cases) {
		t.Errorf("%d of %d cases were held against the fixtures", held, len(cases))
	}
}

// What was published for whole networks is met cycle for cycle: the deployed form is that of those who published.
func TestTheDeployedFormIsThatOfPublishedEstimates(t *testing.T) {
	fixture.Emulator(t)
	list, err := times(fixture.Beside(t, "qnn", "published_times_2026.json"))
	if err != nil {
		t.Fatal(err)
	}
	engines, err := open(fixture.Library(t))
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for _, n := range list {
		if n.Precision != "w8a8" || n.Model != "resnet18" && n.Model != "quicksrnetsmall" && n.Model != "xlsr" {
			continue
		}
		made, err := estimateOf(t.Context(), engines, t.TempDir(), networks[n.Model](), false, n.Precision)
		if err != nil {
			t.Fatal(err)
		}
		held++
		if made[0].Cycles != n.Cycles || made[0].Forecast == nil {
			t.Errorf("%s: %d cycles, want %d, forecast %v", n.Model, made[0].Cycles, n.Cycles, made[0].Forecast)
		}
	}
	if held != 3 {
		t.Errorf("%d networks were held against the record", held)
	}
}
