package htpcost

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

const zoo = "zoo_w8a8_per_channel"

func read(t testing.TB, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(fixture.Path(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func timeline(t testing.TB, data []byte) *Timeline {
	t.Helper()
	x, err := ReadTrace(data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func sum(layers []Layer) float64 {
	total := 0.0
	for _, l := range layers {
		total += l.Cycles
	}
	return total
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1, math.Abs(b)) }

func TestTheTimelineIsFoundAmongBinaryData(t *testing.T) {
	t.Parallel()
	plain := read(t, "qnn", zoo+".trace.json")
	want := timeline(t, plain)
	for name, data := range map[string][]byte{
		"before and behind":       slices.Concat([]byte("\x00\x01\xff{{\"\x00"), plain, []byte("\x00}]\xff\x01")),
		"a brace at once":         slices.Concat([]byte("{\x02"), plain),
		"in another order":        slices.Concat([]byte(`{"first": {"a": [1, {"b": "}"}]}, `), plain[1:]),
		"spaces before":           slices.Concat([]byte("\n\t "), plain),
		"two documents in a file": slices.Concat(plain, []byte("\n"), plain),
	} {
		if got, err := ReadTrace(data); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSeveralTimelinesInAFile(t *testing.T) {
	t.Parallel()
	plain := read(t, "qnn", zoo+".trace.json")
	want := timeline(t, plain)
	list, err := ReadTraces(slices.Concat([]byte("\x00{\x01"), plain, []byte("\x00{\xff"), plain, plain, []byte("\x00}")))
	if err != nil || len(list) != 3 {
		t.Fatalf("%d, %v", len(list), err)
	}
	for i, x := range list {
		if !reflect.DeepEqual(x, want) {
			t.Errorf("the timeline %d is another one", i)
		}
	}
	if list, err := ReadTraces([]byte("nothing")); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := ReadTraces(slices.Concat(plain, plain[:len(plain)/2])); !errors.Is(err, ErrTrace) || list != nil {
		t.Errorf("%v, %v", list, err)
	}
}

func TestWhatIsNoTimelineIsSaid(t *testing.T) {
	t.Parallel()
	event := `{"traceEvents":[{"ph":"X","ts":1,"dur":2,"args":{"id":"0x5"}}`
	for name, data := range map[string]string{
		"nothing":            "",
		"no events":          `{"other":[]}`,
		"no document":        `"traceEvents": []`,
		"cut":                event,
		"cut in a text":      event[:len(event)-5],
		"no list":            `{"traceEvents":{}}`,
		"too deep":           `{"traceEvents":[` + strings.Repeat(`[`, 100000),
		"another's events":   `{"x":{"traceEvents":1},"y":"traceEvents"}`,
		"a negative time":    `{"traceEvents":[{"ph":"X","ts":-1}]}`,
		"a huge time":        `{"traceEvents":[{"ph":"X","ts":1e300}]}`,
		"an end too late":    `{"traceEvents":[{"ph":"X","ts":1099511627776,"dur":1}]}`,
		"a huge whole time":  `{"traceEvents":[{"ph":"X","ts":99999999999999999999999999}]}`,
		"no number":          `{"traceEvents":[{"ph":"X","dur":nan}]}`,
		"an id that is none": `{"traceEvents":[{"ph":"X","args":{"id":"0xzz"}}]}`,
		"huge bytes":         `{"traceEvents":[{"ph":"X","args":{"bw_info":{"dram_read":18446744073709551615}}}]}`,
		"no value":           `{"traceEvents":[{"ph":}]}`,
		"too many events":    `{"traceEvents":[` + strings.Repeat(`{},`, mostEvents) + `{}]}`,
	} {
		if x, err := ReadTrace([]byte(data)); !errors.Is(err, ErrTrace) || x != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnitsWithoutFlagsAreToldFromTheThread(t *testing.T) {
	t.Parallel()
	x := timeline(t, []byte(`{"traceEvents":[{"ph":"X","tid":0},{"ph":"X","tid":3},{"ph":"X","tid":7},{"ph":"X","tid":4,"args":{"flags":["other"]}},
		{"ph":"X","tid":1,"args":{"flags":["for_hvx","uses_hmx"]}},{"ph":"X","tid":6,"args":{"flags":["for_hvx_dma"]}},
		{"name":"thread_name","ph":"M","tid":4,"args":{"name":"HVX_DMA 1:"}},{"name":"thread_name","ph":"M","tid":7,"args":{"name":"FG:"}}]}`))
	for i, want := range []Unit{Scalar, HVX, Scalar, DMA, HMX, DMA} {
		if x.Events[i].Unit != want {
			t.Errorf("event %d: %v, want %v", i, x.Events[i].Unit, want)
		}
	}
}

func TestTextsAreReadAsJSONHasThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`a\"b\\c\/d\n`: "a\"b\\c/d\n", `\u0041\u00e9`: "Aé", `\ud83d\ude00`: "😀", `\ud83d`: "\uFFFD", `\ud83d\u0041`: "\uFFFDA",
		`\x`: `\x`, `\u12`: `\u12`, `\é`: `\é`, "a\xffb": "a\uFFFDb",
	} {
		s := scanner{data: []byte(`"` + in + `"`)}
		if got := s.text(); got != want || s.err != nil || s.at != len(s.data) {
			t.Errorf("%s: %q, %v", in, got, s.err)
		}
	}
}

func TestTheFixturesLayersAddUp(t *testing.T) {
	t.Parallel()
	x := timeline(t, read(t, "qnn", zoo+".trace.json"))
	s, err := ReadSchematic(read(t, "qnn", zoo+".schematic.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Names) != 23 || s.Names[0x19] != "/conv1/Conv_output_0_Conv_token_1" || s.Ops[0x19] != "Conv2d" {
		t.Errorf("%v %v", s.Names, s.Ops)
	}
	layers := Layers(x, s.Names)
	if total := sum(layers); !near(total, float64(x.Cycles)) {
		t.Errorf("the layers add up to %g", total)
	}
	share, dram, found := 0.0, int64(0), map[string]Layer{}
	for _, l := range layers {
		share += l.Share
		dram += l.DRAMBytes
		found[l.Raw] = l
	}
	for _, name := range s.Names {
		if _, ok := found[name]; !ok {
			t.Errorf("%s is in no layer", name)
		}
	}
	// Every step is two events, the start on a scalar thread and the work, which both carry its bytes: the reads are the
	// compiler's Input Fill only if they count once.
	want, seen := int64(0), map[[2]uint64]bool{}
	for _, e := range x.Events {
		if step := [2]uint64{e.ID, uint64(e.Step)}; !seen[step] {
			seen[step] = true
			want += e.Bytes.DRAMRead + e.Bytes.DRAMWrite
		}
	}
	if !near(share, 1) || dram != want || want < 34816 {
		t.Errorf("shares %g, %d bytes", share, dram)
	}
	if l := found["/conv1/Conv_output_0_Conv_token_1"]; l.HMX == 0 || l.HVX == 0 || l.DMA == 0 || l.Scalar == 0 || l.Cycles == 0 || l.Events == 0 {
		t.Errorf("%+v", l)
	}
	if l := found["/act/Sigmoid_output_0_Sigmoid"]; l.Events != 0 || l.Cycles != 0 || l.Kind != Operator {
		t.Errorf("an operator that was fused: %+v", l)
	}
	if layers[0].Kind != Input || layers[len(layers)-2].Kind != Output || layers[len(layers)-1].Kind != Idle {
		t.Errorf("%+v", layers)
	}
}

func TestTheTimeIsSharedAmongWhatWorks(t *testing.T) {
	t.Parallel()
	on := func(node uint64, start, cycles int64, u Unit) Event {
		return Event{ID: node | 7<<32, Start: start, Cycles: cycles, Unit: u, Step: int(start), Bytes: Traffic{DRAMRead: 10, DRAMWrite: 1}}
	}
	for name, row := range map[string]struct {
		events []Event
		want   map[uint32]float64 // 0: idle
	}{
		"one after the other":     {[]Event{on(5, 0, 10, HVX), on(6, 10, 4, HVX)}, map[uint32]float64{5: 10, 6: 4}},
		"two at once":             {[]Event{on(5, 0, 10, HVX), on(6, 4, 6, HMX)}, map[uint32]float64{5: 7, 6: 3}},
		"one on two units":        {[]Event{on(5, 0, 10, HVX), on(5, 2, 10, DMA)}, map[uint32]float64{5: 12}},
		"three at once":           {[]Event{on(5, 0, 9, HVX), on(6, 0, 9, HMX), on(7, 0, 9, DMA)}, map[uint32]float64{5: 3, 6: 3, 7: 3}},
		"a pause":                 {[]Event{on(5, 2, 3, HVX), on(6, 7, 1, HVX)}, map[uint32]float64{0: 4, 5: 3, 6: 1}},
		"work that takes no time": {[]Event{on(5, 3, 0, HVX)}, map[uint32]float64{0: 3, 5: 0}},
		"nothing":                 {nil, map[uint32]float64{}},
	} {
		x := &Timeline{Events: row.events}
		for _, e := range x.Events {
			x.Cycles = max(x.Cycles, e.End())
		}
		got := map[uint32]float64{}
		for _, l := range Layers(x, nil) {
			got[l.Node] = l.Cycles
			if x.Cycles == 0 && l.Share != 0 {
				t.Errorf("%s: share %g", name, l.Share)
			}
		}
		if !maps.EqualFunc(got, row.want, near) {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}

// random makes a timeline of a kind that no compiler would.
func random(seed uint64) *Timeline {
	r := rand.New(rand.NewPCG(seed, 2))
	x := &Timeline{}
	for range r.IntN(60) {
		e := Event{
			Op: string(rune('a' + r.IntN(26))), ID: uint64(r.IntN(9)) | uint64(r.IntN(4))<<32, Start: r.Int64N(200), Cycles: r.Int64N(50),
			Unit: Unit(r.IntN(4)), Thread: r.IntN(10), Step: r.IntN(50), Bytes: Traffic{DRAMRead: r.Int64N(100)},
		}
		if r.IntN(10) == 0 {
			e.Start = r.Int64N(mostCycles)
			e.Cycles = r.Int64N(mostCycles - e.Start)
		}
		for range r.IntN(3) {
			e.Inputs = append(e.Inputs, []int64{r.Int64N(5), 1})
		}
		x.Events = append(x.Events, e)
		x.Cycles = max(x.Cycles, e.End())
	}
	return x
}

func TestLayersOfRandomTimelinesAddUpToTheirEnd(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		x := random(seed)
		layers := Layers(x, map[uint32]string{4: "four", 77: "nothing"})
		if total := sum(layers); !near(total, float64(x.Cycles)) {
			t.Fatalf("seed %d: the layers add up to %g, the last event ends at %d", seed, total, x.Cycles)
		}
		busy, want := Work{}, [4]int64{}
		for _, e := range x.Events {
			want[e.Unit] += e.Cycles
		}
		for _, l := range layers {
			if l.Cycles < -1e-3 || l.Kind == Operator && l.Cycles > float64(l.HMX+l.HVX+l.DMA+l.Scalar)+1e-3*float64(l.Events) {
				t.Fatalf("seed %d: %+v", seed, l)
			}
			busy.HMX += l.HMX
			busy.HVX += l.HVX
			busy.DMA += l.DMA
			busy.Scalar += l.Scalar
		}
		if got := [4]int64{Scalar: busy.Scalar, HMX: busy.HMX, HVX: busy.HVX, DMA: busy.DMA}; got != want {
			t.Fatalf("seed %d: busy %v, want %v", seed, got, want)
		}
	}
}

func TestChromesTraceIsTheSameTimeline(t *testing.T) {
	t.Parallel()
	names := map[uint32]string{0x19: "the <\"first\"> layer\n\xe9", 4: "four"}
	rows := map[string]*Timeline{
		"the fixture": timeline(t, read(t, "qnn", zoo+".trace.json")),
		"odd": {
			Cycles: 9, Settings: []Setting{{"a", "1 "}, {"b \"", "x"}, {"c", "-1.5e3"}, {"d", ""}, {"e", "null"}, {"f", "{}"}},
			Events: []Event{{Op: "é\\u0041", Inputs: [][]int64{nil, {1}}}},
		},
	}
	for seed := range uint64(50) {
		rows["seed "+strconv.FormatUint(seed, 10)] = random(seed)
	}
	for name, x := range rows {
		var b bytes.Buffer
		if err := Chrome(&b, x, names); err != nil {
			t.Fatal(err)
		}
		if got := timeline(t, b.Bytes()); !reflect.DeepEqual(got, x) {
			t.Errorf("%s: %+v, want %+v", name, got, x)
		}
		if name == "the fixture" && !bytes.Contains(b.Bytes(), []byte(`{"name":"the \u003c\"first\"\u003e layer\n\ufffd","cat":"HMX","ph":"X"`)) {
			t.Errorf("the layer's name is missing: %.3000s", b.Bytes())
		}
	}
}

func TestSchematics(t *testing.T) {
	t.Parallel()
	head := "qnn_name_translations = {\n"
	for name, row := range map[string]struct {
		text string
		want map[uint32]string
		err  bool
	}{
		"in order":          {head + "0x0000000000000011: 'a',\n0x12: 'b, c: d',\n}\nrest", map[uint32]string{0x11: "a", 0x12: "b, c: d"}, false},
		"behind others":     {"x = {\n}\n" + head + "0x11: 'a'\n}", map[uint32]string{0x11: "a"}, false},
		"none":              {head + "}\n", map[uint32]string{}, false},
		"quotes inside":     {head + "0x11: 'it's \"so\" \\ here',\n0x12: \"it's\",\n}\n", map[uint32]string{0x11: `it's "so" \ here`, 0x12: "it's"}, false},
		"a line's end":      {head + "0x11: 'new\nline', 0x5: 'x',\n0x12: 'b',\n}\n", map[uint32]string{0x11: "new\nline', 0x5: 'x", 0x12: "b"}, false},
		"strange bytes":     {head + "0x11: 'a\xff',\n}\n", map[uint32]string{0x11: "a\uFFFD"}, false},
		"empty":             {"", map[uint32]string{}, true},
		"another text":      {"x qnn_name_translations", map[uint32]string{}, true},
		"cut behind a line": {head + "0x11: 'a',\n", map[uint32]string{0x11: "a"}, true},
		"cut in a line":     {head + "0x11: 'a',\n0x12: 'b", map[uint32]string{0x11: "a"}, true},
		"no number":         {head + "x: 'a',\n}\n", map[uint32]string{}, true},
		"no name":           {head + "0x11\n}\n", map[uint32]string{}, true},
	} {
		s, err := ReadSchematic([]byte(row.text))
		if !maps.Equal(s.Names, row.want) || errors.Is(err, ErrSchematic) != row.err || (err != nil) != row.err {
			t.Errorf("%s: %v, %v", name, s.Names, err)
		}
	}
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("testdata/" + zoo + ".csv")
	if err != nil {
		t.Fatal(err)
	}
	want := Figures{
		Cycles: 23277, Lower: 20641, Upper: 26440, Microseconds: 15, LowerMicroseconds: 13, UpperMicroseconds: 17,
		InputFillBytes: 43008, OutputSpillBytes: 6144,
	}
	f, err := ReadProfile(good)
	if err != nil || !reflect.DeepEqual(f, want) {
		t.Errorf("%+v, %v", f, err)
	}
	twice := slices.Concat(good, bytes.ReplaceAll(good, []byte(",23277,"), []byte(",23278,")))
	if f, err = ReadProfile(twice); err != nil || f.Cycles != 23278 || len(f.Repeated) != 11 {
		t.Errorf("appended to: %+v, %v", f, err)
	}
	list, err := ReadProfiles(twice)
	if err != nil || len(list) != 2 || !reflect.DeepEqual(list[0], want) || list[1].Cycles != 23278 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := ReadProfiles(good[:200]); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := ReadProfiles(slices.Concat(good, good[:len(good)*3/4])); !errors.Is(err, ErrProfile) || list != nil {
		t.Errorf("%+v, %v", list, err)
	}
	ragged := slices.Concat([]byte("a\n,,,\n\n0,NODE,7,CYCLES,BACKEND,SUB-EVENT,a,b \"c,Input Fill\n\xff,,,,,,,,,\n"), bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")))
	if f, err = ReadProfile(ragged); err != nil || f.Cycles != 23277 {
		t.Errorf("ragged: %+v, %v", f, err)
	}
	for name, row := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":        {nil, ErrNoEstimate},
		"a profile":      {[]byte(strings.SplitAfter(string(good), "\n")[0] + "1,NODE,100,CYCLES,BACKEND,SUB-EVENT,conv:OpId_7 (cycles),\n"), ErrNoEstimate},
		"a row less":     {bytes.Replace(good, []byte("Input Fill"), []byte("Other"), 1), ErrProfile},
		"no number":      {bytes.Replace(good, []byte(",23277,"), []byte(",many,"), 1), ErrProfile},
		"a huge number":  {bytes.Replace(good, []byte(",23277,"), []byte(",18446744073709551615,"), 1), ErrProfile},
		"cut in the end": {good[:len(good)*3/4], ErrProfile},
	} {
		if _, err := ReadProfile(row.data); !errors.Is(err, row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnEstimateIsPutTogether(t *testing.T) {
	t.Parallel()
	trace, schematic := timeline(t, read(t, "qnn", zoo+".trace.json")), read(t, "qnn", zoo+".schematic.txt")
	soc, err := Find("RVC4")
	if err != nil {
		t.Fatal(err)
	}
	e := New(soc, Figures{Cycles: trace.Cycles}, trace, schematic)
	if e.Base != "Kailua" || len(e.Notes) != 0 || len(e.Layers) != 26 || e.SoC.Model != 77 || !strings.Contains(e.SoC.Note, "QCS9100") {
		t.Errorf("%+v", e)
	}
	ops := Groups(e.Layers, ByOp)
	if ops[0].Name != "ElementWiseBinary" || ops[0].Layers != 4 || ops[1].Name != "Conv2d" || !near(sumGroups(ops), float64(trace.Cycles)) {
		t.Errorf("%+v", ops)
	}
	types := map[string]string{}
	for _, l := range e.Layers {
		if name, _, _ := strings.Cut(l.Raw, "_token_"); strings.HasPrefix(name, "/") {
			types[name] = "type of " + name
		}
	}
	e.Rename(types)
	var added []string
	for _, l := range e.Layers {
		if l.Added {
			name, _, _ := strings.Cut(strings.Replace(l.Name, "_QuantizeLinear_Output", "", 1), "_token_") // a Reshape of the output, whatever it is called
			added = append(added, name)
		}
	}
	slices.Sort(added)
	if want := []string{"Transpose", "Transpose", "gridReshape", "grid_MatMul", "scores_Softmax"}; !slices.Equal(added, want) {
		t.Errorf("added: %q", added)
	}
	if l := e.Layers[2]; l.Name != "/conv1/Conv_output_0_Conv" || l.Raw != l.Name+"_token_1" || l.Op != "type of "+l.Name {
		t.Errorf("%+v", l)
	}
	if l := e.Layers[1]; l.Op != "Transpose" {
		t.Errorf("%+v", l)
	}
	if prefixes := Groups(e.Layers, ByPrefix(1)); !slices.ContainsFunc(prefixes, func(g Group) bool { return g.Name == "act" && g.Layers == 2 }) || !near(sumGroups(prefixes), float64(trace.Cycles)) {
		t.Errorf("%+v", prefixes)
	}
	e = New(soc, Figures{Cycles: 20000, Missing: 3, Repeated: []string{"Input Fill"}}, trace, schematic[:len(schematic)/2])
	if len(e.Notes) != 4 || !near(sum(e.Layers), float64(trace.Cycles)) {
		t.Errorf("notes %q", e.Notes)
	}
}

func sumGroups(groups []Group) float64 {
	total := 0.0
	for _, g := range groups {
		total += g.Cycles
	}
	return total
}

func TestPrefixesLeaveTheOperatorItselfAway(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]string{
		"/a/b/Conv": {"a", "a/b"}, "a.b.c": {"a", "a.b"}, "Conv_41": {"", ""}, "": {"", ""}, "/": {"", ""}, "a/": {"a", "a"}, "a/b": {"a", "a"},
	} {
		l := Layer{Kind: Operator, Name: name}
		if got := [2]string{ByPrefix(1)(l), ByPrefix(2)(l)}; got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if ByPrefix(1)(Layer{Kind: Idle}) != "idle" || ByOp(Layer{Kind: Input}) != "input" || ByOp(Layer{Kind: Operator}) != "?" {
		t.Error("rows that are no operators")
	}
}

func TestNamesAreResolvedByTheRuntimesRuleOnly(t *testing.T) {
	t.Parallel()
	known := func(name string) bool { return name == "Conv_41" || name == "x_token_3" || name == "y" }
	for raw, want := range map[string]string{
		"Conv_41": "Conv_41", "Conv_41_token_5": "Conv_41", "Conv_41_token_5_token_12": "Conv_41", "x_token_3": "x_token_3", "x_token_3_token_9": "x_token_3",
		"Conv_41_token_": "", "Conv_41_token_x": "", "Conv_41Reshape": "", "Transpose_token_1": "", "_token_1": "", "": "", "Conv_41_0x19": "",
	} {
		got, ok := Resolve(raw, known)
		if want == "" {
			want = raw
			if ok {
				t.Errorf("%s is known", raw)
			}
		}
		if got != want {
			t.Errorf("%s: %s", raw, got)
		}
	}
}

func TestChips(t *testing.T) {
	t.Parallel()
	for name, model := range map[string]int{"": 77, "rvc4": 77, "qcs9100": 77, "SA8255": 52, "sa8540": 62, "sa8797": 72} {
		if s, err := Find(name); err != nil || s.Model != model {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	_, err := Find("rvc2")
	var unknown *UnknownSoCError
	if !errors.As(err, &unknown) || err.Error() != `there is no estimate for "rvc2"; there is one for rvc4, qcs9100, sa8255, sa8540, sa8797` {
		t.Errorf("%v", err)
	}
}
