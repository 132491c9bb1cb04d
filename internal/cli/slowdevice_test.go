//go:build slow

package cli

import (
	"os"
	"path/filepath"
	"quantcheck/internal/fakeboard"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
	"strings"
	"testing"
)

// TestABenchmarkOnThisMachineAndOverADB finds on every way what it finds over SSH. The PATH is the process's, so it runs alone.
func TestSlowABenchmarkOnThisMachineAndOverADB(t *testing.T) {
	b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
	programs := t.TempDir()
	if err := os.WriteFile(filepath.Join(programs, "adb"), []byte(adbScript), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	if status, _, stderr := b.run(t, append(zooInput, "--name", "zoo", "--no-emulate")...); status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	want := b.similarities(t)
	t.Setenv("PATH", programs+string(os.PathListSeparator)+b.board.Path())
	for _, target := range []string{"local", "adb:board-1", "adb:"} {
		out := t.TempDir()
		args := append([]string{"benchmark", "--device", target, "--device-dir", b.dir, "--out", out, "--name", "zoo", "--no-emulate"}, b.model...)
		status, _, stderr := run(t, append(args, zooInput...)...)
		if status != 0 {
			t.Errorf("%s: %d %s", target, status, stderr)
			continue
		}
		other := *b
		other.out = out
		if got := other.similarities(t); got != want {
			t.Errorf("%s: other numbers than over SSH:\n%s", target, parting(want, got))
		}
		if found := other.found(t, "zoo"); found.Throughput == nil || found.Cycles == nil || len(found.Steps) != len(result.Steps) {
			t.Errorf("%s: %+v", target, found.Steps)
		}
		b.leavesNothing(t)
		b.runsNothing(t)
	}
	if status, _, stderr := run(t, append([]string{"benchmark", "--device", "adb:other", "--device-dir", b.dir, "--out", t.TempDir()}, b.model...)...); status != exitUnavailable || !strings.Contains(stderr, "not found") {
		t.Errorf("%d %s", status, stderr)
	}
}

func TestSlowABenchmarkIsOnThePage(t *testing.T) {
	t.Parallel()
	b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
	status, _, stderr := b.run(t, append([]string{"--name", "zoo", "--interval", "50ms"}, zooInput...)...)
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	check := func(where string) {
		t.Helper()
		p := readPage(t, b.out)
		if len(p.Benchmarks) != 1 || p.Benchmarks[0].Name != "zoo" {
			t.Fatalf("%s: %+v", where, p.Benchmarks)
		}
		one := p.Benchmarks[0]
		if !strings.HasPrefix(one.Verdict, "Device and emulated@htp agree") || !strings.Contains(one.Said[0], "inferences a second on the DSP") {
			t.Errorf("%s: %q %q", where, one.Verdict, one.Said)
		}
		joined, estimated, loads := 0, 0, 0
		for _, k := range one.InRun {
			if k >= 0 {
				joined++
			}
		}
		for _, v := range one.Layers.Times {
			if v != nil {
				estimated++
			}
		}
		for _, v := range one.Watched.CPU {
			if v != nil {
				loads++
			}
		}
		if one.Run < 0 || joined < 20 || estimated < 15 || loads == 0 || len(one.Watched.Bands) != 3 {
			t.Errorf("%s: run %d, %d layers of it, %d estimates, %d loads, steps %+v", where, one.Run, joined, estimated, loads, one.Watched.Bands)
		}
	}
	check("at the end of benchmark")
	damaged := filepath.Join(b.out, "models_dlc", "other", "benchmark.json")
	if err := workspace.WriteFile(damaged, []byte("{")); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := run(t, "report", b.out)
	if status != 0 || !strings.HasSuffix(strings.TrimSpace(stdout), ", 1 benchmark") || !strings.Contains(stderr, damaged) {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	check("by report")
	if p := readPage(t, b.out); len(p.Problems) != 1 || !strings.Contains(p.Problems[0], damaged) {
		t.Errorf("problems: %q", p.Problems)
	}
}

func TestSlowAPlantedFaultIsWhereTheDevicePartsFromTheEmulator(t *testing.T) {
	t.Parallel()
	const layer = "/conv2/Conv_output_0"
	for _, row := range []struct {
		fault fakeboard.Fault
		parts string
		says  string
	}{
		{fakeboard.Fault{Kind: fakeboard.Clipped, Layer: layer + "_QuantizeLinear"}, layer, "DEVICE AND EMULATED@HTP PART at " + layer},
		{fakeboard.Fault{Kind: fakeboard.Zeroed, Layer: layer + "_QuantizeLinear", Channel: 1}, layer, "DEVICE AND EMULATED@HTP PART at " + layer},
		{fakeboard.Fault{Kind: fakeboard.Swapped}, "/relu1/Relu_output_0", "red and blue swapped"},
	} {
		t.Run(string(row.fault.Kind), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
			b.board.Inject(row.fault)
			status, stdout, stderr := b.run(t, append([]string{"--name", "zoo", "--steps", "layers"}, zooInput...)...)
			if status != 0 || !strings.Contains(stdout, row.says) {
				t.Errorf("%d %s %s", status, stdout, stderr)
			}
			if l := b.found(t, "zoo").Layers; l == nil || l.Parts != row.parts {
				t.Errorf("they part at %+v", l.Parts)
			}
		})
	}
}

// adbScript stands in for adb, with this machine as the device board-1.
const adbScript = `#!/bin/sh
if [ "$1" = -s ]; then [ "$2" = board-1 ] || { echo "error: device '$2' not found" >&2; exit 1; }; shift 2; fi
case $1 in
get-serialno) echo board-1 ;;
features) echo shell_v2 ;;
shell) exec setsid -w sh -c "$3" ;;
*) echo "adb: usage" >&2; exit 1 ;;
esac
`

func TestSlowFaultsOfADevice(t *testing.T) {
	deviceFaults(t, []deviceFault{
		{"killed for want of memory", fakeboard.Fault{Kind: fakeboard.Killed, Tool: netTool, After: 1}, 1, "killed, as the system does when memory is short"},
		{"no throughput tool", fakeboard.Fault{Kind: fakeboard.Missing, Tool: "snpe-throughput-net-run"}, 1, "snpe-throughput-net-run is not on the device's PATH"},
		{"no listing tool", fakeboard.Fault{Kind: fakeboard.Missing, Tool: "snpe-dlc-info"}, 0, "throughput"},
		{"neither diagview there nor here", fakeboard.Fault{Kind: fakeboard.Missing, Tool: "snpe-diagview"}, 1, "neither on the device nor on this machine"},
		{"silent", fakeboard.Fault{Kind: fakeboard.Silent, Tool: netTool}, 1, "does not say that it executed successfully"},
		{"a silent throughput tool", fakeboard.Fault{Kind: fakeboard.Silent, Tool: "snpe-throughput-net-run"}, 1, "printed nothing"},
		{"hung", fakeboard.Fault{Kind: fakeboard.Hung, Tool: netTool, After: 1}, 1, "gave nothing for 3s"},
		{"a full disk", fakeboard.Fault{Kind: fakeboard.Full, Tool: netTool, After: 1}, 1, "disk is full"},
		{"a bad status after success", fakeboard.Fault{Kind: fakeboard.BadExit, Tool: netTool}, 1, "exit status 1"},
		{"no line of success", fakeboard.Fault{Kind: fakeboard.NoSuccess, Tool: netTool}, 1, "does not say that it executed successfully"},
		{"half a file, always", fakeboard.Fault{Kind: fakeboard.Truncated, Tool: netTool, Result: 1, Layer: netLayer}, 0, "1 of 3 samples have no value"},
		{"a file too long", fakeboard.Fault{Kind: fakeboard.Resized, Tool: netTool, Call: 1, Result: 1, Layer: netLayer}, 0, "it was run again"},
		{"a layer that is not written", fakeboard.Fault{Kind: fakeboard.Lost, Tool: netTool, Result: 1, Layer: netLayer}, 0, "there is no file of it"},
		{"folders that are not made", fakeboard.Fault{Kind: fakeboard.Unwritten, Tool: netTool}, 0, "they were made for it"},
		{"an integer", fakeboard.Fault{Kind: fakeboard.Integer}, 0, "inferences a second on the DSP"},
		{"an exponent", fakeboard.Fault{Kind: fakeboard.Exponent}, 0, "1000000 inferences a second"},
	})
}
