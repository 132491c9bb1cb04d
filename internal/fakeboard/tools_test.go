package fakeboard

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quantcheck/internal/dlc"
	"quantcheck/internal/snpe"
)

// rows reads a CSV with rows of whatever length.
func rows(t testing.TB, data []byte) [][]string {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	list, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAProfileHasARowForEachLayerAndInference(t *testing.T) {
	p := on(t, Install(t, Options{}), 3, "qnn", "zoo_w8a8_per_channel.dlc")
	r := p.sh(t, nativeRun+" && "+logRun)
	if r.status != 0 || !strings.Contains(r.stdout, "\nLayer Times: \n---------------\n0: ") || !strings.Contains(r.stdout, " cycles : DSP\n") || r.stderr != "" {
		t.Fatalf("%+v", r)
	}
	list := rows(t, p.files(t, ".")["stats.csv"])
	at := map[string]int{}
	for i, name := range list[0] {
		at[name] = i
	}
	for _, name := range []string{"Msg Timestamp", "Message", "Time", "Unit of Measurement", "Timing Source", "Event Level", "Event Identifier", "Layer Id", "Layer Name"} {
		if _, ok := at[name]; !ok {
			t.Fatalf("no column %s", name)
		}
	}
	cycles := map[string][]int{}
	global := 0
	for _, row := range list[1:] {
		if len(row) != len(list[0])+1 {
			t.Fatalf("%d fields: %q", len(row), row)
		}
		if row[at["Layer Id"]] == "" {
			global++
			continue
		}
		n, err := strconv.Atoi(row[at["Time"]])
		if err != nil || row[at["Unit of Measurement"]] != "CYCLES" || row[at["Message"]] != "NODE" {
			t.Errorf("%q", row)
		}
		name := row[at["Layer Name"]]
		cycles[name] = append(cycles[name], n)
	}
	conv := cycles["/conv1/Conv_output_0_Conv_token_1:OpId_25 (cycles)"]
	if global != 12 || len(cycles) != 25 || len(conv) != 3 || conv[0] == conv[1] || conv[1] == conv[2] {
		t.Errorf("%d global rows, %d layers, %v", global, len(cycles), conv)
	}
	total := 0
	for name, each := range cycles {
		if len(each) != 3 {
			t.Errorf("%s: %v", name, each)
		}
		for _, n := range each {
			total += n
		}
	}
	if mean := total / 3; mean < 19000 || mean > 21000 { // the estimate is 20,176
		t.Errorf("%d cycles", mean)
	}
	// The same log gives the same numbers, without the DLC, too.
	if r := p.sh(t, "rm m.dlc; "+strings.ReplaceAll(logRun, "stats", "again")); r.status != 0 || !bytes.Equal(p.files(t, ".")["again.csv"], p.files(t, ".")["stats.csv"]) {
		t.Errorf("%+v", r)
	}
}

func TestTheListingIsReadBackAsTheDLC(t *testing.T) {
	for _, elem := range append([][]string{{"qnn", "zoo_w8a8_per_channel.dlc"}}, poses(t)...) {
		p := on(t, Install(t, Options{}), 1, elem...)
		r := p.sh(t, "snpe-dlc-info -i m.dlc -m -d -s saved.csv")
		if r.status != 0 || r.stderr != "" {
			t.Fatalf("%+v", r)
		}
		f, err := dlc.Open(filepath.Join(p.dir, "m.dlc"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for what, data := range map[string][]byte{"text": []byte(r.stdout), "CSV": p.files(t, ".")["saved.csv"]} {
			l, err := snpe.ReadListing(data)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			for i, n := range f.Graphs[0].Nodes {
				m := l.Graphs[0].Nodes[i]
				if n.Name != m.Name || n.Type != m.Type || cmp.Diff(n.Outputs, m.Outputs) != "" || cmp.Diff(n.Inputs, m.Inputs) != "" {
					t.Errorf("%s: %s is %s", what, n.Name, m.Name)
				}
			}
		}
		if !bytes.Contains(p.files(t, ".")["saved.csv"], []byte("\nInput Name,Dimensions,Type,Encoding Info\n")) {
			t.Error("the table of inputs is not as programs look for it")
		}
	}
}

func TestTheMonitorSeesTheDSPAtWork(t *testing.T) {
	p := on(t, Install(t, Options{SleepMost: 10 * time.Second}), 1, "qnn", "zoo_w8a8_per_channel.dlc")
	p.sh(t, "sysMonApp getPowerStats --clear 1 --q6 cdsp")
	busy := func() (clocks int, seconds float64) {
		r := p.sh(t, "sysMonApp getPowerStats --q6 cdsp")
		for line := range strings.Lines(r.stdout) {
			var clock, active float64
			if n, _ := fmt.Sscanf(line, "%f %f", &clock, &active); n == 2 {
				clocks++
				seconds += active
			}
		}
		return clocks, seconds
	}
	if clocks, seconds := busy(); clocks != 6 || seconds != 0 {
		t.Errorf("%d clocks, %v s before anything ran", clocks, seconds)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(p.board.Bin, "snpe-throughput-net-run"), strings.Fields(rateRun)[1:]...)
	cmd.Dir = p.dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var first float64
	for began := time.Now(); first == 0 && time.Since(began) < 8*time.Second; {
		_, first = busy()
	}
	_, second := busy()
	if first == 0 || second <= first {
		t.Errorf("%v s, then %v s", first, second)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // It was killed.
	_, third := busy()
	if _, fourth := busy(); third != fourth {
		t.Errorf("%v s, then %v s after the tool had gone", third, fourth)
	}
}

func TestWrongUseIsRefused(t *testing.T) {
	p := on(t, Install(t, Options{}), 1, "qnn", "zoo_w8a8_per_channel.dlc")
	p.write(t, "text.dlc", []byte("no DLC"))
	p.write(t, "lost.txt", []byte("image:=lost.raw\n"))
	p.write(t, "short.txt", []byte("image:=text.dlc\n"))
	p.write(t, "wrong.txt", []byte("nothing:=image_a.raw\n"))
	run := "snpe-net-run --use_dsp --container "
	for line, says := range map[string]string{
		"snpe-net-run --no_such_flag":                                         "option '--no_such_flag'",
		"snpe-net-run m.dlc":                                                  "unexpected argument 'm.dlc'",
		"snpe-net-run --container":                                            "option '--container' requires an argument",
		"snpe-net-run --debug=1":                                              "option '--debug' doesn't allow an argument",
		"snpe-net-run --container m.dlc --use_dsp":                            "option '--input_list' is missing",
		"snpe-net-run --container m.dlc --input_list inputs.txt":              "no other runtime than the DSP",
		run + "m.dlc --input_list inputs.txt --perf_profile fast":             "'fast' is none of low_balanced",
		run + "m.dlc --input_list inputs.txt --use_cpu":                       "no other runtime than the DSP",
		run + "none.dlc --input_list inputs.txt":                              "error_code=1; error_message=stat none.dlc: no such file",
		run + "text.dlc --input_list inputs.txt":                              "error_code=311; error_message=Dlc container is bad.",
		run + ". --input_list inputs.txt":                                     "error_code=311; error_message=Dlc container is bad.",
		run + "m.dlc --input_list none.txt":                                   "none.txt: no such file",
		run + "m.dlc --input_list lost.txt":                                   "lost.raw: no such file",
		run + "m.dlc --input_list short.txt":                                  "text.dlc has 6 bytes",
		run + "m.dlc --input_list wrong.txt":                                  `no input "nothing"`,
		run + "m.dlc --input_list native.txt":                                 "image_a.native has 3072 bytes",
		run + "m.dlc --input_list inputs.txt --set_output_tensors none":       `no tensor "none"`,
		"snpe-throughput-net-run --container m.dlc --use_dsp":                 "option '--duration' is missing",
		"snpe-throughput-net-run --container m.dlc --use_dsp --duration ten":  "is no time in seconds",
		"snpe-throughput-net-run --container none.dlc --use_dsp --duration 1": "no such file",
		"snpe-throughput-net-run --container text.dlc --use_dsp --duration 1": "error_code=311",
		"snpe-diagview --input_log none.log":                                  "none.log: no such file",
		"snpe-diagview --input_log m.dlc --csv_format_version 2 --output o":   "m.dlc is no log",
		"snpe-dlc-info -i none.dlc":                                           "none.dlc: no such file",
		"snpe-dlc-info":                                                       "option '--input_dlc' is missing",
		"snpe-platform-validator --runtime npu":                               "'npu' is none of",
		"sysMonApp getstate --q6 cdsp":                                        "knows the order getPowerStats only",
	} {
		if r := p.sh(t, line); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, says) {
			t.Errorf("%s: %+v", line, r)
		}
	}
	if files := p.files(t, "output"); len(files) > 0 {
		t.Errorf("%d files were written", len(files))
	}
}

func TestManyCallsAtOnceHaveNumbersOfTheirOwn(t *testing.T) {
	b := Install(t, Options{})
	p := on(t, b, 1, "qnn", "zoo_w8a8_per_channel.dlc")
	p.sh(t, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do snpe-dlc-info --version & done; wait")
	seen := map[int]bool{}
	for _, c := range b.Calls() {
		seen[c.Number] = true
	}
	if len(seen) != 12 || !seen[1] || !seen[12] {
		t.Errorf("%v", seen)
	}
}

// The board keeps to its own folder, and to what it was asked to write.
func TestNothingElseIsWritten(t *testing.T) {
	p := on(t, Install(t, Options{}), 1, "qnn", "zoo_w8a8_per_channel.dlc")
	before := p.files(t, ".")
	tmp := filepath.Join(t.TempDir(), "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	r := p.sh(t, "export TMPDIR="+tmp+"; env -i PATH=\"$PATH\" "+debugRun+" --output_dir out && snpe-diagview --input_log out/SNPEDiag.log && "+rateRun)
	if r.status != 0 {
		t.Fatalf("%+v", r)
	}
	after := p.files(t, ".")
	for name := range after {
		if _, known := before[name]; !known && !strings.HasPrefix(name, "out/") {
			t.Errorf("%s was written", name)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
}
