// Command external measures how much memory commands take on a model whose weights lie in a file beside it, or in the model's own file:
//
//	go run ./bench/external [-mib 1024] [-inline] [-commands info,check] [-program bin/quantcheck]
//
// It makes a chain of MatMul and Relu with invented weights in a temporary folder, runs each command on it with one sample, and prints the
// greatest memory that all processes of the command had together: PSS, in which a mapped file counts with the pages that are in memory, and
// that without the pages of files, which the system takes back where it needs them.
package main

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"quantcheck/bench/procgroup"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

const (
	width     = 4096 // of a layer: 64 MiB of weights
	layerMiB  = width * width * 4 >> 20
	lookEvery = 50 * time.Millisecond
	limit     = 10 * time.Minute
)

// commands are what is measured; MODEL and SAMPLES stand for the paths.
var commands = []struct {
	name string
	args []string
}{
	{"info", []string{"info", "MODEL"}},
	{"lint", []string{"lint", "MODEL", "--no-htp"}},
	{"optimize", []string{"optimize", "MODEL", "-o", "out.onnx", "--images", "SAMPLES"}},
	{"quantize", []string{"quantize", "MODEL", "-o", "q.onnx", "--images", "SAMPLES"}},
	{"check", []string{"check", "MODEL", "--images", "SAMPLES", "--no-try"}},
	{"check 2GiB", []string{"check", "MODEL", "--images", "SAMPLES", "--no-try", "--memory", "2GiB"}},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "external:", err)
		os.Exit(1)
	}
}

func run() error {
	mib := flag.Int("mib", 1024, "MiB of weights")
	inline := flag.Bool("inline", false, "the weights lie in the model's own file")
	program := flag.String("program", filepath.Join("bin", "quantcheck"), "the program")
	only := flag.String("commands", "", "only these, with commas between them")
	flag.Parse()
	absolute, err := filepath.Abs(*program)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "quantcheck-external-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	model := filepath.Join(dir, "model.onnx")
	if err := write(model, max(1, *mib/layerMiB), *inline); err != nil {
		return err
	}
	sample := filepath.Join(dir, "samples")
	if err := writeSample(sample); err != nil {
		return err
	}
	fmt.Printf("%-12s %12s %20s %12s\n", "command", "peak MiB", "without files, MiB", "processor")
	for _, c := range commands {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), c.name) {
			continue
		}
		work, err := os.MkdirTemp(dir, "work-")
		if err != nil {
			return err
		}
		args := slices.Clone(c.args)
		for i, a := range args {
			args[i] = strings.NewReplacer("MODEL", model, "SAMPLES", sample).Replace(a)
		}
		if err := measure(c.name, absolute, args, work); err != nil {
			return err
		}
		if err := os.RemoveAll(work); err != nil {
			return err
		}
	}
	return nil
}

// write makes a chain of as many layers; their weights are streamed to a file beside the model, or lie in it.
func write(path string, layers int, inline bool) error {
	g := &onnxpb.GraphProto{Name: proto.String("chain"), Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, width})}}
	beside := onnx.WeightsBeside(path)
	f, err := os.Create(beside)
	if err != nil {
		return err
	}
	defer f.Close()
	rng, at, size := rand.New(rand.NewPCG(1, 2)), "x", width*width*4
	for k := range layers {
		raw := make([]byte, size)
		for i := 0; i < size; i += 4 { // uniform, of a variance that keeps values in bounds behind a Relu
			v := (rng.Float32()*2 - 1) * float32(math.Sqrt(6.0/width))
			binary.LittleEndian.PutUint32(raw[i:], math.Float32bits(v))
		}
		name := fmt.Sprintf("w%d", k)
		w := &onnxpb.TensorProto{Name: proto.String(name), Dims: []int64{width, width}, DataType: proto.Int32(int32(tensor.Float32))}
		if inline {
			w.RawData = raw
		} else {
			if _, err := f.Write(raw); err != nil {
				return err
			}
			w.DataLocation = onnxpb.TensorProto_EXTERNAL.Enum()
			for key, value := range map[string]string{"location": filepath.Base(beside), "offset": strconv.Itoa(k * size), "length": strconv.Itoa(size)} {
				w.ExternalData = append(w.ExternalData, &onnxpb.StringStringEntryProto{Key: proto.String(key), Value: proto.String(value)})
			}
		}
		g.Initializer = append(g.Initializer, w)
		op := func(kind string, in ...string) string {
			out := fmt.Sprintf("%s%d", strings.ToLower(kind), k)
			g.Node = append(g.Node, &onnxpb.NodeProto{Name: proto.String(kind + "_" + out), OpType: proto.String(kind), Input: in, Output: []string{out}})
			return out
		}
		at = op("Relu", op("MatMul", at, name))
	}
	g.Output = []*onnxpb.ValueInfoProto{onnx.ValueInfo(at, tensor.Float32, []int64{1, width})}
	m := onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}}}}
	data, err := m.Bytes()
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func writeSample(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	rng, values := rand.New(rand.NewPCG(3, 4)), make([]float32, width)
	for i := range values {
		values[i] = rng.Float32()
	}
	var npy bytes.Buffer
	if err := tensor.WriteNpy(&npy, tensor.Floats(values, 1, width)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "0.npy"), npy.Bytes(), 0o600)
}

// measure runs a command in a folder and prints what its processes took at most.
func measure(name, program string, args []string, work string) error {
	var said bytes.Buffer
	c := exec.Command(program, args...) //nolint:noctx // it is ended below
	c.Dir, c.Stdout, c.Stderr = work, &said, &said
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	over, tick := time.After(limit), time.NewTicker(lookEvery)
	defer tick.Stop()
	var peak, anonymous int64
	for {
		select {
		case err := <-ended:
			took := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
			if r, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
				peak = max(peak, r.Maxrss<<10)
			}
			fmt.Printf("%-12s %12d %20d %12s\n", name, peak>>20, anonymous>>20, took.Round(100*time.Millisecond))
			if err != nil {
				return fmt.Errorf("%s: %w: %s", name, err, said.String())
			}
			return nil
		case <-tick.C:
			p, a := memory(c.Process.Pid)
			peak, anonymous = max(peak, p), max(anonymous, a)
		case <-over:
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			over = nil
		}
	}
}

// memory sums what the processes of a group have in memory: all of it, and that without the pages of files.
func memory(group int) (all, anonymous int64) {
	for _, p := range procgroup.Of(group) {
		all += p.Bytes["Pss"]
		anonymous += p.Bytes["Pss_Anon"] + p.Bytes["Pss_Shmem"]
	}
	return all, anonymous
}
