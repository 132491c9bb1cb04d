package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/archive"
	"quantcheck/internal/atomicfile"
	"quantcheck/internal/compare"
	"quantcheck/internal/onnx"
	"quantcheck/internal/optimize"
	"quantcheck/internal/report"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
)

type optimizeCmd struct {
	Model     string   `arg:"" optional:"" help:"The float model, an .onnx file."`
	Output    string   `short:"o" placeholder:"OUT.onnx" help:"Where the rewritten model goes."`
	Overwrite bool     `help:"Let -o replace the model that is read, and its file of weights; nothing else that is read may be replaced."`
	Pass      []string `sep:"none" placeholder:"NAME" help:"Run this pass only; repeatable."`
	Also      []string `name:"enable" aliases:"also" sep:"none" placeholder:"NAME" help:"Run this pass too, one of those that run only when asked for; repeatable."`
	Skip      []string `sep:"none" placeholder:"NAME" help:"Leave this pass out; repeatable."`
	Keep      []string `name:"keep-output" sep:"none" placeholder:"NAME" help:"Keep this output, and drop those that are not named, with what only they need; repeatable."`
	ToColor   string   `placeholder:"rgb|bgr" help:"Turn the first kernels, so that the model takes this colour order; --input-color says which it takes now."`
	Images    string   `name:"verify-on" aliases:"images" placeholder:"PATH" help:"Samples that the passes are proved on (seeded random input)."`
	Limit     int      `default:"2" placeholder:"N" help:"How many samples (2)."`
	List      bool     `help:"List the passes."`
	Explain   string   `placeholder:"NAME" help:"Explain a pass: before and after, conditions, formula."`
	JSON      bool     `name:"json" help:"Print the summary as JSON."`

	Estimate        bool   `help:"Show what each pass brings on the DSP, by the HTP compiler's estimate."`
	OnlyIfFaster    bool   `name:"keep-faster" aliases:"only-if-faster" help:"Drop passes that make the estimate slower, and try ${doubtful} also where they do not always pay."`
	NoHtp           bool   `name:"no-htp" help:"Do not ask the HTP compiler whether all passes together make the model slower."`
	EstimateVariant string `placeholder:"SPEC" help:"Which form of the model is estimated (w8a8)."`
	Soc             string `default:"${soc}" placeholder:"${soc}" help:"The chip of the estimate, as for quantcheck estimate (${default})."`

	Input  inputFlags  `embed:"" group:"Input:"`
	Engine engineFlags `embed:"" group:"Engine:"`
}

// Help documents the command.
func (optimizeCmd) Help() string {
	return "Each pass changes the graph, not what it computes (split-output makes several outputs of one, so it runs only when it is asked for; an NN archive given with --model-config is then written beside the model): after each the model before and after runs on the samples, and a pass whose outputs move by more than its tolerance is undone and reported. --to-color rgb|bgr turns the first kernels, so that the model takes that colour order; which it takes now says --input-color, as in every command, or its YAML file (rgb without one)."
}

func (c *optimizeCmd) places() places {
	return places{
		model: place{"MODEL", c.Model}, samples: []place{{"--verify-on", c.Images}}, reads: []place{{"--model-config", c.Input.ModelConfig}},
		models: []place{{"-o", c.Output}}, files: []place{{"the NN archive beside -o,", c.archived()}}, overwrite: c.Overwrite,
	}
}

func (c *optimizeCmd) Run(con *console) error {
	switch {
	case c.List:
		for _, p := range rewrite.All {
			off := ""
			if p.Off {
				off = " (only when asked for with --pass or --enable)"
			}
			fmt.Fprintf(con.stdout, "%-26s %s%s\n", p.Name, p.Title, off)
		}
		return nil
	case c.Explain != "":
		p, err := rewrite.Find(c.Explain)
		if err != nil {
			return usageError{err}
		}
		fmt.Fprintf(con.stdout, "%s: %s.\n\n%s\n%s\nOutputs may move by %g of their greatest magnitude.\n", p.Name, p.Title, p.Why, p.Doc, p.Tolerance)
		return nil
	case c.Model == "" || c.Output == "":
		return usagef("expected MODEL.onnx -o OUT.onnx (or --list, --explain NAME)")
	case !strings.EqualFold(filepath.Ext(c.Output), ".onnx"):
		return usagef("-o %s: the rewritten model is an .onnx file", c.Output)
	case c.EstimateVariant != "" && !c.Estimate && !c.OnlyIfFaster:
		return usagef("--estimate-variant says what is estimated: give --estimate or --keep-faster too")
	case c.Limit < 1:
		return usagef("--limit %d: one sample at least", c.Limit)
	case !slices.Contains([]string{"", "rgb", "bgr"}, c.ToColor):
		return usagef("--to-color %q: rgb or bgr", c.ToColor)
	}
	if err := tryFiles(c.Output); err != nil {
		return err
	}
	input, err := c.Input.description(c.Model)
	if err != nil {
		return err
	}
	r, err := c.Engine.open(con)
	if err != nil {
		return err
	}
	progress := newProgress(con.stderr)
	defer progress.clear()
	o, err := optimize.Run(con.ctx, rvc4.engines(r), optimize.Spec{
		Model: c.Model, Passes: c.Pass, Also: c.Also, Skip: c.Skip, Keep: c.Keep, Images: c.Images, Limit: c.Limit, Input: input, Color: c.ToColor,
		Guard: !c.NoHtp, Estimate: c.Estimate, OnlyIfFaster: c.OnlyIfFaster, Variant: c.EstimateVariant, SoC: c.Soc,
	}, progress)
	if err != nil {
		return err
	}
	if err := onnx.Save(o.Model, c.Output); err != nil {
		return err
	}
	besides, err := c.saveArchive(con.ctx, o)
	if err != nil {
		return err
	}
	for i, p := range o.Passes {
		if p.Name != "equalize" || len(p.Changes) == 0 || p.Undone != "" {
			continue
		}
		effect := "give --verify-on to see what it does to the local error"
		if c.Images != "" {
			effect, err = compare.EqualizeEffect(con.ctx, session.Engines{ORT: r}, c.Model, c.Output, c.Images, c.Limit, input, progress)
			if ort.Failed(err) && con.ctx.Err() == nil { // of the quantized forms: the model itself has run
				effect, err = "what it does to the local error could not be measured: "+err.Error(), nil
			}
			if err != nil {
				return err
			}
		}
		o.Passes[i].Effect = effect
	}
	progress.clear()
	if c.JSON {
		doc := map[string]any{"passes": o.Passes, "before": o.Before, "after": o.After, "proof": o.Proof, "notes": append([]string{}, o.Notes...), "seconds": o.Seconds, "proving": o.Proving}
		if len(o.Joins) > 0 {
			doc["cut"] = o.Joins
		}
		if besides != "" {
			doc["archive"] = besides
		}
		if o.Slow != nil {
			doc["estimate_before"], doc["estimate_after"] = o.Slow, o.Fast
		}
		return report.JSON(con.stdout.Data(), doc)
	}
	c.draw(con.stdout, o)
	if besides != "" {
		fmt.Fprintf(con.stdout, "%-12s %s\n", "", report.Printable(besides))
	}
	return nil
}

// archived is where the NN archive of a rewritten model goes, if its input is described by one; "" if it is not.
func (c *optimizeCmd) archived() string {
	if !archive.Is(c.Input.ModelConfig) || c.Output == "" {
		return ""
	}
	return strings.TrimSuffix(c.Output, filepath.Ext(c.Output)) + ".tar.gz"
}

// saveArchive writes an NN archive of the rewritten model beside it, if there is one and the model's outputs are others now.
func (c *optimizeCmd) saveArchive(ctx context.Context, o *optimize.Result) (string, error) {
	path := c.archived()
	by, unscaled := strconv.ParseFloat(o.Model.Property(rewrite.BoxScaleKey), 64)
	if path == "" || len(o.Joins) == 0 && unscaled != nil {
		return "", nil
	}
	a, err := archive.Open(c.Input.ModelConfig)
	if err != nil {
		return "", err
	}
	shapes := map[string][]int64{}
	for _, out := range o.Model.Graph().GetOutput() {
		_, shapes[out.GetName()], _ = onnx.TypeOf(out)
	}
	change := archive.Change{Model: filepath.Base(c.Output), Cut: map[string][]archive.Part{}, BoxScale: by}
	for _, j := range o.Joins {
		for _, part := range j.Parts {
			change.Cut[j.Output] = append(change.Cut[j.Output], archive.Part{Name: part, Shape: shapes[part]})
		}
	}
	model, err := os.Open(c.Output)
	if err != nil {
		return "", err
	}
	defer func() { _ = model.Close() }()
	info, err := model.Stat()
	if err != nil {
		return "", err
	}
	return path, atomicfile.Write(path, func(f *os.File) error { return a.Write(ctx, f, change, info.Size(), model) })
}

func (c *optimizeCmd) draw(w io.Writer, o *optimize.Result) {
	for _, p := range o.Passes {
		switch {
		case p.Undone != "":
			fmt.Fprintf(w, "%-26s UNDONE: %s\n", p.Name, report.Printable(p.Undone))
		case len(p.Changes) > 0:
			fmt.Fprintf(w, "%-26s %d places, outputs move by %.1g%s\n", p.Name, len(p.Changes), p.Difference, report.PassGain(p.Before, p.Cycles))
		}
		if p.Effect != "" {
			fmt.Fprintf(w, "%-26s %s\n", "", report.Printable(p.Effect))
		}
		const most = 3
		for i, l := range p.Left {
			if i == most {
				fmt.Fprintf(w, "%-26s and %d more are left\n", "", len(p.Left)-most)
				break
			}
			fmt.Fprintf(w, "%-26s left: %s\n", "", report.Printable(l))
		}
	}
	for _, j := range o.Joins {
		fmt.Fprintf(w, "%-26s %s is now %s; joined along axis %d they are it\n", "", report.Printable(j.Output), report.Printable(strings.Join(j.Parts, ", ")), j.Axis)
	}
	macs := func(n int64) string {
		if n < 0 {
			return "unknown"
		}
		return fmt.Sprintf("%.2f M", float64(n)/1e6)
	}
	fmt.Fprintf(w, "\n%d nodes, now %d; %d parameters, now %d; %s multiply-adds, now %s\n", o.Before.Nodes, o.After.Nodes, o.Before.Parameters, o.After.Parameters, macs(o.Before.MACs), macs(o.After.MACs))
	if o.Slow != nil && o.Fast != nil {
		fmt.Fprintln(w, report.EstimateGain(o.Slow, o.Fast))
	}
	fmt.Fprintf(w, "proved on %s, in %.2f s of %.2f s\n", report.Printable(o.Proof), o.Proving, o.Seconds)
	for _, n := range o.Notes {
		fmt.Fprintf(w, "note         %s\n", report.Printable(n))
	}
	c.Engine.footer(w)
	fmt.Fprintf(w, "%-12s %s\n", "written", report.Printable(c.Output))
}
