package snpe

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"quantcheck/internal/sheet"
)

// LayerStat is a row of the seed's layer_stats.csv: a layer's time over the inferences of a profile.
type LayerStat struct {
	ID      int
	Mean    float64
	Std     float64 // NaN with one inference
	Message string
	Name    string // without "(cycles)" and operator number
	Unit    string
	Share   float64 // of the sum of the means
}

// ReadLayerStats reads layer_stats.csv as the seed writes it; columns are found by their names.
func ReadLayerStats(data []byte) ([]LayerStat, error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	rows, err := r.ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("not a layer_stats.csv: %w", errors.Join(err, errNoRows))
	}
	at := map[string]int{}
	for i, name := range rows[0] {
		at[strings.TrimSpace(name)] = i
	}
	for _, need := range []string{"layer_id", "time_mean", "layer_name"} {
		if _, ok := at[need]; !ok {
			return nil, fmt.Errorf("not a layer_stats.csv: it has no column %s", need)
		}
	}
	var list []LayerStat
	total := 0.0
	for n, row := range rows[1:] {
		cell := func(name string) string {
			if i, ok := at[name]; ok && i < len(row) {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		id, err := strconv.ParseFloat(cell("layer_id"), 64)
		mean, err2 := strconv.ParseFloat(cell("time_mean"), 64)
		if err != nil || err2 != nil || !(mean >= 0) || math.IsInf(mean, 0) || !(id >= 0 && id < 1e9) {
			return nil, fmt.Errorf("layer_stats.csv, row %d: %q", n+2, strings.Join(row, ","))
		}
		s := LayerStat{ID: int(id), Mean: mean, Std: math.NaN(), Message: sheet.Plain(cell("message")), Name: LayerName(sheet.Plain(cell("layer_name"))), Unit: cell("unit")}
		if v, err := strconv.ParseFloat(cell("time_std"), 64); err == nil {
			s.Std = v
		}
		total += mean
		list = append(list, s)
	}
	for i := range list {
		if total > 0 {
			list[i].Share = list[i].Mean / total
		}
	}
	return list, nil
}

var errNoRows = errors.New("it has no rows")

// LayerName takes from a profile's name what profilers add: "name:OpId_12 (cycles)", "Input OpId_2 (cycles)".
func LayerName(name string) string {
	name = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(name), "(cycles)"))
	if i := strings.LastIndex(name, ":OpId_"); i > 0 {
		return name[:i]
	}
	for _, end := range []string{InputRow, OutputRow} {
		if strings.HasPrefix(name, end+" OpId_") {
			return end
		}
	}
	return name
}

// The rows of a profile in which inputs and outputs are moved.
const (
	InputRow  = "Input"
	OutputRow = "Output"
)
