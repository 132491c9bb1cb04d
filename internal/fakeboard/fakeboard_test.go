package fakeboard

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/cli"
	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/runner/qnnworker"
)

func TestMain(m *testing.M) {
	if qnnworker.IsWorker() {
		os.Exit(qnnworker.Work())
	}
	os.Exit(m.Run())
}

// poses is the DLC of SNPE's own converter, if it is there.
func poses(t testing.TB) [][]string {
	t.Helper()
	elem := []string{"dlc", "pose_landmark_lite_quantized.dlc"}
	if _, ok := fixture.Also(t, elem...); !ok {
		return nil
	}
	return [][]string{elem}
}

// place is a working folder on the board, with a DLC and inputs.
type place struct {
	dir   string
	board *Board
}

// on makes a working folder with a fixture's DLC as m.dlc, inputs of the DLC's own types in native.txt, and the same as
// float32 in inputs.txt.
func on(t testing.TB, b *Board, inferences int, elem ...string) place {
	t.Helper()
	p := place{t.TempDir(), b}
	data, err := os.ReadFile(fixture.Path(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "m.dlc", data)
	f, err := dlc.Open(filepath.Join(p.dir, "m.dlc"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var native, floats strings.Builder
	for i := range inferences {
		for _, in := range f.Graphs[0].At(dlc.Input) {
			raw := make([]byte, in.Bytes())
			for k := range raw {
				raw[k] = byte(37*k + 11*(k>>8) + 101*i)
			}
			x, err := qnnworker.Decode(in, raw)
			if err != nil {
				t.Fatal(err)
			}
			name := strings.NewReplacer(":", "_", "/", "_").Replace(in.Name)
			p.write(t, name+"_"+string(rune('a'+i))+".native", raw)
			p.write(t, name+"_"+string(rune('a'+i))+".raw", x.LittleEndian())
			native.WriteString(in.Name + ":=" + name + "_" + string(rune('a'+i)) + ".native ")
			floats.WriteString(in.Name + ":=" + name + "_" + string(rune('a'+i)) + ".raw ")
		}
		native.WriteByte('\n')
		floats.WriteByte('\n')
	}
	p.write(t, "native.txt", []byte(native.String()))
	p.write(t, "inputs.txt", []byte(floats.String()))
	return p
}

func (p place) write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ran is what came of a command.
type ran struct {
	stdout, stderr string
	status         int
}

// sh runs a command line as a device's shell does.
func (p place) sh(t testing.TB, line string) ran {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "PATH="+p.board.Path())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return ran{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// files are a folder's files by their paths in it.
func (p place) files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	list := map[string][]byte{}
	root := filepath.Join(p.dir, dir)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		list[strings.TrimPrefix(path, root+"/")] = data
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return list
}

// same compares files, but for the log.
func same(t testing.TB, got, want map[string][]byte) {
	t.Helper()
	n := 0
	for name, data := range want {
		n++
		if !bytes.Equal(got[name], data) {
			t.Errorf("%s differs", name)
		}
	}
	if _, log := got["SNPEDiag.log"]; log {
		n++
	}
	if len(got) != n {
		t.Errorf("%d files, want %d", len(got), n)
	}
}

const (
	debugRun  = "snpe-net-run --container m.dlc --input_list inputs.txt --debug --use_dsp --userbuffer_floatN_output 32 --perf_profile balanced --userbuffer_float"
	nativeRun = "snpe-net-run --container m.dlc --input_list native.txt --use_dsp --use_native_input_files --use_native_output_files --perf_profile balanced --userbuffer_auto"
)

func TestTheBoardWritesWhatTheEmulatorComputes(t *testing.T) {
	boardWrites(t, []string{"qnn", "zoo_w8a8_per_channel.dlc"})
}

func boardWrites(t *testing.T, dlcs ...[]string) {
	t.Helper()
	for _, elem := range dlcs {
		for what, cache := range map[string]string{"computed": "", "kept": t.TempDir()} {
			if elem[0] == "dlc" && cache == "" { // many files: once is enough
				continue
			}
			t.Run(elem[1]+" "+what, func(t *testing.T) {
				p := on(t, Install(t, Options{Cache: cache}), 2, elem...)
				for k, line := range []string{debugRun + " --output_dir out0", nativeRun + " --output_dir=out1"} {
					out := "out" + string(rune('0'+k))
					r := p.sh(t, line)
					if r.status != 0 || !strings.Contains(r.stdout, "Successfully executed graph ") || strings.Count(r.stdout, "Processing DNN input(s):\n") != 2 || r.stderr != "" {
						t.Errorf("%+v", r)
					}
					want := p.netRun(t, line)
					same(t, p.files(t, out), want)
					if len(want) < 2 {
						t.Errorf("%d files", len(want))
					}
					if cache != "" {
						again := p.sh(t, strings.ReplaceAll(line, out, "again"))
						if again != r {
							t.Errorf("%+v, before %+v", again, r)
						}
						same(t, p.files(t, "again"), want)
						if err := os.RemoveAll(filepath.Join(p.dir, "again")); err != nil {
							t.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// netRun gives what quantcheck net-run writes for a command line.
func (p place) netRun(t testing.TB, line string) map[string][]byte {
	t.Helper()
	args := strings.Fields(strings.NewReplacer("snpe-net-run", "net-run", "inputs.txt", "absolute.txt", "native.txt", "absolute.txt", "m.dlc", filepath.Join(p.dir, "m.dlc")).Replace(line))
	list := "inputs.txt"
	if strings.Contains(line, "native.txt") {
		list = "native.txt"
	}
	data, err := os.ReadFile(filepath.Join(p.dir, list))
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "absolute.txt", bytes.ReplaceAll(data, []byte(":="), []byte(":="+p.dir+"/")))
	for i, a := range args {
		if a == "absolute.txt" {
			args[i] = filepath.Join(p.dir, a)
		}
	}
	args = slices.DeleteFunc(args, func(a string) bool { return strings.HasPrefix(a, "--output_dir=") })
	if i := slices.Index(args, "--output_dir"); i >= 0 {
		args = slices.Delete(args, i, i+2)
	}
	args = append(args, "--output_dir", filepath.Join(p.dir, "expected"))
	var stdout, stderr bytes.Buffer
	if status := cli.Run(t.Context(), args, nil, &stdout, &stderr); status != 0 {
		t.Fatalf("net-run %v: %d %s", args, status, stderr.String())
	}
	defer os.RemoveAll(filepath.Join(p.dir, "expected"))
	return p.files(t, "expected")
}
