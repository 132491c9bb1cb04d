package htp

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"quantcheck/internal/onnx"
	"quantcheck/internal/runner/worker"
	"quantcheck/internal/tensor"
)

// kind is what the workers of this room are started as.
const kind = "htp"

// load is what opens a session.
type load struct {
	Library  string            `json:"library"`  // ONNX Runtime
	Provider string            `json:"provider"` // the plug-in
	Options  map[string]string `json:"options"`
	AllowCPU bool              `json:"allow_cpu"`
	Rewrite  bool              `json:"rewrite"`  // by ONNX Runtime, before the provider gets the graph
	External string            `json:"external"` // folder of external tensor data
	Inputs   []slot            `json:"inputs"`
	Outputs  []string          `json:"outputs"`
}

// slot is a tensor's place in the shared memory.
type slot struct {
	Name   string       `json:"name"`
	DType  tensor.DType `json:"dtype"`
	Shape  []int64      `json:"shape"`
	Offset int          `json:"offset"`
	Bytes  int          `json:"bytes"`
}

// slots are a model's inputs; they have no places yet.
func slots(m *onnx.Model) []slot {
	var list []slot
	for _, in := range m.Inputs() {
		d, shape, _ := onnx.TypeOf(in)
		list = append(list, slot{Name: in.GetName(), DType: d, Shape: shape})
	}
	return list
}

// opened is what the worker tells of a session; Refused is set when it could not be opened.
type opened struct {
	Refused []Refusal `json:"refused,omitempty"`
	OnCPU   []string  `json:"on_cpu,omitempty"` // nodes
	Inputs  []slot    `json:"inputs,omitempty"`
	Outputs []slot    `json:"outputs,omitempty"`
}

// place gives every tensor its place, on 64-byte borders, and the bytes of all. ok is false for shapes that are not
// fixed, with the tensor's name.
func place(at int, list []slot) (end int, open string, ok bool) {
	for i := range list {
		n, err := tensor.Count(list[i].Shape)
		if err != nil || list[i].DType.Bits() == 0 {
			return at, list[i].Name, false
		}
		list[i].Offset, list[i].Bytes = at, tensor.ByteSize(list[i].DType, n)
		at = worker.Align(at + list[i].Bytes)
	}
	return at, "", true
}

var (
	unsupported = regexp.MustCompile(`\{ name: (.*?), type: (\w+) \}`)
	operator    = regexp.MustCompile(`Operator type: (\S+) Node name: (.*) Node index: \d+`)
	reason      = regexp.MustCompile(`REASON : (.*)`)
	placed      = regexp.MustCompile(`Node\(s\) placed on \[(\w+)\]`)
	placedNode  = regexp.MustCompile(`VerifyEachNodeIsAssignedToAnEp\]\s+(\S+) \((.*)\)\s*$`)
)

// refusals reads, from what the libraries wrote while a session was opened, which operators the HTP refused, and why.
func refusals(log string) []Refusal {
	log = worker.Plain(log)
	reasons := map[string]string{}
	node := ""
	for line := range strings.Lines(log) {
		if m := operator.FindStringSubmatch(line); m != nil {
			node = m[2]
		} else if m := reason.FindStringSubmatch(line); m != nil && node != "" {
			text, _, _ := strings.Cut(m[1], " node `"+node)
			text = strings.TrimSpace(strings.TrimSuffix(text, nodeType(log, node)))
			if reasons[node] == "" {
				reasons[node] = text
			}
		}
	}
	var list []Refusal
	seen := map[string]bool{}
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "Unsupported nodes in QNN EP:") {
			continue
		}
		for _, m := range unsupported.FindAllStringSubmatch(line, -1) {
			if seen[m[1]] {
				continue
			}
			seen[m[1]] = true
			r := Refusal{Node: m[1], Op: m[2], Reason: reasons[m[1]]}
			if r.Reason == "" {
				r.Reason = noReason
			}
			list = append(list, r)
		}
	}
	// Many follow from another's refusal and carry no reason of their own.
	slices.SortStableFunc(list, func(a, b Refusal) int { return cmp.Compare(consequence(a), consequence(b)) })
	return list
}

// consequence is 1 for a refusal that has no reason of its own.
func consequence(r Refusal) int {
	if r.Reason == noReason || strings.HasPrefix(r.Reason, "Cannot get shape") {
		return 1
	}
	return 0
}

const noReason = "Qualcomm's library does not take it, and gives no reason"

// nodeType is the operator type that the log's reason repeats at its end ("… by QNN EP.Erf node `x` will not …").
func nodeType(log, node string) string {
	for _, m := range operator.FindAllStringSubmatch(log, -1) {
		if m[2] == node {
			return m[1]
		}
	}
	return ""
}

// placedOnCPU reads which nodes a session has left to the CPU.
func placedOnCPU(log string) []string {
	var nodes []string
	cpu := false
	for line := range strings.Lines(worker.Plain(log)) {
		if m := placed.FindStringSubmatch(line); m != nil {
			cpu = m[1] == "CPUExecutionProvider"
		} else if m := placedNode.FindStringSubmatch(line); m != nil && cpu {
			nodes = append(nodes, m[2])
		}
	}
	return nodes
}
