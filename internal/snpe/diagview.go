package snpe

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/sheet"
)

// Profile is what snpe-diagview --csv_format_version 2 tells of a run.
type Profile struct {
	Layers  []LayerStat // by layer id
	Globals []Global    // rows without a layer, in their order
}

// Global is a statistic of the whole run: "Accelerator (execute) time".
type Global struct {
	Name  string
	Unit  string
	Value float64
}

// mostRows bounds a profile that is read: a thousand layers over a thousand inferences.
const mostRows = 1 << 21

// ReadProfile reads the CSV. Columns are found by their names: Layer Id, Time, Message, Layer Name, Unit of Measurement. Rows may
// have a field more than the header has names (they end with a comma). A layer has a row per inference; its standard deviation
// is that of a sample (n − 1), as pandas' std, and NaN with one inference.
func ReadProfile(data []byte) (*Profile, error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = -1, true, true
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("not a CSV of snpe-diagview: %w", errors.Join(errNoRows, err))
	}
	at := map[string]int{}
	for i, name := range header {
		at[strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))] = i
	}
	for _, need := range []string{"Layer Id", "Time", "Layer Name"} {
		if _, ok := at[need]; !ok {
			return nil, fmt.Errorf("not a CSV of snpe-diagview --csv_format_version 2: it has no column %q", need)
		}
	}
	p := &Profile{}
	sums := map[int]*moments{}
	for n := 2; ; n++ {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && n > mostRows {
			err = errors.New("too many rows")
		}
		if err != nil {
			return nil, fmt.Errorf("the CSV of snpe-diagview, row %d: %w", n, err)
		}
		cell := func(name string) string {
			if i, ok := at[name]; ok && i < len(row) {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		if err := p.add(sums, cell); err != nil {
			return nil, fmt.Errorf("the CSV of snpe-diagview, row %d: %w", n, err)
		}
	}
	if len(sums) == 0 {
		return nil, errors.New("the CSV of snpe-diagview holds no layers: was the run profiled (--profiling_level detailed)?")
	}
	p.finish(sums)
	return p, nil
}

// moments sums a layer's times up.
type moments struct {
	stat     LayerStat
	n        int
	mean, m2 float64 // Welford
}

func (p *Profile) add(sums map[int]*moments, cell func(string) string) error {
	id := cell("Layer Id")
	time, err := strconv.ParseFloat(cell("Time"), 64)
	if id == "" || strings.EqualFold(id, "nan") {
		if err == nil && time-time == 0 {
			name := cell("Layer Name")
			if name == "" {
				name = cell("Event Identifier")
			}
			if name == "" {
				name = cell("Message")
			}
			p.Globals = append(p.Globals, Global{name, cell("Unit of Measurement"), time})
		}
		return nil
	}
	number, idErr := strconv.ParseFloat(id, 64)
	if idErr != nil || !(number >= 0 && number < 1e9) || number != math.Trunc(number) {
		return fmt.Errorf("%q is no layer's id", id)
	}
	if err != nil || !(time >= 0) || math.IsInf(time, 0) {
		return fmt.Errorf("%q is no time", cell("Time"))
	}
	m := sums[int(number)]
	if m == nil {
		m = &moments{stat: LayerStat{ID: int(number), Message: cell("Message"), Name: LayerName(cell("Layer Name")), Unit: cell("Unit of Measurement")}}
		sums[int(number)] = m
	}
	m.n++
	d := time - m.mean
	m.mean += d / float64(m.n)
	m.m2 += d * (time - m.mean)
	return nil
}

func (p *Profile) finish(sums map[int]*moments) {
	total := 0.0
	for _, m := range sums {
		m.stat.Mean, m.stat.Std = m.mean, math.NaN()
		if m.n > 1 {
			m.stat.Std = math.Sqrt(m.m2 / float64(m.n-1))
		}
		total += m.mean
		p.Layers = append(p.Layers, m.stat)
	}
	slices.SortFunc(p.Layers, func(a, b LayerStat) int { return a.ID - b.ID })
	for i := range p.Layers {
		if total > 0 {
			p.Layers[i].Share = p.Layers[i].Mean / total
		}
	}
}

// WriteLayerStats writes layer_stats.csv in the seed's columns with the seed's rounding: times are whole numbers, shares those of the
// rounded times in four decimals. A standard deviation that is not there is empty.
func WriteLayerStats(layers []LayerStat) []byte {
	var b bytes.Buffer
	w := sheet.NewWriter(&b)
	_ = w.Write([]string{"layer_id", "time_mean", "time_std", "message", "layer_name", "unit", "Percentage_of_Total_Time"}) // a buffer takes everything
	total := 0.0
	for _, l := range layers {
		total += math.RoundToEven(l.Mean)
	}
	for _, l := range layers {
		mean, std, share := math.RoundToEven(l.Mean), "", 0.0
		if !math.IsNaN(l.Std) {
			std = strconv.FormatFloat(math.RoundToEven(l.Std), 'f', 0, 64)
		}
		if total > 0 {
			share = math.RoundToEven(1e4*mean/total) / 1e4
		}
		_ = w.Write([]string{
			strconv.Itoa(l.ID), strconv.FormatFloat(mean, 'f', 0, 64), std, l.Message, l.Name, l.Unit, strconv.FormatFloat(share, 'f', -1, 64),
		})
	}
	_ = w.Flush()
	return b.Bytes()
}
