package main

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/snpe"
)

// info is snpe-dlc-info: the listing that quantcheck writes, with everything that -m and -d add.
func info(c *call) error {
	if err := c.need("input_dlc"); err != nil {
		return err
	}
	var text bytes.Buffer
	_, err := inspect.ViewDLC(c.given.get("input_dlc"), func(v *inspect.View, f *dlc.File) error {
		return snpe.WriteListing(&text, f, snpe.Figures{
			Path: v.Path, Memory: v.Memory, MACs: func(i int) int64 { return v.Layers[i].MACs }, Parameters: func(i int) int64 { return v.Layers[i].Parameters },
		})
	})
	if err != nil {
		return c.failure(err)
	}
	if path := c.given.get("save"); path != "" {
		if err := c.writeOutput(path, listingCSV(text.String())); err != nil {
			return err
		}
	}
	_, err = c.stdout.Write(text.Bytes())
	return err
}

// listingCSV is a listing as -s saves it: the tables' rows without their frames, every other line as a field of its own.
func listingCSV(text string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	var bars []int // where those of the table's header stand
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.Trim(line, "-= ") == "" {
			continue
		}
		if !strings.HasPrefix(line, "|") {
			_ = w.Write([]string{strings.TrimSpace(line)}) // Nothing can fail in memory.
			continue
		}
		runes := []rune(line)
		if slices.ContainsFunc([]string{"| Id ", "| Input Name ", "| Output Name "}, func(head string) bool { return strings.HasPrefix(line, head) }) {
			bars = bars[:0]
			for i, r := range runes {
				if r == '|' {
					bars = append(bars, i)
				}
			}
		}
		var cells []string
		for i := 1; i < len(bars); i++ {
			cells = append(cells, strings.TrimSpace(string(runes[min(bars[i-1]+1, len(runes)):min(bars[i], len(runes))])))
		}
		_ = w.Write(cells)
	}
	w.Flush()
	return b.Bytes()
}
