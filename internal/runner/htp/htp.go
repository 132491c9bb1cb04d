// Package htp runs models on Qualcomm's HTP emulator, which computes as the DSP does, on an x86-64 Linux machine.
//
//		this process                                   worker: the same program once more, one per graph
//		Runner ── model, names ─────────────────────►  ONNX Runtime + QNN provider: one session
//		       ── integers of the inputs ──► shared memory ──► run ──► shared memory ──► integers of every tap ──► Runner
//
//	 1. The boundary graph takes and gives integers (qdq.Integers), so that every value is what the emulator holds.
//	 2. A worker process holds the libraries: their settings leak from one session into the next, they write to stdout,
//	    and a crash in them must not cost what was done before. It is started anew once, then the sample is given up.
//	 3. The runner dequantizes each tap in float32 when its segment is asked for.
package htp

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/worker"
)

// The RVC4's DSP, as the libraries number it: QCS8550 with HTP architecture 73.
const (
	DefaultSoC  = 66
	DefaultArch = 73
)

// Engine says what emulates what.
type Engine struct {
	Kit      qnn.Kit `json:"-"`
	Library  string  `json:"-"` // ONNX Runtime
	SoC      int     `json:"soc_model"`
	Arch     int     `json:"htp_arch"` // 0: that of the SoC
	Fallback bool    `json:"fallback"` // operators that the HTP refuses run on the CPU
}

// Describe is what a result says of the engine.
func (e Engine) Describe() *result.Emulator {
	return &result.Emulator{Wheel: qnn.Version, SoC: e.SoC, Arch: e.Arch}
}

// options are the provider's. The SoC model decides the architecture; another one is asked for by its number. Without a SoC
// model the emulator would behave as version 68.
func (e Engine) options() map[string]string {
	o := map[string]string{"backend_path": e.Kit.HTP(), "soc_model": strconv.Itoa(e.SoC)}
	if e.Arch != 0 && (e.Arch != DefaultArch || e.SoC != DefaultSoC) {
		o["htp_arch"] = strconv.Itoa(e.Arch)
	}
	return o
}

// Refusal is an operator that the HTP does not take.
type Refusal struct {
	Node   string `json:"node"`
	Op     string `json:"op"`
	Reason string `json:"reason"` // in the library's words
}

// Failed says whether an error is of a model that ended the emulator's process.
func Failed(err error) bool {
	var died *worker.DiedError
	return errors.As(err, &died)
}

// RefusedError lists the operators that the HTP does not take.
type RefusedError struct{ Refused []Refusal }

func (e *RefusedError) Error() string {
	var list []string
	for i, r := range e.Refused {
		if i == 5 {
			list = append(list, fmt.Sprintf("and %d more", len(e.Refused)-i))
			break
		}
		list = append(list, fmt.Sprintf("%s (%s): %s", r.Node, r.Op, r.Reason))
	}
	text := fmt.Sprintf("the HTP refuses %d operators: ", len(e.Refused))
	if len(e.Refused) == 1 {
		text = "the HTP refuses an operator: "
	}
	return text + strings.Join(list, "; ") + advice(e.Refused)
}

// advice names the passes that take refused operators out of a model; "" if there are none.
func advice(list []Refusal) string {
	var said []string
	for _, r := range list {
		if pass := rewrite.Helps(r.Op); pass != "" {
			text := fmt.Sprintf(". quantcheck optimize --pass %s puts an operator that the HTP takes in the place of %s", pass, r.Op)
			if !slices.Contains(said, text) {
				said = append(said, text)
			}
		}
	}
	return strings.Join(said, "")
}

// Named gives every node a name of its own, by which the libraries can refer to it.
func Named(m *onnx.Model) *onnx.Model {
	used := onnx.NewNames(m)
	var nodes []*onnxpb.NodeProto
	for _, n := range m.Graph().GetNode() {
		if n.GetName() == "" && len(n.GetOutput()) > 0 {
			n = proto.CloneOf(n)
			n.Name = proto.String(used.Unique(n.GetOpType() + "_" + n.GetOutput()[0]))
		}
		nodes = append(nodes, n)
	}
	return onnx.Rebuild(m, nodes)
}

// onCPU lists the tensors whose operator ran on the CPU, of the given ones; nodes are those that did.
func onCPU(m *onnx.Model, tensors []string, nodes map[string]bool) []string {
	if len(nodes) == 0 {
		return nil
	}
	x := onnx.NewIndex(m)
	found := map[string]bool{}
	for _, t := range tensors {
		name := t
		for { // over the rounding behind it to the operator itself
			p, ok := x.Producer[name]
			if !ok {
				break
			}
			n := x.Nodes[p]
			if op := n.GetOpType(); op == "QuantizeLinear" || op == "DequantizeLinear" {
				name = n.GetInput()[0]
				continue
			}
			if nodes[n.GetName()] {
				found[t] = true
			}
			break
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// externalDir is absolute: the worker runs in a folder of its own.
func externalDir(m *onnx.Model) string {
	dir := m.Dir()
	if full, err := filepath.Abs(dir); err == nil && dir != "" {
		return full
	}
	return dir
}
