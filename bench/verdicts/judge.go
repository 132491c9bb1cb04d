package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/result"
)

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

// judge checks the variants and counts what they lose.
func (m *model) judge(ctx context.Context, out string, variants []string) ([]row, error) {
	args := append([]string{m.path, "--out", out, "--name", m.name}, m.flags...)
	for _, v := range variants {
		args = append(args, "--variant", v)
	}
	check := []string{"check", "--isolated-samples", "0", "--no-try", "--no-estimate", "--fresh", "--json"}
	var c checked
	if err := call(ctx, &c, append(append(check, "--images", m.samples, "--limit", strconv.Itoa(m.limit)), args...)); err != nil {
		return nil, err
	}
	var rows []row
	for i := range c.Variants {
		r := row{variant: c.Variants[i].Spec.Name, verdict: c.Variants[i].Verdict}
		_, r.kept, _, r.decides = least(&r.verdict)
		rows = append(rows, r)
	}
	if m.labels != "" {
		return rows, m.scores(ctx, args, rows)
	}
	var o checked
	if err := call(ctx, &o, append(append(check, "--calib", m.samples, "--images", m.others), args...)); err != nil {
		return nil, fmt.Errorf("on other samples: %w", err)
	}
	for i := range rows {
		if i >= len(o.Variants) || o.Variants[i].Spec.Name != rows[i].variant {
			return nil, errors.New("the check on other samples has other variants")
		}
		d, share, lost, ok := least(&o.Variants[i].Verdict)
		if !ok {
			continue
		}
		rows[i].drop, rows[i].known, rows[i].of = 1-share, true, fmt.Sprintf("%.4g %s", d.Of, d.Kind)
		rows[i].others = undecided(&rows[i].verdict)
		rows[i].single, rows[i].lost, rows[i].total = d.Kind == "top-1" || d.Kind == "neighbours", lost, d.Of
	}
	return rows, nil
}

// undecided says whether an output that no decision is read from is so far from float that it alone makes the grade poor: what that does to a task
// is not known.
func undecided(v *result.Verdict) bool {
	read := map[int]bool{}
	for i := range v.Decisions {
		for _, l := range v.Decisions[i].Layers {
			read[l] = true
		}
	}
	return slices.ContainsFunc(v.Parts, func(p result.OutputPart) bool {
		const fair, cosine = 20, 0.995 // of a signal that is fair
		return !read[p.Layer] && p.SQNR.Min.OK && (p.Dead > 0.5 || p.SQNR.Min.V < fair || p.Cos.Min.OK && p.Cos.Min.V < cosine)
	})
}

// least gives the decisions of which the smallest share is kept, and how many are lost.
func least(v *result.Verdict) (d *result.Decision, share, lost float64, ok bool) {
	for k := range v.Decisions {
		if s := v.Decisions[k].Share(); s.OK && (!ok || s.V < share) {
			d, share, ok = &v.Decisions[k], s.V, true
			lost = d.Of - d.Kept
		}
	}
	return d, share, lost, ok
}

// scores counts by how much each variant's score falls, as a share of float's.
func (m *model) scores(ctx context.Context, args []string, rows []row) error {
	var e evaluated
	if err := call(ctx, &e, append([]string{"eval", "--task", "detection", "--data", m.labels, "--image-dir", m.samples, "--limit", strconv.Itoa(m.limit), "--fresh", "--json"}, args...)); err != nil {
		return err
	}
	for _, v := range e.Models {
		for i := range rows {
			if float := e.Models[0].Scores[0]; rows[i].variant == v.Name && float != nil && *float > 0 && v.Scores[0] != nil {
				rows[i].drop, rows[i].known, rows[i].of = 1-*v.Scores[0]/(*float), true, fmt.Sprintf("mAP %.4f", *float)
			}
		}
	}
	return nil
}

// call runs the program and reads the JSON that it prints.
func call(ctx context.Context, to any, args []string) error {
	cmd := exec.CommandContext(ctx, filepath.Join("bin", "quantcheck"), args...)
	var out, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failed
	if err := cmd.Run(); err != nil {
		text := strings.Join(strings.Fields(failed.String()), " ")
		return fmt.Errorf("%w: %s", err, text[max(0, len(text)-300):])
	}
	return json.Unmarshal(out.Bytes(), to)
}
