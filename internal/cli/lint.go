package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/hostinfo"
	"quantcheck/internal/inspect"
	"quantcheck/internal/lint"
	"quantcheck/internal/lint/checks"
	"quantcheck/internal/lint/refused"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/publish"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

type lintCmd struct {
	Subject   string `arg:"" optional:"" help:"A model (.onnx), a DLC (.dlc), or a workspace: then its last run and that run's model."`
	Explain   string `placeholder:"ID" help:"Explain a check: what, why, fix."`
	List      bool   `help:"List the checks."`
	JSON      bool   `name:"json" xor:"format" help:"Print the findings as JSON."`
	Sarif     bool   `xor:"format" help:"Print the findings as SARIF 2.1.0, for code review tools."`
	FailOn    string `enum:",note,warning" default:"" placeholder:"warning" help:"Exit with status 3 when there is a warning, or a note."`
	Fix       bool   `help:"Apply the passes that mend findings without changing what the model computes, and show the numbers before and after; needs -o."`
	Output    string `short:"o" placeholder:"OUT.onnx" help:"Where --fix writes the model."`
	Overwrite bool   `help:"Let -o replace the model that is read, and its file of weights; nothing else that is read may be replaced."`
	Estimate  bool   `help:"Show what each finding costs on the DSP, by the HTP compiler's estimate of the model (a float one as w8a8) with and without it, the dearest first. Takes a few seconds per pass."`
	NoHtp     bool   `help:"Do not ask the emulator which operators it refuses."`

	Variant []string      `sep:"none" default:"w8a8" placeholder:"w8a8" help:"Quantized form in which the emulator is asked which operators it refuses, besides the float model; repeatable (w8a8)."`
	Budget  time.Duration `default:"1m" placeholder:"1m" help:"Time for asking the emulator; what was answered is remembered, and the same command goes on from there (1m)."`

	InputShape []string    `sep:"none" placeholder:"[NAME=]1,3,H,W" help:"Shape for an input with dynamic dimensions; repeatable."`
	Engine     engineFlags `embed:"" group:"Engine:"`
}

// Help documents the command.
func (lintCmd) Help() string {
	return "Checks look at the graph (QC1xxx), at quantization (QC2xxx), at layout and preprocessing (QC3xxx), at device and speed (QC4xxx). Each finding names node or tensor, evidence and fix."
}

func (c *lintCmd) places() places {
	return places{model: place{"SUBJECT", c.Subject}, reads: []place{{"SUBJECT", workspace.Folder(c.Subject).Database()}}, models: []place{{"-o", c.Output}}, overwrite: c.Overwrite}
}

func (c *lintCmd) Run(con *console) error {
	switch {
	case c.List:
		for _, k := range checks.All {
			fmt.Fprintf(con.stdout, "%s  %-7s  %s\n", k.ID, k.Severity, k.Title)
		}
		return nil
	case c.Explain != "":
		k, err := checks.Find(c.Explain)
		if err != nil {
			return usageError{err}
		}
		_, err = io.WriteString(con.stdout, k.Explain())
		return err
	case c.Subject == "":
		return usagef("expected a model, a DLC or a workspace (or --list, --explain ID)")
	case c.Fix && (c.Output == "" || !strings.EqualFold(filepath.Ext(c.Output), ".onnx")):
		return usagef("--fix writes the mended model: give -o OUT.onnx")
	}
	if c.Fix {
		if err := tryFiles(c.Output); err != nil {
			return err
		}
	}
	findings, notes, err := c.look(con, c.Subject)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		err = report.JSON(con.stdout.Data(), map[string]any{"findings": append([]checks.Finding{}, findings...), "notes": append([]string{}, notes...)})
	case c.Sarif:
		err = writeSARIF(con.stdout.Data(), c.Subject, findings)
	default:
		draw(con.stdout, findings)
		c.Engine.footer(con.stdout)
		for _, n := range notes {
			fmt.Fprintf(con.stdout, "note  %s\n", report.Printable(n))
		}
	}
	if err != nil {
		return err
	}
	if c.Fix {
		people := *con
		if c.JSON || c.Sarif { // stdout is one document already
			people.stdout = con.stderr
		}
		if err := c.fix(&people, findings); err != nil {
			return err
		}
	}
	for _, f := range findings {
		if c.FailOn == "note" || c.FailOn == "warning" && f.Severity == checks.Warning {
			return errNo
		}
	}
	return nil
}

// look finds out what the subject is, and looks it over.
func (c *lintCmd) look(con *console, subject string) ([]checks.Finding, []string, error) {
	info, err := os.Stat(subject)
	if err != nil {
		return nil, nil, usageError{err}
	}
	spec := lint.Spec{Path: subject, HTP: !c.NoHtp, Ask: refused.Options{Variants: c.Variant, Budget: c.Budget}, Estimate: c.Estimate}
	if err := refused.Forms(c.Variant); err != nil {
		return nil, nil, usageError{err}
	}
	if spec.Shapes, err = inputShapes(c.InputShape, subject); err != nil {
		return nil, nil, err
	}
	switch {
	case info.IsDir():
		if spec.Run, err = lastRun(con, workspace.Folder(subject)); err != nil {
			return nil, nil, err
		}
	case !modelfile.Is(subject) && !inspect.IsDLC(subject):
		return nil, nil, usagef("%s is neither a model (%s) nor a .dlc file nor a listing of snpe-dlc-info nor a workspace", subject, modelfile.Endings())
	}
	r, err := c.Engine.open(con)
	if err != nil {
		return nil, nil, err
	}
	progress := newProgress(con.stderr)
	defer progress.clear()
	spec.Ask.Progress = progress
	findings, notes, err := lint.Run(con.ctx, rvc4.engines(r), spec)
	if spec.Run != nil { // what the database lacks was not looked at
		notes = append(publish.Damage(spec.Run), notes...)
	}
	return findings, notes, err
}

func lastRun(con *console, folder workspace.Folder) (*result.Run, error) {
	db, ids, err := openRuns(con, folder)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if len(ids) == 0 {
		return nil, usagef("the workspace %s has no run yet; make one with quantcheck check", string(folder))
	}
	return db.Runs.Read(con.ctx, ids[len(ids)-1])
}

func draw(w io.Writer, findings []checks.Finding) {
	warnings, total, shown := 0, map[string]int{}, map[string]int{}
	for _, f := range findings {
		total[f.ID]++
	}
	for _, f := range findings {
		if f.Severity == checks.Warning {
			warnings++
		}
		if shown[f.ID] == 0 {
			fmt.Fprintf(w, "%s  %-7s  %s. Fix: %s\n", f.ID, f.Severity, f.Title, f.Fix)
			if f.Pass != "" {
				fmt.Fprintf(w, "%17s  quantcheck optimize --pass %s%s\n", "", f.Pass, priced(f.Price))
			}
		}
		place := strings.TrimSpace(f.Node + " " + f.Tensor)
		if place != "" {
			place += ": "
		}
		const most = 8
		switch {
		case shown[f.ID] == most:
			fmt.Fprintf(w, "%17s  and %d more\n", "", total[f.ID]-most)
		case shown[f.ID] < most:
			fmt.Fprintf(w, "%17s  %s%s\n", "", report.Short(place, 90), report.Printable(f.Evidence))
		}
		shown[f.ID]++
	}
	fmt.Fprintf(w, "%d findings, %d of them warnings; quantcheck lint --explain ID tells more\n", len(findings), warnings)
}

// priced says what a pass brings.
func priced(p *checks.Price) string {
	if p == nil {
		return ""
	}
	return ": by the estimate" + strings.TrimPrefix(report.PassGain(&p.Before, &p.After), ",")
}

// fix applies the passes of the findings, proves them, and looks again.
func (c *lintCmd) fix(con *console, findings []checks.Finding) error {
	var passes []string
	for _, f := range findings {
		if f.Pass != "" && !slices.Contains(passes, f.Pass) {
			passes = append(passes, f.Pass)
		}
	}
	if len(passes) == 0 {
		fmt.Fprintln(con.stdout, "no finding has a pass that mends it; nothing was written")
		return nil
	}
	model := c.Subject
	if info, err := os.Stat(model); err == nil && info.IsDir() {
		run, err := lastRun(con, workspace.Folder(model))
		if err != nil {
			return err
		}
		model = run.Model.Path
	}
	passes = append(passes, "constants-to-initializers", "constant-fold")
	o := optimizeCmd{Model: model, Output: c.Output, Pass: passes, Limit: 2, Input: inputFlags{InputShape: c.InputShape}, Engine: c.Engine, Overwrite: c.Overwrite}
	if err := o.places().check(); err != nil { // a workspace's model is known only now
		return err
	}
	fmt.Fprintln(con.stdout)
	if err := o.Run(con); err != nil {
		return err
	}
	after, _, err := c.look(con, c.Output)
	if err != nil {
		return err
	}
	fmt.Fprintf(con.stdout, "%d findings before, %d after\n", len(findings), len(after))
	return nil
}

// writeSARIF writes the findings as SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0).
func writeSARIF(w io.Writer, subject string, findings []checks.Finding) error {
	type text struct {
		Text string `json:"text"`
	}
	type rule struct {
		ID    string `json:"id"`
		Short text   `json:"shortDescription"`
		Full  text   `json:"fullDescription"`
		Help  text   `json:"help"`
	}
	type location struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
		} `json:"physicalLocation"`
		Logical []map[string]string `json:"logicalLocations,omitempty"`
	}
	type found struct {
		Rule      string     `json:"ruleId"`
		Level     string     `json:"level"`
		Message   text       `json:"message"`
		Locations []location `json:"locations"`
	}
	rules, results := []rule{}, []found{}
	for _, k := range checks.All {
		rules = append(rules, rule{k.ID, text{k.Title}, text{k.What + " " + k.Why}, text{k.Fix}})
	}
	for _, f := range findings {
		l := location{}
		l.Physical.Artifact.URI = filepath.ToSlash(subject)
		for kind, name := range map[string]string{"node": f.Node, "tensor": f.Tensor} {
			if name != "" {
				l.Logical = append(l.Logical, map[string]string{"kind": kind, "fullyQualifiedName": name})
			}
		}
		results = append(results, found{f.ID, string(f.Severity), text{f.Title + ": " + f.Evidence + ". Fix: " + f.Fix + priced(f.Price)}, []location{l}})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []any{map[string]any{"tool": map[string]any{"driver": map[string]any{"name": "quantcheck", "version": hostinfo.Version, "rules": rules}}, "results": results}},
	})
}
