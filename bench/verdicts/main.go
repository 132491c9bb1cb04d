// Verdicts holds the verdicts of quantcheck check against what they should tell: models × recipes, and beside each verdict by how much the score
// of the task drops, or, where there are no labels, how many decisions differ. It lists every false good and every false alarm, and ends with
// status 1 if there is one.
//
// A verdict of good is false where the score drops by more than 2 %, one of poor or bad where it drops by less than 1 %.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"quantcheck/internal/result"
)

// model is one that is judged. Of one without labels the drop is the share of decisions that are not kept.
type model struct {
	name, path string
	flags      []string
	samples    string
	labels     string // of COCO; "": none
}

// checked and evaluated are what is read of the program's JSON.
type checked struct {
	Variants []struct {
		Spec    struct{ Name string } `json:"spec"`
		Verdict result.Verdict        `json:"verdict"`
	} `json:"variants"`
}

type evaluated struct {
	Models []struct {
		Name   string     `json:"name"`
		Scores []*float64 `json:"scores"`
	} `json:"models"`
}

var recipes = []string{"w8a8", "w8a8,mse", "w8a8,mse-out", "w8a8,enhanced", "w8a8,per-tensor", "w8a8,percentile:99.99", "w8a16", "fp16"}

const (
	falseGood  = 0.02 // of the score
	falseAlarm = 0.01
)

func main() {
	limit := flag.Int("pictures", 64, "pictures of each model")
	emulated := flag.Bool("emulated", false, "on the emulator too")
	few := flag.Bool("few", false, "the recipes w8a8, w8a8,mse and w8a16 only")
	flag.Parse()
	wrong, err := run(context.Background(), os.Stdout, *limit, *emulated, *few)
	if err != nil {
		fmt.Fprintln(os.Stderr, "verdicts:", err)
		os.Exit(1)
	}
	if wrong > 0 {
		os.Exit(1)
	}
}

func fixtures() string {
	if dir := os.Getenv("QUANTCHECK_FIXTURES"); dir != "" {
		return dir
	}
	return filepath.Join("..", "shared", "fixtures")
}

func models() []model {
	dir := fixtures()
	pictures := filepath.Join(dir, "coco", "val")
	plain := []string{"--mean", "123.675,116.28,103.53", "--scale", "58.395,57.12,57.375"}
	list := []model{
		{"yolox_nano", filepath.Join(dir, "models", "yolox_nano.onnx"), []string{"--input-color", "bgr", "--resize", "letterbox", "--pad-position", "bottom-right"}, pictures, filepath.Join(dir, "coco", "instances.json")},
		{"RFB-320", filepath.Join(dir, "models", "version-RFB-320.onnx"), []string{"--mean", "127", "--scale", "128"}, pictures, ""},
		{"pp-ocrv4-det", filepath.Join("third_party", "node_modules", "@gutenye", "ocr-models", "assets", "ch_PP-OCRv4_det_infer.onnx"), append([]string{"--input-shape", "1,3,640,640"}, plain...), pictures, ""},
		{"squeezenet", filepath.Join(dir, "models", "squeezenet_tensor_input.onnx"), nil, pictures, ""},
	}
	for _, name := range []string{"light_shufflenet", "light_squeezenet"} {
		list = append(list, model{name, filepath.Join(dir, "models", "onnx_light", name+".onnx"), plain, pictures, ""})
	}
	there := list[:0]
	for _, m := range list {
		if _, err := os.Stat(m.path); err == nil {
			there = append(there, m)
		}
	}
	return there
}

func run(ctx context.Context, w io.Writer, limit int, emulated, few bool) (wrong int, err error) {
	out, err := os.MkdirTemp("", "verdicts-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(out) }()
	list := recipes
	if few {
		list = []string{"w8a8", "w8a8,mse", "w8a16"}
	}
	if emulated {
		list = append(list[:len(list):len(list)], "w8a8@htp", "w8a16@htp")
	}
	all := models()
	if len(all) == 0 {
		return 0, errors.New("no model is there: set QUANTCHECK_FIXTURES")
	}
	fmt.Fprintf(w, "%-18s %-24s %-8s %-10s %8s %8s\n", "model", "variant", "verdict", "by", "kept", "drop")
	judged := 0
	for _, m := range all {
		args := append([]string{m.path, "--limit", strconv.Itoa(limit), "--out", out, "--name", m.name}, m.flags...)
		for _, r := range list {
			args = append(args, "--variant", r)
		}
		var c checked
		if err := call(ctx, &c, append([]string{"check", "--images", m.samples, "--local-samples", "0", "--no-try", "--json"}, args...)); err != nil {
			return wrong, fmt.Errorf("%s: %w", m.name, err)
		}
		drops, err := drops(ctx, m, args, &c)
		if err != nil {
			return wrong, fmt.Errorf("%s: %w", m.name, err)
		}
		for i := range c.Variants {
			v := &c.Variants[i]
			note, kept := "", "–"
			for k := range v.Verdict.Decisions {
				kept = fmt.Sprintf("%.3f", v.Verdict.Decisions[k].Share().V)
			}
			drop, known := drops[v.Spec.Name]
			if !known {
				fmt.Fprintf(w, "%-18s %-24s %-8s %-10s %8s %8s\n", m.name, v.Spec.Name, v.Verdict.Grade, v.Verdict.Basis, kept, "–")
				continue
			}
			judged++
			switch g := v.Verdict.Grade; {
			case g == result.Good && drop > falseGood:
				note = "FALSE GOOD"
			case (g == result.Poor || g == result.Bad) && drop < falseAlarm:
				note = "FALSE ALARM"
			}
			if note != "" {
				wrong++
			}
			fmt.Fprintf(w, "%-18s %-24s %-8s %-10s %8s %7.1f%% %s\n", m.name, v.Spec.Name, v.Verdict.Grade, v.Verdict.Basis, kept, 100*drop, note)
		}
	}
	fmt.Fprintf(w, "%d of %d verdicts are wrong\n", wrong, judged)
	return wrong, nil
}

// drops gives by how much each variant's score falls, as a share of float's: of the task where there are labels, else the share of the decisions
// that are not kept.
func drops(ctx context.Context, m model, args []string, c *checked) (map[string]float64, error) {
	list := map[string]float64{}
	if m.labels == "" {
		for i := range c.Variants {
			for _, d := range c.Variants[i].Verdict.Decisions {
				if share := d.Share(); share.OK {
					list[c.Variants[i].Spec.Name] = max(list[c.Variants[i].Spec.Name], 1-share.V)
				}
			}
		}
		return list, nil
	}
	var e evaluated
	if err := call(ctx, &e, append([]string{"eval", "--task", "detection", "--data", m.labels, "--images", m.samples, "--json"}, args...)); err != nil {
		return nil, err
	}
	for _, v := range e.Models {
		if float := e.Models[0].Scores[0]; float != nil && *float > 0 && v.Scores[0] != nil {
			list[v.Name] = 1 - *v.Scores[0]/(*float)
		}
	}
	return list, nil
}

// call runs the program and reads the JSON that it prints.
func call(ctx context.Context, to any, args []string) error {
	cmd := exec.CommandContext(ctx, filepath.Join("bin", "quantcheck"), args...)
	var out, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failed
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(failed.String()))
	}
	return json.Unmarshal(out.Bytes(), to)
}
