package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/device/sshtest"
	"quantcheck/internal/fixture"
	"quantcheck/internal/result"
	"quantcheck/internal/standin"
)

// bench is a device that is none: this machine behind sshd, with the stand-in board's tools.
type bench struct {
	board  *standin.Board
	server *sshtest.Server
	dir    string // of the device
	out    string // the workspace
	model  []string
}

func newBench(t *testing.T, model string, dlc ...string) *bench {
	t.Helper()
	b := &bench{board: standin.Install(t, standin.Options{}), dir: filepath.Join(t.TempDir(), "tests"), out: t.TempDir()}
	b.server = sshtest.Start(t, sshtest.Options{Env: map[string]string{"PATH": b.board.Path()}})
	b.model = []string{"--dlc", fixture.Path(t, dlc...), "--onnx", fixture.Path(t, "qnn", model), "--images", fixture.Path(t, "coco", "val")}
	return b
}

// run runs the command on the device.
func (b *bench) run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	all := append([]string{"benchmark", "--device", b.server.Target.String(), "--device-dir", b.dir, "--known-hosts", b.server.KnownHosts, "--identity", b.server.Identity, "--out", b.out}, b.model...)
	return run(t, append(all, args...)...)
}

// found is what the last run found.
func (b *bench) found(t *testing.T, name string) *result.Benchmark {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.out, "models_dlc", name, "benchmark.json"))
	found := &result.Benchmark{}
	if err == nil {
		err = json.Unmarshal(data, found)
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// left lists what is on the device.
func (b *bench) left(t *testing.T) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, strings.TrimPrefix(path, b.dir))
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return list
}

var zooInput = []string{"--limit", "3", "--mean", "127", "--scale", "64", "--repeats", "3", "--duration", "2"}

func TestABenchmarkOverSSH(t *testing.T) {
	t.Parallel()
	b := newBench(t, "zoo.onnx", "qnn", "zoo_w8a8_per_channel.dlc")
	status, stdout, stderr := b.run(t, append(zooInput, "--variant", "w8a8", "--name", "zoo")...)
	t.Log(stdout, stderr)
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	found := b.found(t, "zoo")
	if l := found.Layers; l == nil || l.Parts != "" || l.Against != "emulated@htp" || len(l.Rows) < 20 {
		t.Errorf("%+v", l)
	}
	if left := b.left(t); len(left) > 0 {
		t.Errorf("left on the device: %v", left)
	}
}
