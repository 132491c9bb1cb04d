package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"

	"quantcheck/bench/zoo/networks"
	"quantcheck/internal/atomicfile"
	"quantcheck/internal/yamltext"
)

// expectations are network → command → the kind of outcome.
type expectations map[string]map[string]string

var (
	number = regexp.MustCompile(`[−-]?[0-9]+([.,][0-9]+)*(e[-+]?[0-9]+)?`)
	quoted = regexp.MustCompile(`"[^"]*"`)
)

// kindOf is an outcome without what may differ from run to run: figures, and names in quotation marks.
func kindOf(o *outcome) string {
	kind := o.Status
	switch {
	case o.Status == late, o.Status == skipped:
	case o.Reason != "":
		kind += ": " + o.Reason
	case o.Problem != "":
		kind += ", but " + o.Problem
	}
	runes := []rune(number.ReplaceAllString(quoted.ReplaceAllString(kind, "“…”"), "#"))
	return string(runes[:min(len(runes), 100)])
}

// hold holds the outcomes against a file, or writes them into it. One that is ok is no fault, whatever was expected.
func (b *bench) hold(path string, list []networks.Network, chosen []command) error {
	want := expectations{}
	if data, err := os.ReadFile(path); err == nil {
		if err := yamltext.Unmarshal(data, &want, true); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	} else if !b.accept {
		return err
	}
	wrong, held := 0, 0
	for _, n := range list {
		for _, c := range chosen {
			o, ok := b.kept(n, c.name)
			if !ok {
				continue
			}
			got := kindOf(o)
			if b.accept {
				if want[n.Name] == nil {
					want[n.Name] = map[string]string{}
				}
				want[n.Name][c.name] = got
				continue
			}
			held++
			switch expected, there := want[n.Name][c.name]; {
			case there && expected == got:
			case got == fine:
				fmt.Fprintf(b.out, "%s %s: ok, better than expected (%s); add -accept to the command\n", n.Name, c.name, expected)
			default:
				wrong++
				if !there {
					expected = "nothing is expected yet"
				}
				fmt.Fprintf(b.out, "%s %s: %s\n  expected: %s\n", n.Name, c.name, got, expected)
			}
		}
	}
	if b.accept {
		return b.write(path, want)
	}
	fmt.Fprintf(b.out, "%d of %d outcomes are as %s has them\n", held-wrong, held, path)
	if wrong > 0 {
		return fmt.Errorf("%d outcomes are others than expected; if they are right, add -accept to the command", wrong)
	}
	return nil
}

// write writes the file, networks in the table's order and commands in theirs.
func (b *bench) write(path string, want expectations) error {
	var w bytes.Buffer
	fmt.Fprintln(&w, "# What make zoo-small expects of the ten smallest networks. It is written by the bench, with -accept; figures are left out.")
	for _, n := range b.zoo.Table.Networks {
		if len(want[n.Name]) == 0 {
			continue
		}
		fmt.Fprintf(&w, "%s:\n", n.Name)
		for _, c := range commands {
			if kind, ok := want[n.Name][c.name]; ok {
				fmt.Fprintf(&w, "  %s: '%s'\n", c.name, strings.ReplaceAll(kind, "'", "''"))
			}
		}
	}
	return atomicfile.WriteBytes(path, w.Bytes())
}
