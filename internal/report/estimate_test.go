package report

import (
	"bytes"
	"strings"
	"testing"

	"quantcheck/internal/htpcost"
	"quantcheck/internal/result"
)

// estimated is an estimate of so many cycles and microseconds whose operators take the shares given, by type, in the order of the graph.
func estimated(variant string, cycles, us int64, ops ...any) *result.Estimated {
	e := &result.Estimated{Variant: variant, Covered: 1, Estimate: &htpcost.Estimate{Figures: htpcost.Figures{
		Cycles: cycles, Lower: cycles / 2, Upper: 2 * cycles, Microseconds: us, LowerMicroseconds: us / 2, UpperMicroseconds: 2 * us, InputFillBytes: 2048, OutputSpillBytes: 3 << 20,
	}}}
	for i := 0; i < len(ops); i += 2 {
		op, _ := ops[i].(string)
		share, _ := ops[i+1].(float64)
		name := strings.ToLower(op) + string(rune('a'+i/2))
		e.Layers = append(e.Layers, htpcost.Layer{Kind: htpcost.Operator, Node: uint32(i), Name: name, Op: op, Work: htpcost.Work{Cycles: share * float64(cycles), Share: share}})
	}
	return e
}

func TestTimesAndBytesForPeople(t *testing.T) {
	t.Parallel()
	for us, want := range map[int64]string{0: "0 µs", 999: "999 µs", 1500: "1.50 ms", 25_000: "25.0 ms", 1_500_000: "1.50 s"} {
		if got := Time(us); got != want {
			t.Errorf("%d µs are %q, want %q", us, got, want)
		}
	}
	for n, want := range map[int64]string{12: "12 B", 2048: "2.0 KiB", 3 << 20: "3.00 MiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestWhereTheTimeGoes(t *testing.T) {
	t.Parallel()
	many := []any{"Slice", 0.3, "Slice", 0.3}
	for range 8 {
		many = append(many, "Conv", 0.05)
	}
	for name, row := range map[string]struct {
		e    *result.Estimated
		want string
	}{
		"nothing stands out":      {estimated("w8a8", 1000, 100, "Conv", 0.19, "Mul", 0.18, "Add", 0.17), ""},
		"two of a few operators":  {estimated("w8a8", 1000, 100, "Mul", 0.3, "Conv", 0.25, "Conv", 0.25), "50 % of 100 µs are two Conv operators."},
		"one operator":            {estimated("w8a8", 1000, 100, "Relu", 0.1, "Relu", 0.1, "Softmax", 0.8), "80 % of 100 µs are one Softmax operator."},
		"the first of many":       {estimated("w8a8", 1000, 100, many...), "60 % of 100 µs are two Slice operators at the input."},
		"small ones do not count": {estimated("w8a8", 10000, 100, "Mul", 0.5, "Mul", 0.005, "Conv", 0.3), "50 % of 100 µs are one Mul operator."},
	} {
		if got := WhereItGoes(row.e); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
		row.e.Advice = &result.Advice{Pass: "focus-to-conv", Microseconds: 7}
		advice := "`quantcheck optimize --pass focus-to-conv` makes it 7 µs by the same estimate."
		want := advice
		if row.want != "" {
			want = strings.TrimSuffix(row.want, ".") + "; " + advice
		}
		if got := WhereItGoes(row.e); got != want {
			t.Errorf("%s, with advice: %q, want %q", name, got, want)
		}
	}
}

func TestAnEstimateIsDrawn(t *testing.T) {
	t.Parallel()
	e := estimated("w8a8", 10_000, 2000, "Conv", 0.6, "Slice", 0.3, "Relu", 0.0)
	e.Path, e.Base, e.SoC = "m.onnx", "Kailua", htpcost.SoC{Name: "rvc4", Note: "a note on the chip"}
	e.Layers = append(e.Layers, htpcost.Layer{Kind: htpcost.Idle, Work: htpcost.Work{Cycles: 1000, Share: 0.1}})
	e.MACs = map[string]int64{"conva": 600_000}
	e.IntermediateSpillBytes, e.IntermediateFillBytes = 1<<20, 2<<20
	e.Refused, e.Covered = []string{"n (Op): no"}, 0.25
	e.Notes = []string{"ranges are random"}
	draw := func(by string) string {
		var b bytes.Buffer
		Estimate(&b, e, by)
		return b.String()
	}
	text := draw("layer")
	for _, want := range []string{
		"an estimate of 2.00 ms (1.00 ms to 4.00 ms), 10,000 cycles; at most 500 inferences a second", "60 % of 2.00 ms are one Conv operator", "2.0 KiB in (inputs and weights), 3.00 MiB out",
		"1.00 MiB out and 2.00 MiB in again of what does not fit into the fast memory", "rvc4 (the compiler calls what it simulated Kailua); a note on the chip", "refused      n (Op): no", "25.0 % of the graph",
		"ranges are random", "(idle)", "1 operators cost nothing of their own", "MACs/cycle",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if conv, slice := strings.Index(text, "conva"), strings.Index(text, "sliceb"); conv < 0 || slice < conv {
		t.Errorf("what costs most is not first:\n%s", text)
	}
	if text := draw("op"); !strings.Contains(text, "operators") || strings.Contains(text, "conva") {
		t.Errorf("by operator:\n%s", text)
	}
	for range 12 {
		e.Refused = append(e.Refused, "another (Op): no")
	}
	if text := draw("prefix"); !strings.Contains(text, "prefix") || !strings.Contains(text, "and 5 more") {
		t.Errorf("by prefix:\n%s", text)
	}
	for range 30 {
		e.Layers = append(e.Layers, htpcost.Layer{Kind: htpcost.Operator, Name: "more", Op: "Add", Work: htpcost.Work{Cycles: 10, Share: 0.001}})
	}
	if text := draw("layer"); !strings.Contains(text, "13 more operators take 1.3 % together") {
		t.Errorf("many layers:\n%s", text)
	}
}

func TestEstimatesSideBySide(t *testing.T) {
	t.Parallel()
	a, b := estimated("w8a8", 1000, 10, "Conv", 0.6, "Mul", 0.4), estimated("fp16", 2000, 20, "Conv", 0.8, "Mul", 0.2)
	var out bytes.Buffer
	Estimates(&out, []*result.Estimated{a, b})
	for _, want := range []string{"fp16 against w8a8: 20 µs and 10 µs, 2.00 times", "conva", "+1,000"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if _, differences, _ := strings.Cut(out.String(), "against"); strings.Contains(differences, "mulb") { // 400 cycles in both
		t.Errorf("a layer that does not differ is listed:\n%s", out.String())
	}
	out.Reset()
	EstimateDiff(&out, a, a, 5)
	if !strings.Contains(out.String(), "1.00 times") || !strings.Contains(out.String(), "no layer differs") {
		t.Error(out.String())
	}
	if got := ratio(1, 0); got != "–" {
		t.Error(got)
	}
}

func TestWhatAPassBrings(t *testing.T) {
	t.Parallel()
	n := func(v int64) *int64 { return &v }
	for _, row := range []struct {
		before, after *int64
		want          string
	}{
		{nil, nil, ""}, {n(5), nil, ""}, {nil, n(1234), ", 1,234 cycles"}, {n(7), n(7), ", 7 cycles as before"},
		{n(1000), n(100), ", 1,000 cycles, now 100 (10.0 times faster)"}, {n(1000), n(900), ", 1,000 cycles, now 900 (-10.0 %)"}, {n(1000), n(1200), ", 1,000 cycles, now 1,200 (+20.0 %)"},
		{n(0), n(3), ", 0 cycles, now 3 (no time before)"},
	} {
		if got := PassGain(row.before, row.after); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
	if got := EstimateGain(estimated("w8a8", 1000, 10), estimated("w8a8", 1000, 10)); got != "w8a8 by the estimate: 10 µs, now 10 µs; 1,000 cycles, now 1,000 (no change)" {
		t.Error(got)
	}
	refused := estimated("w8a8", 1000, 10)
	refused.Refused = []string{"e"}
	if got := EstimateGain(refused, estimated("w8a8", 12000, 120)); got != "w8a8 by the estimate: operators that the HTP refuses: 1, now 0; 120 µs, 12,000 cycles" {
		t.Error(got)
	}
}

func TestNamesOfRows(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]htpcost.Layer{
		"(idle)": {Kind: htpcost.Idle}, "operator 5": {Kind: htpcost.Operator, Node: 5}, "n": {Kind: htpcost.Operator, Name: "n"},
	} {
		if got := LayerName(l); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	names := func(list ...string) (layers []htpcost.Layer) {
		for _, n := range list {
			layers = append(layers, htpcost.Layer{Kind: htpcost.Operator, Name: n})
		}
		return layers
	}
	if got := prefixParts(names("/a/x", "/b/x", "/c/x", "/d/x")); got != 1 {
		t.Errorf("%d parts", got)
	}
	if got := prefixParts(names("/a/x/1", "/a/y/1", "/a/z/1", "/a/u/1")); got != 2 {
		t.Errorf("%d parts", got)
	}
}
