// Package refused asks the HTP emulator which operators of a model it does not take, for quantcheck lint.
//
//  1. The model is divided where few tensors go from one part to the next: compiling a graph takes time that grows faster than its operators.
//  2. Each part is asked about in every quantized form, then as it is, until the time is spent.
//  3. What was answered is remembered in the user's cache.
package refused

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/library"
	"quantcheck/internal/lint/checks"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/progress"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// asFloat is the form of the float model itself, as half precision runs it.
const asFloat = "float"

// The graph is asked about in parts: compiling one takes time that grows faster than its operators.
const (
	leastPart = 24 // operators
	mostPart  = 40
)

// partShare is the part of the time that a question may take, one of so many, while there are others.
const partShare = 4

// refuser says which operators of a graph the HTP refuses.
type refuser func(ctx context.Context, m *onnx.Model) ([]htp.Refusal, error)

// part is a piece of the model that is asked about alone.
type part struct {
	model *onnx.Model
	nodes int
}

// Options say what is asked.
type Options struct {
	// Variants are the quantized forms, besides the float model itself.
	Variants []string
	Budget   time.Duration     // 0: without a limit
	Progress progress.Reporter // nil: nobody is told
}

// Ask asks an emulator about a model whose constants are folded. The notes say what was not asked, and why.
func Ask(ctx context.Context, r ort.Engine, e htp.Engine, m *onnx.Model, o Options) (list []checks.Refusal, notes []string, err error) {
	m = htp.Named(m)
	types, err := ort.Types(r, m)
	if err != nil {
		return nil, []string{"which operators the HTP refuses was not asked: " + err.Error()}, nil //nolint:nilerr // said
	}
	ask := remembered(e, func(ctx context.Context, m *onnx.Model) ([]htp.Refusal, error) {
		r, err := htp.New(ctx, e, m, htp.Options{Groups: [][]string{m.Outputs()}})
		var refused *htp.RefusedError
		if errors.As(err, &refused) {
			return refused.Refused, nil
		}
		if err == nil {
			r.Close()
		}
		return nil, err
	})
	forms := []string{asFloat}
	if !model.Quantized(m) {
		forms = append(slices.Clone(o.Variants), asFloat)
	}
	return refusals(ctx, ask, m, types, forms, o)
}

// refusals asks about every part in every form until the time is spent.
func refusals(ctx context.Context, ask refuser, m *onnx.Model, types map[string]onnxruntime.Type, forms []string, o Options) (refused []checks.Refusal, notes []string, err error) {
	said := o.Progress
	if said == nil {
		said = progress.Silent{}
	}
	limited, end := ctx, func() {}
	if o.Budget > 0 {
		limited, end = context.WithTimeout(ctx, o.Budget)
	}
	defer end()
	parts := divide(m, types)
	own := map[string]string{}
	for _, n := range m.Graph().GetNode() {
		own[n.GetName()] = n.GetOpType()
	}
	said.Phase("asking the HTP which operators it takes", len(parts)*len(forms))
	found := map[string]*checks.Refusal{}
	var order []string
	asked, done := make([]int, len(forms)), 0
	// look asks one question; false: its time was over.
	look := func(ctx context.Context, k int, p part) bool {
		list, err := askPart(ctx, ask, p.model, forms[k])
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			notes = append(notes, fmt.Sprintf("which operators the HTP refuses as %s could not be asked of %d of %d: %v", forms[k], p.nodes, len(own), err))
		}
		asked[k] += p.nodes
		for _, r := range list {
			if own[r.Node] == "" {
				continue // a quantizer, or what ONNX Runtime put in: it goes with an operator of the model
			}
			if found[r.Node] == nil {
				found[r.Node] = &checks.Refusal{Node: r.Node, Op: own[r.Node], Reason: r.Reason}
				order = append(order, r.Node)
			}
			if f := found[r.Node]; !slices.Contains(f.Forms, forms[k]) {
				f.Forms = append(f.Forms, forms[k])
			}
		}
		done++
		said.Step(done)
		return true
	}
	// A part that takes more than its share of the time waits for the others: else it would take all of it in every run.
	var slow [][2]int
	for k := range forms {
		for i, p := range parts {
			if limited.Err() != nil {
				break
			}
			share, end := limited, func() {}
			if o.Budget > 0 {
				share, end = context.WithTimeout(limited, o.Budget/partShare)
			}
			if !look(share, k, p) {
				slow = append(slow, [2]int{k, i})
			}
			end()
		}
	}
	for _, q := range slow {
		if limited.Err() != nil {
			break
		}
		look(limited, q[0], parts[q[1]])
	}
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	all := 0
	for _, p := range parts {
		all += p.nodes
	}
	for k, form := range forms {
		if asked[k] < all {
			notes = append(notes, fmt.Sprintf("whether the HTP takes the operators as %s was asked of %d of %d; the time is spent: --budget gives more, and what was asked is remembered", form, asked[k], len(own)))
		}
	}
	for _, name := range order {
		refused = append(refused, *found[name])
	}
	return refused, notes, nil
}

// askPart asks about a part in one form.
func askPart(ctx context.Context, ask refuser, m *onnx.Model, form string) ([]htp.Refusal, error) {
	if form != asFloat {
		v, err := variant.Parse(form)
		if err != nil {
			return nil, err
		}
		if v.Kind == variant.Half {
			return ask(ctx, m)
		}
		if m, err = unmeasured(m, v); err != nil {
			return nil, err
		}
	}
	return ask(ctx, m)
}

// unmeasured is a variant of a model whose every range is −1 to 1: which operators are taken does not depend on ranges, and nothing has to be run.
func unmeasured(m *onnx.Model, v variant.Spec) (*onnx.Model, error) {
	types := map[string]bool{}
	for _, info := range slices.Concat(m.Graph().GetInput(), m.Graph().GetValueInfo(), m.Graph().GetOutput()) {
		if d, _, ok := onnx.TypeOf(info); ok && d == tensor.Float32 {
			types[info.GetName()] = true
		}
	}
	v.Engine = variant.HTP
	b, err := qdq.Build(m, qdq.Find(m, func(name string) bool { return types[name] }), v, func(_ string, recipe variant.Spec) (quant.Encoding, bool) {
		return quant.MinMax(quant.Range{Min: -1, Max: 1, Seen: true}, recipe.ActBits, recipe.Calibrator == variant.Symmetric), true
	})
	if err != nil {
		return nil, err
	}
	return b.Model, nil
}

// divide cuts a model where few tensors go from one part to the next: all with a known type, none with more than four axes (the HTP takes
// those only within forms that it knows), none of whole numbers (which may be a shape).
func divide(m *onnx.Model, types map[string]onnxruntime.Type) []part {
	x := onnx.NewIndex(m)
	var parts []part
	live := slices.Sorted(maps.Keys(x.Input))
	for from := 0; from < len(x.Nodes); {
		to, fewest := len(x.Nodes), -1
		var chosen []string
		held := live
		for at := from + 1; at <= len(x.Nodes)-leastPart/2; at++ {
			if fewest >= 0 && at > from+mostPart {
				break
			}
			held = behind(x, held, at-1)
			if at < from+leastPart || slices.ContainsFunc(held, func(name string) bool { return x.Producer[name] >= from && !cuttable(x, name, types) }) {
				continue
			}
			if fewest < 0 || len(held) < fewest {
				to, fewest, chosen = at, len(held), held
			}
		}
		parts = append(parts, part{cut(m, x, from, to, types), to - from})
		from, live = to, chosen
	}
	return parts
}

// behind gives the tensors that are used behind a node, of those that were used at it or behind and those that it makes.
func behind(x *onnx.Index, live []string, node int) []string {
	after := slices.DeleteFunc(slices.Clone(live), func(name string) bool { return x.LastUser(name) <= node })
	for _, out := range x.Nodes[node].GetOutput() {
		if out != "" && x.LastUser(out) > node {
			after = append(after, out)
		}
	}
	return after
}

func cuttable(x *onnx.Index, name string, types map[string]onnxruntime.Type) bool {
	if x.Input[name] {
		return true
	}
	t, known := types[name]
	return known && t.Tensor && t.Fixed() && t.DType.IsFloat() && len(t.Shape) <= 4
}

// cut makes a model of the nodes [from, to), with the types of all its tensors.
func cut(m *onnx.Model, x *onnx.Index, from, to int, types map[string]onnxruntime.Type) *onnx.Model {
	info := func(name string) *onnxpb.ValueInfoProto {
		if t, ok := types[name]; ok && t.Tensor && t.Fixed() {
			return onnx.ValueInfo(name, t.DType, t.Shape)
		}
		return onnx.Untyped(name)
	}
	var inputs, outputs, between []*onnxpb.ValueInfoProto
	for _, in := range m.Inputs() {
		if slices.ContainsFunc(x.Consumers[in.GetName()], func(k int) bool { return k >= from && k < to }) {
			inputs = append(inputs, in)
		}
	}
	seen := map[string]bool{}
	for _, n := range x.Nodes[from:to] {
		for _, in := range onnx.Uses(n) {
			if p, made := x.Producer[in]; made && p < from && !seen[in] {
				seen[in] = true
				inputs = append(inputs, info(in))
			}
		}
		for _, out := range n.GetOutput() {
			switch {
			case out == "":
			case x.Output[out] || slices.ContainsFunc(x.Consumers[out], func(k int) bool { return k >= to }):
				outputs = append(outputs, info(out))
			default:
				between = append(between, info(out))
			}
		}
	}
	piece := onnx.Extract(m, x, from, to, inputs, outputs)
	piece.Proto.Graph.ValueInfo = between
	return piece
}

// remembered keeps what was answered under the hash of the graph, the libraries' version and the chip, in the user's cache.
func remembered(e htp.Engine, ask refuser) refuser {
	return func(ctx context.Context, m *onnx.Model) ([]htp.Refusal, error) {
		file := ""
		if folder, err := library.Folder("refusals"); err == nil {
			if data, err := m.Bytes(); err == nil {
				sum := sha256.New()
				fmt.Fprintf(sum, "%s %d %d\n", e.Describe().Wheel, e.SoC, e.Arch)
				sum.Write(data)
				file = filepath.Join(folder, hex.EncodeToString(sum.Sum(nil))+".json")
			}
		}
		var list []htp.Refusal
		if data, err := os.ReadFile(file); file != "" && err == nil && json.Unmarshal(data, &list) == nil {
			return list, nil
		}
		list, err := ask(ctx, m)
		if err != nil || file == "" {
			return list, err
		}
		if text, err := json.Marshal(append([]htp.Refusal{}, list...)); err == nil && atomicfile.MakeFolder(filepath.Dir(file)) == nil {
			var b atomicfile.Batch
			if b.WriteBytes(file, text) != nil || b.Commit() != nil { // it is asked again then
				b.Discard()
			}
		}
		return list, nil
	}
}

// Forms checks the forms that are asked about.
func Forms(list []string) error {
	for _, form := range list {
		v, err := variant.Parse(form)
		if err != nil {
			return err
		}
		if v.Kind != variant.Recipe && v.Kind != variant.Half || strings.Contains(form, "=") {
			return fmt.Errorf("--variant %s: a form of the float model is meant, as w8a8, w8a16 or fp16", form)
		}
	}
	return nil
}
