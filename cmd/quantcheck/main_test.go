//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// asProgram lets the test's own binary be the program.
const asProgram = "QUANTCHECK_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// scene is a check that takes some seconds.
type scene struct{ out, tmp, model, images, library string }

func newScene(t *testing.T) scene {
	t.Helper()
	fixture.Runtime(t)
	library := fixture.Library(t)
	s := scene{t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "m.onnx"), t.TempDir(), library}
	p := &onnxpb.ModelProto{
		IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(13)}},
		Graph: &onnxpb.GraphProto{
			Name: proto.String("g"),
			Node: []*onnxpb.NodeProto{
				{OpType: proto.String("Relu"), Name: proto.String("r"), Input: []string{"x"}, Output: []string{"r"}},
				{OpType: proto.String("Mul"), Name: proto.String("m"), Input: []string{"r", "r"}, Output: []string{"y"}},
			},
			Input:  []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 64, 64})},
			Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
		},
	}
	data, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.model, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 640, 640))); err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		if err := os.WriteFile(filepath.Join(s.images, strconv.Itoa(i)+".png"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// staged is what the names of folders have in which a run collects its files.
const staged = "quantcheck-run-"

// begin starts a check with so many samples, and waits until it collects files. The files by which it tries whether it may write come and go
// before.
func (s scene) begin(t *testing.T, limit int, before ...string) *exec.Cmd {
	t.Helper()
	c := s.start(t, limit, before...)
	collects := func() bool {
		return slices.ContainsFunc(temporary(t, s.out), func(path string) bool { return strings.Contains(path, staged) })
	}
	for end := time.Now().Add(30 * time.Second); !collects(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the run wrote nothing")
		}
	}
	return c
}

func (s scene) start(t *testing.T, limit int, before ...string) *exec.Cmd {
	t.Helper()
	args := append(slices.Clone(before), os.Args[0], "check", s.model, "--images", s.images, "--calib", filepath.Join(s.images, "0.png"), "--limit", strconv.Itoa(limit), "--out", s.out,
		"--save-tensors", "--threads", "1", "--ort-lib", s.library)
	c := exec.CommandContext(t.Context(), args[0], args[1:]...)
	c.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+s.tmp)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// temporary lists what the program has not put into its place yet.
func temporary(t *testing.T, dirs ...string) []string {
	t.Helper()
	var list []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.Contains(filepath.Base(path), "quantcheck-") {
				list = append(list, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// A run has 900 ms to clean up before the program ends, which a machine with much else to do may take from it: each signal has three tries.
func TestAClosedTerminalEndsARunCleanly(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT} {
		if signal.Ignored(sig) { // nohup runs the test: the program does not end then
			continue
		}
		var wrong []string
		for range 3 {
			s := newScene(t)
			c := s.begin(t, 400)
			if err := c.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			err := c.Wait()
			exit := (*exec.ExitError)(nil)
			left := temporary(t, s.out, s.tmp)
			if errors.As(err, &exit) && exit.ExitCode() == 130 && len(left) == 0 {
				wrong = nil
				break
			}
			wrong = append(wrong, fmt.Sprintf("%v, left behind: %v", err, left))
		}
		if len(wrong) > 0 {
			t.Errorf("%v: %q", sig, wrong)
		}
	}
}

func TestUnderNohupARunOutlivesItsTerminal(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c := s.begin(t, 100, "/bin/sh", "-c", `trap '' HUP; exec "$0" "$@"`)
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.out, "results", "quantcheck.db")); err != nil {
		t.Error(err)
	}
}

func TestTheNextRunRemovesWhatAKilledOneLeft(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c := s.begin(t, 400)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	killed := temporary(t, s.out)
	if len(killed) == 0 {
		t.Fatal("nothing was left")
	}
	c = s.start(t, 2)
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	if left := temporary(t, s.out, s.tmp); len(left) > 0 {
		t.Errorf("%v of %v are left", left, killed)
	}
}
