package fakeboard

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/snpe"
)

const (
	rateRun = "snpe-throughput-net-run --container m.dlc --duration 60 --use_dsp --perf_profile balanced"
	logRun  = "snpe-diagview --input_log output/SNPEDiag.log --csv_format_version 2 --output stats.csv"
	success = "Successfully executed graph"
)

func TestEachFaultShows(t *testing.T) {
	cache := t.TempDir()
	whole := on(t, Install(t, Options{Cache: cache}), 3, "qnn", "zoo_w8a8_per_channel.dlc")
	if r := whole.sh(t, debugRun); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	want := whole.files(t, "output")
	results := (len(want) - 1) / 3
	const layer, file = "/conv2/Conv_output_0_QuantizeLinear", "Result_1/conv2/Conv_output_0_QuantizeLinear.raw"
	for _, row := range []struct {
		name           string
		fault          Fault
		line           string
		status         int
		stdout, stderr string // parts of them; "": nothing is printed; "*": whatever
		files          int
		differ         []string // files that are there and not as they should be
	}{
		{"killed", Fault{Kind: Killed}, debugRun, 137, "", "", 0, nil},
		{"killed at the second inference", Fault{Kind: Killed, After: 1}, debugRun, 137, "Processing DNN input(s)", "", results + 1, []string{"*"}},
		{"by a signal", Fault{Kind: Signal, After: 2}, debugRun + "; exit $?", 137, "Processing", "*", 2*results + 1, []string{"*"}},
		{"killed at the end", Fault{Kind: Killed, After: 3}, debugRun, 137, "Processing", "", 3 * results, nil},
		{"an error", Fault{Kind: Error, Text: "no; power"}, debugRun, 1, "", "error_code=1002; error_message=no, power; error_component=", 0, nil},
		{"missing at this call", Fault{Kind: Missing, Call: 1}, debugRun, 127, "", "not found", 0, nil},
		{"missing", Fault{Kind: Missing, Tool: "snpe-net-run"}, debugRun, 127, "", "not found", 0, nil},
		{"silent", Fault{Kind: Silent}, debugRun, 0, "", "", 0, nil},
		{"full", Fault{Kind: Full, After: 1}, debugRun, 1, "Processing", "No space left on device", results + 1, []string{"*"}},
		{"full for the log", Fault{Kind: Full, After: 3}, debugRun, 1, "Processing", "No space left on device", 3*results + 1, nil},
		{"truncated", Fault{Kind: Truncated, Result: 1, Layer: layer}, debugRun, 0, success, "", 3*results + 1, []string{file}},
		{"resized", Fault{Kind: Resized, Result: 1, Layer: layer}, debugRun, 0, success, "", 3*results + 1, []string{file}},
		{"lost", Fault{Kind: Lost, Result: 1, Layer: layer}, debugRun, 0, success, "", 3 * results, nil},
		{"lost, the last", Fault{Kind: Lost}, debugRun, 0, success, "", 3 * results, nil},
		{"unwritten", Fault{Kind: Unwritten}, debugRun, 1, "Processing", "Failed to write data to: output/" + file + "\n", 3 * 5, nil},
		{"unwritten, with folders", Fault{Kind: Unwritten}, "for i in 0 1 2; do (mkdir -p output/Result_$i; cd output/Result_$i; mkdir act add cat conv1 conv2 dw deconv fc flatten gap pool relu1 reshape scale slice sub up); done; " + debugRun, 0, success, "", 3*results + 1, nil},
		{"disorder", Fault{Kind: Disorder}, debugRun, 0, success, "", 3*results + 1, []string{"Result_1/grid.raw", "Result_2/grid.raw"}},
		{"success and a bad status", Fault{Kind: BadExit}, debugRun, 1, success, "", 3*results + 1, nil},
		{"no line of success", Fault{Kind: NoSuccess}, debugRun + " | grep -c Successfully; true", 0, "0\n", "", 3*results + 1, nil},
		{"another call's", Fault{Kind: Killed, Call: 2}, debugRun, 0, success, "", 3*results + 1, nil},
		{"another tool's", Fault{Kind: Killed, Tool: "snpe-diagview"}, debugRun, 0, success, "", 3*results + 1, nil},
		{"an empty log", Fault{Kind: EmptyLog}, debugRun + " > /dev/null && " + logRun, 1, "", "is no log", 3*results + 1, nil},
		{"a silent diagview", Fault{Kind: Silent, Tool: "snpe-diagview"}, debugRun + " > /dev/null && " + logRun + " && test ! -e stats.csv", 0, "", "", 3*results + 1, nil},
		{"a full disk for diagview", Fault{Kind: Full, Tool: "snpe-diagview"}, debugRun + " > /dev/null && " + logRun, 1, "", "stats.csv: No space left on device", 3*results + 1, nil},
		{"on the CPU", Fault{Kind: OnCPU}, rateRun, 0, "[Thread 0 - cpu_float32] ", "", 0, nil},
		{"an integer", Fault{Kind: Integer}, rateRun + " | grep -cE 'Total throughput: [0-9]+ infs/sec'", 0, "1\n", "", 0, nil},
		{"an exponent", Fault{Kind: Exponent}, rateRun, 0, "Total throughput: 1e+06 infs/sec", "", 0, nil},
		{"no DSP", Fault{Kind: Unsupported}, "snpe-platform-validator --runtime dsp", 0, "SNPE is NOT supported for runtime DSP", "", 0, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := on(t, Install(t, Options{Cache: cache}), 3, "qnn", "zoo_w8a8_per_channel.dlc")
			p.board.Inject(row.fault)
			r := p.sh(t, row.line)
			says := func(got, want string) bool {
				return want == "*" || want == "" && got == "" || want != "" && strings.Contains(got, want)
			}
			if r.status != row.status || !says(r.stdout, row.stdout) || !says(r.stderr, row.stderr) {
				t.Errorf("%+v", r)
			}
			got := p.files(t, "output")
			if len(got) != row.files {
				t.Errorf("%d files, want %d", len(got), row.files)
			}
			bad := map[string]bool{}
			for name, data := range got {
				if name != "SNPEDiag.log" && !bytes.Equal(data, want[name]) {
					bad[name] = true
				}
			}
			for _, name := range row.differ {
				if name == "*" && len(bad) != 1 || name != "*" && !bad[name] {
					t.Errorf("%s is as it should be; %d others are not", name, len(bad))
				}
			}
			if row.differ == nil && len(bad) > 0 {
				t.Errorf("%v differ", bad)
			}
			if left := p.board.Running(); len(left) > 0 {
				t.Errorf("processes %v still run", left)
			}
		})
	}
}

func TestAHungToolCanBeKilled(t *testing.T) {
	for _, after := range []int{0, 1} {
		p := on(t, Install(t, Options{}), 2, "qnn", "zoo_w8a8_per_channel.dlc")
		p.board.Inject(Fault{Kind: Hung, After: after})
		cmd := exec.CommandContext(t.Context(), filepath.Join(p.board.Bin, "snpe-net-run"), strings.Fields(debugRun)[1:]...)
		cmd.Dir = p.dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for len(p.files(t, "output")) == 0 && after > 0 || len(p.board.Calls()) == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		case <-time.After(200 * time.Millisecond):
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Error("it ended well")
		}
		p.calm(t)
	}
}

// calm waits until no process of the board runs.
func (p place) calm(t testing.TB) {
	t.Helper()
	for began := time.Now(); len(p.board.Running()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("processes %v still run", p.board.Running())
		}
	}
}

func TestAToolThatIsKilledLeavesNoWorker(t *testing.T) {
	p := on(t, Install(t, Options{}), 2, "qnn", "yolox_nano_w8a8_per_channel.dlc")
	cmd := exec.CommandContext(t.Context(), filepath.Join(p.board.Bin, "snpe-net-run"), strings.Fields(debugRun)[1:]...)
	cmd.Dir = p.dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); len(p.board.Running()) < 2; time.Sleep(time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatal("no worker was started")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
	p.calm(t)
}

func TestSlowOutputComesLineByLine(t *testing.T) {
	p := on(t, Install(t, Options{Cache: t.TempDir()}), 3, "qnn", "zoo_w8a8_per_channel.dlc")
	if r := p.sh(t, debugRun); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	p.board.Inject(Fault{Kind: Slow, Pause: 20 * time.Millisecond})
	began := time.Now()
	// The first result is there before the last one begins.
	r := p.sh(t, debugRun+` --output_dir slow | while read line; do case "$line" in image_c.raw) ls slow;; esac; done`)
	if r.status != 0 || time.Since(began) < 13*20*time.Millisecond || !strings.HasPrefix(r.stdout, "Result_0\nResult_1\n") {
		t.Errorf("%+v after %v", r, time.Since(began))
	}
}

func TestTheRateIsThatOfTheEstimate(t *testing.T) {
	p := on(t, Install(t, Options{}), 1, "qnn", "zoo_w8a8_per_channel.dlc")
	last := 0.0
	for range 3 {
		r := p.sh(t, rateRun)
		rate, ok := snpe.Throughput([]byte(r.stdout))
		want := 1 / (20176/1497.6e6 + 160e-6) // the fixture's estimate
		if r.status != 0 || !ok || math.Abs(rate/want-1) > 0.006 || rate == last || !strings.HasPrefix(r.stdout, "[Thread 0 - dsp_fixed8_tf] ") {
			t.Errorf("%v: %+v", rate, r)
		}
		last = rate
	}
}

func TestCallsAreNoted(t *testing.T) {
	b := Install(t, Options{})
	p := on(t, b, 1, "qnn", "zoo_w8a8_per_channel.dlc")
	p.sh(t, "snpe-dlc-info -i m.dlc; snpe-dlc-info --version; sysMonApp getPowerStats --q6 cdsp")
	var got []string
	for _, c := range b.Calls() {
		got = append(got, fmt.Sprintf("%s %d %q", c.Tool, c.Number, c.Argv))
		if c.Dir != p.dir {
			t.Errorf("it ran in %s", c.Dir)
		}
	}
	want := `snpe-dlc-info 1 ["-i" "m.dlc"]|snpe-dlc-info 2 ["--version"]|sysMonApp 1 ["getPowerStats" "--q6" "cdsp"]`
	if strings.Join(got, "|") != want || b.Next("snpe-dlc-info") != 3 || b.Next("snpe-net-run") != 1 {
		t.Errorf("%q", got)
	}
}
